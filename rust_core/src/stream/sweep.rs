//! The sweep over a stream's connections, and those who wait for it; leaves what a connection gets to [`crate::sink`].

use std::sync::Arc;

use super::{Inner, Stream};
use crate::connection::{Connection, ConnectionId};
use crate::fanout::Batch;
use crate::sink::Sink;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;
use crate::writer::guarded;

/// Most bytes of one batch: about what a socket takes at once. Under the model checker two or three events, so that its
/// short histories have sweeps of several batches.
pub(super) const MAX_BATCH_BYTES: usize = if cfg!(feature = "shuttle") { 64 } else { 256 << 10 };

/// Connections that a sweep takes out of the table at a time.
const SWEEP_PIECE: usize = if cfg!(feature = "shuttle") { 1 } else { 128 };

impl Stream {
    /// Have the writer thread sweep.
    pub(super) fn schedule(self: &Arc<Self>) {
        if !self.scheduled.swap(true, Ordering::AcqRel) && !self.writer.sweep(Arc::clone(self)) {
            self.abandon();
        }
    }

    /// Offer what has been published since the last sweep to the connections that it may be for.
    ///
    /// Only the stream's writer thread calls this, so there is one sweep at a time.
    pub fn sweep(self: &Arc<Self>) {
        self.sweep_with(|batch| match batch.targets() {
            Some(targets) => self.offer_to(batch, &targets),
            None => self.visit_all(|sink| sink.drive(Some(batch))),
        });
    }

    /// Sweep with another way to offer a batch; for tests of one that fails.
    pub fn sweep_with(self: &Arc<Self>, offer: impl FnOnce(&Batch)) {
        self.scheduled.store(false, Ordering::Release);
        let mut reached = None;
        let whole = guarded(|| {
            if let Some(batch) = self.cut() {
                offer(&batch);
                reached = Some((batch.to(), batch.published_bytes()));
            }
        });
        if !whole {
            reached = Some(self.give_up());
        }
        let Some((offset, published_bytes)) = reached else {
            return;
        };
        let mut inner = self.inner.lock();
        // Without an attached sink, publishing moves the mark by itself, and may have moved it further meanwhile.
        if offset > self.swept() {
            self.note_swept(&mut inner, offset, published_bytes);
        }
        if inner.ring.head() > self.swept() {
            drop(inner);
            self.schedule();
        }
    }

    /// What this sweep is to offer, if there is anything.
    fn cut(&self) -> Option<Batch> {
        let mut inner = self.inner.lock();
        let swept = self.swept();
        if inner.shut || inner.ring.head() == swept {
            return None;
        }
        let batch = inner.ring.batch(swept, MAX_BATCH_BYTES);
        self.offered.store(batch.to(), Ordering::Release);
        Some(batch)
    }

    fn offer_to(&self, batch: &Batch, targets: &[ConnectionId]) {
        for &id in targets {
            let connection = self.inner.lock().table.get(id).cloned();
            if let Some(sink) = connection.and_then(|connection| attached(&connection)) {
                sink.drive(Some(batch));
            }
        }
    }

    fn visit_all(&self, visit: impl Fn(&Arc<Sink>)) {
        let mut connections = Vec::with_capacity(SWEEP_PIECE);
        let mut from = Some(0);
        while let Some(slot) = from {
            from = self.inner.lock().table.piece(slot, SWEEP_PIECE, &mut connections);
            connections
                .drain(..)
                .filter_map(|connection| attached(&connection))
                .for_each(|sink| visit(&sink));
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
        guarded(|| self.visit_all(|sink| sink.fail()));
        reached
    }

    /// Move the mark, and tell those who wait for it.
    pub(super) fn note_swept(&self, inner: &mut MutexGuard<'_, Inner>, offset: u64, published_bytes: u64) {
        inner.swept_bytes = published_bytes;
        self.swept.store(offset, Ordering::Release);
        self.progress.notify_all();
        if offset >= self.awaited.load(Ordering::Acquire) {
            self.notify_owner();
        }
    }

    fn notify_owner(&self) {
        self.awaited.store(u64::MAX, Ordering::Release);
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
        let mut inner = self.inner.lock();
        inner.abandoned = true;
        self.progress.notify_all();
        if self.awaited.load(Ordering::Acquire) != u64::MAX {
            self.notify_owner();
        }
    }

    /// Wait until the sweep is near enough, or nothing is to be waited for. Blocks the thread, but no lock.
    pub fn wait_for_sweep(&self) {
        let mut inner = self.inner.lock();
        self.wait_until(&mut inner, |stream, inner| !stream.is_far_ahead(inner));
    }

    /// Wait until everything has been swept, or nothing is to be waited for.
    pub(super) fn wait_for_all(&self, inner: &mut MutexGuard<'_, Inner>) {
        self.wait_until(inner, |stream, inner| stream.swept() == inner.ring.head());
    }

    fn wait_until(&self, inner: &mut MutexGuard<'_, Inner>, done: impl Fn(&Self, &Inner) -> bool) {
        while !inner.shut && !inner.abandoned && !done(self, inner) {
            self.progress.wait(inner);
        }
    }
}

fn attached(connection: &Connection<Sink>) -> Option<Arc<Sink>> {
    connection.sink.lock().clone()
}
