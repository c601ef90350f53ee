//! The filters that somebody listens to one event name with, and which of them an event matches.
//!
//! Each distinct filter is asked once for each event, however many connections have it. One that needs a field to be
//! equal to something is asked only about events in which it is: of a thousand rooms or zones, one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::attributes::event;
use crate::attributes::{Attribute, Own};
use crate::filter::number::Number;
use crate::filter::{Filter, Node, OneOf, Test, Text};
use crate::frame::ENCODINGS;

use super::names::NameId;

/// A filter is found by the values that one field has to be equal to, if they are not more.
const MAX_KEYS: usize = 64;

/// The filters of one event name.
#[derive(Debug, Default)]
pub(super) struct Filters {
    /// All of them, by topic.
    by_topic: HashMap<NameId, Arc<Filter>>,
    /// The fields that they ask about, with how many of them do. No others are read.
    asked: BTreeMap<Text, usize>,
    /// Those that need a field to be equal to one of a few values, by field.
    by_field: BTreeMap<Text, ByValue>,
    /// All others.
    unkeyed: Vec<NameId>,
    /// What the last event matched, to be shared by the next.
    last: Option<Arc<[NameId]>>,
}

/// Topics by the value that a field has to have.
#[derive(Debug, Default)]
struct ByValue {
    numbers: BTreeMap<Number, Vec<NameId>>,
    texts: BTreeMap<Text, Vec<NameId>>,
}

impl ByValue {
    fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.texts.is_empty()
    }

    fn find(&self, attribute: &Attribute) -> Option<&Vec<NameId>> {
        match attribute {
            Attribute::Number(number) => self.numbers.get(number),
            Attribute::Text(text) => self.texts.get(text),
            Attribute::Set(_) | Attribute::NotANumber => None,
        }
    }
}

impl Filters {
    pub fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    /// Somebody begins to listen with this filter.
    pub fn add(&mut self, topic: NameId, filter: &Arc<Filter>) {
        for field in filter.fields() {
            *self.asked.entry(Arc::clone(field)).or_default() += 1;
        }
        match key(&filter.root) {
            Some((field, values)) => {
                let by_value = self.by_field.entry(Arc::clone(field)).or_default();
                for number in &values.numbers {
                    by_value.numbers.entry(number.clone()).or_default().push(topic);
                }
                for text in &values.texts {
                    by_value.texts.entry(Arc::clone(text)).or_default().push(topic);
                }
            }
            None => self.unkeyed.push(topic),
        }
        self.by_topic.insert(topic, Arc::clone(filter));
    }

    /// Nobody listens with this filter any more.
    pub fn remove(&mut self, topic: NameId) {
        let Some(filter) = self.by_topic.remove(&topic) else {
            return;
        };
        for field in filter.fields() {
            if let Some(count) = self.asked.get_mut(field) {
                *count -= 1;
                if *count == 0 {
                    self.asked.remove(field);
                }
            }
        }
        match key(&filter.root) {
            Some((field, values)) => {
                if let Some(by_value) = self.by_field.get_mut(field) {
                    values.numbers.iter().for_each(|number| take(&mut by_value.numbers, number, topic));
                    values.texts.iter().for_each(|text| take(&mut by_value.texts, text, topic));
                    if by_value.is_empty() {
                        self.by_field.remove(field);
                    }
                }
            }
            None => self.unkeyed.retain(|other| *other != topic),
        }
        self.last = None;
    }

    /// The topics whose filters an event matches, in order; `None` if there are none.
    pub fn matching(&mut self, args: [Option<&[u8]>; ENCODINGS]) -> Option<Arc<[NameId]>> {
        let own = event::fields(args, |name| self.asked.get_key_value(name).map(|(field, _)| field));
        let keyed = self.by_field.iter().filter_map(|(field, by_value)| {
            let found = own.binary_search_by(|(name, _)| name.cmp(field));
            by_value.find(&own[found.ok()?].1)
        });
        let candidates = keyed.flatten().chain(&self.unkeyed);
        let mut matched: Vec<NameId> =
            candidates.filter(|topic| self.by_topic[topic].root.holds(&own)).copied().collect();
        if matched.is_empty() {
            return None;
        }
        matched.sort_unstable();
        if self.last.as_deref() != Some(&matched) {
            self.last = Some(matched.into());
        }
        self.last.clone()
    }
}

/// Whether a filter matches an event with these arguments: what [`Filters::matching`] asks, of one.
pub(crate) fn matches(filter: &Filter, args: [Option<&[u8]>; ENCODINGS]) -> bool {
    let fields: BTreeMap<&[u8], &Text> = filter.fields().map(|field| (&**field, field)).collect();
    let own: Own = event::fields(args, |name| fields.get(name).copied());
    filter.root.holds(&own)
}

fn take<K: Ord>(index: &mut BTreeMap<K, Vec<NameId>>, value: &K, topic: NameId) {
    if let Some(topics) = index.get_mut(value) {
        topics.retain(|other| *other != topic);
        if topics.is_empty() {
            index.remove(value);
        }
    }
}

/// The field that has to be equal to one of a few values for the filter to match.
fn key(node: &Node) -> Option<(&Text, &OneOf)> {
    match node {
        Node::And(parts) => parts.iter().find_map(key),
        Node::Test(field, Test::OneOf(values))
            if !values.none && values.numbers.len() + values.texts.len() <= MAX_KEYS =>
        {
            Some((field, values))
        }
        Node::Or(_) | Node::Not(_) | Node::Test(..) => None,
    }
}
