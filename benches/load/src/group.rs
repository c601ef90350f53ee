//! What the connections of one group have in common, and what was counted of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hdrhistogram::Histogram;
use serde_json::{Map, Value};

use crate::clock;
use crate::command::{Figures, Percentiles};
use crate::known::Known;
use crate::plain::Plain;
use crate::sequence::Faults;

/// How the connections of a group are opened and checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server.
    pub address: SocketAddr,
    /// The connect message without `resume`.
    pub connect: Map<String, Value>,
    /// Present for a server of another kind.
    pub plain: Option<Plain>,
    /// The event names that it subscribes to.
    pub names: Vec<Vec<u8>>,
    /// Every event of the stream is for these connections.
    pub whole: bool,
    /// By name: the counters of the first events, where known.
    pub next: Vec<u64>,
    /// The latency of every so many events is recorded.
    pub latency_every: u64,
}

/// Some of the connections.
#[derive(Debug)]
pub struct Group {
    /// How they are opened and checked.
    pub settings: Settings,
    /// Their places in the load's list.
    pub members: Vec<usize>,
    /// What was counted since the last `measure`.
    pub counts: Counts,
    /// What need not be read again.
    pub known: Known,
    /// The value of each reply, as it is written; `None` for any.
    pub reply: Option<String>,
}

impl Group {
    /// A group of which nothing was counted yet.
    #[must_use]
    pub fn new(settings: Settings, members: Vec<usize>) -> Self {
        Self { settings, members, counts: Counts::default(), known: Known::default(), reply: None }
    }
}

/// What was counted of a group since a moment.
#[derive(Clone, Debug)]
pub struct Counts {
    /// That moment, in nanoseconds of the monotonic clock.
    pub since_ns: u64,
    /// The processor time at that moment.
    cpu_since_ns: u64,
    /// When the first event was read; 0 for none.
    pub first_ns: u64,
    /// When the last event was read.
    pub last_ns: u64,
    /// Events.
    pub events: u64,
    /// Bytes, of whatever kind.
    pub bytes: u64,
    /// Events that came as part of a replay.
    pub replayed: u64,
    /// How many of those the server announced.
    pub announced: u64,
    /// Sessions that were taken up again.
    pub resumed: u64,
    /// Sessions that were begun anew although the client came back with an earlier one.
    pub renewed: u64,
    /// Gaps that the server told of.
    pub gaps: u64,
    /// Offsets in those gaps.
    pub lost: u64,
    /// Sockets that the server closed, by close code; 1006 without a close frame.
    pub closed: BTreeMap<u16, u64>,
    /// What was wrong.
    pub faults: Faults,
    /// One of the errors, to be read by somebody.
    pub error: Option<String>,
    /// From the sending of an event to its being read, in nanoseconds.
    pub latency: Histogram<u64>,
    /// From a call to its reply, in nanoseconds.
    pub calls: Histogram<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            since_ns: clock::monotonic_ns(),
            cpu_since_ns: clock::cpu_ns(),
            first_ns: 0,
            last_ns: 0,
            events: 0,
            bytes: 0,
            replayed: 0,
            announced: 0,
            resumed: 0,
            renewed: 0,
            gaps: 0,
            lost: 0,
            closed: BTreeMap::new(),
            faults: Faults::default(),
            error: None,
            latency: histogram(),
            calls: histogram(),
        }
    }
}

/// A histogram of nanoseconds with two digits, up to a thousand seconds.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 1_000_000_000_000, 2).expect("the bounds are constants")
}

impl Counts {
    /// Note that events were read.
    pub fn note_events(&mut self, events: u64, now: u64) {
        if self.events == 0 {
            self.first_ns = now;
        }
        self.events += events;
        self.last_ns = now;
    }

    /// Note that a reply was read.
    pub fn note_reply(&mut self, sent_ns: u64, now: u64) {
        self.calls.saturating_record(now.saturating_sub(sent_ns));
    }

    /// Note what went wrong; the first one is kept as an example.
    pub fn note_error(&mut self, error: impl ToString) {
        self.faults.malformed += 1;
        self.error.get_or_insert_with(|| error.to_string());
    }

    /// Count what another group has counted as well: since the earlier of the two moments.
    pub fn add(&mut self, other: &Self) {
        if other.since_ns < self.since_ns {
            (self.since_ns, self.cpu_since_ns) = (other.since_ns, other.cpu_since_ns);
        }
        if other.events > 0 {
            self.first_ns = if self.events > 0 { self.first_ns.min(other.first_ns) } else { other.first_ns };
        }
        self.last_ns = self.last_ns.max(other.last_ns);
        self.events += other.events;
        self.bytes += other.bytes;
        self.replayed += other.replayed;
        self.announced += other.announced;
        self.resumed += other.resumed;
        self.renewed += other.renewed;
        self.gaps += other.gaps;
        self.lost += other.lost;
        for (&code, &count) in &other.closed {
            *self.closed.entry(code).or_default() += count;
        }
        self.faults.add(&other.faults);
        self.error = self.error.take().or_else(|| other.error.clone());
        self.latency += &other.latency;
        self.calls += &other.calls;
    }

    /// Everything as it is told.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let now = clock::monotonic_ns();
        let used_ns = clock::cpu_ns() - self.cpu_since_ns;
        let receiving_ns = self.last_ns.saturating_sub(self.first_ns);
        Figures {
            first_ns: self.first_ns,
            last_ns: self.last_ns,
            seconds: seconds(receiving_ns),
            events: self.events,
            events_per_s: if receiving_ns == 0 { 0.0 } else { ratio(self.events, receiving_ns) * 1e9 },
            bytes: self.bytes,
            cpu_s: seconds(used_ns),
            cpu_share: ratio(used_ns, (now - self.since_ns).max(1)),
            latency_ms: percentiles(&self.latency),
            call_ms: percentiles(&self.calls),
            replayed: self.replayed,
            announced: self.announced,
            resumed: self.resumed,
            renewed: self.renewed,
            gaps: self.gaps,
            lost: self.lost,
            closed: self.closed.clone(),
            faults: self.faults,
            error: self.error.clone(),
        }
    }
}

/// What a histogram of nanoseconds says, in milliseconds; `None` if it is empty.
#[must_use]
pub fn percentiles(histogram: &Histogram<u64>) -> Option<Percentiles> {
    let at = |quantile| ratio(histogram.value_at_quantile(quantile), 1_000_000);
    (!histogram.is_empty()).then(|| Percentiles {
        count: histogram.len(),
        p50: at(0.5),
        p99: at(0.99),
        max: ratio(histogram.max(), 1_000_000),
    })
}

/// Nanoseconds as seconds.
#[must_use]
pub fn seconds(ns: u64) -> f64 {
    ratio(ns, 1_000_000_000)
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}
