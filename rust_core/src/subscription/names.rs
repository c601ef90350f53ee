//! The topics of one stream as small integers, and which of them an event is heard as.

use std::collections::HashMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::filters::Filters;
use super::listeners::{Left, Listeners};
use super::topic::Topic;
use crate::filter::Filter;
use crate::frame::{ENCODINGS, NameBytes};

/// A topic of one stream: an event name, or an event name with a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(u32);

/// The topics that one event is heard as: its name, and those with filters that it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Its name.
    name: NameId,
    /// Those with filters, in order, decided when it was published. Shared by events that match the same ones.
    filtered: Option<Arc<[NameId]>>,
}

/// Of an event that nobody listens for with a filter.
impl From<NameId> for Topics {
    fn from(name: NameId) -> Self {
        Self { name, filtered: None }
    }
}

impl Topics {
    /// The event's name.
    #[must_use]
    pub fn name(&self) -> NameId {
        self.name
    }

    /// The topics with filters, in order.
    #[must_use]
    pub fn filtered(&self) -> &[NameId] {
        self.filtered.as_deref().unwrap_or_default()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = NameId> + '_ {
        std::iter::once(self.name).chain(self.filtered().iter().copied())
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn contains(&self, topic: NameId) -> bool {
        self.name == topic || self.filtered().binary_search(&topic).is_ok()
    }

    /// What they take in memory besides this, in bytes, at most.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(self.filtered())
    }
}

/// The topics that one stream knows: the names of retained events, and what connections listen to or listened to as far
/// as it matters. Others are forgotten, so that those that are made up as it goes do not fill the table.
///
/// An id may be given again. Whatever still mentions it (the ledger of a ring, a batch on its way) speaks of offsets
/// below those of the topic that has it now, so that no interval of that topic covers them.
#[derive(Debug, Default)]
pub struct Names {
    /// Every known topic, by its text.
    ids: HashMap<Arc<str>, NameId>,
    /// Indexed by `NameId`; `None` where an id is free to be given again.
    known: Vec<Option<Name>>,
    /// Ids to give again before new ones.
    free: Vec<NameId>,
    /// Topics with filters that somebody listens to now.
    filters: usize,
    /// Who listens to something no more, and may still be owed an event of it.
    left: Left,
}

/// What a stream knows of one topic.
#[derive(Debug)]
struct Name {
    /// The text of the topic, shared with the key of the map.
    text: Arc<str>,
    /// What kind of topic it is.
    kind: Kind,
    /// What refers to it: retained events, intervals of connections, and topics with this name. Forgotten at 0.
    uses: usize,
    /// How many connections listen to it now, or may turn out to.
    listening: usize,
    /// Which ones listen to it now.
    listeners: Listeners,
    /// Offset of the newest event of this topic that went to subscribers; 0 before the first.
    newest: u64,
}

#[derive(Debug)]
enum Kind {
    /// An event name.
    Name {
        /// The name as it stands in event messages; shared with the publisher, which builds frames without the table.
        bytes: Arc<NameBytes>,
        /// The filters of its topics that somebody listens to.
        filters: Filters,
    },
    /// An event name with a filter.
    Filtered {
        /// The name, which is known as long as this is.
        name: NameId,
        /// What the event's fields have to be like.
        filter: Arc<Filter>,
    },
}

impl Names {
    /// The id of `name`, given now if it is new. It stays when something uses it; [`Self::forget_unused`] otherwise.
    pub fn intern(&mut self, name: &str) -> NameId {
        self.intern_topic(&name.into())
    }

    /// The same for any topic.
    pub fn intern_topic(&mut self, topic: &Topic<'_>) -> NameId {
        if let Some(&id) = self.ids.get(topic.text) {
            return id;
        }
        let kind = match &topic.filtered {
            None => Kind::Name { bytes: Arc::new(NameBytes::new(topic.text)), filters: Filters::default() },
            Some((name, filter)) => {
                let name = self.intern(name);
                self.add_use(name);
                Kind::Filtered { name, filter: Arc::clone(filter) }
            }
        };
        let text: Arc<str> = topic.text.into();
        let entry = Name {
            text: Arc::clone(&text),
            kind,
            uses: 0,
            listening: 0,
            listeners: Listeners::default(),
            newest: 0,
        };
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

    /// The id of the topic with this text, if it is known.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<NameId> {
        self.ids.get(text).copied()
    }

    /// Number of known topics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no topic is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of topics with filters that somebody listens to now.
    #[must_use]
    pub fn filters(&self) -> usize {
        self.filters
    }

    /// Whether one of them is the one with this text.
    #[must_use]
    pub fn has_filter(&self, topic: &str) -> bool {
        self.find(topic)
            .map(|id| self.get(id))
            .is_some_and(|topic| topic.listening > 0 && matches!(topic.kind, Kind::Filtered { .. }))
    }

    fn get(&self, id: NameId) -> &Name {
        // A `NameId` is only made by `intern_topic`, and freed when no interval and no ring entry refers to it.
        self.known[id.0 as usize].as_ref().expect("a name in use is known")
    }

    fn get_mut(&mut self, id: NameId) -> &mut Name {
        self.known[id.0 as usize].as_mut().expect("a name in use is known")
    }

    /// The prepared bytes of a name.
    #[must_use]
    pub fn bytes(&self, id: NameId) -> Arc<NameBytes> {
        match &self.get(id).kind {
            Kind::Name { bytes, .. } => Arc::clone(bytes),
            Kind::Filtered { name, .. } => self.bytes(*name),
        }
    }

    /// The text of the topic with this id, unless it has been forgotten.
    #[must_use]
    pub fn text(&self, id: NameId) -> Option<&Arc<str>> {
        self.known[id.0 as usize].as_ref().map(|name| &name.text)
    }

    /// Offset of the newest event of this topic that went to subscribers; 0 if there was none.
    #[must_use]
    pub fn newest(&self, id: NameId) -> u64 {
        self.get(id).newest
    }

    /// The topics that an event of this name with these arguments is heard as. Each filter that somebody listens with
    /// is asked once at most; where there is none, the arguments are not looked at.
    pub fn topics(&mut self, name: NameId, args: [Option<&[u8]>; ENCODINGS]) -> Topics {
        let filtered = match &mut self.get_mut(name).kind {
            Kind::Name { filters, .. } if !filters.is_empty() => filters.matching(args),
            Kind::Name { .. } | Kind::Filtered { .. } => None,
        };
        Topics { name, filtered }
    }

    /// Note that an event of these topics is retained now, and its offset as `newest` if it went to subscribers.
    pub fn note_published(&mut self, topics: impl Into<Topics>, newest: Option<u64>) {
        for id in topics.into().iter() {
            self.add_use(id);
            if let Some(offset) = newest {
                self.get_mut(id).newest = offset;
            }
        }
    }

    /// Note that an event of these topics is not retained any more.
    pub fn note_let_go(&mut self, topics: impl Into<Topics>) {
        topics.into().iter().for_each(|id| self.remove_use(id));
    }

    /// Forget a topic that was interned for nothing.
    pub fn forget_unused(&mut self, id: NameId) {
        if self.get(id).uses > 0 {
            return;
        }
        // Looked up just now.
        let Some(topic) = self.known[id.0 as usize].take() else { return };
        self.ids.remove(&topic.text);
        self.free.push(id);
        if let Kind::Filtered { name, .. } = topic.kind {
            self.remove_use(name);
        }
    }

    /// A connection listens to this topic from now on, or may turn out to. It has to be in use.
    pub(super) fn begin_listening(&mut self, id: NameId) {
        let topic = self.get_mut(id);
        topic.listening += 1;
        if let (1, Kind::Filtered { name, filter }) = (topic.listening, &topic.kind) {
            let (name, filter) = (*name, Arc::clone(filter));
            self.filters += 1;
            self.filters_of(name).add(id, &filter);
        }
    }

    /// It does no more, and nothing that is published from now on is asked for it. The use stays.
    pub(super) fn end_listening(&mut self, id: NameId) {
        let topic = self.get_mut(id);
        topic.listening -= 1;
        if let (0, Kind::Filtered { name, .. }) = (topic.listening, &topic.kind) {
            let name = *name;
            self.filters -= 1;
            self.filters_of(name).remove(id);
        }
    }

    /// Whether somebody listens to this topic now.
    pub(super) fn is_listened_to(&self, id: NameId) -> bool {
        self.get(id).listening > 0
    }

    /// The connection in this slot listens to it from now on.
    pub(super) fn add_listener(&mut self, id: NameId, slot: u32) {
        self.get_mut(id).listeners.add(slot);
    }

    /// It does no more.
    pub(super) fn remove_listener(&mut self, id: NameId, slot: u32) {
        self.get_mut(id).listeners.remove(slot);
    }

    /// It has ceased to, and `newest` was the newest event of it for this connection.
    pub(super) fn note_left(&mut self, slot: u32, newest: u64) {
        self.left.note(slot, newest);
    }

    /// The slots of those to whom events of these topics after `swept` may be owed: who listens to one of them now, or
    /// has ceased to listen to something since. `None` if there may be as many as `all`.
    pub fn listeners(&mut self, topics: &[NameId], swept: u64, all: usize) -> Option<RoaringBitmap> {
        let listening = topics.iter().map(|&id| self.get(id).listeners.len());
        if listening.sum::<usize>() + self.left.count_after(swept) >= all {
            return None;
        }
        let mut slots = RoaringBitmap::new();
        topics.iter().for_each(|&id| self.get(id).listeners.add_to(&mut slots));
        self.left.add_to(&mut slots);
        Some(slots)
    }

    /// The slots of those who listen to the topic with this text now.
    #[must_use]
    pub fn listeners_of(&self, topic: &str) -> RoaringBitmap {
        let mut slots = RoaringBitmap::new();
        if let Some(id) = self.find(topic) {
            self.get(id).listeners.add_to(&mut slots);
        }
        slots
    }

    fn filters_of(&mut self, name: NameId) -> &mut Filters {
        match &mut self.get_mut(name).kind {
            Kind::Name { filters, .. } => filters,
            // `intern_topic` gives a topic with a filter the id of a name by itself.
            Kind::Filtered { .. } => unreachable!("the name of a topic has no filter"),
        }
    }

    pub(super) fn add_use(&mut self, id: NameId) {
        self.get_mut(id).uses += 1;
    }

    pub(super) fn remove_use(&mut self, id: NameId) {
        self.get_mut(id).uses -= 1;
        self.forget_unused(id);
    }
}
