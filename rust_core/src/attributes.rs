//! The attributes of the connections of one stream, by slot, indexed by value, so that a filter is answered
//! by looking up who matches instead of asking everybody.
//!
//! With *n* connections, *m* of them in the answer, and fields that have *d* distinct values in the range in
//! question:
//!
//! | asked | costs |
//! | --- | --- |
//! | `eq`, `has` | a lookup, and a copy of the answer: *m*, at most a bit for each connection |
//! | `in` | the same for each value |
//! | `lt`, `le`, `gt`, `ge`, `prefix` | a lookup, and *d* sets put together |
//! | `or` | its parts |
//! | `and` | its cheapest part; of each other one its own cost, or that of asking those who are left |
//! | `and` of ranges over one field | one range, what lies in all of them |
//! | `not` | its part, and a bit for each connection |
//! | equal to None | as `not` of having the attribute |
//! | one field of one connection set | a lookup, and a shift of its set: at most a bit for each connection |
//!
//! Sets are compressed bitmaps ([`roaring`]): of many in a row, runs; of many, a bit each; of few, two bytes
//! each.

pub(crate) mod event;
mod field;
mod matched;
mod posting;
mod read;
mod select;

use std::collections::HashMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::filter::number::Number;
use crate::filter::{Filter, Malformed, Text};

use self::field::Field;
pub use self::matched::{Matched, bitmap_bytes};
pub(crate) use self::posting::Posting;

/// Results that are kept: a few filters take turns in what an actor does at a time.
const MAX_KEPT: usize = 16;

/// What a connection has in one field; None is not kept at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    /// NaN, which no test finds but that it is not None.
    NotANumber,
    /// A bool, an int or a float.
    Number(Number),
    /// A string.
    Text(Text),
    /// A set of strings, sorted.
    Set(Vec<Text>),
}

/// The attributes of one connection, sorted by field.
pub(crate) type Own = Vec<(Text, Attribute)>;

/// The attributes of many connections, by slot.
#[derive(Debug, Default)]
pub struct Attributes {
    /// Who has which value, by field. Fields that nobody has are forgotten.
    fields: HashMap<Text, Field>,
    /// What each connection has. Names and values are shared with `fields`.
    own: HashMap<u32, Own>,
    /// The keys of `own`: everybody.
    slots: RoaringBitmap,
    /// Moves on with every change.
    generation: u64,
    /// The latest results, the one that was computed last at the end.
    kept: Vec<Kept>,
}

/// A result, kept.
#[derive(Debug)]
struct Kept {
    /// Known by its address, which is not used again while this holds it.
    filter: Arc<Filter>,
    /// Who matched.
    matched: Arc<Matched>,
    /// The generation for which that is known.
    generation: u64,
}

impl Attributes {
    /// Set all attributes of the connection in `slot`: a MessagePack map of fields to values, or to an array
    /// of texts (a set). Only those that differ from before cost more than being compared. False if none
    /// does.
    ///
    /// # Errors
    /// [`Malformed`] if it is no such map; nothing has changed then.
    pub fn set(&mut self, slot: u32, attributes: &[u8]) -> Result<bool, Malformed> {
        let mut own = read::attributes(attributes)?;
        let mut changed = self.slots.insert(slot);
        let mut before = self.own.remove(&slot).unwrap_or_default().into_iter().peekable();
        for (field, attribute) in &mut own {
            while let Some((gone, value)) = before.next_if(|(other, _)| *other < *field) {
                self.replace(slot, &gone, Some(&value), None);
                changed = true;
            }
            match before.next_if(|(other, _)| other == field) {
                Some((shared, value)) if value == *attribute => (*field, *attribute) = (shared, value),
                differs => {
                    let value = differs.as_ref().map(|(_, value)| value);
                    *field = self.replace(slot, field, value, Some(attribute));
                    changed = true;
                }
            }
        }
        for (gone, value) in before {
            self.replace(slot, &gone, Some(&value), None);
            changed = true;
        }
        own.shrink_to_fit();
        self.own.insert(slot, own);
        self.generation += u64::from(changed);
        Ok(changed)
    }

    /// Forget the connection in `slot`. False if it had no attributes set.
    pub fn remove(&mut self, slot: u32) -> bool {
        let Some(own) = self.own.remove(&slot) else {
            return false;
        };
        self.slots.remove(slot);
        for (field, value) in own {
            self.replace(slot, &field, Some(&value), None);
        }
        self.generation += 1;
        true
    }

    /// The slots of the connections that match now.
    #[must_use]
    pub fn select(&self, filter: &Filter) -> Matched {
        Matched::new(self.matching(&filter.root).into_owned())
    }

    /// The same, computed at most once until something changes. If the answer is the one that this filter had
    /// last, it is that very object: whoever keeps both keeps one.
    pub fn select_kept(&mut self, filter: &Arc<Filter>) -> Arc<Matched> {
        let place = self.kept.iter().position(|kept| Arc::ptr_eq(&kept.filter, filter));
        if let Some(kept) = place.map(|place| &self.kept[place])
            && kept.generation == self.generation
        {
            return Arc::clone(&kept.matched);
        }
        let now = self.select(filter);
        let last = match place {
            Some(place) => Some(self.kept.remove(place).matched),
            None => {
                if self.kept.len() == MAX_KEPT {
                    self.kept.remove(0);
                }
                None
            }
        };
        let matched = last.filter(|last| **last == now).unwrap_or_else(|| Arc::new(now));
        self.kept.push(Kept {
            filter: Arc::clone(filter),
            matched: Arc::clone(&matched),
            generation: self.generation,
        });
        matched
    }

    /// Let go of the results that are kept, and of their filters.
    pub fn forget_kept(&mut self) {
        self.kept.clear();
    }

    /// Whether the connection in `slot` matches; never, if it has no attributes set.
    #[must_use]
    pub fn matches(&self, slot: u32, filter: &Filter) -> bool {
        self.own.get(&slot).is_some_and(|own| filter.root.holds(own))
    }

    /// A number that moves on with every change, so that whatever was computed at one holds as long as it
    /// stays.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many connections have attributes set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.own.len()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// How many fields are in use.
    #[must_use]
    pub fn fields(&self) -> usize {
        self.fields.len()
    }

    /// Put one attribute in another's place, in the index. Returns the name of the field as all share it.
    fn replace(
        &mut self,
        slot: u32,
        name: &Text,
        before: Option<&Attribute>,
        after: Option<&mut Attribute>,
    ) -> Text {
        let name = self.fields.get_key_value(name).map_or(name, |(shared, _)| shared).clone();
        let field = self.fields.entry(Arc::clone(&name)).or_default();
        field.replace(slot, before, after);
        if field.is_empty() {
            self.fields.remove(&name);
        }
        name
    }
}
