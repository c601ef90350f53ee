//! Whatever the bytes are: read as the arguments of an event, in either encoding, they say of each filter yes or no;
//! and what is JSON says the same when it is written as MessagePack.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use ringcast_core::subscription::{NameId, Names, Subscriptions, Topic};
use serde_json::{Value, json};

/// Who listens for the event called `e`, with filters over the fields `a`, `b` and `7`: by equal values, which an
/// index finds, and by everything else.
struct Listeners {
    names: Names,
    event: NameId,
    _subscriptions: Subscriptions,
}

impl Listeners {
    fn new() -> Self {
        let (mut names, mut subscriptions) = (Names::default(), Subscriptions::default());
        for field in ["a", "b", "7"] {
            for filter in [
                json!(["eq", field, 1]),
                json!(["eq", field, "a"]),
                json!(["in", field, [null, -1, 1.5, "é"]]),
                json!(["not", ["eq", field, true]]),
                json!(["lt", field, 10]),
                json!(["ge", field, "b"]),
                json!(["has", field, "a"]),
                json!(["prefix", field, "a"]),
                json!(["and", [["eq", "a", 1], ["not", ["eq", field, null]]]]),
            ] {
                let compiled = rmp_serde::to_vec(&filter).expect("a filter can be written");
                let digits: String = compiled.iter().map(|byte| format!("{byte:02x}")).collect();
                let text = format!("{:128}\n{digits}\ne", filter.to_string());
                subscriptions.add(&mut names, Topic::read(&text).expect("it is a topic"), 0);
            }
        }
        let event = names.intern("e");
        Self { names, event, _subscriptions: subscriptions }
    }

    fn matched(&mut self, json: Option<&[u8]>, msgpack: Option<&[u8]>) -> Vec<NameId> {
        self.names.topics(self.event, [json, msgpack]).filtered().to_vec()
    }
}

thread_local! {
    static LISTENERS: RefCell<Listeners> = RefCell::new(Listeners::new());
}

fuzz_target!(|bytes: &[u8]| {
    LISTENERS.with_borrow_mut(|listeners| {
        let as_json = listeners.matched(Some(bytes), None);
        listeners.matched(None, Some(bytes));
        if let Ok(value) = serde_json::from_slice::<Value>(bytes)
            && value.is_array()
        {
            let packed = rmp_serde::to_vec(&value).expect("what is JSON can be written as MessagePack");
            assert_eq!(listeners.matched(None, Some(&packed)), as_json, "{value}");
        }
    });
});
