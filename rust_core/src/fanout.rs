//! A batch of events cut out of a ring, and what of it one connection may see; knows no locks and no sockets.
//!
//! A sweep cuts one batch and offers it to every connection. In the common case, everyone at the same position and
//! subscribed to all that is in it, a connection's share is the whole lane: one slice, one system call.

use std::cell::OnceCell;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use roaring::RoaringBitmap;
use smallvec::SmallVec;

use crate::audience::{Audience, Members};
use crate::connection::ConnectionId;
use crate::event_stream;
use crate::frame::{self, Encoding, Form, Framing, LANES};
use crate::subscription::{NameId, Subscriptions, Topics};

/// One event of a batch.
#[derive(Clone, Debug)]
pub struct BatchEvent {
    /// Its name, and what else it is heard as.
    pub topics: Topics,
    /// Whom it is for.
    pub audience: Audience,
    /// Where its frame ends in each lane, in bytes since the batch began.
    pub ends: [usize; LANES],
}

/// Consecutive events, with their frames. Holds the ring's bytes by reference; costs no copy.
#[derive(Debug)]
pub struct Batch {
    /// The position that it starts after.
    from: u64,
    /// Bytes of all frames that the ring had published up to its end.
    published_bytes: u64,
    /// The events, in order.
    events: Vec<BatchEvent>,
    /// Bit set of the encodings whose lane of compressed frames has all of the events; the others have none of them.
    deflated: u8,
    /// Their frames, by form, with where each slice ends in its lane.
    lanes: [SmallVec<[(usize, Bytes); 2]>; LANES],
    /// The same as server-sent events. Rings have no lane for those: they are made of the frames when somebody takes
    /// them, once for all who read the batch.
    event_stream: OnceCell<EventStream>,
    /// The distinct names, if every event is for all subscribers of its name.
    plain: Option<SmallVec<[NameId; 4]>>,
}

/// The events of a batch as server-sent events.
#[derive(Debug)]
struct EventStream {
    /// All of them, with where that ends.
    lane: [(usize, Bytes); 1],
    /// Where each event ends.
    ends: Vec<usize>,
}

/// A connection's share of a batch: runs of bytes of one lane, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Where each run begins and ends in the lane. Runs do not touch.
    pub runs: SmallVec<[(usize, usize); 2]>,
    /// Number of events in it.
    pub events: u64,
}

impl Share {
    /// Number of bytes in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.iter().map(|run| run.1 - run.0).sum()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    fn push(&mut self, begin: usize, end: usize) {
        match self.runs.last_mut() {
            Some(last) if last.1 == begin => last.1 = end,
            _ if begin == end => {}
            _ => self.runs.push((begin, end)),
        }
    }
}

/// Most runs in one share: what one system call takes as separate buffers, with room for other frames.
const MAX_RUNS: usize = 512;

/// Above this many topics it is not worth looking for those who listen to one of them.
const MAX_TOPICS: usize = 64;

/// And above this many that are looked at to find them, of those with filters: an event may match thousands.
const MAX_FILTERED: usize = 512;

/// Above this many distinct names a batch is not worth checking as a whole.
const MAX_PLAIN_NAMES: usize = 16;

impl Batch {
    /// Events that follow `from`, and the slices that hold their frames; `deflated` names the encodings whose lane of
    /// compressed frames has them.
    #[must_use]
    pub fn new(
        from: u64,
        published_bytes: u64,
        events: Vec<BatchEvent>,
        lanes: [SmallVec<[Bytes; 2]>; LANES],
        deflated: u8,
    ) -> Self {
        let plain = distinct_names(&events);
        let lanes = lanes.map(|slices| {
            let mut end = 0;
            let with_end = |bytes: Bytes| {
                end += bytes.len();
                (end, bytes)
            };
            slices.into_iter().map(with_end).collect()
        });
        Self { from, published_bytes, events, deflated, lanes, event_stream: OnceCell::new(), plain }
    }

    /// Make the events ready for a form that the ring has none of: to be called before they are looked at in that form.
    /// `epoch` is that of their stream.
    pub fn prepare(&self, form: Form, epoch: &str) {
        if form.framing == Framing::EventStream {
            self.event_stream.get_or_init(|| self.as_event_stream(epoch));
        }
    }

    fn as_event_stream(&self, epoch: &str) -> EventStream {
        let frames = Form::from(Encoding::Json);
        let mut out = BytesMut::new();
        let mut ends = Vec::with_capacity(self.events.len());
        for offset in self.from + 1..=self.to() {
            // A frame lies in one slice. There is none of an event that is older than the first connection with JSON.
            let run = (self.begin(frames, offset), self.end(frames, offset));
            for (_, payload, _) in self.slices(frames, run).filter_map(frame::split) {
                event_stream::push_message_at(&mut out, epoch, offset, payload);
            }
            ends.push(out.len());
        }
        EventStream { lane: [(out.len(), out.freeze())], ends }
    }

    /// Bytes of all frames that the ring had published up to the end of the batch.
    #[must_use]
    pub fn published_bytes(&self) -> u64 {
        self.published_bytes
    }

    /// The position that it starts after.
    #[must_use]
    pub fn from(&self) -> u64 {
        self.from
    }

    /// The offset of its last event; `from` if it is empty.
    #[must_use]
    pub fn to(&self) -> u64 {
        self.from + self.events.len() as u64
    }

    /// Whether there is no event in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The topics that its events to subscribers are heard as, each once: who listens to none of them has only to be
    /// visited for other events. `None` if there are so many that the events pay for a visit to everybody.
    #[must_use]
    pub fn topics(&self) -> Option<SmallVec<[NameId; 4]>> {
        let mut topics: SmallVec<[NameId; 4]> = SmallVec::new();
        let (mut filtered, mut looked_at): (&[NameId], usize) = (&[], 0);
        for event in self.events.iter().filter(|event| event.audience.is_of_subscribers()) {
            let name = event.topics.name();
            if topics.last() != Some(&name) && !topics.contains(&name) {
                topics.push(name);
            }
            // Events that match the same filters share the list of them.
            if !std::ptr::eq(filtered, event.topics.filtered()) {
                filtered = event.topics.filtered();
                looked_at += filtered.len();
                if looked_at > MAX_FILTERED {
                    return None;
                }
                for topic in filtered {
                    if !topics.contains(topic) {
                        topics.push(*topic);
                    }
                }
            }
            if topics.len() > MAX_TOPICS {
                return None;
            }
        }
        Some(topics)
    }

    /// The slots of the connections to visit, sorted: of those who listen to one of its [topics](Self::topics), and of
    /// those who are named.
    #[must_use]
    pub fn targets(&self, listeners: RoaringBitmap) -> Vec<u32> {
        let mut slots = listeners;
        let mut known: Option<&Arc<Members>> = None;
        for event in &self.events {
            if let Audience::Only(members) = &event.audience
                && known.is_none_or(|known| !Arc::ptr_eq(known, members))
            {
                known = Some(members);
                members.add_slots(&mut slots);
            }
        }
        slots.into_iter().collect()
    }

    /// What a connection that is at `position` may see of the events up to `limit`, and the position after it.
    ///
    /// A share that would take too many runs ends early, at the position that is returned.
    #[must_use]
    pub fn share(
        &self,
        form: Form,
        viewer: ConnectionId,
        subscriptions: &Subscriptions,
        position: u64,
        limit: u64,
    ) -> (Share, u64) {
        let limit = limit.min(self.to());
        let mut share = Share::default();
        if position >= limit {
            return (share, position);
        }
        let first = position.max(self.from) + 1;
        if first > limit {
            // What lies between was let go, and was for others: the batch begins behind the limit.
            return (share, limit);
        }
        if let Some(names) = &self.plain
            && subscriptions.covers_all(names, first, limit)
        {
            share.push(self.begin(form, first), self.end(form, limit));
            share.events = limit - first + 1;
            return (share, limit);
        }
        // Events for the same few, one after the other, are common: those are looked up once.
        let mut known: Option<(&Arc<Members>, bool)> = None;
        for offset in first..=limit {
            let event = self.event(offset);
            let admitted = match (&event.audience, known) {
                (Audience::Only(members), Some((same, admitted))) if Arc::ptr_eq(members, same) => admitted,
                (Audience::Only(members), _) => known.insert((members, members.contains(viewer))).1,
                (audience, _) => audience.admits(viewer, subscriptions, &event.topics, offset),
            } || subscriptions.is_chosen(offset);
            if admitted {
                if share.runs.len() == MAX_RUNS {
                    return (share, offset - 1);
                }
                share.push(self.begin(form, offset), self.end(form, offset));
                share.events += 1;
            }
        }
        (share, limit)
    }

    /// The bytes of one run, as the slices that hold them.
    pub fn slices(&self, form: Form, run: (usize, usize)) -> impl Iterator<Item = &[u8]> + '_ {
        let lane: &[(usize, Bytes)] = match self.event_stream(form) {
            Some(made) => &made.lane,
            None => &self.lanes[self.lane(form)],
        };
        let first = lane.partition_point(|(end, _)| *end <= run.0);
        lane[first..].iter().map_while(move |(end, bytes)| {
            let begin = end - bytes.len();
            (begin < run.1).then(|| &bytes[run.0.saturating_sub(begin)..bytes.len().min(run.1 - begin)])
        })
    }

    /// The event whose frame holds the byte before `end` of the lane, and where that frame ends.
    #[must_use]
    pub fn event_ending_at(&self, form: Form, end: usize) -> (u64, usize) {
        let index = match self.event_stream(form) {
            Some(made) => made.ends.partition_point(|&event| event < end),
            None => {
                let lane = self.lane(form);
                self.events.partition_point(|event| event.ends[lane] < end)
            }
        };
        let offset = self.from + 1 + index as u64;
        (offset, self.end(form, offset))
    }

    /// How many events of a share begin within its first `written` bytes.
    #[must_use]
    pub fn events_begun(&self, form: Form, share: &Share, mut written: usize) -> u64 {
        let mut begun = 0;
        for &(begin, end) in &share.runs {
            let taken = written.min(end - begin);
            if taken == 0 {
                break;
            }
            let (first, _) = self.event_ending_at(form, begin + 1);
            let (last, _) = self.event_ending_at(form, begin + taken);
            begun += last - first + 1;
            written -= taken;
        }
        begun
    }

    /// What [`Self::prepare`] has made for this form, if it is one of which rings have none.
    fn event_stream(&self, form: Form) -> Option<&EventStream> {
        if form.framing == Framing::EventStream { self.event_stream.get() } else { None }
    }

    /// Where a form is read from: what is not there compressed goes out as it is, which every client takes.
    fn lane(&self, form: Form) -> usize {
        let plain = Form::from(form.encoding);
        let is_there = self.deflated & (1 << plain.lane()) != 0;
        if is_there { form.lane() } else { plain.lane() }
    }

    fn event(&self, offset: u64) -> &BatchEvent {
        &self.events[(offset - self.from - 1) as usize]
    }

    fn begin(&self, form: Form, offset: u64) -> usize {
        if offset == self.from + 1 { 0 } else { self.end(form, offset - 1) }
    }

    fn end(&self, form: Form, offset: u64) -> usize {
        match self.event_stream(form) {
            Some(made) => made.ends[(offset - self.from - 1) as usize],
            None => self.event(offset).ends[self.lane(form)],
        }
    }
}

fn distinct_names(events: &[BatchEvent]) -> Option<SmallVec<[NameId; 4]>> {
    let mut names: SmallVec<[NameId; 4]> = SmallVec::new();
    for event in events {
        if !matches!(event.audience, Audience::Subscribers) {
            return None;
        }
        let name = event.topics.name();
        if names.last() != Some(&name) && !names.contains(&name) {
            if names.len() == MAX_PLAIN_NAMES {
                return None;
            }
            names.push(name);
        }
    }
    Some(names)
}
