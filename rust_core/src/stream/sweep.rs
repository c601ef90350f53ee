//! The sweep over a stream's connections, and those who wait for it; leaves what a connection gets to [`crate::sink`].

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::{Inner, Stream};
use crate::connection::Connection;
use crate::fanout::Batch;
use crate::prefetch::prefetch;
use crate::sink::Sink;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;
use crate::writer::guarded;

type Connections = Vec<Arc<Connection<Sink>>>;

/// Most bytes of one batch: about what a socket takes at once. Under the model checker two or three events, so that its
/// short histories have sweeps of several batches.
pub(super) const MAX_BATCH_BYTES: usize = if cfg!(feature = "shuttle") { 64 } else { 256 << 10 };

/// Connections that are visited in one turn of the writer thread, before it looks at other streams.
const SWEEP_PIECE: usize = if cfg!(feature = "shuttle") { 1 } else { 128 };

/// A sweep over one stream, in pieces: a room of ten thousand is not in the way of the others, which get their turn
/// between two pieces.
#[derive(Debug)]
pub struct Sweep {
    /// Whose events are offered.
    stream: Arc<Stream>,
    /// What is offered, once it has begun.
    batch: Option<Batch>,
    /// The slots of those to whom it is offered, sorted, if that is not everybody.
    targets: Option<Vec<u32>>,
    /// The target, or the slot of the table, to go on from.
    next: usize,
}

impl Sweep {
    /// A sweep that has not begun. There is one at a time for each stream.
    pub(super) fn of(stream: &Arc<Stream>) -> Self {
        Self { stream: Arc::clone(stream), batch: None, targets: None, next: 0 }
    }

    /// Whose events are offered.
    #[must_use]
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Offer the batch to the next few connections that it may be for. Returns whether all have had their turn.
    pub fn go_on(&mut self) -> bool {
        self.go_on_with(|sink, batch| sink.drive(Some(batch)))
    }

    /// Go on with another way to offer; for tests of one that fails.
    pub fn go_on_with(&mut self, offer: impl Fn(&Arc<Sink>, &Batch)) -> bool {
        let mut done = true;
        if !guarded(|| done = self.visit(&offer)) {
            let (offset, published_bytes) = self.stream.give_up();
            self.stream.end_sweep(offset, published_bytes);
            return true;
        }
        if done {
            let (offset, published_bytes) =
                self.batch.as_ref().map_or((0, 0), |batch| (batch.to(), batch.published_bytes()));
            self.stream.end_sweep(offset, published_bytes);
        }
        done
    }

    fn visit(&mut self, offer: impl Fn(&Arc<Sink>, &Batch)) -> bool {
        if self.batch.is_none() {
            let Some((batch, listeners)) = self.stream.cut() else {
                return true;
            };
            self.targets = listeners.map(|slots| batch.targets(slots));
            self.batch = Some(batch);
        }
        let Some(batch) = &self.batch else {
            return true;
        };
        let (connections, next) = match &self.targets {
            Some(targets) => self.stream.listed(targets, self.next),
            None => self.stream.piece(self.next),
        };
        self.next = next.unwrap_or_default();
        for (place, connection) in connections.iter().enumerate() {
            look_ahead(&connections[place + 1..]);
            if let Some(sink) = attached(connection) {
                offer(&sink, batch);
            }
        }
        next.is_none()
    }
}

impl Stream {
    /// Have the writer thread sweep. What is published while a sweep is under way is for the next one.
    pub(super) fn schedule(self: &Arc<Self>) {
        if !self.scheduled.swap(true, Ordering::AcqRel) && !self.writer.sweep(Sweep::of(self)) {
            self.abandon();
        }
    }

    /// Begin a sweep; for tests, which have no writer thread.
    #[must_use]
    pub fn sweep(self: &Arc<Self>) -> Sweep {
        Sweep::of(self)
    }

    /// What a sweep that begins now is to offer, if there is anything, and the slots of those who may listen to it, if
    /// they are not everybody. Whoever begins to listen later, does so for later events.
    fn cut(&self) -> Option<(Batch, Option<RoaringBitmap>)> {
        let mut inner = self.inner.lock();
        let swept = self.swept();
        if inner.shut || inner.ring.head() == swept {
            return None;
        }
        let batch = inner.ring.batch(swept, MAX_BATCH_BYTES);
        self.offered.fetch_max(batch.to(), Ordering::AcqRel);
        let Inner { names, table, .. } = &mut *inner;
        let listeners = batch.topics().and_then(|topics| names.listeners(&topics, swept, table.len()));
        Some((batch, listeners))
    }

    /// How many events the client that is furthest behind is behind, of those that are attached.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let mut lag = 0;
        let mut from = Some(0);
        while let Some(slot) = from {
            let connections;
            (connections, from) = self.piece(slot);
            let sinks = connections.iter().filter_map(|connection| attached(connection));
            lag = sinks.map(|sink| sink.lag()).fold(lag, u64::max);
        }
        lag
    }

    /// A few of the connections in these slots, from place `from`, and where to go on.
    fn listed(&self, targets: &[u32], from: usize) -> (Connections, Option<usize>) {
        let end = targets.len().min(from + SWEEP_PIECE);
        let inner = self.inner.lock();
        let connections =
            targets[from..end].iter().filter_map(|&slot| inner.table.at(slot as usize).cloned()).collect();
        (connections, (end < targets.len()).then_some(end))
    }

    /// A few of all connections, from slot `from`, and where to go on.
    fn piece(&self, from: usize) -> (Connections, Option<usize>) {
        let mut connections = Vec::with_capacity(SWEEP_PIECE);
        let next = self.inner.lock().table.piece(from, SWEEP_PIECE, &mut connections);
        (connections, next)
    }

    fn end_sweep(self: &Arc<Self>, offset: u64, published_bytes: u64) {
        // Before the look at the head: what is published behind that schedules a sweep by itself.
        self.scheduled.store(false, Ordering::Release);
        let mut inner = self.inner.lock();
        // Without an attached sink, publishing moves the mark by itself, and may have moved it further meanwhile.
        let is_awaited = offset > self.swept() && self.note_swept(&mut inner, offset, published_bytes);
        let is_more = inner.ring.head() > self.swept() && !inner.shut;
        drop(inner);
        if is_awaited {
            self.tell_owner();
        }
        if is_more {
            self.schedule();
        }
    }

    /// A sweep was broken off by a panic, and who was offered what is not known. Nobody may miss an event without a
    /// word, so all sinks end: their clients come back, and read on from where they are.
    fn give_up(&self) -> (u64, u64) {
        let reached = {
            let inner = self.inner.lock();
            // A sink that is attached from here on comes to rest behind this only.
            self.offered.store(inner.ring.head(), Ordering::Release);
            (inner.ring.head(), inner.ring.published_bytes())
        };
        guarded(|| {
            let mut from = Some(0);
            while let Some(slot) = from {
                let connections;
                (connections, from) = self.piece(slot);
                connections.iter().filter_map(|connection| attached(connection)).for_each(|sink| sink.fail());
            }
        });
        reached
    }

    /// Move the mark, and wake those who wait for it. Returns whether the owner is to be [told](Self::tell_owner), once
    /// no lock is held.
    #[must_use]
    pub(super) fn note_swept(
        &self,
        inner: &mut MutexGuard<'_, Inner>,
        offset: u64,
        published_bytes: u64,
    ) -> bool {
        inner.swept_bytes = published_bytes;
        self.swept.store(offset, Ordering::Release);
        self.progress.notify_all();
        let is_awaited = offset >= self.awaited.load(Ordering::Acquire);
        if is_awaited {
            self.awaited.store(u64::MAX, Ordering::Release);
        }
        is_awaited
    }

    /// What the owner waits for has come.
    pub(super) fn tell_owner(&self) {
        guarded(|| self.on_swept.notify());
    }

    /// Have the owner notified once everything up to `offset` has been swept. False if that is so already, or will
    /// never be because the writer thread has ended.
    pub fn notify_when_swept(&self, offset: u64) -> bool {
        // Under the lock, so that no sweep ends between the look and the request.
        let inner = self.inner.lock();
        if inner.abandoned || self.swept() >= offset {
            return false;
        }
        self.awaited.fetch_min(offset, Ordering::AcqRel);
        true
    }

    /// The writer thread has ended, and nothing is swept any more: let go all who wait. Events stay in the ring, and
    /// whoever writes to an attached sink still delivers them.
    pub fn abandon(&self) {
        let is_awaited = {
            let mut inner = self.inner.lock();
            inner.abandoned = true;
            self.progress.notify_all();
            self.awaited.swap(u64::MAX, Ordering::AcqRel) != u64::MAX
        };
        if is_awaited {
            self.tell_owner();
        }
    }

    /// Wait until the sweep is near enough, or nothing is to be waited for. Blocks the thread, but no lock.
    pub fn wait_for_sweep(&self) {
        let mut inner = self.inner.lock();
        self.wait_until(&mut inner, |stream, inner| !stream.is_far_ahead(inner));
    }

    /// Wait until everything has been swept, or nothing is to be waited for.
    pub fn wait_until_swept(&self) {
        self.wait_for_all(&mut self.inner.lock());
    }

    /// The same, for who has the lock.
    pub(super) fn wait_for_all(&self, inner: &mut MutexGuard<'_, Inner>) {
        self.wait_until(inner, |stream, inner| stream.swept() == inner.ring.head());
    }

    fn wait_until(&self, inner: &mut MutexGuard<'_, Inner>, done: impl Fn(&Self, &Inner) -> bool) {
        while !inner.shut && !inner.abandoned && !done(self, inner) {
            self.progress.wait(inner);
        }
    }
}

/// Have what the visits of the next two connections begin with fetched while this one's goes on: since the sweep
/// before, the kernel has driven nearly all of it out of the caches (measured: `docs/architecture.md`, decisions).
fn look_ahead(coming: &[Arc<Connection<Sink>>]) {
    if let Some(connection) = coming.get(1) {
        prefetch(connection);
    }
    // Where its sink is stands in the connection, which was asked for a visit ago, but for the second of a piece.
    if let Some(connection) = coming.first() {
        connection.sink.lock().iter().for_each(prefetch);
    }
}

fn attached(connection: &Connection<Sink>) -> Option<Arc<Sink>> {
    connection.sink.lock().clone()
}
