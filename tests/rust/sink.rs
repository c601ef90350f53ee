//! One client's socket: partial writes, the order of messages and events, and whose bytes they are.

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
use ringcast_core::sink::{EndReason, MAX_QUEUED_BYTES, Sink};

use crate::actor::{Actor, Setup};
use crate::client::{Client, Message, PATIENCE, close_message, pair, reply, wait_until};

const JSON: Encoding = Encoding::Json;

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
fn what_was_written_counts_events_and_messages() {
    let actor = Actor::by_hand(Setup::default());
    let (mut client, sink) = actor.attach(actor.open(JSON, &["a"]), 0);
    assert_eq!(client.message(), Message::Reply(0));
    let before = sink.written_bytes();
    actor.publish("a", "x");
    assert_eq!(sink.written_bytes(), before);
    sink.push_message(&reply(JSON, 1));
    sink.drive(None);
    let frames =
        [client.frame(), client.frame()].map(|frame| frame.expect("an event and a reply").payload.len() + 2);
    assert_eq!(sink.written_bytes(), before + frames.iter().sum::<usize>() as u64);
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
fn what_is_dropped_is_left_open_for_the_event_loop() {
    let actor = Actor::by_hand(Setup::default());
    let (mut client, server) = UnixStream::pair().unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let server: OwnedFd = server.into();
    let mut event_loop = UnixStream::from(descriptor::duplicate(server.as_raw_fd()).unwrap());
    event_loop.set_read_timeout(Some(PATIENCE)).unwrap();
    Sink::new(server, JSON, Arc::clone(&actor.writer)).drop_socket();
    let mut came = [0; 4];
    event_loop.write_all(b"down").unwrap();
    client.read_exact(&mut came).unwrap();
    assert_eq!(&came, b"down");
    client.write_all(b"up..").unwrap();
    event_loop.read_exact(&mut came).unwrap();
    assert_eq!(&came, b"up..");
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
