//! Those who wait for a sweep are told of it, and told once it is so.

use std::sync::Arc;

use ringcast_core::sync::thread;

use crate::actor::{Actor, ROOMY, Setup, check, choose, join, offsets, publish};

#[test]
fn everybody_who_waits_for_a_sweep_is_told() {
    check(4000, || {
        let actor = Actor::running(&Setup { max_unswept_bytes: 1 << 20, ..Setup::default() });
        let client = actor.attach(actor.open(&["a"]), 0, if choose(2) == 0 { 30 } else { ROOMY });
        let waiters = [0, 1].map(|_| {
            let (stream, told) = (Arc::clone(&actor.stream), Arc::clone(&actor.told));
            thread::spawn(move || {
                for _ in 0..2 {
                    let offset = publish(&stream, "a").unwrap();
                    loop {
                        let seen = told.count();
                        if !stream.notify_when_swept(offset) {
                            break;
                        }
                        told.wait_for_more_than(seen);
                    }
                    assert!(stream.swept() >= offset);
                }
            })
        });
        join(waiters);
        assert_eq!(offsets(&client.close()), [1, 2, 3, 4]);
        actor.end();
    });
}

#[test]
fn without_a_sink_nobody_waits() {
    check(2000, || {
        let actor = Actor::running(&Setup { max_unswept_bytes: 1, ..Setup::default() });
        let id = actor.open(&["a"]);
        let publisher = actor.publisher("a", 4);
        // It comes and goes while events are published.
        let client = actor.attach(id, 0, ROOMY);
        actor.detach(id, &client.sink);
        publisher.join().unwrap();
        client.sink.close(None, "");
        let seen = offsets(&client.messages());
        assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
        assert_eq!(offsets(&actor.attach(id, 0, ROOMY).close()), [1, 2, 3, 4]);
        actor.end();
    });
}
