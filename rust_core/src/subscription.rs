//! Who listens to what, and since which offset: the intervals of one connection.
//!
//! What a connection listens to is a *topic*: an event name, or an event name together with a filter over the fields of
//! the event. A change of subscription is ordered among the events: it holds from the next offset on. Because the
//! intervals keep *when*, whoever reads the ring later (a slow socket, a client that was away) reaches the same answer
//! as the sweep that ran at the time.

mod filters;
mod listened;
mod listeners;
mod names;
mod question;
mod topic;

use smallvec::SmallVec;

pub use self::listened::Listened;
pub use self::names::{NameId, Names, Topics};
use self::question::Aside;
pub use self::topic::Topic;

pub(crate) use self::filters::matches;

/// Closed intervals that are kept per connection though the ring holds nothing of them.
const MAX_CLOSED: usize = 64;

/// One stretch of offsets during which a connection was subscribed to a name.
#[derive(Clone, Copy, Debug)]
struct Interval {
    /// The topic.
    name: NameId,
    /// The first offset that it covers.
    since: u64,
    /// The last offset that it covers; `OPEN` while subscribed.
    until: u64,
    /// Of a closed interval: the newest event in it that was for the connection; 0 while open. It decides whether a
    /// gap is real once that event is evicted.
    newest: u64,
}

const OPEN: u64 = u64::MAX;

/// The subscriptions of one connection, past ones included as far as a replay may ask for them.
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// The slot of the connection, by which sweeps know who listens to what.
    slot: u32,
    /// Sorted by name, then by time; of one name only the last may be open.
    intervals: SmallVec<[Interval; 1]>,
    /// The newest event in the intervals that were dropped; 0 if none was. The ring had let it go by then.
    forgotten: u64,
    /// What nearly nobody has: what is being decided, and what was decided late.
    aside: Option<Box<Aside>>,
}

impl Subscriptions {
    /// None yet, of the connection in this slot.
    #[must_use]
    pub fn of(slot: usize) -> Self {
        Self { slot: slot as u32, ..Self::default() }
    }

    /// Subscribe to `topic` for what comes after `head`. False if it was subscribed already.
    pub fn add<'a>(&mut self, names: &mut Names, topic: impl Into<Topic<'a>>, head: u64) -> bool {
        let id = names.intern_topic(&topic.into());
        let end = self.end_of(id);
        if self.last_before(end, id).is_some_and(|interval| interval.until == OPEN) {
            return false;
        }
        names.add_use(id);
        names.begin_listening(id);
        names.add_listener(id, self.slot);
        self.intervals.insert(end, Interval { name: id, since: head + 1, until: OPEN, newest: 0 });
        true
    }

    /// Unsubscribe from the topic with this text for what comes after `head`. False if it was not subscribed.
    ///
    /// `first` is the oldest offset that the ring retains. `newest(name, offset)` is the newest event of that topic,
    /// `offset` or an older one, from which the connection was not excluded; 0 if there is none.
    pub fn remove(
        &mut self,
        names: &mut Names,
        name: &str,
        head: u64,
        first: u64,
        newest: impl FnOnce(NameId, u64) -> u64,
    ) -> bool {
        let Some(id) = names.find(name) else {
            return false;
        };
        self.remove_id(names, id, head, first, newest)
    }

    fn remove_id(
        &mut self,
        names: &mut Names,
        id: NameId,
        head: u64,
        first: u64,
        newest: impl FnOnce(NameId, u64) -> u64,
    ) -> bool {
        let end = self.end_of(id);
        if self.last_before(end, id).is_none_or(|interval| interval.until != OPEN) {
            return false;
        }
        names.end_listening(id);
        names.remove_listener(id, self.slot);
        let interval = &mut self.intervals[end - 1];
        let newest = newest(id, names.newest(id));
        if newest >= interval.since {
            interval.until = head;
            interval.newest = newest;
            names.note_left(self.slot, newest);
        } else {
            // Nothing in it was for this connection: no replay can ask for it.
            self.intervals.remove(end - 1);
            names.remove_use(id);
        }
        self.forget_surplus(names, first);
        true
    }

    /// Stop listening to every topic, as [`Self::remove`] does for one.
    pub fn remove_all(
        &mut self,
        names: &mut Names,
        head: u64,
        first: u64,
        newest: impl Fn(NameId, u64) -> u64,
    ) {
        self.give_up(names);
        for id in self.open().collect::<Vec<_>>() {
            self.remove_id(names, id, head, first, &newest);
        }
    }

    /// Give all names back when the connection ends.
    pub fn clear(&mut self, names: &mut Names) {
        self.give_up(names);
        for interval in self.intervals.drain(..) {
            if interval.until == OPEN {
                names.end_listening(interval.name);
                names.remove_listener(interval.name, self.slot);
            }
            names.remove_use(interval.name);
        }
    }

    /// Topics that are subscribed to now.
    pub fn open(&self) -> impl Iterator<Item = NameId> + '_ {
        self.intervals.iter().filter(|interval| interval.until == OPEN).map(|interval| interval.name)
    }

    /// Whether it is subscribed to now.
    #[must_use]
    pub fn listens(&self, name: NameId) -> bool {
        self.last_before(self.end_of(name), name).is_some_and(|interval| interval.until == OPEN)
    }

    /// Whether one of the topics of an event is subscribed to now.
    #[must_use]
    pub fn listens_to_any(&self, topics: &Topics) -> bool {
        topics.iter().any(|topic| self.listens(topic))
    }

    /// Whether it is, or was, subscribed to, as far as that still matters, or may turn out to have been.
    #[must_use]
    pub fn knows(&self, name: NameId) -> bool {
        self.last_before(self.end_of(name), name).is_some() || self.is_asked(name)
    }

    /// Whether an event of these topics and this offset was subscribed to when it was published.
    #[must_use]
    pub fn covers_any(&self, topics: &Topics, offset: u64) -> bool {
        if self.covers(topics.name(), offset) {
            return true;
        }
        let matched = topics.filtered();
        if matched.len() <= self.intervals.len() {
            return matched.iter().any(|&topic| self.covers(topic, offset));
        }
        // An event may match thousands of filters, of which a connection has a few.
        self.intervals.iter().any(|interval| {
            (interval.since..=interval.until).contains(&offset)
                && matched.binary_search(&interval.name).is_ok()
        })
    }

    /// Whether an event of this topic and offset was subscribed to when it was published.
    #[must_use]
    pub fn covers(&self, name: NameId, offset: u64) -> bool {
        // The last interval of this name that begins at or before the offset decides.
        let end =
            self.intervals.partition_point(|interval| (interval.name, interval.since) <= (name, offset));
        self.last_before(end, name).is_some_and(|interval| offset <= interval.until)
    }

    /// Whether every event of `names` with an offset in `first..=last` is covered.
    #[must_use]
    pub fn covers_all(&self, names: &[NameId], first: u64, last: u64) -> bool {
        names.iter().all(|&name| {
            self.last_before(self.end_of(name), name)
                .is_some_and(|interval| interval.since <= first && interval.until >= last)
        })
    }

    /// The newest event that was covered, of those that a ring let go; 0 if there is none.
    ///
    /// `evicted(name)` is the offset of the newest event of that name to subscribers that the ring no longer holds.
    #[must_use]
    pub fn newest_lost(&self, evicted: impl Fn(NameId) -> u64) -> u64 {
        let covered = self.intervals.iter().map(|interval| {
            let evicted = evicted(interval.name);
            // All of a closed interval is gone when its newest event is; then that one decides.
            let newest = if interval.until == OPEN { evicted } else { evicted.min(interval.newest) };
            if newest >= interval.since { newest } else { 0 }
        });
        covered.max().unwrap_or(0).max(self.forgotten)
    }

    fn end_of(&self, name: NameId) -> usize {
        self.intervals.partition_point(|interval| interval.name <= name)
    }

    fn last_before(&self, end: usize, name: NameId) -> Option<&Interval> {
        self.intervals[..end].last().filter(|interval| interval.name == name)
    }

    /// A client that subscribes and unsubscribes for ever costs a bounded amount: no more intervals than this, and
    /// than there are events in the ring. Of one that the ring holds nothing of, only its newest event matters.
    fn forget_surplus(&mut self, names: &mut Names, first: u64) {
        if self.intervals.iter().filter(|interval| interval.until != OPEN).count() <= MAX_CLOSED {
            return;
        }
        let forgotten = &mut self.forgotten;
        self.intervals.retain(|interval| {
            let keep = interval.until == OPEN || interval.newest >= first;
            if !keep {
                *forgotten = (*forgotten).max(interval.newest);
                names.remove_use(interval.name);
            }
            keep
        });
    }
}
