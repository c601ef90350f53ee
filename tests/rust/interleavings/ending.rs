//! Closes, stops and failures while others are writing.

use std::sync::Arc;

use ringcast_core::simulated;
use ringcast_core::sink::EndReason;
use ringcast_core::stream::PublishError;
use ringcast_core::sync::thread;

use crate::actor::{Actor, JSON, ROOMY, Setup, check, choose, join, offsets, publish};
use crate::client::{Message, reply};

fn up_to(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

#[test]
fn a_close_comes_behind_what_was_published_and_before_nothing() {
    check(4000, || {
        let actor = Actor::running(&Setup { two_writers: choose(4) == 0, ..Setup::default() });
        let client = actor.attach(actor.open(&["a"]), 0, if choose(2) == 0 { 30 } else { ROOMY });
        let publisher = actor.publisher("a", 4);
        let sink = Arc::clone(&client.sink);
        let head = actor.stream.head();
        let messages = client.close();
        let seen = offsets(&messages);
        assert_eq!(seen, up_to(seen.len() as u64));
        assert!(seen.len() as u64 >= head);
        assert_eq!(messages.iter().filter(|message| matches!(message, Message::Close(..))).count(), 1);
        publisher.join().unwrap();
        assert_eq!(sink.end_reason(), Some(EndReason::Closed));
        actor.end();
    });
}

#[test]
fn an_actor_that_stops_lets_its_publishers_go() {
    check(3000, || {
        let actor = Actor::running(&Setup { max_unswept_bytes: 1, ..Setup::default() });
        let ids = [actor.open(&["a"]), actor.open(&["a"])];
        let clients = [actor.attach(ids[0], 0, 30), actor.attach(ids[1], 0, ROOMY)];
        let publishers = [0, 1].map(|_| {
            let stream = Arc::clone(&actor.stream);
            thread::spawn(move || (0..3).find_map(|_| publish(&stream, "a").err()))
        });
        actor.stream.shut();
        for publisher in publishers {
            assert!(matches!(publisher.join().unwrap(), None | Some(PublishError::Shut)));
        }
        for client in clients {
            let seen = offsets(&client.close());
            assert_eq!(seen, up_to(seen.len() as u64));
        }
        actor.end();
    });
}

#[test]
fn a_writer_thread_that_ends_lets_everybody_go_and_loses_nothing() {
    check(4000, || {
        let mut actor = Actor::running(&Setup { max_unswept_bytes: 1, ..Setup::default() });
        let client = actor.attach(actor.open(&["a"]), 0, ROOMY);
        let publishers = [actor.publisher("a", 2), actor.publisher("a", 2)];
        let waiter = {
            let (stream, told) = (Arc::clone(&actor.stream), Arc::clone(&actor.told));
            thread::spawn(move || {
                for _ in 0..3 {
                    let (seen, head) = (told.count(), stream.head());
                    if stream.notify_when_swept(head) {
                        told.wait_for_more_than(seen);
                    }
                }
            })
        };
        actor.stop_writers();
        join(publishers);
        waiter.join().unwrap();
        assert_eq!(offsets(&client.close()), up_to(4));
        actor.end();
    });
}

#[test]
fn a_write_that_panics_ends_one_sink_and_holds_up_nobody() {
    check(600, || {
        let actor = Actor::running(&Setup { max_unswept_bytes: 1, ..Setup::default() });
        let ids = [actor.open(&["a"]), actor.open(&["a"])];
        let (descriptor, peer) = simulated::pair(ROOMY);
        peer.break_next_write();
        let other = actor.attach(ids[1], 0, 30);
        let publisher = actor.publisher("a", 4);
        let broken = actor.attach_to(descriptor, Some(peer), ids[0], 0);
        publisher.join().unwrap();
        assert_eq!(offsets(&other.close()), up_to(4));
        assert_eq!(broken.sink.end_reason(), Some(EndReason::WriteError));
        assert_eq!(broken.messages(), []);
        // Its client comes back, and has missed nothing.
        assert_eq!(offsets(&actor.attach(ids[0], 0, 30).close()), up_to(4));
        actor.end();
    });
}

#[test]
fn a_client_that_is_gone_holds_up_nobody() {
    check(2000, || {
        let mut actor = Actor::running(&Setup { max_unswept_bytes: 1, ..Setup::default() });
        let ids = [actor.open(&["a"]), actor.open(&["a"])];
        let (descriptor, peer) = simulated::pair(30);
        let gone = actor.attach_to(descriptor, None, ids[0], 0);
        let other = actor.attach(ids[1], 0, 30);
        let publisher = actor.publisher("a", 4);
        drop(peer);
        publisher.join().unwrap();
        assert_eq!(offsets(&other.close()), up_to(4));
        // Nobody else is writing to it from here on, and the poller does this sooner or later.
        actor.stop_writers();
        gone.sink.writable();
        assert_eq!(gone.sink.end_reason(), Some(EndReason::WriteError));
        actor.end();
    });
}

#[test]
fn a_watch_that_is_refused_ends_one_sink_and_its_client_comes_back() {
    check(1000, || {
        let actor = Actor::running(&Setup { max_unswept_bytes: 1, ..Setup::default() });
        let ids = [actor.open(&["a"]), actor.open(&["a"])];
        let (descriptor, peer) = simulated::pair(30);
        peer.refuse_next_watch();
        let other = actor.attach(ids[1], 0, 30);
        let unwatched = actor.attach_to(descriptor, None, ids[0], 0);
        let publisher = actor.publisher("a", 4);
        publisher.join().unwrap();
        actor.stream.wait_until_swept();
        assert_eq!(offsets(&other.close()), up_to(4));
        assert_eq!(unwatched.sink.end_reason(), Some(EndReason::WriteError));
        assert_eq!(offsets(&actor.attach(ids[0], 0, ROOMY).close()), up_to(4));
        drop(peer);
        actor.end();
    });
}

#[test]
fn who_has_lost_events_once_its_socket_is_watched_is_a_slow_reader() {
    check(3000, || {
        let mut actor =
            Actor::running(&Setup { max_events: 2, two_writers: choose(2) == 0, ..Setup::default() });
        // Nobody reads, and the room is for the greeting and a part of an event.
        let (descriptor, peer) = simulated::pair(30);
        let slow = actor.attach_to(descriptor, None, actor.open(&["a"]), 0);
        let publisher = actor.publisher("a", 5);
        let sink = Arc::clone(&slow.sink);
        let answers = thread::spawn(move || {
            sink.push_message(&reply(JSON, 0));
            sink.drive(None);
        });
        publisher.join().unwrap();
        answers.join().unwrap();
        actor.stream.wait_until_swept();
        // Without any further event, answer or heartbeat; whoever is still about to write to it is done then.
        actor.stop_writers();
        assert_eq!(slow.sink.end_reason(), Some(EndReason::SlowReader));
        drop(peer);
        actor.end();
    });
}

#[test]
fn a_deadline_may_come_at_any_moment_of_a_close() {
    check(3000, || {
        let actor = Actor::running(&Setup { two_writers: choose(2) == 0, ..Setup::default() });
        let client = actor.attach(actor.open(&["a"]), 0, if choose(2) == 0 { 30 } else { ROOMY });
        let publisher = actor.publisher("a", 4);
        let (deadline, sink) = (Arc::clone(&client.sink), Arc::clone(&client.sink));
        let deadline = thread::spawn(move || deadline.close_timed_out());
        client.sink.close(Some(1000), "");
        deadline.join().unwrap();
        // The second one is what ends it in any case.
        sink.close_timed_out();
        let messages = client.messages();
        let seen = offsets(&messages);
        assert_eq!(seen, up_to(seen.len() as u64));
        match sink.end_reason() {
            Some(EndReason::Closed) => {
                assert_eq!(messages.last(), Some(&Message::Close(Some(1000), String::new())));
            }
            reason => assert_eq!(reason, Some(EndReason::CloseTimeout)),
        }
        publisher.join().unwrap();
        actor.end();
    });
}

#[test]
fn the_last_who_knows_a_stream_may_be_a_sink() {
    check(300, || {
        let mut actor = Actor::running(&Setup::default());
        let ids = [actor.open(&["a"]), actor.open(&["a"])];
        let [last, other] = ids.map(|id| {
            let (descriptor, peer) = simulated::pair(ROOMY);
            (actor.attach_to(descriptor, None, id, 0).sink, peer)
        });
        // Only its connection knows this one, which the stream knows.
        other.0.detach();
        drop(other.0);
        actor.stop_writers();
        // Without a `shut`.
        drop(actor);
        last.0.drop_socket();
        assert_eq!(last.0.end_reason(), Some(EndReason::Dropped));
    });
}
