//! A resume answered: what a client that comes back has missed, and what of that is lost.

use crate::connection::ConnectionId;
use crate::ring::Ring;
use crate::subscription::Subscriptions;

/// What a client that has seen everything up to a position has missed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Retained events after the position that the connection was entitled to.
    pub replayed: u64,
    /// The offsets that are no longer retained, first and last, if at least one of them was for this connection.
    /// `None` means that nothing is lost, however old the position.
    pub lost: Option<(u64, u64)>,
}

/// Answer a resume from `position`, which must not be above the head.
#[must_use]
pub fn missed(ring: &Ring, position: u64, id: ConnectionId, subscriptions: &Subscriptions) -> Missed {
    let lost = ring.has_lost(position, id, subscriptions).then(|| (position + 1, ring.first() - 1));
    Missed { replayed: ring.count_for(position, id, subscriptions), lost }
}
