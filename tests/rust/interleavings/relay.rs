//! Sinks whose bytes an event loop writes, beside sockets: the loop takes, is paused and resumed by its transports, and
//! is told of everything that there is to take.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use ringcast_core::connection::ConnectionId;
use ringcast_core::frame::{self, Form};
use ringcast_core::messages::Packing;
use ringcast_core::relay::{Content, Parting, Relays, Taken};
use ringcast_core::sink::{EndReason, Sink};
use ringcast_core::stream::{Notify, SlowReader};
use ringcast_core::sync::thread::{self, JoinHandle};
use ringcast_core::sync::{Condvar, Mutex};

use crate::actor::{Actor, JSON, ROOMY, Setup, Told, check, choose, join, offsets};
use crate::client::{Message, parse, reply, split_frame};

/// What came over one transport.
#[derive(Default)]
struct Transport {
    /// What the loop wrote to it.
    written: Vec<u8>,
    /// Nothing comes any more.
    parting: Option<Parting>,
}

/// What the loop and the tests see.
#[derive(Default)]
struct Shared {
    /// By key.
    transports: Mutex<HashMap<u64, Transport>>,
    /// A transport has come to its end.
    ended: Condvar,
    /// The sinks, to be paused and resumed.
    sinks: Mutex<HashMap<u64, Arc<Sink>>>,
    /// The loop is to stop once it has nothing to do.
    stop: Mutex<bool>,
}

/// A loop that takes, in a thread of its own.
struct Loop {
    relays: Arc<Relays>,
    told: Arc<Told>,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Loop {
    fn running() -> Self {
        let told = Arc::new(Told::default());
        let relays = Relays::new(Arc::clone(&told) as Arc<dyn Notify>);
        let shared = Arc::new(Shared::default());
        let thread = {
            let (relays, told, shared) = (Arc::clone(&relays), Arc::clone(&told), Arc::clone(&shared));
            thread::spawn(move || run(&relays, &told, &shared))
        };
        Self { relays, told, shared, thread }
    }

    fn attach(&self, actor: &Actor, id: ConnectionId, key: u64, position: u64) -> Arc<Sink> {
        let writer = Arc::clone(&actor.writers[1]);
        let sink = match choose(3) {
            0 => Sink::messages(&self.relays, key, JSON, Packing::Joined, writer),
            _ => Sink::relayed(&self.relays, key, Form::from(JSON), 0, writer),
        };
        self.shared.sinks.lock().insert(key, Arc::clone(&sink));
        let connection = actor.stream.get(id).expect("open");
        assert!(actor.stream.attach(&connection, &sink, position, &reply(JSON, 0)));
        sink
    }

    /// What came up to the end, which must come, and may be inside a frame unless the transport was closed in order.
    fn messages(&self, key: u64) -> (Vec<Message>, Parting) {
        let mut transports = self.shared.transports.lock();
        loop {
            let transport = transports.entry(key).or_default();
            if let Some(parting) = transport.parting {
                let bytes = &mut transport.written;
                let messages = std::iter::from_fn(|| split_frame(bytes).as_ref().map(parse)).collect();
                assert!(bytes.is_empty() || parting != Parting::Close);
                return (messages, parting);
            }
            self.shared.ended.wait(&mut transports);
        }
    }

    fn close(&self, sink: &Arc<Sink>, key: u64) -> Vec<Message> {
        sink.close(Some(1000), "");
        let (messages, parting) = self.messages(key);
        assert_eq!(parting, Parting::Close);
        assert_eq!(messages.last(), Some(&Message::Close(Some(1000), String::new())));
        messages
    }

    fn end(self) {
        *self.shared.stop.lock() = true;
        self.told.notify();
        self.thread.join().unwrap();
    }
}

fn run(relays: &Arc<Relays>, told: &Arc<Told>, shared: &Arc<Shared>) {
    let mut paused: Vec<u64> = Vec::new();
    loop {
        let seen = told.count();
        // Read before the last look at what there is.
        let is_last = *shared.stop.lock();
        let taken = relays.take();
        if taken.is_empty() {
            // Transports go on sooner or later.
            if !paused.is_empty() {
                mem::take(&mut paused).into_iter().for_each(|key| resume(shared, key));
            } else if relays.is_behind() {
                continue;
            } else if is_last {
                return;
            } else {
                told.wait_for_more_than(seen);
            }
        }
        for item in taken {
            let key = item.key;
            // What is sent as messages pauses by itself.
            let is_sending = matches!(&item.content, Content::Messages(messages) if !messages.is_empty());
            write(shared, item);
            if is_sending {
                paused.push(key);
            } else if choose(4) == 0
                && let Some(sink) = find(shared, key)
            {
                sink.pause();
                paused.push(key);
            }
        }
        if choose(3) == 0 {
            mem::take(&mut paused).into_iter().for_each(|key| resume(shared, key));
        }
    }
}

fn write(shared: &Shared, Taken { key, content, parting }: Taken) {
    let bytes = match content {
        Content::Bytes(bytes) => bytes,
        Content::Messages(messages) => {
            let lines = messages.iter().flat_map(|message| message.split(|&byte| byte == b'\n'));
            let frames = lines.map(|line| frame::message(JSON, line));
            let close = messages.close.iter().map(|(code, reason)| frame::close(*code, reason));
            frames.chain(close).flatten().collect()
        }
    };
    let mut transports = shared.transports.lock();
    let transport = transports.entry(key).or_default();
    assert_eq!(transport.parting, None, "nothing comes behind a parting");
    transport.written.extend(bytes);
    transport.parting = parting;
    if parting.is_some() {
        shared.sinks.lock().remove(&key);
        shared.ended.notify_all();
    }
}

fn find(shared: &Shared, key: u64) -> Option<Arc<Sink>> {
    shared.sinks.lock().get(&key).cloned()
}

fn resume(shared: &Shared, key: u64) {
    if let Some(sink) = find(shared, key) {
        sink.resume();
    }
}

#[test]
fn relays_and_sockets_get_all_events_in_order() {
    check(4000, || {
        let actor = Actor::running(&Setup { two_writers: choose(2) == 1, ..Setup::default() });
        let event_loop = Loop::running();
        let ids = [actor.open(&["a"]), actor.open(&["a"]), actor.open(&["a"])];
        let sinks = [1, 2].map(|key| event_loop.attach(&actor, ids[key as usize], key, 0));
        let client = actor.attach(ids[0], 0, if choose(2) == 0 { 40 } else { ROOMY });
        let publisher = actor.publisher("a", 5);
        sinks[0].push_message(&reply(JSON, 1));
        sinks[0].drive(None);
        publisher.join().unwrap();
        for (sink, key) in sinks.iter().zip([1, 2]) {
            assert_eq!(offsets(&event_loop.close(sink, key)), [1, 2, 3, 4, 5]);
        }
        assert_eq!(offsets(&client.close()), [1, 2, 3, 4, 5]);
        actor.end();
        event_loop.end();
    });
}

#[test]
fn a_reply_over_a_relay_follows_the_events_before_it() {
    check(3000, || {
        let actor = Actor::running(&Setup::default());
        let event_loop = Loop::running();
        let sink = event_loop.attach(&actor, actor.open(&["a"]), 1, 0);
        let publisher = actor.publisher("a", 3);
        for _ in 0..3 {
            let offset = actor.publish("a");
            sink.push_message(&reply(JSON, offset));
            sink.drive(None);
        }
        let mut reached = 0;
        for message in event_loop.close(&sink, 1) {
            match message {
                Message::Event { offset, .. } => reached = offset,
                Message::Reply(after) => assert!(after <= reached),
                _ => {}
            }
        }
        publisher.join().unwrap();
        actor.end();
        event_loop.end();
    });
}

#[test]
fn a_client_that_comes_and_goes_over_relays_gets_each_event_once() {
    check(4000, || {
        let actor = Actor::running(&Setup { two_writers: choose(4) == 0, ..Setup::default() });
        let event_loop = Loop::running();
        let id = actor.open(&["a"]);
        let publisher = actor.publisher("a", 4);
        let mut received: Vec<u64> = Vec::new();
        for key in 1..=3 {
            let sink = event_loop.attach(&actor, id, key, received.last().copied().unwrap_or(0));
            actor.publish("a");
            if choose(2) == 0 {
                actor.detach(id, &sink);
            }
            sink.drop_socket();
            drop(sink);
            let (messages, parting) = event_loop.messages(key);
            assert_eq!(parting, Parting::Forget);
            received.extend(offsets(&messages));
        }
        publisher.join().unwrap();
        let position = received.last().copied().unwrap_or(0);
        let sink = event_loop.attach(&actor, id, 4, position);
        received.extend(offsets(&event_loop.close(&sink, 4)));
        assert_eq!(received, (1..=7).collect::<Vec<_>>());
        actor.end();
        event_loop.end();
    });
}

#[test]
fn a_relay_that_falls_behind_a_small_ring_is_told_what_it_lost() {
    check(3000, || {
        let setup = Setup { max_events: 2, slow_reader: SlowReader::Skip, ..Setup::default() };
        let actor = Actor::running(&setup);
        let event_loop = Loop::running();
        let sink = event_loop.attach(&actor, actor.open(&["a"]), 1, 0);
        let publishers = [actor.publisher("a", 3), actor.publisher("a", 3)];
        join(publishers);
        let mut reached = 0;
        for message in event_loop.close(&sink, 1) {
            let (first, last) = match message {
                Message::Event { offset, .. } => (offset, offset),
                Message::Gap { first, last } => (first, last),
                _ => continue,
            };
            assert!(first == reached + 1 && last >= first, "{first} to {last} after {reached}");
            reached = last;
        }
        assert_eq!(reached, 6);
        actor.end();
        event_loop.end();
    });
}

#[test]
fn a_writer_thread_that_ends_leaves_relays_closed_or_cut_off() {
    check(3000, || {
        let mut actor = Actor::running(&Setup { max_unswept_bytes: 1, ..Setup::default() });
        let event_loop = Loop::running();
        let sink = event_loop.attach(&actor, actor.open(&["a"]), 1, 0);
        let publisher = actor.publisher("a", 4);
        publisher.join().unwrap();
        sink.close(Some(1000), "");
        actor.stop_writers();
        let (messages, parting) = event_loop.messages(1);
        let seen = offsets(&messages);
        assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
        match parting {
            Parting::Close => assert_eq!((seen.len(), sink.end_reason()), (4, Some(EndReason::Closed))),
            // It was full when the time was up.
            Parting::Abort => assert_eq!(sink.end_reason(), Some(EndReason::CloseTimeout)),
            Parting::Forget => panic!("nobody has dropped it"),
        }
        actor.end();
        event_loop.end();
    });
}
