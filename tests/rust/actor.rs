//! A stream as an actor has it: with a writer, whose thread runs or whose turns the test takes itself.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use ringcast_core::audience::Audience;
use ringcast_core::connection::ConnectionId;
use ringcast_core::frame::{Encoding, Form};
use ringcast_core::ring::Limits;
use ringcast_core::sink::Sink;
use ringcast_core::stream::{Notify, PublishError, Recipients, SlowReader, Stream, StreamConfig};
use ringcast_core::subscription::Topic;
use ringcast_core::writer::Writer;

use crate::client::{Client, arguments, pair, pair_with, reply, wait_until};

/// A send buffer that does not fill up in a test; the system may allow less, which is still enough.
pub const ROOMY: usize = 1 << 22;

/// Shorter messages are not compressed.
pub const MIN_DEFLATED_BYTES: u32 = 100;

/// Counts its calls.
#[derive(Debug, Default)]
pub struct Calls(AtomicUsize);

impl Calls {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// Does something when it is called.
struct Call<F>(F);

impl<F> std::fmt::Debug for Call<F> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Call")
    }
}

impl<F: Fn() + Send + Sync> Notify for Call<F> {
    fn notify(&self) {
        (self.0)();
    }
}

impl Notify for Calls {
    fn notify(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Two rooms that keep a writer busy until this is dropped.
pub struct Busy {
    /// Neither publishes any more.
    over: Arc<AtomicBool>,
    _rooms: [Arc<Stream>; 2],
    /// Somebody to deliver to, who listens to something else.
    _clients: [(Client, Arc<Sink>); 2],
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

/// Publish something, and have the owner told once it has been swept. False if that is so already.
fn publish_and_ask(room: &Arc<Stream>) -> bool {
    let (offset, _) = room.publish("event", [Some(b"[]"), None], Audience::Subscribers).expect("not shut");
    room.notify_when_swept(offset)
}

/// How an [`Actor`] is set up.
pub struct Setup {
    pub limits: Limits,
    pub slow_reader: SlowReader,
    pub max_unswept_bytes: usize,
    pub close_timeout: Duration,
    /// The stream goes on after this offset.
    pub base: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits { max_events: 100_000, max_bytes: 64 << 20 },
            slow_reader: SlowReader::Disconnect,
            max_unswept_bytes: 256 << 10,
            close_timeout: Duration::from_secs(60),
            base: 0,
        }
    }
}

impl Setup {
    /// A ring of ten events that a blocked reader falls out of soon.
    pub fn small(slow_reader: SlowReader) -> Self {
        Self { limits: Limits { max_events: 10, max_bytes: 1 << 20 }, slow_reader, ..Self::default() }
    }

    fn config(&self) -> StreamConfig {
        StreamConfig {
            id: 1,
            epoch: "e".into(),
            limits: self.limits,
            slow_reader: self.slow_reader,
            max_unswept_bytes: self.max_unswept_bytes,
            min_deflated_bytes: MIN_DEFLATED_BYTES as usize,
            base: self.base,
        }
    }
}

/// A stream and its writer.
pub struct Actor {
    pub stream: Arc<Stream>,
    pub writer: Arc<Writer>,
    pub swept: Arc<Calls>,
    thread: Option<JoinHandle<()>>,
    /// A publisher waits for the sweep, as there is or was a thread that does it.
    waits: bool,
}

impl Actor {
    /// The writer thread does not run: the test sweeps.
    pub fn by_hand(setup: Setup) -> Self {
        let writer = Writer::new(setup.close_timeout).expect("a poller");
        let swept = Arc::new(Calls::default());
        let notify = Arc::clone(&swept) as Arc<dyn Notify>;
        let stream = Stream::new(setup.config(), Arc::clone(&writer), notify);
        Self { stream, writer, swept, thread: None, waits: false }
    }

    /// Another stream of the same writer, which tells its owner with `notify`.
    pub fn sibling(&self, notify: impl Fn() + Send + Sync + 'static) -> Arc<Stream> {
        Stream::new(Setup::default().config(), Arc::clone(&self.writer), Arc::new(Call(notify)))
    }

    /// Have something to do for the writer thread at any time until what this returns is dropped: two rooms, each of
    /// which gets an event as soon as the other's has been swept.
    #[must_use]
    pub fn keep_busy(&self) -> Busy {
        let rooms = Arc::new(OnceLock::<[Weak<Stream>; 2]>::new());
        let over = Arc::new(AtomicBool::new(false));
        let room = |other: usize| {
            let (rooms, over) = (Arc::clone(&rooms), Arc::clone(&over));
            let room = self.sibling(move || {
                let other = rooms.get().and_then(|rooms| rooms[other].upgrade());
                if let (Some(other), false) = (other, over.load(Ordering::Acquire)) {
                    // True: the writer thread is here, and sweeps later.
                    publish_and_ask(&other);
                }
            });
            // Without anybody to deliver to there is no sweep.
            let id = room.open(Encoding::Json, &["nothing".to_owned()], 0).expect("not shut");
            (self.attach_in(&room, id, 0), room)
        };
        let [(first_client, first), (second_client, second)] = [room(1), room(0)];
        rooms.get_or_init(|| [&first, &second].map(Arc::downgrade));
        wait_until("a sweep that somebody is told of", || publish_and_ask(&first));
        Busy { over, _rooms: [first, second], _clients: [first_client, second_client] }
    }

    /// Stop the writer thread before the actor is dropped.
    pub fn end_writer(&mut self) {
        self.writer.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a thread that ends well");
        }
    }

    /// The writer thread runs until the actor is dropped.
    pub fn running(setup: Setup) -> Self {
        let mut actor = Self::by_hand(setup);
        actor.waits = true;
        actor.thread = Some(actor.writer.start("writer".into()).expect("a thread"));
        actor
    }

    /// Do what the writer thread would: offer everything.
    pub fn sweep_all(&self) {
        while self.stream.swept() < self.stream.head() {
            let mut sweep = self.stream.sweep();
            while !sweep.go_on() {}
        }
    }

    pub fn open(&self, encoding: Encoding, names: &[&str]) -> ConnectionId {
        self.open_again(encoding, names, 0)
    }

    /// Open a connection that has lost an event of an earlier life of the stream.
    pub fn open_again(&self, encoding: Encoding, names: &[&str], lost: u64) -> ConnectionId {
        let topics = names.iter().map(|topic| Topic::read(topic).expect("a topic"));
        self.stream.open(encoding, topics, lost).expect("not shut")
    }

    /// Attach a new sink, as the Python module does; the client's first message is `["reply", 0]`.
    pub fn attach(&self, id: ConnectionId, position: u64) -> (Client, Arc<Sink>) {
        self.attach_in(&self.stream, id, position)
    }

    /// Attach to a connection of this or of a sibling stream.
    pub fn attach_in(&self, stream: &Arc<Stream>, id: ConnectionId, position: u64) -> (Client, Arc<Sink>) {
        self.attach_to(pair(), stream, id, position)
    }

    /// Attach to a socket that a whole test fits into.
    pub fn attach_roomy(&self, id: ConnectionId, position: u64) -> (Client, Arc<Sink>) {
        self.attach_to(pair_with(ROOMY), &self.stream, id, position)
    }

    fn attach_to(
        &self,
        (client, server): (Client, OwnedFd),
        stream: &Arc<Stream>,
        id: ConnectionId,
        position: u64,
    ) -> (Client, Arc<Sink>) {
        let connection = stream.get(id).expect("open");
        let sink = Sink::new(server, connection.encoding, Arc::clone(&self.writer));
        assert!(stream.attach(&connection, &sink, position, &reply(connection.encoding, 0)));
        (client, sink)
    }

    /// Attach to a socket that a whole test fits into, and that takes compressed messages.
    pub fn attach_deflating(&self, id: ConnectionId, position: u64) -> (Client, Arc<Sink>) {
        let (client, server) = pair_with(ROOMY);
        let connection = self.stream.get(id).expect("open");
        let encoding = connection.encoding;
        let form = Form::deflated(encoding);
        let sink = Sink::with_form(server, form, MIN_DEFLATED_BYTES, Arc::clone(&self.writer));
        assert!(self.stream.attach(&connection, &sink, position, &reply(encoding, 0)));
        (client, sink)
    }

    /// The network is lost: keep the connection, drop the sink.
    pub fn detach(&self, id: ConnectionId, sink: &Arc<Sink>) {
        let connection = self.stream.get(id).expect("open");
        self.stream.detach(&connection, sink);
    }

    /// Publish one text to the subscribers.
    pub fn publish(&self, name: &str, text: &str) -> u64 {
        self.publish_to(name, text, Audience::Subscribers).expect("published")
    }

    /// Publish one text, and wait as a plain loop does.
    pub fn publish_to<'a>(
        &self,
        name: &str,
        text: &str,
        recipients: impl Into<Recipients<'a>>,
    ) -> Result<u64, PublishError> {
        self.publish_args(name, arguments(text), recipients)
    }

    /// The same with any arguments, in both encodings.
    pub fn publish_args<'a>(
        &self,
        name: &str,
        [json, msgpack]: [Vec<u8>; 2],
        recipients: impl Into<Recipients<'a>>,
    ) -> Result<u64, PublishError> {
        let (offset, must_wait) = self.stream.publish(name, [Some(&json), Some(&msgpack)], recipients)?;
        if must_wait && self.waits {
            self.stream.wait_for_sweep();
        }
        Ok(offset)
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.stream.shut();
        self.writer.stop();
        if let Some(thread) = self.thread.take() {
            let joined = thread.join();
            assert!(joined.is_ok() || std::thread::panicking());
        }
    }
}
