//! Whom one event is for: decided when the event is published, so that live and replayed delivery agree.

use std::sync::Arc;

use roaring::{RoaringBitmap, RoaringTreemap};

use crate::attributes::bitmap_bytes;
use crate::connection::ConnectionId;
use crate::subscription::{NameId, Subscriptions, Topics};

/// Connections, each by its id.
#[derive(Debug, PartialEq)]
pub struct Members {
    /// Who.
    form: Form,
    /// What that takes.
    bytes: usize,
}

/// How they are kept: a sorted list, or a compressed set where that takes less.
#[derive(Debug, PartialEq)]
enum Form {
    List(Box<[ConnectionId]>),
    Set(RoaringTreemap),
}

impl Members {
    /// These, in any order.
    #[must_use]
    pub fn new(mut ids: Vec<ConnectionId>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        let list_bytes = ids.len() * size_of::<ConnectionId>();
        if list_bytes > MAX_LIST_BYTES {
            let set: RoaringTreemap = ids.iter().map(|id| id.to_bits()).collect();
            let bytes = set_bytes(&set);
            if bytes < list_bytes {
                return Self { form: Form::Set(set), bytes };
            }
        }
        Self { form: Form::List(ids.into()), bytes: list_bytes }
    }

    /// These but for `others`.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        match &self.form {
            Form::List(ids) => Self::new(ids.iter().copied().filter(|&id| !others.contains(id)).collect()),
            Form::Set(set) => {
                let mut left = set.clone();
                for id in others.iter() {
                    left.remove(id.to_bits());
                }
                let list_bytes = left.len() as usize * size_of::<ConnectionId>();
                let bytes = set_bytes(&left);
                if list_bytes > MAX_LIST_BYTES && bytes < list_bytes {
                    return Self { form: Form::Set(left), bytes };
                }
                Self::new(left.into_iter().map(ConnectionId::from_bits).collect())
            }
        }
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn contains(&self, id: ConnectionId) -> bool {
        match &self.form {
            Form::List(ids) => ids.binary_search(&id).is_ok(),
            Form::Set(set) => set.contains(id.to_bits()),
        }
    }

    /// All of them, sorted.
    pub fn iter(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        let (list, set) = match &self.form {
            Form::List(ids) => (Some(ids.iter().copied()), None),
            Form::Set(set) => (None, Some(set.iter().map(ConnectionId::from_bits))),
        };
        list.into_iter().flatten().chain(set.into_iter().flatten())
    }

    /// Add the slots of all of them to `slots`.
    pub fn add_slots(&self, slots: &mut RoaringBitmap) {
        match &self.form {
            Form::List(ids) => slots.extend(ids.iter().map(|id| id.slot() as u32)),
            // One of each generation.
            Form::Set(set) => set.bitmaps().for_each(|(_, ids)| *slots |= ids),
        }
    }

    /// Whether there are so many that what is to be remembered of each is better remembered once for all.
    #[must_use]
    pub fn are_many(&self) -> bool {
        match &self.form {
            Form::List(_) => self.bytes > MAX_LIST_BYTES,
            Form::Set(_) => true,
        }
    }

    /// What they take in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

fn set_bytes(set: &RoaringTreemap) -> usize {
    set.bitmaps().map(|(_, bitmap)| bitmap_bytes(bitmap)).sum()
}

/// Up to here they are a list in any case.
const MAX_LIST_BYTES: usize = 512;

/// The connections that an event is for. Members are shared with the batches that are cut from a ring, and by events
/// that are for the same ones.
#[derive(Clone, Debug)]
pub enum Audience {
    /// Everyone who was subscribed to one of the event's topics when it was published.
    Subscribers,
    /// Those, except these.
    Except(Arc<Members>),
    /// These, subscribed or not.
    Only(Arc<Members>),
}

impl Audience {
    /// Subscribers, except `ids`.
    #[must_use]
    pub fn except(ids: Vec<ConnectionId>) -> Self {
        if ids.is_empty() { Self::Subscribers } else { Self::Except(Arc::new(Members::new(ids))) }
    }

    /// Just `ids`.
    #[must_use]
    pub fn only(ids: Vec<ConnectionId>) -> Self {
        Self::Only(Arc::new(Members::new(ids)))
    }

    /// Whether `viewer` may see the event with these topics and this offset.
    #[must_use]
    pub fn admits(
        &self,
        viewer: ConnectionId,
        subscriptions: &Subscriptions,
        topics: &Topics,
        offset: u64,
    ) -> bool {
        match self {
            Self::Subscribers => subscriptions.covers_any(topics, offset),
            Self::Except(members) => subscriptions.covers_any(topics, offset) && !members.contains(viewer),
            Self::Only(members) => members.contains(viewer) || subscriptions.is_chosen(offset),
        }
    }

    /// Whether it is for subscribers, so that it matters what they listen to.
    #[must_use]
    pub fn is_of_subscribers(&self) -> bool {
        !matches!(self, Self::Only(_))
    }

    /// What its members take in memory, in bytes.
    #[must_use]
    pub fn list_bytes(&self) -> usize {
        match self {
            Self::Subscribers => 0,
            Self::Except(members) | Self::Only(members) => members.bytes(),
        }
    }
}

/// What is to be known of those whom an event is for, or kept from, when it is let go.
pub trait Viewers {
    /// Whether this connection still exists.
    fn is_open(&self, id: ConnectionId) -> bool;

    /// Whether it listens, or has listened, to this topic, as far as that still matters.
    fn knows(&self, id: ConnectionId, topic: NameId) -> bool;
}

/// Those who exist, and may listen to anything.
impl<F: Fn(ConnectionId) -> bool> Viewers for F {
    fn is_open(&self, id: ConnectionId) -> bool {
        self(id)
    }

    fn knows(&self, id: ConnectionId, _: NameId) -> bool {
        self(id)
    }
}
