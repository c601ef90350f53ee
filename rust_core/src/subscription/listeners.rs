//! Who listens to a topic now, by slot, so that a sweep need not visit the others; leaves since when to the intervals.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use crate::attributes::Posting;

/// The slots of the connections that listen to one topic now. Two bytes for each, or one bit where they are thousands.
#[derive(Debug, Default)]
pub(super) struct Listeners(Option<Posting>);

impl Listeners {
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, Posting::len)
    }

    pub fn add(&mut self, slot: u32) {
        match &mut self.0 {
            Some(posting) => posting.insert(slot),
            None => self.0 = Some(Posting::One(slot)),
        }
    }

    pub fn remove(&mut self, slot: u32) {
        if self.0.as_mut().is_some_and(|posting| !posting.remove(slot)) {
            self.0 = None;
        }
    }

    /// Add all of them to `slots`.
    pub fn add_to(&self, slots: &mut RoaringBitmap) {
        match &self.0 {
            None => {}
            Some(Posting::One(slot)) => {
                slots.insert(*slot);
            }
            Some(Posting::Many(these)) => *slots |= &**these,
        }
    }
}

/// Connections that listen to something no more, but did when an event for them was published that may not have been
/// offered to them yet.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// By slot: the newest such event. At most one for each slot there is, and none once a sweep is past it.
    newest: HashMap<u32, u64>,
}

impl Left {
    /// The connection in this slot has ceased to listen to something; `newest` was the newest event in it for this connection.
    pub fn note(&mut self, slot: u32, newest: u64) {
        let known = self.newest.entry(slot).or_default();
        *known = newest.max(*known);
    }

    /// Forget those that have been offered everything up to `swept`, and return how many there are besides.
    pub fn count_after(&mut self, swept: u64) -> usize {
        if !self.newest.is_empty() {
            self.newest.retain(|_, newest| *newest > swept);
            self.newest.shrink_to(self.newest.len() * 2);
        }
        self.newest.len()
    }

    /// Add all of them to `slots`.
    pub fn add_to(&self, slots: &mut RoaringBitmap) {
        slots.extend(self.newest.keys());
    }
}
