//! Sockets that take compressed frames and sockets that do not, of the same connection and side by side, while events
//! are published.

use std::sync::Arc;

use ringcast_core::audience::Audience;
use ringcast_core::stream::Stream;
use ringcast_core::sync::thread::{self, JoinHandle};

use crate::actor::{Actor, JSON, ROOMY, Setup, check, choose, offsets};
use crate::client::{arguments, reply};

/// Less than one event as it is, and more than one compressed.
const NARROW: usize = 90;

/// A thread that publishes `count` events which get smaller.
fn publisher(stream: &Arc<Stream>, count: usize) -> JoinHandle<()> {
    let stream = Arc::clone(stream);
    thread::spawn(move || (0..count).for_each(|_| publish(&stream)))
}

fn publish(stream: &Arc<Stream>) {
    let [json, _] = arguments(&"x".repeat(100));
    let (_, must_wait) = stream.publish("a", [Some(&json), None], Audience::Subscribers).expect("published");
    if must_wait {
        stream.wait_for_sweep();
    }
}

#[test]
fn a_connection_gets_each_event_once_over_sockets_of_both_kinds() {
    check(4000, || {
        let actor = Actor::running(&Setup { two_writers: choose(4) == 0, ..Setup::default() });
        let [id, other] = [&["a"], &["a"]].map(|names| actor.open(names));
        let publisher = publisher(&actor.stream, 4);
        let witness = actor.attach_deflating(other, 0, if choose(2) == 0 { NARROW } else { ROOMY });
        let mut received = Vec::new();
        for _ in 0..3 {
            let position = received.last().copied().unwrap_or(0);
            let capacity = if choose(2) == 0 { NARROW } else { ROOMY };
            let attach = if choose(2) == 0 { Actor::attach } else { Actor::attach_deflating };
            let client = attach(&actor, id, position, capacity);
            publish(&actor.stream);
            client.sink.push_message(&reply(JSON, 1));
            client.sink.drive(None);
            if choose(2) == 0 {
                actor.detach(id, &client.sink);
            }
            client.sink.drop_socket();
            received.extend(offsets(&client.messages()));
        }
        publisher.join().unwrap();
        let position = received.last().copied().unwrap_or(0);
        let missed = actor.stream.resume(id, position).unwrap();
        assert_eq!((missed.replayed, missed.lost), (7 - position, None));
        received.extend(offsets(&actor.attach_deflating(id, position, NARROW).close()));
        assert_eq!(received, (1..=7).collect::<Vec<_>>());
        assert_eq!(offsets(&witness.close()), (1..=7).collect::<Vec<_>>());
        actor.end();
    });
}
