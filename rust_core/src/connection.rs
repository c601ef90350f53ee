//! Connections, and the table of them with generation-checked ids; leaves sockets to [`crate::sink`].

use std::sync::Arc;

use crate::audience::Viewers;
use crate::frame::Encoding;
use crate::subscription::{NameId, Subscriptions};
use crate::sync::Mutex;
use crate::sync::atomic::AtomicU64;

/// Names one connection of a stream. The slot is in the low half, the generation in the high half: an id is never
/// used twice, so a late message for a connection that has ended finds nobody instead of a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    fn new(slot: usize, generation: u32) -> Self {
        Self((u64::from(generation) << 32) | slot as u64)
    }

    /// Its place in the table, which others may have had before it.
    #[must_use]
    pub fn slot(self) -> usize {
        (self.0 & 0xFFFF_FFFF) as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The id as the integer that Python sees.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The id that [`Self::to_bits`] gave; any other integer finds no connection.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// One client attached to one actor. It outlives its socket: `S` is what it is attached to, if anything.
#[derive(Debug)]
pub struct Connection<S> {
    /// Its place in the table.
    pub id: ConnectionId,
    /// Fixed for its life: frames of other encodings may not exist in the ring.
    pub encoding: Encoding,
    /// What it listens to and has listened to. Changed by the owner of the stream, read by whoever writes to it.
    pub subscriptions: Mutex<Subscriptions>,
    /// No event after this offset goes out, because it is being decided what of them is for this connection;
    /// `u64::MAX` if nothing is. Copy of what `subscriptions` has, for the sink, which looks at it all the time.
    pub held: AtomicU64,
    /// The sink that is attached. The sink's own cursor, not this, says how far delivery is.
    pub sink: Mutex<Option<Arc<S>>>,
}

/// A place for a connection.
#[derive(Debug)]
struct Slot<S> {
    /// How many connections have ended here.
    generation: u32,
    /// The connection that is here now.
    connection: Option<Arc<Connection<S>>>,
}

/// The open connections of one stream. Slots do not move, so that a sweep can walk them in pieces.
#[derive(Debug)]
pub struct ConnectionTable<S> {
    /// All places ever used.
    slots: Vec<Slot<S>>,
    /// Places without a connection, to be used before new ones.
    free: Vec<usize>,
    /// Open connections by encoding.
    by_encoding: [usize; 2],
}

impl<S> Default for ConnectionTable<S> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), by_encoding: [0; 2] }
    }
}

impl<S> ConnectionTable<S> {
    /// Add a connection, which listens to nothing yet.
    pub fn open(&mut self, encoding: Encoding) -> Arc<Connection<S>> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, connection: None });
            self.slots.len() - 1
        });
        let place = &mut self.slots[slot];
        let connection = Arc::new(Connection {
            id: ConnectionId::new(slot, place.generation),
            encoding,
            subscriptions: Mutex::new(Subscriptions::of(slot)),
            held: AtomicU64::new(u64::MAX),
            sink: Mutex::new(None),
        });
        place.connection = Some(Arc::clone(&connection));
        self.by_encoding[encoding.index()] += 1;
        connection
    }

    /// The connection with this id, unless it has ended.
    #[must_use]
    pub fn get(&self, id: ConnectionId) -> Option<&Arc<Connection<S>>> {
        let place = self.slots.get(id.slot())?;
        place.connection.as_ref().filter(|_| place.generation == id.generation())
    }

    /// The connection that is in this slot now.
    #[must_use]
    pub fn at(&self, slot: usize) -> Option<&Arc<Connection<S>>> {
        self.slots.get(slot)?.connection.as_ref()
    }

    /// Remove a connection; its id is not valid any more.
    pub fn close(&mut self, id: ConnectionId) -> Option<Arc<Connection<S>>> {
        self.get(id)?;
        let place = &mut self.slots[id.slot()];
        let connection = place.connection.take()?;
        // After four thousand million connections in one slot it is retired rather than its ids used again.
        if let Some(next) = place.generation.checked_add(1) {
            place.generation = next;
            self.free.push(id.slot());
        }
        self.by_encoding[connection.encoding.index()] -= 1;
        Some(connection)
    }

    /// Number of open connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_encoding.iter().sum()
    }

    /// Whether no connection is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bit set of the encodings in use, by [`Encoding::index`].
    #[must_use]
    pub fn encodings(&self) -> u8 {
        (0..self.by_encoding.len()).filter(|&index| self.by_encoding[index] > 0).map(|index| 1 << index).sum()
    }

    /// The open connections in slots `from..from + count`, and the slot to go on from; `None` at the end.
    pub fn piece(&self, from: usize, count: usize, out: &mut Vec<Arc<Connection<S>>>) -> Option<usize> {
        let end = from.saturating_add(count).min(self.slots.len());
        out.extend(self.slots[from.min(end)..end].iter().filter_map(|slot| slot.connection.clone()));
        (end < self.slots.len()).then_some(end)
    }

    /// Ids of all open connections.
    #[must_use]
    pub fn ids(&self) -> Vec<ConnectionId> {
        self.slots
            .iter()
            .filter_map(|slot| slot.connection.as_ref().map(|connection| connection.id))
            .collect()
    }
}

impl<S> Viewers for &ConnectionTable<S> {
    fn is_open(&self, id: ConnectionId) -> bool {
        self.get(id).is_some()
    }

    fn knows(&self, id: ConnectionId, topic: NameId) -> bool {
        self.get(id).is_some_and(|connection| connection.subscriptions.lock().knows(topic))
    }
}
