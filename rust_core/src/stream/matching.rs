//! Filters over the connections of one stream: who matches now, and so whom an event with a filter is for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::{Gone, Inner, Stream};
use crate::attributes::Attributes;
use crate::audience::{Audience, Members};
use crate::connection::{ConnectionId, ConnectionTable};
use crate::filter::{Filter, MAX_BYTES, Malformed};
use crate::sink::Sink;
use crate::subscription::Topics;

/// Filters that are kept as they were read, by their compiled form. An actor that makes up new ones all the time has
/// each of them read.
const MAX_FILTERS: usize = 256;

/// What their compiled forms take at most. As they were read they take ten times as much and more, if they have
/// thousands of values.
const MAX_FILTER_BYTES: usize = 4 * MAX_BYTES;

/// Audiences that are kept while nothing changes.
const MAX_AUDIENCES: usize = 16;

/// Whom an event is to be for.
#[derive(Debug)]
pub enum Recipients<'a> {
    /// Decided already.
    Audience(Audience),
    /// Those of the subscribers that match the filter in this compiled form, except some.
    Matching(&'a [u8], Vec<ConnectionId>),
}

impl From<Audience> for Recipients<'_> {
    fn from(audience: Audience) -> Self {
        Self::Audience(audience)
    }
}

impl Recipients<'_> {
    /// Whether they are some of the subscribers, so that it matters what those listen to.
    pub(super) fn are_subscribers(&self) -> bool {
        match self {
            Self::Audience(audience) => audience.is_of_subscribers(),
            Self::Matching(..) => true,
        }
    }

    /// What is known of their size in memory, in bytes.
    pub(super) fn list_bytes(&self) -> usize {
        match self {
            Self::Audience(audience) => audience.list_bytes(),
            Self::Matching(..) => 0,
        }
    }
}

/// What a stream knows of the attributes of its connections.
#[derive(Debug, Default)]
pub(super) struct Matching {
    /// Of those who have told of theirs.
    attributes: Attributes,
    /// Filters that were used, by their compiled form.
    filters: HashMap<Box<[u8]>, Arc<Filter>>,
    /// What the keys of `filters` take.
    filter_bytes: usize,
    /// By topics and filter: subscribers that match. They hold until `changed`.
    audiences: Vec<(Topics, Arc<Filter>, Arc<Members>)>,
}

impl Matching {
    /// Subscriptions, connections or attributes have changed.
    pub(super) fn changed(&mut self) {
        self.audiences.clear();
    }

    /// A connection has ended.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        self.attributes.remove(id.slot() as u32);
        self.changed();
    }

    fn filter(&mut self, compiled: &[u8]) -> Result<Arc<Filter>, Malformed> {
        if let Some(filter) = self.filters.get(compiled) {
            return Ok(Arc::clone(filter));
        }
        let filter = Arc::new(Filter::parse(compiled)?);
        if self.filters.len() == MAX_FILTERS || self.filter_bytes + compiled.len() > MAX_FILTER_BYTES {
            self.filters.clear();
            self.filter_bytes = 0;
            // These hold filters too, and know them by their address.
            self.audiences.clear();
            self.attributes.forget_kept();
        }
        self.filter_bytes += compiled.len();
        self.filters.insert(compiled.into(), Arc::clone(&filter));
        Ok(filter)
    }

    fn matching(
        &mut self,
        filter: &Arc<Filter>,
        table: &ConnectionTable<Sink>,
        wanted: impl Fn(ConnectionId) -> bool,
    ) -> Vec<ConnectionId> {
        let matched = self.attributes.select_kept(filter);
        let ids = matched.iter().filter_map(|slot| table.at(slot as usize)).map(|connection| connection.id);
        ids.filter(|&id| wanted(id)).collect()
    }

    /// Those who listen to one of these topics now and match, except some; and those who match, and of whom it is being
    /// decided whether they listen.
    pub(super) fn audience(
        &mut self,
        table: &ConnectionTable<Sink>,
        topics: &Topics,
        compiled: &[u8],
        except: &[ConnectionId],
    ) -> Result<(Audience, Vec<ConnectionId>), Malformed> {
        let filter = self.filter(compiled)?;
        let (members, undecided) = self.members(table, topics, filter);
        if except.is_empty() {
            return Ok((Audience::Only(members), undecided));
        }
        let except = Members::new(except.to_vec());
        let undecided = undecided.into_iter().filter(|&id| !except.contains(id)).collect();
        Ok((Audience::Only(Arc::new(members.without(&except))), undecided))
    }

    /// The same without exceptions. Kept so, for events that leave out somebody else each time.
    fn members(
        &mut self,
        table: &ConnectionTable<Sink>,
        topics: &Topics,
        filter: Arc<Filter>,
    ) -> (Arc<Members>, Vec<ConnectionId>) {
        let kept = self.audiences.iter().find(|kept| kept.0 == *topics && Arc::ptr_eq(&kept.1, &filter));
        if let Some((_, _, members)) = kept {
            return (Arc::clone(members), Vec::new());
        }
        let undecided = RefCell::new(Vec::new());
        let listens = |id| {
            let Some(connection) = table.get(id) else {
                return false;
            };
            let subscriptions = connection.subscriptions.lock();
            if topics.iter().any(|topic| subscriptions.is_asked(topic)) {
                undecided.borrow_mut().push(id);
            }
            subscriptions.listens_to_any(topics)
        };
        let members = Arc::new(Members::new(self.matching(&filter, table, listens)));
        let undecided = undecided.into_inner();
        // Those are to be told of each event.
        if undecided.is_empty() {
            if self.audiences.len() == MAX_AUDIENCES {
                self.audiences.remove(0);
            }
            self.audiences.push((topics.clone(), filter, Arc::clone(&members)));
        }
        (members, undecided)
    }
}

impl Stream {
    /// Set what filters see of a connection: a MessagePack map, as [`Attributes::set`] takes it, or `None`, and then no
    /// filter matches it. Holds for what is published from now on. False if nothing differs from before.
    ///
    /// # Errors
    /// [`Gone`] if the connection has ended, and in it what is wrong with the map.
    pub fn set_attributes(
        &self,
        id: ConnectionId,
        attributes: Option<&[u8]>,
    ) -> Result<Result<bool, Malformed>, Gone> {
        let mut inner = self.inner.lock();
        let Inner { table, matching, .. } = &mut *inner;
        table.get(id).ok_or(Gone)?;
        let slot = id.slot() as u32;
        let changed = match attributes {
            Some(attributes) => matching.attributes.set(slot, attributes),
            None => Ok(matching.attributes.remove(slot)),
        };
        if changed == Ok(true) {
            matching.changed();
        }
        Ok(changed)
    }

    /// The connections that match the filter in this compiled form now, subscribed to something or not.
    ///
    /// # Errors
    /// What is wrong with the filter.
    pub fn select(&self, compiled: &[u8]) -> Result<Vec<ConnectionId>, Malformed> {
        let mut inner = self.inner.lock();
        let Inner { table, matching, .. } = &mut *inner;
        let filter = matching.filter(compiled)?;
        Ok(matching.matching(&filter, table, |_| true))
    }
}
