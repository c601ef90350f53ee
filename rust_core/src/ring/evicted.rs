//! What a ring remembers of the events that it let go, so that a gap is told when one is real and only then.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::audience::{Audience, Members, Viewers};
use crate::connection::ConnectionId;
use crate::subscription::{NameId, Topics};

/// What is remembered of evicted events, so that a gap is reported when one is real and only then.
#[derive(Debug, Default)]
pub(super) struct Evicted {
    /// Newest evicted event to subscribers, by topic.
    by_name: HashMap<NameId, u64>,
    /// What differs from that for single connections; forgotten with the connection.
    by_connection: HashMap<ConnectionId, EvictedFor>,
    /// Of many connections that one event named, as others may have: the newest evicted event that named just them.
    by_members: VecDeque<(Arc<Members>, u64)>,
}

/// So many groups of connections are remembered as such. What is older is remembered of each connection.
const MAX_GROUPS: usize = 16;

/// What was evicted for, or withheld from, one connection.
#[derive(Debug, Default)]
struct EvictedFor {
    /// Newest evicted event that was for this connection, of those that its intervals do not tell of: it was named, or
    /// an earlier life of the stream knew.
    newest: u64,
    /// Of a topic: the newest evicted event, if this connection was excluded from it, and the newest before that
    /// from which it was not.
    excluded: SmallVec<[(NameId, u64, u64); 1]>,
}

impl Evicted {
    /// The newest evicted event of this topic to subscribers from which this connection was not excluded; 0 if there is
    /// none.
    pub(super) fn newest_for(&self, id: ConnectionId, name: NameId) -> u64 {
        let newest = self.by_name.get(&name).copied().unwrap_or(0);
        let excluded = self.by_connection.get(&id).into_iter().flat_map(|own| &own.excluded);
        excluded.filter(|own| own.0 == name && own.1 == newest).map(|own| own.2).next().unwrap_or(newest)
    }

    /// An event is evicted.
    pub(super) fn note(&mut self, offset: u64, topics: &Topics, audience: &Audience, viewers: &impl Viewers) {
        match audience {
            Audience::Subscribers => {}
            Audience::Except(members) => {
                for id in members.iter() {
                    for topic in topics.iter().filter(|&topic| viewers.knows(id, topic)) {
                        let before = self.newest_for(id, topic);
                        let own = self.by_connection.entry(id).or_default();
                        own.excluded.retain(|excluded| excluded.0 != topic);
                        own.excluded.push((topic, offset, before));
                    }
                }
            }
            Audience::Only(members) => {
                if members.are_many() {
                    self.note_group(offset, members, viewers);
                } else {
                    self.note_each(offset, members, viewers);
                }
                return;
            }
        }
        self.by_name.extend(topics.iter().map(|topic| (topic, offset)));
    }

    fn note_each(&mut self, offset: u64, members: &Members, viewers: &impl Viewers) {
        members.iter().filter(|&id| viewers.is_open(id)).for_each(|id| self.note_one(offset, id));
    }

    /// An evicted event named this connection, or was for it in an earlier life of the stream.
    pub(super) fn note_one(&mut self, offset: u64, id: ConnectionId) {
        let own = self.by_connection.entry(id).or_default();
        own.newest = own.newest.max(offset);
    }

    fn note_group(&mut self, offset: u64, members: &Arc<Members>, viewers: &impl Viewers) {
        if let Some(group) = self.by_members.iter_mut().find(|(group, _)| Arc::ptr_eq(group, members)) {
            group.1 = offset;
            return;
        }
        if self.by_members.len() == MAX_GROUPS
            && let Some((oldest, offset)) = self.by_members.pop_front()
        {
            self.note_each(offset, &oldest, viewers);
        }
        self.by_members.push_back((Arc::clone(members), offset));
    }

    /// The newest evicted event that named this connection; 0 if there is none.
    pub(super) fn newest_named(&self, id: ConnectionId) -> u64 {
        let own = self.by_connection.get(&id).map_or(0, |own| own.newest);
        let groups = self.by_members.iter().filter(|(members, offset)| *offset > own && members.contains(id));
        groups.map(|(_, offset)| *offset).max().unwrap_or(own)
    }

    /// The newest evicted event to subscribers of each topic of which one above `after` was evicted.
    pub(super) fn names_after(&self, after: u64) -> impl Iterator<Item = (NameId, u64)> + '_ {
        self.by_name.iter().map(|(&name, &offset)| (name, offset)).filter(move |&(_, offset)| offset > after)
    }

    /// Connections of which more is remembered than that events of some names were evicted.
    pub(super) fn singled_out(&mut self, viewers: &impl Viewers) -> Vec<ConnectionId> {
        for (members, offset) in std::mem::take(&mut self.by_members) {
            self.note_each(offset, &members, viewers);
        }
        self.by_connection.keys().copied().collect()
    }

    /// Forget exclusions from events that are the newest of their name no more. Returns the newest event that named this
    /// connection, if nothing but that is remembered of it.
    pub(super) fn forget_outdated(&mut self, id: ConnectionId) -> Option<u64> {
        let own = self.by_connection.get_mut(&id)?;
        own.excluded.retain(|excluded| self.by_name.get(&excluded.0) == Some(&excluded.1));
        own.excluded.is_empty().then_some(own.newest)
    }

    /// Forget what is remembered of one connection alone.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        self.by_connection.remove(&id);
    }
}
