//! A stream with a writer thread and clients, all in memory and scheduled by the model checker.

use std::sync::Arc;
use std::time::Duration;

use ringcast_core::audience::Audience;
use ringcast_core::connection::ConnectionId;
use ringcast_core::frame::{Encoding, Form};
use ringcast_core::ring::Limits;
use ringcast_core::simulated::{self, Peer};
use ringcast_core::sink::Sink;
use ringcast_core::stream::{Notify, PublishError, SlowReader, Stream, StreamConfig};
use ringcast_core::sync::thread::{self, JoinHandle};
use ringcast_core::sync::{Condvar, Mutex, expect_no_lock, locks_held_over_calls};
use ringcast_core::writer::Writer;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};

use crate::client::{Client, Message, arguments, reply};

pub const JSON: Encoding = Encoding::Json;

/// Holds a whole history.
pub const ROOMY: usize = 1 << 16;

/// Preemptions of one history that the second scheduler tries to place.
const DEPTH: usize = 4;

/// Run `test` in that many orders: half of them at random, half with few but well placed preemptions. The same ones
/// each time; `RINGCAST_SEED` chooses others.
pub fn check(orders: usize, test: impl Fn() + Send + Sync + 'static) {
    let mut config = shuttle::Config::default();
    config.stack_size = 1 << 18;
    let seed =
        std::env::var("RINGCAST_SEED").map_or(1, |seed| seed.parse().expect("RINGCAST_SEED is a number"));
    // The core catches panics, so that this one might go unnoticed.
    let test = Arc::new(move || {
        test();
        assert_eq!(locks_held_over_calls(), 0);
    });
    let again = Arc::clone(&test);
    shuttle::Runner::new(RandomScheduler::new_from_seed(seed, orders / 2), config.clone())
        .run(move || test());
    shuttle::Runner::new(PctScheduler::new_from_seed(seed, DEPTH, orders / 2), config).run(move || again());
}

/// One of the first `count` numbers, chosen by the model checker.
pub fn choose(count: usize) -> usize {
    thread_rng().gen_range(0..count)
}

/// Counts notifications, and lets threads wait for them.
#[derive(Debug, Default)]
pub struct Told {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Told {
    pub fn count(&self) -> usize {
        *self.count.lock()
    }

    pub fn wait_for_more_than(&self, seen: usize) {
        let mut count = self.count.lock();
        while *count <= seen {
            self.changed.wait(&mut count);
        }
    }
}

impl Notify for Told {
    fn notify(&self) {
        expect_no_lock();
        *self.count.lock() += 1;
        self.changed.notify_all();
    }
}

/// How an [`Actor`] is set up.
pub struct Setup {
    pub max_events: usize,
    pub max_unswept_bytes: usize,
    pub slow_reader: SlowReader,
    /// The sinks have a writer thread of their own.
    pub two_writers: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            max_events: 1000,
            max_unswept_bytes: 40,
            slow_reader: SlowReader::Disconnect,
            two_writers: false,
        }
    }
}

/// A stream, and the threads that write.
pub struct Actor {
    pub stream: Arc<Stream>,
    /// The thread that sweeps, and the one that sinks are resumed by.
    pub writers: [Arc<Writer>; 2],
    pub told: Arc<Told>,
    threads: Vec<JoinHandle<()>>,
}

impl Actor {
    pub fn running(setup: &Setup) -> Self {
        let writer = || Writer::new(Duration::from_secs(3600)).unwrap();
        let first = writer();
        let second = if setup.two_writers { writer() } else { Arc::clone(&first) };
        let mut threads = vec![first.start("sweeps".into()).unwrap()];
        if setup.two_writers {
            threads.push(second.start("resumes".into()).unwrap());
        }
        let config = StreamConfig {
            id: 1,
            epoch: "e".into(),
            limits: Limits { max_events: setup.max_events, max_bytes: 1 << 20 },
            slow_reader: setup.slow_reader,
            max_unswept_bytes: setup.max_unswept_bytes,
            min_deflated_bytes: 0,
            base: 0,
        };
        let told = Arc::new(Told::default());
        let stream = Stream::new(config, Arc::clone(&first), Arc::clone(&told) as Arc<dyn Notify>);
        Self { stream, writers: [first, second], told, threads }
    }

    pub fn open(&self, names: &[&str]) -> ConnectionId {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.stream.open(JSON, &names, 0).expect("not shut")
    }

    /// Attach a new client, as the Python module does, and have a thread read what comes.
    pub fn attach(&self, id: ConnectionId, position: u64, capacity: usize) -> Attached {
        let (descriptor, peer) = simulated::pair(capacity);
        self.attach_to(descriptor, Some(peer), id, position)
    }

    /// The same with a client that takes compressed messages.
    pub fn attach_deflating(&self, id: ConnectionId, position: u64, capacity: usize) -> Attached {
        let (descriptor, peer) = simulated::pair(capacity);
        let sink = Sink::with_form(descriptor, Form::deflated(JSON), 0, Arc::clone(&self.writers[1]));
        self.deliver_to(sink, Some(peer), id, position)
    }

    pub fn attach_to(
        &self,
        descriptor: simulated::Descriptor,
        peer: Option<Peer>,
        id: ConnectionId,
        position: u64,
    ) -> Attached {
        let sink = Sink::new(descriptor, JSON, Arc::clone(&self.writers[1]));
        self.deliver_to(sink, peer, id, position)
    }

    fn deliver_to(&self, sink: Arc<Sink>, peer: Option<Peer>, id: ConnectionId, position: u64) -> Attached {
        let reader = peer.map(|peer| thread::spawn(move || read(peer)));
        let connection = self.stream.get(id).expect("open");
        assert!(self.stream.attach(&connection, &sink, position, &reply(JSON, 0)));
        Attached { sink, reader }
    }

    /// Detach, if this sink is attached still.
    pub fn detach(&self, id: ConnectionId, sink: &Arc<Sink>) {
        let connection = self.stream.get(id).expect("open");
        self.stream.detach(&connection, sink);
    }

    /// A thread that publishes `count` events called `name`, and returns their offsets.
    pub fn publisher(&self, name: &'static str, count: usize) -> JoinHandle<Vec<u64>> {
        let stream = Arc::clone(&self.stream);
        thread::spawn(move || (0..count).map(|_| publish(&stream, name).expect("published")).collect())
    }

    pub fn publish(&self, name: &str) -> u64 {
        publish(&self.stream, name).expect("published")
    }

    /// Stop the writer threads, and wait for them.
    pub fn stop_writers(&mut self) {
        self.writers.iter().for_each(|writer| writer.stop());
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }

    /// Stop everything, and wait for it.
    pub fn end(mut self) {
        self.stream.shut();
        self.stop_writers();
    }
}

/// Wait for all of them to end.
pub fn join<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) {
    threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
}

/// Publish, and wait as a plain loop does.
pub fn publish(stream: &Arc<Stream>, name: &str) -> Result<u64, PublishError> {
    publish_to(stream, name, Audience::Subscribers)
}

pub fn publish_to(stream: &Arc<Stream>, name: &str, audience: Audience) -> Result<u64, PublishError> {
    let [json, _] = arguments("");
    let (offset, must_wait) = stream.publish(name, [Some(&json), None], audience)?;
    if must_wait {
        stream.wait_for_sweep();
    }
    Ok(offset)
}

/// A client on its socket.
pub struct Attached {
    pub sink: Arc<Sink>,
    /// `None` for a client that does not read.
    reader: Option<JoinHandle<Vec<Message>>>,
}

impl Attached {
    /// What came up to the end of the socket.
    pub fn messages(self) -> Vec<Message> {
        self.reader.expect("a client that reads").join().unwrap()
    }

    /// Close behind everything, and return what came.
    pub fn close(self) -> Vec<Message> {
        self.sink.close(Some(1000), "");
        let messages = self.messages();
        assert_eq!(messages.last(), Some(&Message::Close(Some(1000), String::new())));
        messages
    }
}

/// All whole messages up to the end of the socket, which may be inside one.
fn read(peer: Peer) -> Vec<Message> {
    let mut client = Client::new(peer);
    client.chunk = 50;
    client.whole_messages()
}

pub fn offsets(messages: &[Message]) -> Vec<u64> {
    messages.iter().filter_map(Message::offset).collect()
}
