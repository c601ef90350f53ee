//! Whether the events of one connection are all there, each once and in order. Pure.

use serde::Serialize;

/// Most event names that a connection of the load listens for.
pub const MAX_NAMES: usize = 4;

/// Stretches of missing events that are remembered, of one connection.
const MAX_ABSENT: usize = 64;

/// How many events were not as they should be. A figure counts only if all of this is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Events that never came, and of which no gap told.
    pub missing: u64,
    /// Events that came again.
    pub twice: u64,
    /// Events that came behind later ones.
    pub late: u64,
    /// Offsets that do not follow the one before, where every event of the stream is for the connection.
    pub holes: u64,
    /// Events with a name, or for a stream, that the connection does not know.
    pub foreign: u64,
    /// Sessions that were taken up elsewhere than where their client was.
    pub misplaced: u64,
    /// Messages that cannot be read, and errors.
    pub malformed: u64,
}

impl Faults {
    /// Whether there were any.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    /// Count those as well.
    pub fn add(&mut self, other: &Self) {
        let Self { missing, twice, late, holes, foreign, misplaced, malformed } = other;
        self.missing += missing;
        self.twice += twice;
        self.late += late;
        self.holes += holes;
        self.foreign += foreign;
        self.misplaced += misplaced;
        self.malformed += malformed;
    }
}

/// How far one connection has got.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Every event of the stream is for this connection, so that offsets have no holes.
    whole: bool,
    /// Offset of the newest event, or where delivery started.
    position: u64,
    /// By name: the counter that comes next; 0 where nobody knows.
    next: [u64; MAX_NAMES],
    /// Offset minus counter, where that has to stay the same: one name, and every event is for the connection.
    shift: Option<u64>,
    /// There is one name only.
    single: bool,
    /// What was missing when a later event came: name, first and last counter. To tell late events from repeated ones.
    absent: Vec<(usize, u64, u64)>,
}

impl Sequence {
    /// A connection that listens for `names` names. `next`: the counters that shall come next, where known.
    #[must_use]
    pub fn new(names: usize, whole: bool, next: &[u64]) -> Self {
        let mut sequence = Self {
            whole,
            position: 0,
            next: [0; MAX_NAMES],
            shift: None,
            single: names == 1,
            absent: Vec::new(),
        };
        for (slot, &counter) in sequence.next.iter_mut().zip(next) {
            *slot = counter;
        }
        sequence
    }

    /// The position to come back with.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The newest counter of a name; 0 before the first.
    #[must_use]
    pub fn newest(&self, name: usize) -> u64 {
        self.next[name].saturating_sub(1)
    }

    /// Delivery starts after `offset`: a new session.
    pub fn begin(&mut self, offset: u64) {
        self.position = offset;
    }

    /// Delivery goes on after `offset`: a session taken up, without a gap.
    pub fn go_on(&mut self, offset: u64, faults: &mut Faults) {
        if offset != self.position {
            faults.misplaced += 1;
        }
    }

    /// What comes next is not known: the events up to `last` were lost, and the client was told.
    pub fn skip(&mut self, last: u64) {
        self.position = self.position.max(last);
        self.next = [0; MAX_NAMES];
    }

    /// Whether this is a connection whose events are consecutive in every way, and whose next one has `counter`.
    #[must_use]
    pub fn expects(&self, counter: u64) -> bool {
        self.whole
            && self.single
            && self.next[0] == counter
            && self.shift == Some((self.position + 1).wrapping_sub(counter))
    }

    /// The next `events` events, which are as expected.
    pub fn take_expected(&mut self, events: u64) {
        self.position += events;
        self.next[0] += events;
    }

    /// The next event.
    #[inline]
    pub fn take(&mut self, name: usize, offset: u64, counter: u64, faults: &mut Faults) {
        if offset <= self.position {
            self.note_old(name, counter, faults);
            return;
        }
        let expected = self.next[name];
        if expected != counter && expected != 0 {
            if counter > expected {
                faults.missing += counter - expected;
                if self.absent.len() < MAX_ABSENT {
                    self.absent.push((name, expected, counter - 1));
                }
            } else {
                self.note_old(name, counter, faults);
            }
        }
        if self.whole {
            if offset != self.position + 1 {
                faults.holes += 1;
            }
            if self.single
                && *self.shift.get_or_insert(offset.wrapping_sub(counter)) != offset.wrapping_sub(counter)
            {
                faults.holes += 1;
            }
        }
        self.position = offset;
        self.next[name] = counter + 1;
    }

    /// An event that is not newer than what came before.
    fn note_old(&mut self, name: usize, counter: u64, faults: &mut Faults) {
        let found =
            self.absent.iter().position(|&(of, first, last)| of == name && (first..=last).contains(&counter));
        let Some(at) = found else {
            faults.twice += 1;
            return;
        };
        let (_, first, last) = self.absent.swap_remove(at);
        if first < counter {
            self.absent.push((name, first, counter - 1));
        }
        if counter < last {
            self.absent.push((name, counter + 1, last));
        }
        faults.missing -= 1;
        faults.late += 1;
    }
}
