//! What is counted where the core acts: events, deliveries, bytes, slow readers. Read only when somebody asks.

// Not those of `sync`: nothing is decided by these numbers, so there is nothing in them for the model checker.
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of the streams of one kind that one writer thread sweeps. They only grow.
///
/// In cache lines of their own, those of publishers apart from those of the writer thread: neither shall wait for what
/// the other one counts (`benches/test_broadcast.py`).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Tally {
    /// Events that were published.
    events: Apart,
    /// Events that began to go out to a client, each time.
    deliveries: AtomicU64,
    /// Bytes of all frames that were handed to the outlets of attached connections.
    bytes: AtomicU64,
    /// Clients whose socket was closed because they read too slowly.
    disconnected: AtomicU64,
    /// Gaps that clients were told of because they read too slowly.
    skipped: AtomicU64,
}

/// A number in a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart(AtomicU64);

/// The numbers of a [`Tally`], or of several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that were published.
    pub events: u64,
    /// Events that began to go out to a client, each time.
    pub deliveries: u64,
    /// Bytes of all frames that were handed to the outlets of attached connections.
    pub bytes: u64,
    /// Clients whose socket was closed because they read too slowly.
    pub disconnected: u64,
    /// Gaps that clients were told of because they read too slowly.
    pub skipped: u64,
}

impl Tally {
    pub(crate) fn note_published(&self) {
        self.events.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_sent(&self, deliveries: u64, bytes: usize) {
        if deliveries > 0 {
            self.deliveries.fetch_add(deliveries, Ordering::Relaxed);
        }
        if bytes > 0 {
            self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_disconnected(&self) {
        self.disconnected.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// The numbers so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            events: self.events.0.load(Ordering::Relaxed),
            deliveries: self.deliveries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            disconnected: self.disconnected.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
        }
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(each: I) -> Self {
        each.fold(Self::default(), |sum, one| Self {
            events: sum.events + one.events,
            deliveries: sum.deliveries + one.deliveries,
            bytes: sum.bytes + one.bytes,
            disconnected: sum.disconnected + one.disconnected,
            skipped: sum.skipped + one.skipped,
        })
    }
}
