//! The compiled form of filters: what it is, and what is wrong with anything else.

use std::cmp::Ordering;

use proptest::prelude::*;
use ringcast_core::attributes::Attributes;
use ringcast_core::filter::number::Number;
use ringcast_core::filter::{Filter, MAX_BYTES, MAX_DEPTH, MAX_NODES};
use serde_json::{Value, json};

use crate::naive;

fn parse(filter: &Value) -> Result<Filter, String> {
    Filter::parse(&rmp_serde::to_vec(filter).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn whatever_is_no_filter_is_refused_with_the_reason() {
    for (value, why) in [
        (json!(7), "a filter is an array, at byte 0"),
        (json!([]), "ends too early, at byte 1"),
        (json!([1, 2]), "an operator is a text, at byte 1"),
        (json!(["xor", []]), "an operator that is not known, at byte 1"),
        (json!(["and", [], []]), "an operator with too many or too few operands, at byte 1"),
        (json!(["eq", "a"]), "an operator with too many or too few operands, at byte 1"),
        (json!(["and", 1]), "the operand of and, or: an array of filters, at byte 5"),
        (json!(["or", [1]]), "a filter is an array, at byte 5"),
        (json!(["not", "a"]), "a filter is an array, at byte 5"),
        (json!(["eq", 1, 1]), "a field is named by a text, at byte 4"),
        (json!(["eq", "", 1]), "the name of a field has 1 to 128 characters, at byte 4"),
        (json!(["eq", "a", []]), "a value is None, a bool, a number or a text, at byte 6"),
        (json!(["lt", "a", {}]), "a value is None, a bool, a number or a text, at byte 6"),
        (json!(["in", "a", 1]), "the operand of in is an array of values, at byte 6"),
        (json!(["in", "a", [1, []]]), "a value is None, a bool, a number or a text, at byte 8"),
        (json!(["has", "a", 1]), "the operand of has is a text, at byte 7"),
        (json!(["prefix", "a", null]), "the operand of prefix is a text, at byte 10"),
    ] {
        assert_eq!(parse(&value).unwrap_err(), why, "{value}");
    }
}

#[test]
fn bytes_that_are_not_used_are_refused() {
    let eq = |operand: &[u8]| {
        let compiled = [&[0x93, 0xa2, b'e', b'q', 0xa1, b'a'], operand].concat();
        Filter::parse(&compiled).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(eq(&[1]), Ok(()));
    assert_eq!(eq(&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]), Ok(()), "NaN is a value that equals nothing");
    assert_eq!(eq(&[0xa3, 0xed, 0xa0, 0x80]), Ok(()), "a lone surrogate is a character");
    for (operand, why) in [
        (&[][..], "ends too early, at byte 6"),
        (&[1, 1], "more than one value, at byte 7"),
        (&[0xc1], "a type that is not used here, at byte 6"),
        (&[0xca, 0, 0, 0, 0], "a type that is not used here, at byte 6"),
        (&[0xc4, 1, 0], "a type that is not used here, at byte 6"),
        (&[0xcb, 0, 0], "ends too early, at byte 9"),
        (&[0xd9], "ends too early, at byte 7"),
        (&[0xdb, 0xff, 0xff, 0xff, 0xff, 0], "ends too early, at byte 12"),
        (&[0xa1, 0xff], "a str that is not UTF-8, at byte 6"),
        (&[0xa2, 0xed, 0xa0], "a str that is not UTF-8, at byte 6"),
        (&[0xa2, 0xc0, 0x80], "a str that is not UTF-8, at byte 6"),
        (&[0xd4, 2, 0], "a value is None, a bool, a number or a text, at byte 6"),
        (&[0xc7, 0, 1], "a value is None, a bool, a number or a text, at byte 6"),
    ] {
        assert_eq!(eq(operand), Err(why.into()), "{operand:x?}");
    }
    assert_eq!(Filter::parse(&[]).unwrap_err().to_string(), "ends too early, at byte 0");
}

#[test]
fn filters_are_nested_as_deep_as_the_limit_and_no_deeper() {
    let nested = |depth: usize| {
        let mut compiled = [0x92, 0xa3, b'n', b'o', b't'].repeat(depth - 1);
        compiled.extend(rmp_serde::to_vec(&json!(["or", []])).unwrap());
        Filter::parse(&compiled).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(nested(MAX_DEPTH), Ok(()));
    assert_eq!(nested(MAX_DEPTH + 1), Err("a filter is nested more than 32 deep, at byte 160".into()));
    assert!(nested(MAX_BYTES / 6).is_err(), "and however deep it is, the stack holds");
}

#[test]
fn filters_have_as_many_nodes_and_bytes_as_the_limits_and_no_more() {
    let wide = |nodes: usize| json!(["or", vec![json!(["eq", "a", 1]); nodes - 1]]);
    assert!(parse(&wide(MAX_NODES)).is_ok());
    let why = parse(&wide(MAX_NODES + 1)).unwrap_err();
    assert!(why.starts_with("a filter has more than 1,024 nodes"), "{why}");
    // Nine bytes are around the text.
    let long = |bytes: usize| json!(["eq", "a", "x".repeat(bytes - 9)]);
    assert!(parse(&long(MAX_BYTES)).is_ok());
    let why = parse(&long(MAX_BYTES + 1)).unwrap_err();
    assert_eq!(why, "a filter takes more than 64 KiB, at byte 65536");
}

#[test]
fn numbers_are_in_the_exact_order_of_their_values() {
    let float = |float: f64| Number::from_float(float).unwrap();
    let large = |bytes: &[u8]| Number::from_twos_complement(bytes);
    // What stands in one row is equal.
    let ascending: [&[Number]; 20] = [
        &[float(f64::NEG_INFINITY)],
        &[float(f64::MIN)],
        &[large(&[0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]), large(&[0xff, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0])],
        &[large(&[0xff, 0, 0, 0, 0, 0, 0, 0, 0]), float(-(2_f64.powi(64)))],
        &[large(&[0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])],
        &[i64::MIN.into(), float(-(2_f64.powi(63))), large(&[0x80, 0, 0, 0, 0, 0, 0, 0])],
        &[(i64::MIN + 1).into()],
        &[(-129_i64).into(), large(&[0xff, 0x7f])],
        &[(-1_i64).into(), float(-1.0), large(&[0xff, 0xff])],
        &[float(-0.5)],
        &[0_i64.into(), float(0.0), float(-0.0), large(&[0]), large(&[])],
        &[float(5e-324)],
        &[1_i64.into(), 1_u64.into(), float(1.0)],
        &[(1_i64 << 53).into(), float(2_f64.powi(53))],
        &[((1_i64 << 53) + 1).into()],
        &[i64::MAX.into(), large(&[0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])],
        &[(1_u64 << 63).into(), float(2_f64.powi(63)), large(&[0, 0x80, 0, 0, 0, 0, 0, 0, 0])],
        &[u64::MAX.into()],
        &[float(1e300)],
        &[float(f64::INFINITY)],
    ];
    for (index, row) in ascending.iter().enumerate() {
        for (other_index, other_row) in ascending.iter().enumerate() {
            for (one, other) in row.iter().flat_map(|one| other_row.iter().map(move |other| (one, other))) {
                assert_eq!(one.cmp(other), index.cmp(&other_index), "{one:?} {other:?}");
            }
        }
    }
    assert_eq!(Number::from_float(f64::NAN), None);
}

/// One way to break bytes.
#[derive(Clone, Debug)]
pub enum Damage {
    Put(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Cut(usize),
    /// A part again, somewhere else.
    Repeat(usize, usize, usize),
}

impl Damage {
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let (length, place) = (bytes.len(), |at: usize| at % bytes.len().max(1));
        match *self {
            Self::Insert(at, byte) => bytes.insert(at % (length + 1), byte),
            _ if length == 0 => {}
            Self::Put(at, byte) => *bytes.get_mut(at % length).unwrap() = byte,
            Self::Remove(at) => drop(bytes.remove(place(at))),
            Self::Cut(at) => bytes.truncate(at % length),
            Self::Repeat(from, length, to) => {
                let (from, to) = (place(from), place(to));
                let part = bytes[from..bytes.len().min(from + length)].to_vec();
                bytes.splice(to..to, part);
            }
        }
    }
}

/// Mostly bytes that begin something.
pub fn damage() -> impl Strategy<Value = Damage> {
    let byte = || {
        let heads =
            [0x80, 0x92, 0x93, 0xa1, 0xc0, 0xc3, 0xc7, 0xca, 0xcb, 0xcf, 0xd3, 0xd8, 0xdb, 0xdd, 0xdf];
        prop_oneof![any::<u8>(), prop::sample::select(heads.to_vec())]
    };
    let at = || any::<usize>();
    prop_oneof![
        3 => (at(), byte()).prop_map(|(at, byte)| Damage::Put(at, byte)),
        2 => (at(), byte()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        2 => at().prop_map(Damage::Remove),
        1 => at().prop_map(Damage::Cut),
        2 => (at(), 0..32_usize, at()).prop_map(|(from, length, to)| Damage::Repeat(from, length, to)),
    ]
}

/// Whatever the bytes are: a filter that says of everybody the same in both ways, or an error within the
/// bytes.
fn check(bytes: &[u8], states: &[naive::State]) {
    match Filter::parse(bytes) {
        Err(error) => assert!(error.at <= bytes.len(), "{error}"),
        Ok(filter) => {
            let mut attributes = Attributes::default();
            for (slot, state) in (0..).zip(states) {
                attributes.set(slot, &naive::map(state)).unwrap();
            }
            let matched = attributes.select(&filter);
            for slot in 0..=states.len() as u32 {
                assert_eq!(matched.contains(slot), attributes.matches(slot, &filter));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4096, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_a_filter_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        check(&bytes, &[]);
    }

    #[test]
    fn a_broken_filter_is_another_one_or_an_error(
        filter in naive::filter(),
        breaks in prop::collection::vec(damage(), 1..6),
        states in prop::collection::vec(naive::state(), 0..4),
    ) {
        let mut bytes = filter.to_bytes();
        breaks.iter().for_each(|damage| damage.apply(&mut bytes));
        check(&bytes, &states);
    }

    #[test]
    fn numbers_are_totally_ordered(ints in prop::collection::vec(any::<i128>(), 3), shift in 0..128_u32) {
        let numbers: Vec<_> =
            ints.iter().map(|int| Number::from_twos_complement(&(int >> shift).to_be_bytes())).collect();
        for (one, int) in numbers.iter().zip(&ints) {
            for (other, other_int) in numbers.iter().zip(&ints) {
                prop_assert_eq!(one.cmp(other), (int >> shift).cmp(&(other_int >> shift)));
                prop_assert_eq!(one == other, one.cmp(other) == Ordering::Equal);
            }
        }
    }
}
