//! Which sink a connection delivers through, and the change from one to the next.
//!
//! A sink at rest counts as offered whatever its stream has swept, because each sweep visits the sinks of all
//! connections. So it lets go of its connection *before* sweeps stop to visit it; the other way round it could miss an
//! event and deliver the next.

use std::sync::Arc;

use super::{Inner, Stream};
use crate::connection::{Connection, ConnectionId};
use crate::sink::Sink;
use crate::sync::atomic::Ordering;

impl Stream {
    /// Deliver a connection's events after `position` through `sink` from now on, behind `message`, and through the sink
    /// before it no more. False if the sink takes nothing any more, or was attached before.
    pub fn attach(
        self: &Arc<Self>,
        connection: &Arc<Connection<Sink>>,
        sink: &Arc<Sink>,
        position: u64,
        message: &[u8],
    ) -> bool {
        loop {
            release(connection);
            let mut place = connection.sink.lock();
            // Unless somebody else has attached one at the same moment.
            if place.is_none() {
                *place = Some(Arc::clone(sink));
                break;
            }
        }
        let attached = sink.attach(self, connection, position, message);
        if attached {
            sink.drive(None);
        }
        attached
    }

    /// Unsubscribe a connection that is to end from every name, from the next event on. What its sink then still
    /// delivers up to a close frame, or has lost, is what was for it. False if it has ended.
    pub fn unsubscribe_all(&self, id: ConnectionId) -> bool {
        let mut inner = self.inner.lock();
        let Inner { ring, table, names, matching, .. } = &mut *inner;
        matching.changed();
        let Some(connection) = table.get(id) else {
            return false;
        };
        let newest = |name, newest| ring.newest_for(id, name, newest);
        connection.subscriptions.lock().remove_all(names, ring.head(), ring.first(), newest);
        // What was still to be decided is not for it, and holds nothing up.
        connection.held.store(u64::MAX, Ordering::Release);
        true
    }

    /// Deliver no more through `sink`. False if it is not the one that is attached.
    pub fn detach(&self, connection: &Connection<Sink>, sink: &Arc<Sink>) -> bool {
        let is_attached = connection.sink.lock().as_ref().is_some_and(|attached| Arc::ptr_eq(attached, sink));
        if is_attached {
            let_go(connection, sink);
        }
        is_attached
    }
}

/// Take the sink from a connection, if there is one; it stays open for a last message.
pub(super) fn release(connection: &Connection<Sink>) {
    let sink = connection.sink.lock().clone();
    if let Some(sink) = sink {
        let_go(connection, &sink);
    }
}

fn let_go(connection: &Connection<Sink>, sink: &Arc<Sink>) {
    sink.detach();
    let _same = connection.sink.lock().take_if(|attached| Arc::ptr_eq(attached, sink));
}
