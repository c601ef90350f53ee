//! Who has one value: a set of slots that is small while it is one connection, as with names and ids.

use roaring::RoaringBitmap;

/// The slots of one value; never empty but while it changes.
#[derive(Debug)]
pub enum Posting {
    /// A single one, as of most values of a field whose values are all different.
    One(u32),
    /// Any number.
    Many(Box<RoaringBitmap>),
}

impl Posting {
    pub fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(slots) => slots.len() as usize,
        }
    }

    pub fn insert(&mut self, slot: u32) {
        match self {
            Self::One(other) if *other == slot => {}
            Self::One(other) => *self = Self::Many(Box::new([*other, slot].into_iter().collect())),
            Self::Many(slots) => {
                slots.insert(slot);
            }
        }
    }

    /// Take `slot` out. False if it was the last.
    pub fn remove(&mut self, slot: u32) -> bool {
        match self {
            Self::One(other) => *other != slot,
            Self::Many(slots) => {
                slots.remove(slot);
                if let (1, Some(last)) = (slots.len(), slots.min()) {
                    *self = Self::One(last);
                }
                true
            }
        }
    }
}
