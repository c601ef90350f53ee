//! Filters evaluated: over the indexes, and for one connection at a time where few are left to ask.

use std::borrow::Cow;
use std::ops::RangeBounds;

use roaring::RoaringBitmap;

use crate::filter::{Node, OneOf, Test, Text};

use super::{Attribute, Attributes, Own};

/// Asking one connection takes about as long as adding so many sets to an answer (`filter/select 9 of` in
/// `benches/filter.rs`, at 900).
const SETS_PER_CONNECTION: usize = 4;

impl Attributes {
    /// Who matches this part of a filter.
    pub(super) fn matching(&self, node: &Node) -> Cow<'_, RoaringBitmap> {
        match node {
            Node::And(parts) => self.matching_all(parts),
            Node::Or(parts) => {
                let mut union: Cow<'_, RoaringBitmap> = Cow::default();
                for part in parts {
                    let matching = self.matching(part);
                    if union.is_empty() {
                        union = matching;
                    } else {
                        *union.to_mut() |= &*matching;
                    }
                }
                union
            }
            Node::Not(part) => Cow::Owned(&self.slots - &*self.matching(part)),
            Node::Test(field, test) => self.passing(field, test),
        }
    }

    fn passing(&self, field: &Text, test: &Test) -> Cow<'_, RoaringBitmap> {
        let index = self.fields.get(field);
        let passing = index.map(|field| field.passing(test));
        if !matches!(test, Test::OneOf(OneOf { none: true, .. })) {
            return passing.unwrap_or_default();
        }
        // None is what all others have.
        let Some(index) = index else {
            return Cow::Borrowed(&self.slots);
        };
        let mut matching = &self.slots - index.present();
        if let Some(passing) = passing {
            matching |= &*passing;
        }
        Cow::Owned(matching)
    }

    /// Who matches all of these: begin with the one that the fewest can match, and narrow that down.
    fn matching_all(&self, parts: &[Node]) -> Cow<'_, RoaringBitmap> {
        if let [only] = parts {
            return self.matching(only);
        }
        let Some((cheapest, at_most)) = self.cheapest(parts, self.len()) else {
            return Cow::Borrowed(&self.slots);
        };
        if at_most == 0 {
            return Cow::default();
        }
        let mut left = self.matching(&parts[cheapest]);
        for (index, part) in parts.iter().enumerate() {
            if left.is_empty() {
                break;
            }
            if index == cheapest {
                continue;
            }
            let limit = left.len() as usize * SETS_PER_CONNECTION;
            let narrowed = if self.sets_in(part, limit) > limit {
                left.iter().filter(|slot| part.holds(&self.own[slot])).collect()
            } else if let Node::Not(part) = part {
                &*left - &*self.matching(part)
            } else {
                &*left & &*self.matching(part)
            };
            left = Cow::Owned(narrowed);
        }
        left
    }

    /// The part that the fewest can match, and how many these are at most; `None` if there is no part.
    /// Counting ends above `limit`.
    fn cheapest(&self, parts: &[Node], limit: usize) -> Option<(usize, usize)> {
        let mut cheapest = None;
        for (index, part) in parts.iter().enumerate() {
            let limit = cheapest.map_or(limit, |(_, at_most)| at_most);
            let at_most = self.at_most(part, limit);
            if cheapest.is_none_or(|(_, fewest)| at_most < fewest) {
                cheapest = Some((index, at_most));
            }
        }
        cheapest
    }

    /// How many can match this part, as far as that is seen without looking who. Counting ends above `limit`.
    fn at_most(&self, node: &Node, limit: usize) -> usize {
        match node {
            Node::And(parts) => self.cheapest(parts, limit).map_or(self.len(), |(_, at_most)| at_most),
            Node::Or(parts) => sum_until(limit, parts, |part, limit| self.at_most(part, limit)),
            Node::Not(_) => self.len(),
            Node::Test(name, test) => {
                let field = self.fields.get(name);
                let mut sum = match test {
                    Test::OneOf(OneOf { none: true, .. }) => {
                        self.len() - field.map_or(0, |field| field.present().len() as usize)
                    }
                    _ => 0,
                };
                if let Some(field) = field {
                    field.postings(test, |posting| {
                        sum += posting.len();
                        sum <= limit
                    });
                }
                sum
            }
        }
    }

    /// How many sets are put together to find who matches this part. Counting ends above `limit`.
    fn sets_in(&self, node: &Node, limit: usize) -> usize {
        match node {
            Node::And(parts) | Node::Or(parts) => {
                sum_until(limit, parts, |part, limit| self.sets_in(part, limit))
            }
            Node::Not(part) => self.sets_in(part, limit),
            Node::Test(name, test) => {
                let mut sets = 1;
                if let Some(field) = self.fields.get(name) {
                    field.postings(test, |_| {
                        sets += 1;
                        sets <= limit
                    });
                }
                sets
            }
        }
    }
}

fn sum_until(limit: usize, parts: &[Node], count: impl Fn(&Node, usize) -> usize) -> usize {
    let mut sum = 0;
    for part in parts {
        if sum > limit {
            break;
        }
        sum += count(part, limit - sum);
    }
    sum
}

impl Node {
    /// Whether a connection, or an event, that has these attributes matches.
    pub(crate) fn holds(&self, own: &Own) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.holds(own)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(own)),
            Self::Not(part) => !part.holds(own),
            Self::Test(field, test) => {
                let found = own.binary_search_by(|(name, _)| name.cmp(field));
                test.holds(found.ok().map(|index| &own[index].1))
            }
        }
    }
}

impl Test {
    fn holds(&self, attribute: Option<&Attribute>) -> bool {
        match (self, attribute) {
            (Self::OneOf(one_of), None) => one_of.none,
            (Self::OneOf(one_of), Some(Attribute::Number(number))) => one_of.numbers.contains(number),
            (Self::OneOf(one_of), Some(Attribute::Text(text))) => one_of.texts.contains(text),
            (Self::Numbers(low, high), Some(Attribute::Number(number))) => {
                (low.as_ref(), high.as_ref()).contains(number)
            }
            (Self::Texts(low, high), Some(Attribute::Text(text))) => {
                (low.as_ref(), high.as_ref()).contains(text)
            }
            (Self::Has(text), Some(Attribute::Set(elements))) => elements.binary_search(text).is_ok(),
            _ => false,
        }
    }
}
