//! Whom one event is for: decided when the event is published, so that live and replayed delivery agree.

use std::sync::Arc;

use crate::connection::ConnectionId;
use crate::subscription::{NameId, Subscriptions};

/// The connections that an event is for. Lists are sorted, and shared with the batches that are cut from a ring.
#[derive(Clone, Debug)]
pub enum Audience {
    /// Everyone who was subscribed to the event's name when it was published.
    Subscribers,
    /// Those, except the ones listed.
    Except(Arc<[ConnectionId]>),
    /// The listed ones, subscribed or not.
    Only(Arc<[ConnectionId]>),
}

impl Audience {
    /// Subscribers, except `ids`.
    #[must_use]
    pub fn except(ids: Vec<ConnectionId>) -> Self {
        if ids.is_empty() { Self::Subscribers } else { Self::Except(sorted(ids)) }
    }

    /// Just `ids`.
    #[must_use]
    pub fn only(ids: Vec<ConnectionId>) -> Self {
        Self::Only(sorted(ids))
    }

    /// Whether `viewer` may see the event with this name and offset.
    #[must_use]
    pub fn admits(
        &self,
        viewer: ConnectionId,
        subscriptions: &Subscriptions,
        name: NameId,
        offset: u64,
    ) -> bool {
        match self {
            Self::Subscribers => subscriptions.covers(name, offset),
            Self::Except(ids) => subscriptions.covers(name, offset) && ids.binary_search(&viewer).is_err(),
            Self::Only(ids) => ids.binary_search(&viewer).is_ok(),
        }
    }

    /// What the list takes in memory, in bytes.
    #[must_use]
    pub fn list_bytes(&self) -> usize {
        match self {
            Self::Subscribers => 0,
            Self::Except(ids) | Self::Only(ids) => ids.len() * size_of::<ConnectionId>(),
        }
    }
}

fn sorted(mut ids: Vec<ConnectionId>) -> Arc<[ConnectionId]> {
    ids.sort_unstable();
    ids.dedup();
    ids.into()
}
