//! Closing a client's socket: what still goes out before the close frame, what no longer does, and until when.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ringcast_core::descriptor;
use ringcast_core::frame::{self, Encoding, Opcode};
use ringcast_core::sink::{EndReason, Sink};
use ringcast_core::stream::SlowReader;

use crate::actor::{Actor, Setup};
use crate::client::{Client, Message, PATIENCE, close_message, wait_until};

const JSON: Encoding = Encoding::Json;

#[test]
fn a_close_flushes_and_then_ends_the_writing_side_alone() {
    let actor = Actor::running(Setup::default());
    let (client, server) = UnixStream::pair().unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let server: OwnedFd = server.into();
    let event_loop = descriptor::duplicate(server.as_raw_fd()).unwrap();
    let sink = Sink::new(server, JSON, Arc::clone(&actor.writer));
    let long = vec![b'1'; 1 << 20];
    sink.push_message(&long);
    sink.close(Some(1000), "");
    sink.close(Some(1001), "a second close is ignored");
    sink.push_message(b"[]");
    let mut client = Client::new(client);
    assert!(client.frame().unwrap().payload == long);
    assert_eq!(client.rest(), [close_message(1000, "")]);
    wait_until("closed", || sink.end_reason() == Some(EndReason::Closed));
    // The peer's answer still arrives at the event loop's own descriptor.
    client.socket().write_all(b"answer").unwrap();
    let mut answer = [0; 6];
    UnixStream::from(event_loop).read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");
}

#[test]
fn a_close_that_the_socket_does_not_take_in_time_ends_without_it() {
    let actor = Actor::running(Setup { close_timeout: Duration::from_millis(50), ..Setup::default() });
    let (mut client, sink) = actor.attach(actor.open(JSON, &[]), 0);
    sink.push_message(&vec![b'1'; 1 << 20]);
    sink.close(Some(1000), "");
    wait_until("the timeout", || sink.end_reason() == Some(EndReason::CloseTimeout));
    while client.read() > 0 {}
}

#[test]
fn a_close_times_out_though_the_writer_is_never_idle() {
    let actor = Actor::running(Setup { close_timeout: Duration::from_millis(50), ..Setup::default() });
    let _busy = actor.keep_busy();
    let (_client, blocked) = actor.attach(actor.open(JSON, &[]), 0);
    blocked.push_message(&vec![b'1'; 1 << 20]);
    blocked.close(Some(1000), "");
    wait_until("the timeout", || blocked.end_reason() == Some(EndReason::CloseTimeout));
}

#[test]
fn nothing_follows_a_close() {
    let actor = Actor::by_hand(Setup::default());
    for part in 0..4 {
        let (mut client, sink) = actor.attach(actor.open(JSON, &["a"]), actor.stream.head());
        sink.push_message(&serde_json::to_vec(&("reply", 1, "x".repeat(100_000))).unwrap());
        sink.drive(None);
        // The socket is full. What comes now waits, and so does the close frame behind it.
        actor.publish("a", "before");
        // Of different lengths, so that the socket is full again at different places.
        sink.close(Some(1000), &"y".repeat(30 * part));
        actor.publish("a", "after");
        sink.push_control(frame::frame(Opcode::Pong, b"p"));
        let reader = thread::spawn(move || client.rest());
        while sink.end_reason().is_none() {
            sink.writable();
        }
        let messages = reader.join().unwrap();
        assert_eq!(messages.len(), 4);
        assert!(matches!(&messages[2], Message::Event { text, .. } if text == "before"));
        assert_eq!(messages[3], close_message(1000, &"y".repeat(30 * part)));
        assert_eq!(sink.end_reason(), Some(EndReason::Closed));
        actor.sweep_all();
    }
}

#[test]
fn whoever_is_to_end_has_lost_nothing_of_what_comes_after() {
    for slow_reader in [SlowReader::Skip, SlowReader::Disconnect] {
        let actor = Actor::running(Setup::small(slow_reader));
        let id = actor.open(JSON, &["a"]);
        let (mut client, sink) = actor.attach(id, 0);
        // The socket takes a part of the first, and the second is for nobody: the sink does not reach its end.
        actor.publish("a", &"x".repeat(500_000));
        actor.publish("b", "");
        assert!(actor.stream.unsubscribe_all(id));
        sink.close(Some(1000), "");
        for _ in 0..20 {
            actor.publish("a", "");
        }
        wait_until("swept", || actor.stream.swept() == 22);
        let rest = client.rest();
        assert_eq!(rest.len(), 3, "{rest:?}");
        assert_eq!(rest[0], Message::Reply(0));
        assert_eq!(rest[1].offset(), Some(1));
        assert_eq!(rest[2], close_message(1000, ""));
        assert!(actor.stream.close(id) && !actor.stream.unsubscribe_all(id), "it has ended");
    }
}

#[test]
fn a_close_behind_events_that_are_lost_is_the_only_close() {
    let actor = Actor::running(Setup::small(SlowReader::Disconnect));
    let (mut client, sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    let long = "x".repeat(20_000);
    for _ in 0..5 {
        actor.publish("a", &long);
    }
    sink.close(Some(1000), "");
    for _ in 0..50 {
        actor.publish("a", &long);
    }
    wait_until("swept", || actor.stream.swept() == 55);
    let closes: Vec<_> =
        client.rest().into_iter().filter(|message| matches!(message, Message::Close(..))).collect();
    assert_eq!(closes, [close_message(1000, "")]);
}
