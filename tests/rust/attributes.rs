//! Who matches: attributes indexed by value, against asking every connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use ringcast_core::attributes::Attributes;
use ringcast_core::filter::Filter;
use serde_json::{Value, json};

use crate::naive::{self, State};

fn compiled(filter: &Value) -> Filter {
    Filter::parse(&rmp_serde::to_vec(filter).unwrap()).unwrap()
}

fn set(attributes: &mut Attributes, slot: u32, state: &Value) -> bool {
    attributes.set(slot, &rmp_serde::to_vec(state).unwrap()).unwrap()
}

fn select(attributes: &Attributes, filter: Value) -> Vec<u32> {
    attributes.select(&compiled(&filter)).iter().collect()
}

fn a_few() -> Attributes {
    let mut attributes = Attributes::default();
    set(&mut attributes, 1, &json!({"role": "admin", "level": 3, "tags": ["vip", "new"]}));
    set(&mut attributes, 2, &json!({"role": "user", "level": 2.5, "tags": []}));
    set(&mut attributes, 3, &json!({"role": "adviser", "level": true}));
    set(&mut attributes, 70_000, &json!({"role": null, "level": "3"}));
    attributes
}

#[test]
fn every_operator_finds_whom_python_would() {
    let attributes = a_few();
    for (filter, slots) in [
        (json!(["eq", "role", "admin"]), &[1][..]),
        (json!(["eq", "role", null]), &[70_000]),
        (json!(["eq", "level", 1.0]), &[3]),
        (json!(["eq", "unknown", null]), &[1, 2, 3, 70_000]),
        (json!(["eq", "unknown", 1]), &[]),
        (json!(["in", "level", [1, "3", null]]), &[3, 70_000]),
        (json!(["in", "tags", [null]]), &[3, 70_000]),
        (json!(["in", "level", []]), &[]),
        (json!(["lt", "level", 2.5]), &[3]),
        (json!(["le", "level", 2.5]), &[2, 3]),
        (json!(["gt", "level", 2]), &[1, 2]),
        (json!(["ge", "level", "3"]), &[70_000]),
        (json!(["ge", "level", null]), &[]),
        (json!(["prefix", "role", "ad"]), &[1, 3]),
        (json!(["prefix", "role", ""]), &[1, 2, 3]),
        (json!(["has", "tags", "vip"]), &[1]),
        (json!(["has", "role", "admin"]), &[]),
        (json!(["not", ["has", "tags", "vip"]]), &[2, 3, 70_000]),
        (json!(["and", [["prefix", "role", "ad"], ["not", ["lt", "level", 2]]]]), &[1]),
        (json!(["and", [["gt", "level", 1], ["le", "level", 3]]]), &[1, 2]),
        (json!(["and", [["gt", "level", 1], ["lt", "level", 2.5], ["ge", "level", 0]]]), &[]),
        (json!(["and", [["and", [["ge", "level", 3]]], ["le", "level", 3.0]]]), &[1]),
        (json!(["and", [["ge", "level", 3], ["lt", "level", 3.0]]]), &[]),
        (json!(["and", [["prefix", "role", "ad"], ["gt", "role", "admin"]]]), &[3]),
        (json!(["and", [["ge", "level", 0], ["ge", "level", ""]]]), &[]),
        (json!(["or", [["eq", "role", "user"], ["eq", "level", "3"]]]), &[2, 70_000]),
        (json!(["and", []]), &[1, 2, 3, 70_000]),
        (json!(["or", []]), &[]),
    ] {
        assert_eq!(select(&attributes, filter.clone()), slots, "{filter}");
    }
}

#[test]
fn a_connection_without_attributes_matches_from_the_moment_at_which_they_are_set() {
    let mut attributes = Attributes::default();
    assert!(!attributes.matches(5, &compiled(&json!(["and", []]))));
    assert!(set(&mut attributes, 5, &json!({})));
    assert_eq!(select(&attributes, json!(["not", ["eq", "role", "admin"]])), [5]);
    assert!(attributes.remove(5) && !attributes.remove(5));
    assert!(select(&attributes, json!(["and", []])).is_empty());
}

#[test]
fn what_is_set_takes_the_place_of_all_that_was() {
    let mut attributes = a_few();
    assert!(set(&mut attributes, 1, &json!({"level": 4, "tags": ["vip", "old"]})));
    assert_eq!(select(&attributes, json!(["eq", "role", null])), [1, 70_000]);
    assert_eq!(select(&attributes, json!(["ge", "level", 3])), [1]);
    assert!(select(&attributes, json!(["has", "tags", "new"])).is_empty());
    assert_eq!(select(&attributes, json!(["has", "tags", "old"])), [1]);
    assert_eq!(attributes.fields(), 3);
    assert!([1, 2, 3, 70_000].into_iter().all(|slot| attributes.remove(slot)));
    assert_eq!((attributes.fields(), attributes.len()), (0, 0));
}

#[test]
fn the_generation_moves_with_what_a_filter_can_see() {
    let mut attributes = a_few();
    let before = attributes.generation();
    assert!(!set(&mut attributes, 1, &json!({"tags": ["new", "vip", "new"], "level": 3.0, "role": "admin"})));
    assert!(!set(&mut attributes, 3, &json!({"role": "adviser", "level": 1, "tags": null})));
    assert!(!attributes.remove(4));
    assert_eq!(attributes.generation(), before);
    assert!(set(&mut attributes, 3, &json!({"role": "adviser", "level": 1, "tags": []})));
    assert!(attributes.generation() > before);
}

#[test]
fn nothing_has_changed_when_attributes_are_malformed() {
    let mut attributes = a_few();
    let before = attributes.generation();
    for (state, why) in [
        (json!(["role", "admin"]), "attributes are a map, at byte 0"),
        (json!({"role": "user", "level": {}}), "a value is None, a bool, a number or a text, at byte 17"),
        (json!({"role": "user", "tags": ["a", 1]}), "a set has texts only, at byte 19"),
        (json!({"": 1}), "the name of a field has 1 to 128 characters, at byte 1"),
        (json!({"x".repeat(129): 1}), "the name of a field has 1 to 128 characters, at byte 1"),
    ] {
        let error = attributes.set(1, &rmp_serde::to_vec(&state).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), why, "{state}");
    }
    let twice = [0x82, 0xa1, b'a', 0xc0, 0xa1, b'a', 2];
    assert_eq!(attributes.set(1, &twice).unwrap_err().to_string(), "a field is there twice, at byte 7");
    let more = [0x80, 0x80];
    assert_eq!(attributes.set(1, &more).unwrap_err().to_string(), "more than one value, at byte 1");
    assert_eq!(attributes.generation(), before);
    assert_eq!(select(&attributes, json!(["eq", "role", "admin"])), [1]);
    assert!(set(&mut attributes, 1, &json!({"ß".repeat(128): 1})), "it is counted in characters");
}

#[test]
fn a_result_is_shared_until_it_comes_out_differently() {
    let mut attributes = a_few();
    let filter = Arc::new(compiled(&json!(["prefix", "role", "ad"])));
    let first = attributes.select_kept(&filter);
    assert!(Arc::ptr_eq(&first, &attributes.select_kept(&filter)));
    set(&mut attributes, 1, &json!({"role": "administrator", "level": 4}));
    assert!(Arc::ptr_eq(&first, &attributes.select_kept(&filter)), "that made no difference");
    set(&mut attributes, 2, &json!({"role": "admiral"}));
    let second = attributes.select_kept(&filter);
    assert_eq!((first.len(), second.len()), (2, 3), "and what was answered before stays");
}

#[test]
fn filters_that_are_made_up_as_it_goes_do_not_fill_the_memory() {
    let mut attributes = a_few();
    let filters: Vec<_> = (0..100).map(|level| Arc::new(compiled(&json!(["eq", "level", level])))).collect();
    for filter in &filters {
        attributes.select_kept(filter);
    }
    let kept = |filter: &&Arc<Filter>| Arc::strong_count(filter) > 1;
    assert!((1..=16).contains(&filters.iter().filter(kept).count()));
    attributes.select_kept(&filters[0]);
    assert!(kept(&&filters[0]), "the latest are kept");
}

#[test]
fn a_result_takes_little_memory_and_says_how_much() {
    let mut attributes = Attributes::default();
    for slot in 0..9000 {
        set(&mut attributes, slot, &json!({"user": slot, "third": slot % 3 == 0}));
    }
    let everybody = attributes.select(&compiled(&json!(["ge", "user", 0])));
    assert_eq!((everybody.len(), everybody.contains(8999), everybody.contains(9000)), (9000, true, false));
    assert!(everybody.bytes() < 200, "{}", everybody.bytes());
    let third = attributes.select(&compiled(&json!(["eq", "third", true])));
    assert!(third.iter().eq((0..9000).step_by(3)));
    assert!((6000..=12_500).contains(&third.bytes()), "{}", third.bytes());
    let nobody = attributes.select(&compiled(&json!(["lt", "user", 0])));
    assert!(nobody.is_empty() && nobody.bytes() <= 32);
}

/// Several in each set of 65,536 slots that a bitmap keeps together, and the last one that there can be.
const SLOTS: [u32; 8] = [0, 1, 2, 3, 65_535, 65_536, 70_000, u32::MAX];

#[derive(Clone, Debug)]
enum Step {
    Set(u32, State),
    Remove(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let slot = || prop::sample::select(&SLOTS[..]);
    prop_oneof![
        6 => (slot(), naive::state()).prop_map(|(slot, state)| Step::Set(slot, state)),
        1 => slot().prop_map(Step::Remove),
    ]
}

/// Do one step in both, and compare what is said to have changed.
fn take(attributes: &mut Attributes, states: &mut BTreeMap<u32, State>, step: Step) {
    let before = attributes.generation();
    let (changed, expected) = match step {
        Step::Set(slot, state) => {
            let changed = attributes.set(slot, &naive::map(&state)).expect("it is well formed");
            let none = naive::Value::None;
            let differs = |old: &State| {
                naive::FIELDS
                    .iter()
                    .any(|field| !old.get(field).unwrap_or(&none).is_like(state.get(field).unwrap_or(&none)))
            };
            let expected = states.get(&slot).is_none_or(differs);
            states.insert(slot, state);
            (changed, expected)
        }
        Step::Remove(slot) => (attributes.remove(slot), states.remove(&slot).is_some()),
    };
    assert_eq!(changed, expected);
    assert_eq!(attributes.generation() > before, changed);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10_000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn whoever_matches_is_found_after_any_history(
        history in prop::collection::vec(step(), 0..16),
        filters in prop::collection::vec(naive::filter(), 1..5),
    ) {
        let (mut attributes, mut states) = (Attributes::default(), BTreeMap::new());
        let compile = |filter: &naive::Filter| Filter::parse(&filter.to_bytes()).expect("it is well formed");
        let compiled: Vec<_> = filters.iter().map(|filter| Arc::new(compile(filter))).collect();
        let who = |filter: &naive::Filter, states: &BTreeMap<u32, State>| -> Vec<u32> {
            states.iter().filter(|(_, state)| filter.matches(state)).map(|(slot, _)| *slot).collect()
        };
        for step in history {
            take(&mut attributes, &mut states, step);
            let kept = attributes.select_kept(&compiled[0]);
            prop_assert_eq!(kept.iter().collect::<Vec<_>>(), who(&filters[0], &states), "{:?}", filters[0]);
        }
        for (filter, compiled) in filters.iter().zip(&compiled) {
            let expected = who(filter, &states);
            let selected: Vec<_> = attributes.select(compiled).iter().collect();
            prop_assert_eq!(&selected, &expected, "{:?}", filter);
            for slot in SLOTS {
                prop_assert_eq!(attributes.matches(slot, compiled), expected.contains(&slot));
            }
        }
        prop_assert_eq!(attributes.len(), states.len());
        for slot in SLOTS {
            prop_assert_eq!(attributes.remove(slot), states.contains_key(&slot));
        }
        prop_assert_eq!((attributes.len(), attributes.fields()), (0, 0), "nothing is left behind");
    }

    #[test]
    fn broken_attributes_change_nothing(
        state in naive::state(),
        breaks in prop::collection::vec(crate::filter::damage(), 1..4),
    ) {
        let mut attributes = a_few();
        let mut bytes = naive::map(&state);
        breaks.iter().for_each(|damage| damage.apply(&mut bytes));
        let before = attributes.generation();
        if attributes.set(1, &bytes).is_err() {
            prop_assert_eq!(attributes.generation(), before);
            prop_assert_eq!(select(&attributes, json!(["eq", "role", "admin"])), [1]);
        }
    }
}
