//! What ends or fails lets go of all who wait for it, and harms nobody else.

use std::sync::Arc;
use std::thread;

use ringcast_core::audience::Audience;
use ringcast_core::frame::Encoding;
use ringcast_core::ring::Limits;
use ringcast_core::sink::EndReason;
use ringcast_core::stream::SlowReader;

use crate::actor::{Actor, Setup};
use crate::client::{Message, reply};

const JSON: Encoding = Encoding::Json;

/// A publisher has to wait after every event.
fn tight() -> Setup {
    Setup { max_unswept_bytes: 1, ..Setup::default() }
}

#[test]
fn a_publisher_goes_on_after_the_writer_thread_has_ended() {
    let mut actor = Actor::running(tight());
    let (mut client, sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    actor.publish("a", "swept");
    actor.end_writer();
    for _ in 0..3 {
        actor.publish("a", "not swept");
        assert!(!actor.stream.notify_when_swept(4), "nobody is to wait for it");
    }
    // It is still owed, and comes with the next thing that anybody writes.
    sink.push_message(&reply(JSON, 1));
    sink.drive(None);
    assert_eq!(client.message(), Message::Reply(0));
    assert_eq!((1..=4).map(|_| client.message().offset()).collect::<Vec<_>>(), [1, 2, 3, 4].map(Some));
    assert_eq!(client.message(), Message::Reply(1));
}

#[test]
fn a_large_event_is_published_after_the_writer_thread_has_ended() {
    let limits = Limits { max_events: 100, max_bytes: 20_000 };
    let mut actor = Actor::running(Setup { limits, ..Setup::default() });
    let _attached = actor.attach(actor.open(JSON, &["a"]), 0);
    actor.end_writer();
    actor.publish("a", "not swept");
    assert_eq!(actor.publish("a", &"x".repeat(7000)), 2);
}

#[test]
fn those_who_wait_already_are_let_go_when_the_writer_thread_ends() {
    let mut actor = Actor::by_hand(tight());
    let _attached = actor.attach(actor.open(JSON, &["a"]), 0);
    actor.publish("a", "nobody sweeps this");
    let publisher = {
        let stream = Arc::clone(&actor.stream);
        thread::spawn(move || stream.wait_for_sweep())
    };
    assert!(actor.stream.notify_when_swept(1));
    // What the writer thread does with a stream that is still in its inbox when it ends.
    actor.stream.abandon();
    publisher.join().unwrap();
    assert_eq!(actor.swept.count(), 1);
    actor.end_writer();
}

#[test]
fn closes_that_wait_end_with_the_writer_thread_and_later_ones_at_once() {
    let mut actor = Actor::running(Setup::default());
    let blocked = [0, 1].map(|_| {
        let (client, sink) = actor.attach(actor.open(JSON, &[]), 0);
        sink.push_message(&vec![b'1'; 1 << 20]);
        sink.drive(None);
        (client, sink)
    });
    let ready = actor.attach(actor.open(JSON, &[]), 0);
    blocked[0].1.close(Some(1000), "");
    assert_eq!(blocked[0].1.end_reason(), None);
    actor.end_writer();
    assert_eq!(blocked[0].1.end_reason(), Some(EndReason::CloseTimeout));
    blocked[1].1.close(Some(1000), "");
    assert_eq!(blocked[1].1.end_reason(), Some(EndReason::CloseTimeout));
    ready.1.close(Some(1000), "");
    assert_eq!(ready.1.end_reason(), Some(EndReason::Closed), "its socket took the frame");
}

#[test]
fn a_slow_reader_ends_at_once_after_the_writer_thread_has_ended() {
    let mut actor = Actor::running(Setup::small(SlowReader::Disconnect));
    let (_client, sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    sink.push_message(&vec![b'1'; 1 << 20]);
    sink.drive(None);
    actor.end_writer();
    for _ in 0..20 {
        actor.publish("a", "");
    }
    // Whoever writes to it next finds that it has lost events.
    sink.drive(None);
    assert_eq!((sink.end_reason(), sink.with_fd(|_| ())), (Some(EndReason::SlowReader), None));
}

#[test]
fn a_sweep_that_fails_ends_the_sinks_that_may_have_missed_events() {
    let actor = Actor::by_hand(tight());
    let other = Actor::running(tight());
    let id = actor.open(JSON, &["a"]);
    let (mut client, sink) = actor.attach(id, 0);
    actor.publish("a", "lost on the way");
    assert!(actor.stream.notify_when_swept(1));
    let publisher = {
        let stream = Arc::clone(&actor.stream);
        thread::spawn(move || stream.wait_for_sweep())
    };
    let mut sweep = actor.stream.sweep();
    assert!(sweep.go_on_with(|_, _| panic!("a sweep fails: this test wants it to")));
    publisher.join().unwrap();
    assert_eq!((actor.stream.swept(), actor.swept.count()), (1, 1));
    assert_eq!(sink.end_reason(), Some(EndReason::WriteError));
    assert_eq!(client.rest(), [Message::Reply(0)]);
    // It comes back where it was, and what it is owed is still there.
    let (mut client, _sink) = actor.attach(id, 0);
    actor.publish("a", "after");
    actor.sweep_all();
    assert_eq!(client.message(), Message::Reply(0));
    assert_eq!([client.message().offset(), client.message().offset()], [Some(1), Some(2)]);
    let (mut client, _sink) = other.attach(other.open(JSON, &["a"]), 0);
    other.publish("a", "");
    assert_eq!([client.message(), client.message()].map(|message| message.offset()), [None, Some(1)]);
}

/// A position at the end of all numbers overflows, which panics in this build and would be refused by the module.
#[cfg(debug_assertions)]
#[test]
fn a_write_that_fails_ends_its_own_sink_alone() {
    let actor = Actor::running(tight());
    let (mut before, _before) = actor.attach(actor.open(JSON, &["a"]), 0);
    let (mut broken, sink) = actor.attach(actor.open(JSON, &["a"]), u64::MAX);
    let (mut after, _after) = actor.attach(actor.open(JSON, &["a"]), 0);
    assert_eq!(sink.end_reason(), Some(EndReason::WriteError));
    assert_eq!(broken.rest(), []);
    actor.publish("a", "for those who are left");
    for client in [&mut before, &mut after] {
        assert_eq!([client.message().offset(), client.message().offset()], [None, Some(1)]);
    }
}

#[test]
fn an_owner_that_cannot_be_told_holds_up_nobody() {
    let actor = Actor::running(tight());
    let broken = actor.sibling(|| panic!("a notification fails: this test wants it to"));
    for (stream, is_waited_for) in [(&broken, true), (&actor.stream, false), (&broken, true)] {
        let id = stream.open(JSON, &["a".to_owned()], 0).unwrap();
        let (mut client, sink) = actor.attach_in(stream, id, stream.head());
        assert_eq!(client.message(), Message::Reply(0));
        for _ in 0..10 {
            let published = stream.publish("a", [Some(b"[\"\"]"), None], Audience::Subscribers);
            let (offset, _) = published.unwrap();
            if is_waited_for {
                stream.notify_when_swept(offset);
            }
            assert_eq!(client.message().offset(), Some(offset));
            stream.wait_for_sweep();
        }
        assert_eq!(sink.end_reason(), None);
    }
    broken.shut();
    let by_hand = Actor::by_hand(tight());
    let broken = by_hand.sibling(|| panic!("a notification fails: this test wants it to"));
    let id = broken.open(JSON, [""; 0], 0).unwrap();
    let _attached = by_hand.attach_in(&broken, id, 0);
    broken.publish("a", [Some(b"[]"), None], Audience::Subscribers).unwrap();
    assert!(broken.notify_when_swept(1));
    assert!(broken.sweep().go_on());
    assert_eq!(broken.swept(), 1);
}
