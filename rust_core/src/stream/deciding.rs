//! A connection that may have lost a permission: it is held where it is until that is decided.

use super::{Gone, Inner, Stream};
use crate::connection::ConnectionId;
use crate::subscription::NameId;
use crate::sync::atomic::Ordering;

impl Stream {
    /// It is to be decided whether a connection may still listen for `names`: deliver nothing after the newest event, and
    /// lose nothing, until [`Self::answer`]. Asked again before that, the answer is up to here, and another one follows.
    ///
    /// # Errors
    /// If the connection has ended.
    pub fn hold(&self, id: ConnectionId, asked: &[String]) -> Result<(), Gone> {
        let connection = {
            let mut inner = self.inner.lock();
            let Inner { ring, table, names, matching, .. } = &mut *inner;
            let connection = table.get(id).ok_or(Gone)?;
            matching.changed();
            let asked: Vec<NameId> = asked.iter().filter_map(|name| names.find(name)).collect();
            let newest = |name, newest| ring.newest_for(id, name, newest);
            let held = connection.subscriptions.lock().hold(names, &asked, ring.head(), ring.first(), newest);
            // Under the lock: whoever sees a newer event sees this as well.
            connection.held.store(held, Ordering::Release);
            connection.clone()
        };
        let sink = connection.sink.lock().clone();
        if let Some(sink) = sink {
            sink.hold();
        }
        Ok(())
    }

    /// Decide: the connection may listen for `allowed` of the names that it was asked about, and might all the time since.
    /// `chosen` are offsets of events that a filter has chosen it for meanwhile, besides those that this stream has
    /// matched itself. Returns whether it was asked again meanwhile: another answer is due.
    ///
    /// # Errors
    /// If the connection has ended.
    pub fn answer(&self, id: ConnectionId, allowed: &[String], chosen: &[u64]) -> Result<bool, Gone> {
        let (connection, held) = {
            let mut inner = self.inner.lock();
            let Inner { ring, table, names, matching, chosen: late, .. } = &mut *inner;
            let connection = table.get(id).ok_or(Gone)?;
            matching.changed();
            let allowed: Vec<NameId> = allowed.iter().filter_map(|name| names.find(name)).collect();
            let mut subscriptions = connection.subscriptions.lock();
            let held = subscriptions.answer(names, |name| allowed.contains(&name), chosen, ring.first());
            if subscriptions.has_chosen() {
                late.insert(id);
                // No sweep visits it for those: it does not come to rest before it has them.
                self.offered.fetch_max(ring.head(), Ordering::AcqRel);
            }
            drop(subscriptions);
            connection.held.store(held.unwrap_or(u64::MAX), Ordering::Release);
            (connection.clone(), held)
        };
        let sink = connection.sink.lock().clone();
        if let Some(sink) = sink {
            sink.drive(None);
        }
        Ok(held.is_some())
    }
}
