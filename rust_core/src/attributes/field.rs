//! The index of one field: who has which value, in the order of values.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::filter::number::Number;
use crate::filter::{OneOf, Test, Text};

use super::Attribute;
use super::posting::Posting;

/// Who has which value. Only values that somebody has are in it.
#[derive(Debug, Default)]
pub(super) struct Field {
    /// Who has anything but None.
    present: RoaringBitmap,
    /// Bools, ints and floats.
    numbers: BTreeMap<Number, Posting>,
    /// Strings.
    texts: BTreeMap<Text, Posting>,
    /// Of those who have a set, its elements.
    elements: BTreeMap<Text, Posting>,
}

impl Field {
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    pub fn present(&self) -> &RoaringBitmap {
        &self.present
    }

    /// Put `after` in the place of `before`. Texts of `after` become those that the index shares.
    pub fn replace(&mut self, slot: u32, before: Option<&Attribute>, after: Option<&mut Attribute>) {
        if let (Some(Attribute::Set(before)), Some(Attribute::Set(after))) = (before, &after) {
            self.remove_elements(slot, before.iter().filter(|text| after.binary_search(text).is_err()));
        } else {
            match before {
                Some(Attribute::Number(number)) => remove(&mut self.numbers, number, slot),
                Some(Attribute::Text(text)) => remove(&mut self.texts, text, slot),
                Some(Attribute::Set(elements)) => self.remove_elements(slot, elements.iter()),
                Some(Attribute::NotANumber) | None => {}
            }
        }
        if after.is_some() {
            self.present.insert(slot);
        } else {
            self.present.remove(slot);
        }
        match after {
            Some(Attribute::Number(number)) => insert(&mut self.numbers, number.clone(), slot),
            Some(Attribute::Text(text)) => {
                share(&self.texts, text);
                insert(&mut self.texts, Arc::clone(text), slot);
            }
            Some(Attribute::Set(elements)) => {
                for text in elements {
                    share(&self.elements, text);
                    insert(&mut self.elements, Arc::clone(text), slot);
                }
            }
            Some(Attribute::NotANumber) | None => {}
        }
    }

    fn remove_elements<'a>(&mut self, slot: u32, elements: impl Iterator<Item = &'a Text>) {
        elements.for_each(|text| remove(&mut self.elements, text, slot));
    }

    /// Give the postings of the values that pass the test, but for None, to `each`, until it returns false.
    pub fn postings<'a>(&'a self, test: &Test, mut each: impl FnMut(&'a Posting) -> bool) {
        let every = |posting: &'a Posting| each(posting);
        // Whether it went on to the end does not matter.
        let _ = match test {
            Test::OneOf(OneOf { numbers, texts, .. }) => numbers
                .iter()
                .filter_map(|number| self.numbers.get(number))
                .chain(texts.iter().filter_map(|text| self.texts.get(text)))
                .all(every),
            Test::Numbers(low, high) => {
                self.numbers.range((low.as_ref(), high.as_ref())).map(|(_, posting)| posting).all(every)
            }
            Test::Texts(low, high) => self
                .texts
                .range::<Text, _>((low.as_ref(), high.as_ref()))
                .map(|(_, posting)| posting)
                .all(every),
            Test::Has(text) => self.elements.get(text).into_iter().all(every),
        };
    }

    /// Who passes the test, but for None.
    pub fn passing(&self, test: &Test) -> Cow<'_, RoaringBitmap> {
        let mut passing: Cow<'_, RoaringBitmap> = Cow::default();
        self.postings(test, |posting| {
            match posting {
                Posting::One(slot) => {
                    passing.to_mut().insert(*slot);
                }
                // Of a single value, nothing is copied.
                Posting::Many(slots) if passing.is_empty() => passing = Cow::Borrowed(slots),
                Posting::Many(slots) => *passing.to_mut() |= &**slots,
            }
            true
        });
        passing
    }
}

fn insert<K: Ord>(index: &mut BTreeMap<K, Posting>, key: K, slot: u32) {
    index.entry(key).and_modify(|posting| posting.insert(slot)).or_insert(Posting::One(slot));
}

fn remove<K: Ord + Borrow<Q>, Q: Ord>(index: &mut BTreeMap<K, Posting>, key: &Q, slot: u32) {
    if index.get_mut(key).is_some_and(|posting| !posting.remove(slot)) {
        index.remove(key);
    }
}

fn share(index: &BTreeMap<Text, Posting>, text: &mut Text) {
    if let Some((shared, _)) = index.get_key_value(text) {
        *text = Arc::clone(shared);
    }
}
