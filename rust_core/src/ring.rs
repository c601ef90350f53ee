//! A bounded, in-order buffer of events, and what it remembers of those it let go; knows no connections or sockets.
//!
//! Frames lie one after the other in blocks, one lane per form: each encoding as it is, and compressed. Publishing copies a frame to the end of the
//! open block; reading *seals* what is there, which costs no copy, so any number of events between two readings
//! is one contiguous slice that is sent as it is.

mod evicted;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use crate::audience::{Audience, Viewers};
use crate::connection::ConnectionId;
use crate::deflate::{Args, Deflated};
use crate::fanout::{Batch, BatchEvent};
use crate::frame::{self, ENCODINGS, LANES, NameBytes};
use crate::subscription::{NameId, Subscriptions, Topics};
use evicted::Evicted;

/// How much a ring holds: whichever bound is met first lets the oldest event go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most events.
    pub max_events: usize,
    /// Most bytes, over frames and bookkeeping.
    pub max_bytes: usize,
}

/// Smallest and largest size of a block of frames. Blocks grow with the ring, so that a quiet actor stays small.
const MIN_BLOCK_BYTES: usize = 1 << 10;
const MAX_BLOCK_BYTES: usize = 1 << 16;

/// After so many events in a row that were not compressed, a lane of compressed frames gets no more of them until one
/// is. An actor whose events are small keeps each once, and where large ones come now and then, batches stay whole.
const MAX_AS_IS_RUN: u32 = 64;

/// One retained event.
#[derive(Debug)]
struct Entry {
    /// Its name, and what else it is heard as.
    topics: Topics,
    /// Whom it is for.
    audience: Audience,
    /// Where its frame ends in each lane, in bytes since the stream began. It begins where the one before ended.
    ends: [u64; LANES],
    /// Bit set of the encodings of which the lane of compressed frames has it too.
    deflated: u8,
    /// Bytes of bookkeeping since the stream began, this event's included.
    bookkeeping_end: u64,
}

impl Entry {
    fn bookkeeping_bytes(&self) -> usize {
        size_of::<Self>() + self.audience.list_bytes() + self.topics.bytes()
    }
}

/// The frames of one form.
#[derive(Debug, Default)]
struct Lane {
    /// Readable slices, oldest first, with where each begins. Consecutive without holes.
    sealed: VecDeque<(u64, Bytes)>,
    /// Frames since the last seal; begins where the last sealed slice ends.
    open: BytesMut,
    /// Where the oldest retained frame begins.
    start: u64,
    /// Where the newest frame ends.
    end: u64,
}

impl Lane {
    /// Have `write` append a frame of at most `needed` bytes.
    fn push(&mut self, needed: usize, write: impl FnOnce(&mut BytesMut)) {
        if self.open.capacity() - self.open.len() < needed {
            self.seal();
            let retained = (self.end - self.start) as usize;
            let block = (retained / 4).next_power_of_two().clamp(MIN_BLOCK_BYTES, MAX_BLOCK_BYTES);
            self.open = BytesMut::with_capacity(block.max(needed));
        }
        let before = self.open.len();
        write(&mut self.open);
        self.end += (self.open.len() - before) as u64;
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            let begin = self.end - self.open.len() as u64;
            self.sealed.push_back((begin, self.open.split().freeze()));
        }
    }

    fn release_before(&mut self, start: u64) {
        self.start = start;
        while self.sealed.front().is_some_and(|(begin, bytes)| begin + bytes.len() as u64 <= start) {
            self.sealed.pop_front();
        }
    }

    /// Clone the slices (not the bytes) that cover `from..to`. What is open must have been sealed.
    fn slices(&self, from: u64, to: u64) -> SmallVec<[Bytes; 2]> {
        let first = self.sealed.partition_point(|(begin, bytes)| begin + bytes.len() as u64 <= from);
        let mut slices = SmallVec::new();
        for (begin, bytes) in self.sealed.range(first..).take_while(|(begin, _)| *begin < to) {
            let cut = from.saturating_sub(*begin) as usize..bytes.len().min((to - begin) as usize);
            slices.push(bytes.slice(cut));
        }
        slices
    }
}

/// The events of one stream. Offsets count up from its base and have no holes.
#[derive(Debug)]
pub struct Ring {
    /// The stream's number in event frames.
    stream: u32,
    /// When to let events go.
    limits: Limits,
    /// Offset of the newest event ever published; where the stream goes on before the first.
    head: u64,
    /// The retained events, up to `head`.
    entries: VecDeque<Entry>,
    /// Bytes of bookkeeping of `entries`.
    bookkeeping_bytes: usize,
    /// Bytes of bookkeeping of all events ever published.
    bookkeeping_end: u64,
    /// Their frames, by form.
    lanes: [Lane; LANES],
    /// By encoding: how many events in a row stand in the lane of compressed frames as they are. [`MAX_AS_IS_RUN`] when
    /// the newest is not in it.
    as_is_run: [u32; ENCODINGS],
    /// What was let go.
    evicted: Evicted,
}

/// An event was appended.
#[derive(Debug)]
pub struct Published {
    /// Its offset.
    pub offset: u64,
    /// The topics of the events that were let go for it.
    pub let_go: SmallVec<[Topics; 2]>,
}

/// An event exceeds what the ring may hold in all.
#[derive(Debug, PartialEq, Eq)]
pub struct EventTooLarge {
    /// What it would take.
    pub bytes: usize,
    /// What there is.
    pub max_bytes: usize,
}

impl Ring {
    /// An empty ring, whose first event gets the offset `base + 1`.
    #[must_use]
    pub fn new(stream: u32, limits: Limits, base: u64) -> Self {
        Self {
            stream,
            limits,
            head: base,
            entries: VecDeque::new(),
            bookkeeping_bytes: 0,
            bookkeeping_end: 0,
            lanes: Default::default(),
            as_is_run: [MAX_AS_IS_RUN; ENCODINGS],
            evicted: Evicted::default(),
        }
    }

    /// Offset of the newest event; the base before the first.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Offset of the oldest retained event; `head + 1` when there is none.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.head + 1 - self.entries.len() as u64
    }

    /// Number of retained events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no event is retained.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of retained frames and bookkeeping.
    #[must_use]
    pub fn retained_bytes(&self) -> usize {
        self.frame_bytes() + self.bookkeeping_bytes
    }

    /// Bytes of the retained events after `position`, frames and bookkeeping.
    #[must_use]
    pub fn bytes_after(&self, position: u64) -> usize {
        let Some(before) = position.checked_sub(self.first()) else {
            return self.retained_bytes();
        };
        self.entries.get(before as usize).map_or(0, |entry| {
            let frames: u64 = self.lanes.iter().zip(entry.ends).map(|(lane, end)| lane.end - end).sum();
            (frames + self.bookkeeping_end - entry.bookkeeping_end) as usize
        })
    }

    fn frame_bytes(&self) -> usize {
        self.lanes.iter().map(|lane| (lane.end - lane.start) as usize).sum()
    }

    /// Bytes of all frames ever published; the difference of two readings is what was published between.
    #[must_use]
    pub fn published_bytes(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.end).sum()
    }

    /// Append an event; the oldest go while a bound is exceeded.
    ///
    /// `viewers` are asked about those whom an evicted event names.
    ///
    /// # Errors
    /// [`EventTooLarge`] if the event alone exceeds the ring; nothing has changed then.
    pub fn publish(
        &mut self,
        topics: impl Into<Topics>,
        bytes: &NameBytes,
        args: Args<'_>,
        audience: Audience,
        viewers: impl Viewers,
    ) -> Result<Published, EventTooLarge> {
        let topics = topics.into();
        let (mut needed, mut compressed) = (size_of::<Entry>() + audience.list_bytes() + topics.bytes(), 0);
        for (encoding, args, deflated) in args.forms() {
            needed += frame::max_event_bytes(encoding, bytes, args.len());
            compressed += frame::max_event_bytes(encoding, bytes, deflated.len_of(args));
        }
        if needed > self.limits.max_bytes {
            return Err(EventTooLarge { bytes: needed, max_bytes: self.limits.max_bytes });
        }
        self.head += 1;
        // What fits as it is does not become too large because somebody would take it compressed as well.
        let with_deflated = needed + compressed <= self.limits.max_bytes && bytes.fits_stored_block();
        let deflated = self.push_frames(bytes, args, with_deflated);
        let ends = self.lanes.each_ref().map(|lane| lane.end);
        let mut entry = Entry { topics, audience, ends, deflated, bookkeeping_end: 0 };
        self.bookkeeping_bytes += entry.bookkeeping_bytes();
        self.bookkeeping_end += entry.bookkeeping_bytes() as u64;
        entry.bookkeeping_end = self.bookkeeping_end;
        self.entries.push_back(entry);
        let mut let_go = SmallVec::new();
        while self.entries.len() > self.limits.max_events || self.retained_bytes() > self.limits.max_bytes {
            let_go.extend(self.evict_oldest(&viewers));
        }
        Ok(Published { offset: self.head, let_go })
    }

    /// Append the newest event to the lanes. Returns of which encodings the lane of compressed frames has it.
    fn push_frames(&mut self, name: &NameBytes, args: Args<'_>, with_deflated: bool) -> u8 {
        let (stream, head, mut set) = (self.stream, self.head, 0);
        for (encoding, args, deflated) in args.forms() {
            let index = encoding.index();
            let as_is = |out: &mut BytesMut| {
                frame::push_event(out, encoding, stream, head, name, args);
            };
            self.lanes[index].push(frame::max_event_bytes(encoding, name, args.len()), as_is);
            let (lane, run) = (&mut self.lanes[ENCODINGS + index], &mut self.as_is_run[index]);
            match deflated {
                Deflated::Bytes(bytes) if with_deflated => {
                    *run = 0;
                    lane.push(frame::max_event_bytes(encoding, name, bytes.len()), |out| {
                        frame::push_deflated_event(out, encoding, stream, head, name, bytes);
                    });
                }
                Deflated::AsIs if with_deflated && *run < MAX_AS_IS_RUN => {
                    *run += 1;
                    lane.push(frame::max_event_bytes(encoding, name, args.len()), as_is);
                }
                _ => {
                    *run = MAX_AS_IS_RUN;
                    continue;
                }
            }
            set |= 1 << index;
        }
        set
    }

    fn evict_oldest(&mut self, viewers: &impl Viewers) -> Option<Topics> {
        let offset = self.first();
        let entry = self.entries.pop_front()?;
        self.bookkeeping_bytes -= entry.bookkeeping_bytes();
        for (lane, end) in self.lanes.iter_mut().zip(entry.ends) {
            lane.release_before(end);
        }
        self.evicted.note(offset, &entry.topics, &entry.audience, viewers);
        Some(entry.topics)
    }

    /// Let all events go, when nobody will ask for them again.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bookkeeping_bytes = 0;
        for lane in &mut self.lanes {
            *lane = Lane { start: lane.end, end: lane.end, ..Lane::default() };
        }
        self.evicted = Evicted::default();
    }

    /// Cut the events after `position` out of the ring, at most `max_bytes` of the largest lane but at least one.
    ///
    /// Begins with the oldest retained event if those before it are gone: see [`Self::has_lost`]. Ends where a lane of
    /// compressed frames begins or ends, so that each lane has all of the batch or nothing.
    pub fn batch(&mut self, position: u64, max_bytes: usize) -> Batch {
        let from = position.max(self.first() - 1).min(self.head);
        let begin = (from + 1 - self.first()) as usize;
        let starts = match begin.checked_sub(1) {
            Some(before) => self.entries[before].ends,
            None => self.lanes.each_ref().map(|lane| lane.start),
        };
        let deflated = self.entries.get(begin).map_or(0, |entry| entry.deflated);
        let fits = |entry: &Entry| {
            entry.deflated == deflated
                && entry.ends.iter().zip(starts).all(|(end, start)| (end - start) as usize <= max_bytes)
        };
        let mut events = Vec::new();
        for entry in self.entries.range(begin..) {
            if !events.is_empty() && !fits(entry) {
                break;
            }
            let mut ends = [0; LANES];
            for lane in 0..LANES {
                ends[lane] = (entry.ends[lane] - starts[lane]) as usize;
            }
            events.push(BatchEvent { topics: entry.topics.clone(), audience: entry.audience.clone(), ends });
        }
        let ends = events.last().map_or([0; LANES], |event| event.ends);
        let mut lanes: [SmallVec<[Bytes; 2]>; LANES] = Default::default();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            lane.seal();
            lanes[index] = lane.slices(starts[index], starts[index] + ends[index] as u64);
        }
        let published_bytes = starts.iter().zip(ends).map(|(start, end)| start + end as u64).sum();
        Batch::new(from, published_bytes, events, lanes, deflated)
    }

    /// Whether the ring has let go an event after `position` that this connection was entitled to.
    #[must_use]
    pub fn has_lost(&self, position: u64, id: ConnectionId, subscriptions: &Subscriptions) -> bool {
        position + 1 < self.first() && self.newest_lost(id, subscriptions) > position
    }

    /// The newest event that the ring has let go and this connection was entitled to; 0 if there is none.
    #[must_use]
    pub fn newest_lost(&self, id: ConnectionId, subscriptions: &Subscriptions) -> u64 {
        let chosen = subscriptions.newest_chosen_before(self.first());
        self.evicted.newest_named(id).max(self.newest_lost_by_name(id, subscriptions)).max(chosen)
    }

    fn newest_lost_by_name(&self, id: ConnectionId, subscriptions: &Subscriptions) -> u64 {
        subscriptions.newest_lost(|name| self.evicted.newest_for(id, name))
    }

    /// Remember of a new connection that `offset`, which an earlier life of the stream has let go, was for it.
    pub fn remember_lost(&mut self, id: ConnectionId, offset: u64) {
        if offset > 0 {
            self.evicted.note_one(offset, id);
        }
    }

    /// Connections of which more is remembered than that events of some names were evicted.
    pub fn singled_out(&mut self, viewers: impl Viewers) -> Vec<ConnectionId> {
        self.evicted.singled_out(&viewers)
    }

    /// Forget what is remembered of a connection, if its intervals say as much.
    ///
    /// They will say as much for ever: what they tell only grows. So those who were sent something of their own once do
    /// not stay singled out.
    pub fn forget_redundant(&mut self, id: ConnectionId, subscriptions: &Subscriptions) {
        let named = self.evicted.forget_outdated(id);
        if named.is_some_and(|newest| newest <= self.newest_lost_by_name(id, subscriptions)) {
            self.forget(id);
        }
    }

    /// The newest evicted event to subscribers of each topic of which one above `after` was evicted.
    pub fn evicted_after(&self, after: u64) -> impl Iterator<Item = (NameId, u64)> + '_ {
        self.evicted.names_after(after)
    }

    /// The newest event of this topic to subscribers, at `offset` or before, from which the connection was not
    /// excluded; 0 if there is none. `offset` is that of the newest event of this topic to subscribers.
    #[must_use]
    pub fn newest_for(&self, id: ConnectionId, name: NameId, offset: u64) -> u64 {
        let first = self.first();
        let admits = |entry: &Entry| match &entry.audience {
            Audience::Subscribers => true,
            Audience::Except(members) => !members.contains(id),
            Audience::Only(_) => false,
        };
        let retained = (first..=offset).rev().find(|offset| {
            let entry = &self.entries[(offset - first) as usize];
            entry.topics.contains(name) && admits(entry)
        });
        retained.unwrap_or_else(|| self.evicted.newest_for(id, name))
    }

    /// Number of retained events after `position` that this connection was entitled to.
    #[must_use]
    pub fn count_for(&self, position: u64, id: ConnectionId, subscriptions: &Subscriptions) -> u64 {
        let first = self.first();
        let skip = (position + 1).saturating_sub(first) as usize;
        let retained = self.entries.iter().enumerate().skip(skip);
        retained
            .filter(|(index, entry)| {
                entry.audience.admits(id, subscriptions, &entry.topics, first + *index as u64)
            })
            .count() as u64
    }

    /// Forget what was kept for a connection that has ended.
    pub fn forget(&mut self, id: ConnectionId) {
        self.evicted.forget(id);
    }
}
