//! Who listens to what, and since which offset: interned event names, and the intervals of one connection.
//!
//! A change of subscription is ordered among the events: it holds from the next offset on. Because the intervals
//! keep *when*, whoever reads the ring later (a slow socket, a client that was away) reaches the same answer as
//! the sweep that ran at the time.

mod question;

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::frame::NameBytes;
use question::Aside;

/// An event name of one stream, as a small integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(u32);

/// The event names that one stream knows: those of retained events, and those that connections listen to or listened
/// to as far as it matters. Others are forgotten, so that names that are made up as it goes do not fill the table.
///
/// An id may be given again. Whatever still mentions it (the ledger of a ring, a batch on its way) speaks of offsets
/// below those of the name that has it now, so that no interval of that name covers them.
#[derive(Debug, Default)]
pub struct Names {
    /// Every known name.
    ids: HashMap<Arc<str>, NameId>,
    /// Indexed by `NameId`; `None` where an id is free to be given again.
    known: Vec<Option<Name>>,
    /// Ids to give again before new ones.
    free: Vec<NameId>,
}

/// What a stream knows of one event name.
#[derive(Debug)]
struct Name {
    /// The name itself, shared with the key of the map.
    text: Arc<str>,
    /// The name as it stands in event messages; shared with the publisher, which builds frames without the table.
    bytes: Arc<NameBytes>,
    /// What refers to it: retained events, and intervals of connections. Forgotten at 0.
    uses: usize,
    /// Offset of the newest event of this name that went to subscribers; 0 before the first.
    newest: u64,
}

impl Names {
    /// The id of `name`, given now if it is new. It stays when something uses it; [`Self::forget_unused`] otherwise.
    pub fn intern(&mut self, name: &str) -> NameId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let text: Arc<str> = name.into();
        let entry =
            Name { text: Arc::clone(&text), bytes: Arc::new(NameBytes::new(name)), uses: 0, newest: 0 };
        let id = match self.free.pop() {
            Some(id) => {
                self.known[id.0 as usize] = Some(entry);
                id
            }
            None => {
                self.known.push(Some(entry));
                NameId(self.known.len() as u32 - 1)
            }
        };
        self.ids.insert(text, id);
        id
    }

    /// The id of `name`, if it is known.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NameId> {
        self.ids.get(name).copied()
    }

    /// Number of known names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no name is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn get(&self, id: NameId) -> &Name {
        // A `NameId` is only made by `intern`, and freed when no interval and no ring entry refers to it.
        self.known[id.0 as usize].as_ref().expect("a name in use is known")
    }

    fn get_mut(&mut self, id: NameId) -> &mut Name {
        self.known[id.0 as usize].as_mut().expect("a name in use is known")
    }

    /// The prepared bytes of a name.
    #[must_use]
    pub fn bytes(&self, id: NameId) -> Arc<NameBytes> {
        Arc::clone(&self.get(id).bytes)
    }

    /// The name with this id, unless it has been forgotten.
    #[must_use]
    pub fn text(&self, id: NameId) -> Option<&Arc<str>> {
        self.known[id.0 as usize].as_ref().map(|name| &name.text)
    }

    /// Offset of the newest event of this name that went to subscribers; 0 if there was none.
    #[must_use]
    pub fn newest(&self, id: NameId) -> u64 {
        self.get(id).newest
    }

    /// Note that an event of this name is retained now, and its offset as `newest` if it went to subscribers.
    pub fn note_published(&mut self, id: NameId, newest: Option<u64>) {
        self.add_use(id);
        if let Some(offset) = newest {
            self.get_mut(id).newest = offset;
        }
    }

    /// Note that an event of this name is not retained any more.
    pub fn note_let_go(&mut self, id: NameId) {
        self.remove_use(id);
    }

    /// Forget a name that was interned for nothing.
    pub fn forget_unused(&mut self, id: NameId) {
        let name = self.get(id);
        if name.uses == 0 {
            let text = Arc::clone(&name.text);
            self.ids.remove(&text);
            self.known[id.0 as usize] = None;
            self.free.push(id);
        }
    }

    fn add_use(&mut self, id: NameId) {
        self.get_mut(id).uses += 1;
    }

    fn remove_use(&mut self, id: NameId) {
        self.get_mut(id).uses -= 1;
        self.forget_unused(id);
    }
}

/// Closed intervals that are kept per connection though the ring holds nothing of them.
const MAX_CLOSED: usize = 64;

/// One stretch of offsets during which a connection was subscribed to a name.
#[derive(Clone, Copy, Debug)]
struct Interval {
    /// The event name.
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
    /// Sorted by name, then by time; of one name only the last may be open.
    intervals: SmallVec<[Interval; 1]>,
    /// The newest event in the intervals that were dropped; 0 if none was. The ring had let it go by then.
    forgotten: u64,
    /// What nearly nobody has: what is being decided, and what was decided late.
    aside: Option<Box<Aside>>,
}

impl Subscriptions {
    /// Subscribe to `name` for what comes after `head`. False if it was subscribed already.
    pub fn add(&mut self, names: &mut Names, name: &str, head: u64) -> bool {
        let id = names.intern(name);
        let end = self.end_of(id);
        if self.last_before(end, id).is_some_and(|interval| interval.until == OPEN) {
            return false;
        }
        names.add_use(id);
        self.intervals.insert(end, Interval { name: id, since: head + 1, until: OPEN, newest: 0 });
        true
    }

    /// Unsubscribe from `name` for what comes after `head`. False if it was not subscribed.
    ///
    /// `first` is the oldest offset that the ring retains. `newest(name, offset)` is the newest event of that name,
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
        let interval = &mut self.intervals[end - 1];
        let newest = newest(id, names.newest(id));
        if newest >= interval.since {
            interval.until = head;
            interval.newest = newest;
        } else {
            // Nothing in it was for this connection: no replay can ask for it.
            self.intervals.remove(end - 1);
            names.remove_use(id);
        }
        self.forget_surplus(names, first);
        true
    }

    /// Stop listening to every name, as [`Self::remove`] does for one.
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
        self.intervals.drain(..).for_each(|interval| names.remove_use(interval.name));
    }

    /// Names that are subscribed to now.
    pub fn open(&self) -> impl Iterator<Item = NameId> + '_ {
        self.intervals.iter().filter(|interval| interval.until == OPEN).map(|interval| interval.name)
    }

    /// Whether it is subscribed to now.
    #[must_use]
    pub fn listens(&self, name: NameId) -> bool {
        self.last_before(self.end_of(name), name).is_some_and(|interval| interval.until == OPEN)
    }

    /// Whether an event of this name and offset was subscribed to when it was published.
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
