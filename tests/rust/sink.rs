//! One client's socket: partial writes, the order of messages and events, and every way to end.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringcast_core::descriptor;
use ringcast_core::frame::{self, Encoding, Opcode};
use ringcast_core::ring::Limits;
use ringcast_core::sink::{EndReason, MAX_QUEUED_BYTES, Sink};
use ringcast_core::stream::SlowReader;

use crate::actor::{Actor, Setup};
use crate::client::{Client, Message, PATIENCE, pair, reply, wait_until};

const JSON: Encoding = Encoding::Json;

fn close_message(code: u16, reason: &str) -> Message {
    Message::Close(Some(code), reason.into())
}

/// A ring of ten events that a blocked reader falls out of soon.
fn small(slow_reader: SlowReader) -> Setup {
    Setup { limits: Limits { max_events: 10, max_bytes: 1 << 20 }, slow_reader, ..Setup::default() }
}

#[test]
fn a_frame_larger_than_the_socket_goes_on_where_it_stopped() {
    let actor = Actor::running(Setup::default());
    for encoding in Encoding::ALL {
        let (mut client, sink) = actor.attach(actor.open(encoding, &["a"]), actor.stream.head());
        let texts: Vec<String> = ["x", "y", "z"].iter().map(|letter| letter.repeat(300_000)).collect();
        texts.iter().for_each(|text| {
            actor.publish("a", text);
        });
        sink.push_message(&reply(encoding, 1));
        sink.drive(None);
        client.chunk = 1000;
        assert_eq!(client.message(), Message::Reply(0));
        for text in &texts {
            let Message::Event { text: received, .. } = client.message() else { panic!("not an event") };
            assert!(received == *text);
        }
        assert_eq!(client.message(), Message::Reply(1));
        sink.drop_socket();
    }
}

#[test]
fn a_reply_follows_the_events_that_were_published_before_it() {
    let actor = Actor::by_hand(Setup::default());
    let (mut client, sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    actor.publish("a", "before");
    sink.push_message(&reply(JSON, 1));
    actor.publish("a", "after");
    sink.push_message(&reply(JSON, 2));
    sink.drive(None);
    actor.sweep_all();
    sink.close(Some(1000), "bye");
    let event = |offset, text: &str| Message::Event { offset, name: "a".into(), text: text.into() };
    let expected = [
        Message::Reply(0),
        event(1, "before"),
        Message::Reply(1),
        event(2, "after"),
        Message::Reply(2),
        close_message(1000, "bye"),
    ];
    assert_eq!(client.rest(), expected);
}

#[test]
fn a_message_without_flush_waits_for_the_next_one_with() {
    let actor = Actor::by_hand(Setup::default());
    let (mut client, sink) = actor.attach(actor.open(JSON, &[]), 0);
    sink.push_message(&reply(JSON, 1));
    assert!(sink.queued_bytes() > 0);
    sink.push_control(frame::frame(Opcode::Pong, b"ping"));
    sink.drive(None);
    assert_eq!(sink.queued_bytes(), 0);
    assert_eq!(client.message(), Message::Reply(0));
    assert_eq!(client.message(), Message::Reply(1));
    assert_eq!(client.message(), Message::Pong(b"ping".to_vec()));
}

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
fn a_close_times_out_though_the_writer_is_busy() {
    let actor = Actor::running(Setup { close_timeout: Duration::from_millis(50), ..Setup::default() });
    let (mut reader, _sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    let (_client, blocked) = actor.attach(actor.open(JSON, &[]), 0);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let long = "x".repeat(1000);
            while !stop.load(Ordering::Acquire) {
                actor.publish("a", &long);
            }
            actor.stream.shut();
            _sink.close(None, "");
        });
        scope.spawn(|| while reader.read() > 0 {});
        blocked.push_message(&vec![b'1'; 1 << 20]);
        blocked.close(Some(1000), "");
        let deadline = Instant::now() + Duration::from_secs(5);
        while blocked.end_reason().is_none() && Instant::now() < deadline {
            thread::yield_now();
        }
        stop.store(true, Ordering::Release);
    });
    assert_eq!(blocked.end_reason(), Some(EndReason::CloseTimeout));
}

#[test]
fn a_slow_reader_is_disconnected_once_the_ring_lets_go_what_it_is_owed() {
    let actor = Actor::running(small(SlowReader::Disconnect));
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
fn a_slow_reader_that_missed_nothing_is_left_alone() {
    let actor = Actor::running(small(SlowReader::Disconnect));
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
fn a_slow_reader_that_skips_is_told_of_the_gap_and_goes_on_with_the_oldest_event() {
    let actor = Actor::running(small(SlowReader::Skip));
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
fn whoever_is_to_end_has_lost_nothing_of_what_comes_after() {
    for slow_reader in [SlowReader::Skip, SlowReader::Disconnect] {
        let actor = Actor::running(small(slow_reader));
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
fn a_gap_is_told_after_the_connect_answer() {
    let actor = Actor::by_hand(small(SlowReader::Skip));
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
fn a_pong_does_not_wait_for_the_events_that_a_reply_waits_for() {
    let actor = Actor::by_hand(Setup::default());
    let (mut client, sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    actor.publish("a", "x");
    sink.push_message(&reply(JSON, 1));
    sink.push_control(frame::frame(Opcode::Pong, b"p"));
    sink.drive(None);
    assert_eq!(client.message(), Message::Reply(0));
    assert_eq!(client.message(), Message::Pong(b"p".to_vec()));
    assert_eq!(client.message().offset(), Some(1));
    assert_eq!(client.message(), Message::Reply(1));
}

#[test]
fn a_reply_may_be_larger_than_what_may_wait() {
    let actor = Actor::running(Setup::default());
    let (mut client, sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    sink.push_message(&vec![b' '; MAX_QUEUED_BYTES + 1]);
    sink.drive(None);
    assert_eq!(client.message(), Message::Reply(0));
    assert_eq!(client.frame().map(|frame| frame.payload.len()), Some(MAX_QUEUED_BYTES + 1));
    wait_until("all was written", || sink.queued_bytes() == 0);
    sink.push_message(&reply(JSON, 1));
    sink.drive(None);
    assert_eq!(client.message(), Message::Reply(1));
    assert_eq!(sink.end_reason(), None);
}

#[test]
fn a_close_behind_events_that_are_lost_is_the_only_close() {
    let actor = Actor::running(small(SlowReader::Disconnect));
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
fn a_dead_peer_ends_its_own_sink_alone() {
    let actor = Actor::running(Setup::default());
    let (dead, dead_sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    let (mut living, living_sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    drop(dead);
    actor.publish("a", "x");
    wait_until("a failed write", || dead_sink.end_reason() == Some(EndReason::WriteError));
    actor.publish("a", "y");
    assert_eq!(living.message(), Message::Reply(0));
    assert_eq!([living.message().offset(), living.message().offset()], [Some(1), Some(2)]);
    assert_eq!(living_sink.end_reason(), None);
}

#[test]
fn a_dropped_sink_has_let_go_of_its_socket() {
    let actor = Actor::by_hand(Setup::default());
    let (mut client, sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    sink.drop_socket();
    sink.drop_socket();
    assert_eq!(sink.end_reason(), Some(EndReason::Dropped));
    assert_eq!(client.rest(), [Message::Reply(0)]);
    sink.push_message(b"[]");
    sink.close(None, "");
    assert_eq!((sink.queued_bytes(), sink.end_reason()), (0, Some(EndReason::Dropped)));
}

#[test]
fn a_sink_delivers_for_one_connection_ever() {
    let actor = Actor::by_hand(Setup::default());
    let (_client, sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    let other = actor.stream.get(actor.open(JSON, &["a"])).unwrap();
    assert!(!sink.attach(&actor.stream, &other, 0, b"[]"));
    sink.detach();
    assert!(!sink.attach(&actor.stream, &other, 0, b"[]"));
}

#[test]
fn a_tcp_socket_carries_the_same_bytes() {
    let actor = Actor::running(Setup::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let server: OwnedFd = listener.accept().unwrap().0.into();
    let sink = Sink::new(server, JSON, Arc::clone(&actor.writer));
    let connection = actor.stream.get(actor.open(JSON, &["a"])).unwrap();
    assert!(actor.stream.attach(&connection, &sink, 0, &reply(JSON, 0)));
    let mut client = Client::new(client);
    let reader = thread::spawn(move || client.rest());
    for _ in 0..100 {
        actor.publish("a", &"x".repeat(100_000));
    }
    sink.close(None, "");
    assert_eq!(reader.join().unwrap().iter().filter_map(Message::offset).count(), 100);
}

/// Descriptor numbers are given to newcomers as fast as the system can, while the writer thread is writing; every
/// frame says whose it is.
#[test]
fn a_reused_descriptor_number_never_shows_another_ones_bytes() {
    const WORKERS: usize = 3;
    let actor = Actor::running(Setup::default());
    let deadline = Instant::now() + Duration::from_millis(1500);
    let over = AtomicBool::new(false);
    let opened: usize = thread::scope(|scope| {
        scope.spawn(|| {
            let long = "x".repeat(500);
            while !over.load(Ordering::Acquire) {
                actor.publish("all", &long);
            }
        });
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let actor = &actor;
                scope.spawn(move || {
                    let mut rounds = 0;
                    while Instant::now() < deadline {
                        rounds += 1;
                        hammer(actor, (rounds * WORKERS + worker) as u64);
                    }
                    rounds
                })
            })
            .collect();
        let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        over.store(true, Ordering::Release);
        ended.into_iter().map(|rounds| rounds.expect("its own bytes alone")).sum()
    });
    assert!(opened > 500, "only {opened} sockets in all");
}

/// One client's life: a few messages tagged with its number, among events of its own name, cut off in the middle.
fn hammer(actor: &Actor, number: u64) {
    let own = format!("own{number}");
    let id = actor.open(JSON, &["all", &own]);
    // The event loop's descriptor, closed without a word to the core, as early as that may happen.
    let (client, event_loop) = pair();
    let duplicate = descriptor::duplicate(event_loop.as_raw_fd()).unwrap();
    let connection = actor.stream.get(id).unwrap();
    let sink = Sink::new(duplicate, JSON, Arc::clone(&actor.writer));
    assert!(actor.stream.attach(&connection, &sink, actor.stream.head(), &reply(JSON, number)));
    for _ in 0..3 {
        actor.publish(&own, &own);
        sink.push_message(&reply(JSON, number));
        sink.drive(None);
    }
    drop(event_loop);
    // The next one who comes is likely to get the number, and nothing was written to it.
    let (mut newcomer, newcomers_end) = pair();
    actor.publish(&own, &own);
    match number % 3 {
        0 => sink.close(Some(1000), &own),
        1 => sink.drop_socket(),
        _ => drop(connection.sink.lock().take()),
    }
    actor.stream.close(id);
    sink.drop_socket();
    drop((sink, connection));
    newcomer.socket().set_nonblocking(true).unwrap();
    let nothing = newcomer.socket().read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(nothing, Err(std::io::ErrorKind::WouldBlock), "bytes for somebody else, or an end");
    drop(newcomers_end);
    // What is left in the socket is a beginning of its own stream, perhaps cut inside a frame.
    let mut client = client;
    while client.read() > 0 {}
    while let Some(frame) = client.buffered() {
        match crate::client::parse(&frame) {
            Message::Event { name, text, .. } => assert!(name == "all" || (name == own && text == own)),
            Message::Reply(owner) => assert_eq!(owner, number),
            Message::Close(_, reason) => assert!(reason == own || reason == "slow_reader"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_reader_that_has_lost_an_event_from_before_the_base_is_told_of_the_gap() {
    let setup = |slow_reader| Setup { base: 100, ..small(slow_reader) };
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
