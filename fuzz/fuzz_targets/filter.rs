//! Whatever the bytes are: a filter that says of everybody the same in both ways, or an error; and the same
//! bytes as the attributes of a connection.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringcast_core::attributes::Attributes;
use ringcast_core::filter::Filter;

/// Maps with the fields `a` and `b`: None, bools, numbers that are equal or next to each other, texts, sets.
const STATES: [&[u8]; 10] = [
    b"\x80",
    b"\x81\xa1a\xc0",
    b"\x82\xa1a\xc3\xa1b\xa1b",
    b"\x82\xa1a\x01\xa1b\xa2bb",
    b"\x82\xa1a\xcb\x3f\xf0\0\0\0\0\0\0\xa1b\x90",
    b"\x82\xa1a\xcb\x7f\xf8\0\0\0\0\0\0\xa1b\x91\xa1b",
    b"\x81\xa1a\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x81\xa1a\xc7\x09\x01\x01\0\0\0\0\0\0\0\0",
    b"\x81\xa1a\xcb\x43\xf0\0\0\0\0\0\0",
    b"\x82\xa1a\xa1a\xa1b\xa3\xed\xa0\x80",
];

fuzz_target!(|bytes: &[u8]| {
    let mut attributes = Attributes::default();
    for (slot, state) in (0..).zip(STATES) {
        attributes.set(slot, state).expect("it is well formed");
    }
    // In most cases an error, and nothing has changed.
    let before = attributes.generation();
    if attributes.set(0, bytes).is_err() {
        assert_eq!(attributes.generation(), before);
    }
    match Filter::parse(bytes) {
        Err(error) => assert!(error.at <= bytes.len(), "{error}"),
        Ok(filter) => {
            let matched = attributes.select(&filter);
            for slot in 0..=STATES.len() as u32 {
                assert_eq!(matched.contains(slot), attributes.matches(slot, &filter));
            }
        }
    }
});
