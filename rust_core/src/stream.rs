//! One running actor: its ring and its connections; leaves sockets to [`crate::sink`].

mod attachment;
mod connections;
mod deciding;
mod matching;
mod sweep;

use std::collections::HashSet;
use std::sync::Arc;

use crate::connection::{Connection, ConnectionId, ConnectionTable};
use crate::deflate::{Args, Deflated};
use crate::fanout::Batch;
use crate::filter::Malformed;
use crate::frame::{ENCODINGS, Encoding, Form};
use crate::ring::{EventTooLarge, Limits, Published, Ring};
use crate::sink::Sink;
use crate::subscription::Names;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::tally::Tally;
use crate::writer::Writer;
use matching::Matching;
use sweep::MAX_BATCH_BYTES;

pub use matching::Recipients;
pub use sweep::Sweep;

/// An event that takes more than this part of the ring waits for the sweep before it is appended, so that it does
/// not push out what ready connections are still to get.
const LARGE_EVENT_PART: usize = 4;

/// What happens to a client that lost events because it read too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowReader {
    /// Its socket is closed, with a code that says so.
    Disconnect,
    /// It is told of the gap and goes on with the oldest retained event.
    Skip,
}

/// How a stream is set up.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// Its number in event frames.
    pub id: u32,
    /// The name of its life.
    pub epoch: String,
    /// What its ring holds.
    pub limits: Limits,
    /// What happens to slow readers.
    pub slow_reader: SlowReader,
    /// How far publishing may run ahead of the sweep, in bytes of frames.
    pub max_unswept_bytes: usize,
    /// Events whose arguments are shorter are not compressed.
    pub min_deflated_bytes: usize,
    /// Where it goes on: its first event gets the next offset. 0 for a stream that begins.
    pub base: u64,
}

/// Why nothing was published.
#[derive(Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The event alone exceeds the ring.
    TooLarge(EventTooLarge),
    /// An encoding that a connection uses was not given: encode it and try again.
    EncodingMissing,
    /// The filter is none.
    NoFilter(Malformed),
    /// The actor has stopped.
    Shut,
}

/// The connection has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone;

/// What a stream has let go, as far as it matters to somebody: enough to answer resumes of a later life of it.
#[derive(Debug, Default)]
pub struct LetGo {
    /// The oldest offset that is retained: all this is about those below it.
    pub first: u64,
    /// By name, the newest event to subscribers.
    pub names: Vec<(Arc<str>, u64)>,
    /// Of single connections, the newest event that was for them; 0 if none was.
    pub connections: Vec<(ConnectionId, u64)>,
}

/// What is guarded by the stream's lock.
#[derive(Debug)]
struct Inner {
    /// The events.
    ring: Ring,
    /// The connections.
    table: ConnectionTable<Sink>,
    /// The event names.
    names: Names,
    /// Who has which attributes.
    matching: Matching,
    /// Connections for which it was decided late that events with a filter are for them as well.
    chosen: HashSet<ConnectionId>,
    /// What had been published, in bytes, at the position that the last sweep reached.
    swept_bytes: u64,
    /// The actor has stopped.
    shut: bool,
    /// The writer thread has ended.
    abandoned: bool,
}

/// One running actor's stream of events.
#[derive(Debug)]
pub struct Stream {
    /// How it is set up.
    config: StreamConfig,
    /// The thread that sweeps it.
    writer: Arc<Writer>,
    /// Ring and table. Taken after a sink's lock, before a connection's.
    inner: Mutex<Inner>,
    /// Copy of the ring's head, for those who need no lock.
    head: AtomicU64,
    /// Copy of the ring's oldest offset.
    first: AtomicU64,
    /// Every ready connection has been offered everything up to here.
    swept: AtomicU64,
    /// Where the newest batch that a sweep offers, or has offered, ends.
    offered: AtomicU64,
    /// Sinks that deliver from this stream.
    attached: AtomicUsize,
    /// Those of them that take compressed frames, by encoding. An event that was published before one of them counted
    /// goes out to it as it is.
    deflating: [AtomicUsize; ENCODINGS],
    /// It is in the writer's inbox already.
    scheduled: AtomicBool,
    /// Woken when `swept` moves.
    progress: Condvar,
    /// Tell `on_swept` when `swept` reaches this; `u64::MAX` for nobody.
    awaited: AtomicU64,
    /// Tells the owner that `awaited` came true.
    on_swept: Arc<dyn Notify>,
    /// What is counted of it, together with others of its kind.
    tally: Arc<Tally>,
}

/// How a stream tells its owner that an awaited sweep is done. Called from any thread; must not block.
pub trait Notify: Send + Sync + std::fmt::Debug {
    /// An awaited offset has been swept.
    fn notify(&self);
}

impl Stream {
    /// A stream without events, which begins or goes on after `base`.
    #[must_use]
    pub fn new(config: StreamConfig, writer: Arc<Writer>, on_swept: Arc<dyn Notify>) -> Arc<Self> {
        Self::counted(config, writer, on_swept, Arc::default())
    }

    /// The same, with its events and what becomes of them counted in `tally`.
    #[must_use]
    pub fn counted(
        config: StreamConfig,
        writer: Arc<Writer>,
        on_swept: Arc<dyn Notify>,
        tally: Arc<Tally>,
    ) -> Arc<Self> {
        let base = config.base;
        let inner = Inner {
            ring: Ring::new(config.id, config.limits, base),
            table: ConnectionTable::default(),
            names: Names::default(),
            matching: Matching::default(),
            chosen: HashSet::new(),
            swept_bytes: 0,
            shut: false,
            abandoned: false,
        };
        Arc::new(Self {
            config,
            writer,
            inner: Mutex::new(inner),
            head: AtomicU64::new(base),
            first: AtomicU64::new(base + 1),
            swept: AtomicU64::new(base),
            offered: AtomicU64::new(base),
            attached: AtomicUsize::new(0),
            deflating: Default::default(),
            scheduled: AtomicBool::new(false),
            progress: Condvar::new(),
            awaited: AtomicU64::new(u64::MAX),
            on_swept,
            tally,
        })
    }

    /// What is counted of it.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How it is set up.
    #[must_use]
    pub fn config(&self) -> &StreamConfig {
        &self.config
    }

    /// What happens to slow readers.
    #[must_use]
    pub fn slow_reader(&self) -> SlowReader {
        self.config.slow_reader
    }

    /// Offset of the newest event; the base before the first.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Offset of the oldest retained event; `head + 1` when there is none.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first.load(Ordering::Acquire)
    }

    /// Every ready connection has been offered every event up to here.
    #[must_use]
    pub fn swept(&self) -> u64 {
        self.swept.load(Ordering::Acquire)
    }

    /// The end of what a sweep has offered or is just offering. A sink that comes to rest before it might have been
    /// visited already, and would miss the rest.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.offered.load(Ordering::Acquire).max(self.swept())
    }

    /// Bytes that the ring holds.
    #[must_use]
    pub fn retained_bytes(&self) -> usize {
        self.inner.lock().ring.retained_bytes()
    }

    /// Number of topics that it knows: the names of retained events, and what somebody listens to.
    #[must_use]
    pub fn names(&self) -> usize {
        self.inner.lock().names.len()
    }

    /// Number of distinct filters that its connections listen with now.
    #[must_use]
    pub fn filters(&self) -> usize {
        self.inner.lock().names.filters()
    }

    /// Whether one of them is that of the topic with this text.
    #[must_use]
    pub fn has_filter(&self, topic: &str) -> bool {
        self.inner.lock().names.has_filter(topic)
    }

    /// Who listens to the topic with this text now; for tests of what sweeps go by.
    #[must_use]
    pub fn listeners(&self, topic: &str) -> Vec<ConnectionId> {
        let Inner { names, table, .. } = &*self.inner.lock();
        let slots = names.listeners_of(topic).into_iter();
        slots.filter_map(|slot| table.at(slot as usize)).map(|connection| connection.id).collect()
    }

    /// Bit set of the encodings of open connections.
    #[must_use]
    pub fn encodings(&self) -> u8 {
        self.inner.lock().table.encodings()
    }

    /// Number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.inner.lock().table.len()
    }

    // Publishing.

    /// Append an event and have it swept. Returns its offset, and whether the publisher should
    /// [wait](Self::wait_for_sweep) before it goes on.
    ///
    /// # Errors
    /// See [`PublishError`]; nothing has changed then.
    pub fn publish<'a>(
        self: &Arc<Self>,
        name: &str,
        args: [Option<&[u8]>; ENCODINGS],
        recipients: impl Into<Recipients<'a>>,
    ) -> Result<(u64, bool), PublishError> {
        let recipients = recipients.into();
        let owned;
        let mut args = Args::from(args);
        if Encoding::ALL.iter().any(|&encoding| self.is_deflating(encoding)) {
            owned = self.deflated(args.plain);
            args.deflated = &owned;
        }
        let mut inner = self.inner.lock();
        if self.exceeds_part(args.bytes(), &recipients) {
            self.wait_for_all(&mut inner);
        }
        // After the wait, which others may have used to open a connection or to stop the actor.
        if inner.shut {
            return Err(PublishError::Shut);
        }
        let given: u8 =
            (0..ENCODINGS).filter(|&index| args.plain[index].is_some()).map(|index| 1 << index).sum();
        if inner.table.encodings() & !given != 0 {
            return Err(PublishError::EncodingMissing);
        }
        let Inner { ring, table, names, matching, .. } = &mut *inner;
        let id = names.intern(name);
        let heard_as = if recipients.are_subscribers() { names.topics(id, args.plain) } else { id.into() };
        let (audience, undecided) = match recipients {
            Recipients::Audience(audience) => (audience, Vec::new()),
            Recipients::Matching(filter, except) => {
                matching.audience(table, &heard_as, filter, &except).map_err(|error| {
                    names.forget_unused(id);
                    PublishError::NoFilter(error)
                })?
            }
        };
        let to_subscribers = audience.is_of_subscribers();
        let topics = if to_subscribers { heard_as.clone() } else { id.into() };
        let published = ring.publish(topics.clone(), &names.bytes(id), args, audience, &*table);
        let Published { offset, let_go } = published.map_err(|error| {
            names.forget_unused(id);
            PublishError::TooLarge(error)
        })?;
        names.note_published(topics, to_subscribers.then_some(offset));
        for connection in undecided.into_iter().filter_map(|id| table.get(id)) {
            connection.subscriptions.lock().note_matched(&heard_as, offset);
        }
        let_go.into_iter().for_each(|topics| names.note_let_go(topics));
        self.tally.note_published();
        self.head.store(offset, Ordering::Release);
        self.first.store(ring.first(), Ordering::Release);
        if self.attached.load(Ordering::Acquire) == 0 {
            let published_bytes = inner.ring.published_bytes();
            let is_awaited = self.note_swept(&mut inner, offset, published_bytes);
            drop(inner);
            if is_awaited {
                self.tell_owner();
            }
            return Ok((offset, false));
        }
        let must_wait = self.is_far_ahead(&inner);
        drop(inner);
        self.schedule();
        Ok((offset, must_wait))
    }

    /// Whether publishing this may wait for the sweep first.
    #[must_use]
    pub fn is_large(&self, args: [Option<&[u8]>; ENCODINGS], recipients: &Recipients<'_>) -> bool {
        // Compressed, it takes less than as much again.
        let bytes = |(encoding, args, _): (Encoding, &[u8], _)| {
            if self.is_deflating(encoding) { 2 * args.len() } else { args.len() }
        };
        self.exceeds_part(Args::from(args).forms().map(bytes).sum(), recipients)
    }

    fn exceeds_part(&self, bytes: usize, recipients: &Recipients<'_>) -> bool {
        bytes + recipients.list_bytes() > self.config.limits.max_bytes / LARGE_EVENT_PART
    }

    /// How many bytes publishing this would compress, which takes its time.
    #[must_use]
    pub fn bytes_to_deflate(&self, args: [Option<&[u8]>; ENCODINGS]) -> usize {
        let is_compressed = |&(encoding, args, _): &(Encoding, &[u8], _)| {
            self.is_deflating(encoding) && args.len() >= self.config.min_deflated_bytes
        };
        Args::from(args).forms().filter(is_compressed).map(|(_, args, _)| args.len()).sum()
    }

    fn is_deflating(&self, encoding: Encoding) -> bool {
        self.deflating[encoding.index()].load(Ordering::Relaxed) > 0
    }

    /// Compress arguments for those who take them so: once, however many they are, and before the lock is taken.
    fn deflated(&self, args: [Option<&[u8]>; ENCODINGS]) -> [Deflated; ENCODINGS] {
        Encoding::ALL.map(|encoding| match args[encoding.index()] {
            Some(args) if self.is_deflating(encoding) => {
                Deflated::new(encoding, args, self.config.min_deflated_bytes)
            }
            _ => Deflated::Unused,
        })
    }

    fn is_far_ahead(&self, inner: &Inner) -> bool {
        // Half of the ring at most, however it is bounded: what a ready connection has not been offered yet is never
        // let go. A ring of one event is swept after each.
        let Limits { max_events, max_bytes } = self.config.limits;
        inner.ring.published_bytes() - inner.swept_bytes > self.config.max_unswept_bytes as u64
            || inner.ring.head() - self.swept() > max_events as u64 / 2
            || inner.ring.bytes_after(self.swept()) > max_bytes / 2
    }

    /// For a sink that no sweep can serve as it is: what [`Self::has_lost`] says, and the retained events after the
    /// position. One look, so that nothing is let go unnoticed in between.
    #[must_use]
    pub fn catch_up(&self, position: u64, connection: &Connection<Sink>) -> (Option<(u64, u64)>, Batch) {
        let mut inner = self.inner.lock();
        let lost = lost_range(&inner.ring, position, connection);
        (lost, inner.ring.batch(position, MAX_BATCH_BYTES))
    }

    /// The offsets after `position` that are no longer retained, if one of them was for this connection.
    #[must_use]
    pub fn has_lost(&self, position: u64, connection: &Connection<Sink>) -> Option<(u64, u64)> {
        if position + 1 >= self.first() {
            return None;
        }
        lost_range(&self.inner.lock().ring, position, connection)
    }

    /// A sink begins to deliver from this stream.
    pub fn note_attached(&self, form: Form) {
        // Under the lock: a publisher decides under it whether there is anybody to sweep for.
        let _inner = self.inner.lock();
        self.attached.fetch_add(1, Ordering::AcqRel);
        if form.is_deflated() {
            self.deflating[form.encoding.index()].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A sink delivers no more from this stream.
    pub fn note_detached(&self, form: Form) {
        self.attached.fetch_sub(1, Ordering::AcqRel);
        if form.is_deflated() {
            self.deflating[form.encoding.index()].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn lost_range(ring: &Ring, position: u64, connection: &Connection<Sink>) -> Option<(u64, u64)> {
    let subscriptions = connection.subscriptions.lock();
    ring.has_lost(position, connection.id, &subscriptions).then(|| (position + 1, ring.first() - 1))
}
