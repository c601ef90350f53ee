//! Connections of a stream from their opening to their end: what they listen to, and what each has missed.

use std::sync::Arc;

use super::attachment::release;
use super::{Gone, Inner, LetGo, Stream};
use crate::connection::{Connection, ConnectionId};
use crate::frame::Encoding;
use crate::replay::{self, Missed};
use crate::sink::Sink;
use crate::subscription::{Names, Topic};
use crate::sync::atomic::Ordering;

impl Stream {
    /// Open a connection that is subscribed to these topics from the next event on. `lost` is the newest event that was for
    /// it, of those that an earlier life of the stream has let go; 0 if none was.
    #[must_use]
    pub fn open<'a>(
        &self,
        encoding: Encoding,
        subscribed: impl IntoIterator<Item = impl Into<Topic<'a>>>,
        lost: u64,
    ) -> Option<ConnectionId> {
        let mut inner = self.inner.lock();
        if inner.shut {
            return None;
        }
        let Inner { ring, table, names, .. } = &mut *inner;
        let connection = table.open(encoding);
        let mut subscriptions = connection.subscriptions.lock();
        for topic in subscribed {
            subscriptions.add(names, topic, ring.head());
        }
        ring.remember_lost(connection.id, lost);
        Some(connection.id)
    }

    /// What has been let go: of each name of which an event above `after` was, and of each connection that is `asked`
    /// about or singled out. All others have lost the newest event of a name that they listen for, if that came after
    /// they began to.
    #[must_use]
    pub fn let_go(&self, after: u64, asked: &[ConnectionId]) -> LetGo {
        let mut inner = self.inner.lock();
        let Inner { ring, table, names, chosen, .. } = &mut *inner;
        let text = |(name, offset)| Some((Arc::clone(names.text(name)?), offset));
        let evicted = ring.evicted_after(after).filter_map(text).collect();
        let mut ids = ring.singled_out(&*table);
        ids.extend(asked);
        ids.extend(chosen.iter());
        ids.sort_unstable();
        ids.dedup();
        let mut connections = Vec::with_capacity(ids.len());
        for id in ids {
            // One that has ended is asked about by somebody who does not know that yet.
            let Some(connection) = table.get(id) else { continue };
            let subscriptions = connection.subscriptions.lock();
            connections.push((id, ring.newest_lost(id, &subscriptions)));
            ring.forget_redundant(id, &subscriptions);
        }
        LetGo { first: ring.first(), names: evicted, connections }
    }

    /// The connection with this id.
    ///
    /// # Errors
    /// If it has ended.
    pub fn get(&self, id: ConnectionId) -> Result<Arc<Connection<Sink>>, Gone> {
        self.inner.lock().table.get(id).cloned().ok_or(Gone)
    }

    /// End a connection. False if it had ended before.
    pub fn close(&self, id: ConnectionId) -> bool {
        let Ok(connection) = self.get(id) else {
            return false;
        };
        release(&connection);
        {
            let mut inner = self.inner.lock();
            if inner.table.close(id).is_none() {
                return false;
            }
            inner.ring.forget(id);
            inner.matching.forget(id);
            inner.chosen.remove(&id);
            connection.subscriptions.lock().clear(&mut inner.names);
        }
        // One that was attached meanwhile.
        release(&connection);
        true
    }

    /// Answer a resume from `position`.
    ///
    /// # Errors
    /// If the connection has ended.
    pub fn resume(&self, id: ConnectionId, position: u64) -> Result<Missed, Gone> {
        let inner = self.inner.lock();
        let connection = inner.table.get(id).ok_or(Gone)?;
        let subscriptions = connection.subscriptions.lock();
        Ok(replay::missed(&inner.ring, position, id, &subscriptions))
    }

    /// Subscribe (or unsubscribe) a connection from the next event on. False if that changes nothing.
    ///
    /// # Errors
    /// If the connection has ended.
    pub fn change_subscription<'a>(
        &self,
        id: ConnectionId,
        topic: impl Into<Topic<'a>>,
        listen: bool,
    ) -> Result<bool, Gone> {
        let topic = topic.into();
        let mut inner = self.inner.lock();
        let Inner { ring, table, names, matching, .. } = &mut *inner;
        let connection = table.get(id).ok_or(Gone)?;
        let mut subscriptions = connection.subscriptions.lock();
        matching.changed();
        Ok(if listen {
            subscriptions.add(names, topic, ring.head())
        } else {
            let newest = |name, newest| ring.newest_for(id, name, newest);
            subscriptions.remove(names, topic.text(), ring.head(), ring.first(), newest)
        })
    }

    /// End all connections, forget all events, and let every publisher go.
    pub fn shut(&self) {
        let mut connections = Vec::new();
        {
            let mut inner = self.inner.lock();
            inner.shut = true;
            inner.table.piece(0, usize::MAX, &mut connections);
        }
        connections.iter().for_each(|connection| release(connection));
        {
            let mut inner = self.inner.lock();
            connections.iter().for_each(|connection| drop(inner.table.close(connection.id)));
        }
        // Those that were attached meanwhile.
        connections.iter().for_each(|connection| release(connection));
        let is_awaited = {
            let mut inner = self.inner.lock();
            inner.ring.clear();
            inner.names = Names::default();
            self.first.store(inner.ring.first(), Ordering::Release);
            let (head, published_bytes) = (inner.ring.head(), inner.ring.published_bytes());
            self.note_swept(&mut inner, head, published_bytes)
        };
        if is_awaited {
            self.tell_owner();
        }
    }
}
