//! Who matched a filter: a set of slots that does not change, to be shared by events.

use roaring::RoaringBitmap;

/// The slots of the connections that matched.
#[derive(Debug, PartialEq)]
pub struct Matched(RoaringBitmap);

impl Matched {
    pub(super) fn new(mut slots: RoaringBitmap) -> Self {
        // It may be kept as long as an event: everybody is one run then, and no bit each.
        slots.optimize();
        Self(slots)
    }

    /// Whether the connection in `slot` matched.
    #[must_use]
    pub fn contains(&self, slot: u32) -> bool {
        self.0.contains(slot)
    }

    /// How many matched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len() as usize
    }

    /// Whether none did.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their slots, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter()
    }

    /// What it takes in memory, in bytes, at most.
    #[must_use]
    pub fn bytes(&self) -> usize {
        bitmap_bytes(&self.0)
    }
}

/// What a bitmap takes in memory, in bytes, at most.
#[must_use]
pub fn bitmap_bytes(bitmap: &RoaringBitmap) -> usize {
    /// What there is beside the values, for each 65,536 slots in a row.
    const CONTAINER: usize = 48;
    let parts = bitmap.statistics();
    let values =
        parts.n_bytes_array_containers + parts.n_bytes_run_containers + parts.n_bytes_bitset_containers;
    size_of::<RoaringBitmap>() + parts.n_containers as usize * CONTAINER + values as usize
}
