//! Clients that read too slowly: who is disconnected, who is told of a gap, and who is left alone.

use std::time::Duration;

use ringcast_core::frame::{self, Encoding, Opcode};
use ringcast_core::sink::{EndReason, MAX_QUEUED_BYTES};
use ringcast_core::stream::SlowReader;

use crate::actor::{Actor, Setup};
use crate::client::{Message, close_message, wait_until};

const JSON: Encoding = Encoding::Json;

#[test]
fn a_slow_reader_is_disconnected_once_the_ring_lets_go_what_it_is_owed() {
    let actor = Actor::running(Setup::small(SlowReader::Disconnect));
    let (mut client, sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    let long = "x".repeat(20_000);
    while sink.end_reason().is_none() {
        actor.publish("a", &long);
        assert!(actor.stream.head() < 1000);
    }
    assert_eq!(sink.end_reason(), Some(EndReason::SlowReader));
    let messages = client.rest();
    assert_eq!(messages.last(), Some(&close_message(4502, "slow_reader")));
    let offsets: Vec<u64> = messages.iter().filter_map(Message::offset).collect();
    assert_eq!(offsets, (1..=offsets.len() as u64).collect::<Vec<_>>(), "no event is missing before it");
    wait_until("the end", || sink.with_fd(|_| ()).is_none());
}

#[test]
fn a_slow_reader_that_does_not_take_its_close_frame_in_time_is_let_go() {
    let setup = Setup::small(SlowReader::Disconnect);
    let actor = Actor::running(Setup { close_timeout: Duration::from_millis(50), ..setup });
    let (_client, sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    while sink.end_reason().is_none() {
        actor.publish("a", &"x".repeat(20_000));
    }
    wait_until("the timeout", || sink.with_fd(|_| ()).is_none());
    assert_eq!(sink.end_reason(), Some(EndReason::SlowReader));
}

#[test]
fn a_slow_reader_that_missed_nothing_is_left_alone() {
    let actor = Actor::running(Setup::small(SlowReader::Disconnect));
    let (mut client, sink) = actor.attach(actor.open(JSON, &["mine"]), 0);
    sink.push_message(&serde_json::to_vec(&("reply", 1, "x".repeat(100_000))).unwrap());
    sink.drive(None);
    for _ in 0..100 {
        actor.publish("not mine", "");
    }
    let last = actor.publish("mine", "");
    assert_eq!([client.message(), client.message()], [Message::Reply(0), Message::Reply(1)]);
    assert_eq!(client.message().offset(), Some(last));
    assert_eq!(sink.end_reason(), None);
}

#[test]
fn a_reader_that_reads_again_is_served_though_the_writer_is_never_idle() {
    let actor = Actor::running(Setup::default());
    let _busy = actor.keep_busy();
    let (mut client, sink) = actor.attach(actor.open(JSON, &[]), 0);
    sink.push_message(&serde_json::to_vec(&("reply", 1, "x".repeat(1 << 20))).unwrap());
    sink.drive(None);
    assert!(sink.written_bytes() < 1 << 20, "it is blocked");
    assert_eq!([client.message(), client.message()], [Message::Reply(0), Message::Reply(1)]);
}

#[test]
fn a_slow_reader_that_skips_is_told_of_the_gap_and_goes_on_with_the_oldest_event() {
    let actor = Actor::running(Setup::small(SlowReader::Skip));
    let (mut client, sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    let long = "x".repeat(20_000);
    for _ in 0..100 {
        actor.publish("a", &long);
    }
    wait_until("swept", || actor.stream.swept() == 100);
    assert_eq!(client.message(), Message::Reply(0));
    let mut seen = 0;
    let gap = loop {
        match client.message() {
            Message::Event { offset, .. } => {
                assert_eq!(offset, seen + 1);
                seen = offset;
            }
            other => break other,
        }
    };
    assert_eq!(gap, Message::Gap { first: seen + 1, last: 90 });
    for offset in 91..=100 {
        assert_eq!(client.message().offset(), Some(offset));
    }
    assert_eq!(sink.end_reason(), None);
}

#[test]
fn a_gap_is_told_after_the_connect_answer() {
    let actor = Actor::by_hand(Setup::small(SlowReader::Skip));
    let id = actor.open(JSON, &["a"]);
    for _ in 0..15 {
        actor.publish("a", "x");
    }
    let (mut client, _sink) = actor.attach(id, 0);
    assert_eq!(client.message(), Message::Reply(0));
    assert_eq!(client.message(), Message::Gap { first: 1, last: 5 });
    assert_eq!(client.message().offset(), Some(6));
}

#[test]
fn a_reader_that_has_lost_an_event_from_before_the_base_is_told_of_the_gap() {
    let setup = |slow_reader| Setup { base: 100, ..Setup::small(slow_reader) };
    let actor = Actor::running(setup(SlowReader::Skip));
    let id = actor.open_again(JSON, &["a"], 100);
    // Whether there are events by then or not.
    let (mut early, _early_sink) = actor.attach(id, 42);
    assert_eq!(early.message(), Message::Reply(0));
    assert_eq!(early.message(), Message::Gap { first: 43, last: 100 });
    actor.publish("a", "x");
    assert_eq!(early.message().offset(), Some(101));
    let (mut late, _late_sink) = actor.attach(id, 99);
    assert_eq!(late.message(), Message::Reply(0));
    assert_eq!(late.message(), Message::Gap { first: 100, last: 100 });
    assert_eq!(late.message().offset(), Some(101));

    let actor = Actor::running(setup(SlowReader::Disconnect));
    let (mut client, sink) = actor.attach(actor.open_again(JSON, &["a"], 100), 99);
    assert_eq!(client.rest(), [Message::Reply(0), close_message(4502, "slow_reader")]);
    assert_eq!(sink.end_reason(), Some(EndReason::SlowReader));
    // The other one has had all that was for it.
    let (mut client, _sink) = actor.attach(actor.open_again(JSON, &["a"], 42), 42);
    assert_eq!(client.message(), Message::Reply(0));
    actor.publish("a", "x");
    assert_eq!(client.message().offset(), Some(101));
}

#[test]
fn replies_that_nobody_reads_make_a_slow_reader() {
    let actor = Actor::by_hand(Setup::default());
    let (_client, sink) = actor.attach(actor.open(JSON, &[]), 0);
    let long = vec![b'1'; MAX_QUEUED_BYTES / 4];
    for _ in 0..6 {
        sink.push_message(&long);
        sink.drive(None);
    }
    assert_eq!(sink.end_reason(), Some(EndReason::SlowReader));
}

#[test]
fn many_small_frames_count_with_what_it_takes_to_keep_them() {
    let actor = Actor::by_hand(Setup::default());
    let (_client, sink) = actor.attach(actor.open(JSON, &[]), 0);
    let mut count = 0;
    while sink.end_reason().is_none() {
        sink.push_control(frame::frame(Opcode::Pong, b""));
        count += 1;
        assert!(count < MAX_QUEUED_BYTES / 16);
    }
    assert_eq!(sink.end_reason(), Some(EndReason::SlowReader));
}
