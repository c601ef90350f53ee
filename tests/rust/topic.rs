//! Topics: what is one, how long it is known, and which events are heard as it.

use proptest::prelude::*;
use ringcast_core::filter::Filter;
use ringcast_core::subscription::{NameId, Names, Subscriptions, Topic};
use serde_json::json;

fn text(name: &str, filter: &serde_json::Value) -> String {
    let compiled = rmp_serde::to_vec(filter).expect("MessagePack");
    let digits: String = compiled.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{:128}\n{digits}\n{name}", filter.to_string())
}

fn zone(number: usize) -> String {
    text("moved", &json!(["eq", "zone", number]))
}

fn heard_as(names: &mut Names, name: NameId, args: &serde_json::Value) -> Vec<NameId> {
    let (written, packed) = (serde_json::to_vec(args).unwrap(), rmp_serde::to_vec(args).unwrap());
    let topics = names.topics(name, [Some(&written), None]);
    assert_eq!(topics, names.topics(name, [None, Some(&packed)]), "both encodings say the same");
    topics.filtered().to_vec()
}

#[test]
fn what_is_longer_than_a_name_has_a_filter_or_is_no_topic() {
    let longest = "é".repeat(128);
    assert_eq!(Topic::read(&longest).unwrap().text(), longest);
    assert_eq!(Topic::read("a\n\nb").unwrap().text(), "a\n\nb");
    let long = "x".repeat(129);
    let broken = ["", "\n", "\n\nmoved", "\nzz\nmoved", "\n9\nmoved", "\nc0\nmoved", "\n90\nmoved"];
    for rest in broken {
        assert!(Topic::read(&format!("{long}{rest}")).is_err(), "{rest:?}");
    }
    assert!(Topic::read(&zone(3)).is_ok());
    assert!(Topic::read(&text("line\nby\nline", &json!(["has", "tags", "vip"]))).is_ok());
}

#[test]
fn a_filter_is_asked_as_long_as_somebody_listens_and_known_as_long_as_it_matters() {
    let mut names = Names::default();
    let (mut one, mut other) = (Subscriptions::default(), Subscriptions::default());
    let (third, args) = (zone(3), json!([{ "zone": 3 }]));
    for subscriptions in [&mut one, &mut other] {
        assert!(subscriptions.add(&mut names, Topic::read(&third).unwrap(), 0));
    }
    assert_eq!((names.len(), names.filters()), (2, 1), "the name, and the topic with the filter");
    assert!(names.has_filter(&third) && !names.has_filter("moved"));
    let name = names.intern("moved");
    let topic = names.find(&third).unwrap();
    assert_eq!(heard_as(&mut names, name, &args), [topic]);
    assert_eq!(heard_as(&mut names, name, &json!([{ "zone": 4 }])), []);
    let topics = names.topics(name, [Some(b"[{\"zone\":3}]"), None]);
    names.note_published(topics.clone(), Some(1));
    assert!(one.covers_any(&topics, 1) && !one.covers(name, 1));
    other.clear(&mut names);
    assert!(one.remove(&mut names, &third, 1, 1, |_, newest| newest));
    assert_eq!((names.len(), names.filters()), (2, 0), "the event is retained, and was for somebody");
    assert_eq!(heard_as(&mut names, name, &args), []);
    names.note_let_go(topics);
    one.clear(&mut names);
    assert!(names.is_empty());
}

#[test]
fn of_a_thousand_zones_an_event_is_heard_in_one() {
    let (mut names, mut own) = (Names::default(), Subscriptions::default());
    let name = names.intern("moved");
    let topics: Vec<_> = (0..1000).map(zone).collect();
    for topic in &topics {
        own.add(&mut names, Topic::read(topic).unwrap(), 0);
    }
    let several = text("moved", &json!(["and", [["gt", "level", 1], ["in", "zone", [7, 8]]]]));
    own.add(&mut names, Topic::read(&several).unwrap(), 0);
    let mut expected = vec![names.find(&topics[7]).unwrap(), names.find(&several).unwrap()];
    expected.sort_unstable();
    assert_eq!(heard_as(&mut names, name, &json!([{ "zone": 7, "level": 2 }])), expected);
    assert_eq!(heard_as(&mut names, name, &json!([{ "zone": 9 }])), [names.find(&topics[9]).unwrap()]);
    for args in [json!([]), json!([7]), json!([[7]]), json!([{ "zone": "7" }]), json!([null, { "zone": 7 }])]
    {
        assert_eq!(heard_as(&mut names, name, &args), [], "{args}");
    }
    own.clear(&mut names);
    assert_eq!((names.len(), names.filters()), (0, 0));
}

/// Nobody sends more than 254 levels; readers take 1024.
#[test]
fn however_deep_a_field_nests_the_others_are_read() {
    let wanted = json!(["and", [["eq", "zone", 3], ["eq", "deep", null], ["not", ["has", "many", "a"]]]]);
    let filter = Filter::parse(&rmp_serde::to_vec(&wanted).unwrap()).unwrap();
    for levels in [1, 127, 128, 129, 254, 1000] {
        let arrays = ("[".repeat(levels), "]".repeat(levels), vec![0x91; levels]);
        let objects = ("{\"a\":".repeat(levels), "}".repeat(levels), b"\x81\xa1a".repeat(levels));
        for (open, close, packed) in [arrays, objects] {
            let deep = format!("{open}7{close}");
            let json = format!("[{{\"deep\":{deep},\"many\":[\"a\",{deep}],\"zone\":3}},{deep}]");
            let deep = [&packed[..], &[7]].concat();
            let msgpack =
                [&b"\x92\x83\xa4deep"[..], &deep, b"\xa4many\x92\xa1a", &deep, b"\xa4zone\x03", &deep]
                    .concat();
            assert!(filter.matches([Some(json.as_bytes()), None]), "{levels} of JSON");
            assert!(filter.matches([None, Some(&msgpack)]), "{levels} of MessagePack");
        }
    }
}

/// An event that was restored has no arguments in an encoding that nobody used when it was sent.
#[test]
fn of_two_encodings_the_one_that_has_arguments_is_read() {
    let filter = Filter::parse(&rmp_serde::to_vec(&json!(["eq", "zone", 3])).unwrap()).unwrap();
    let (json, msgpack): (&[u8], &[u8]) = (b"[{\"zone\":3}]", b"\x91\x81\xa4zone\x03");
    assert!(filter.matches([Some(json), Some(b"\x90")]));
    assert!(filter.matches([Some(b"[]"), Some(msgpack)]));
    assert!(filter.matches([Some(json), Some(msgpack)]));
    assert!(!filter.matches([Some(b"[]"), Some(b"\x90")]));
    assert!(!filter.matches([None, Some(b"\x90")]));
}

proptest! {
    /// Arguments are written by encoders; whatever they are, nothing breaks.
    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..64), head in 0..3_u8) {
        let [wanted, others] = [json!(["eq", "zone", 3]), json!(["not", ["eq", "zone", 3]])]
            .map(|filter| Filter::parse(&rmp_serde::to_vec(&filter).unwrap()).unwrap());
        let mut msgpack = vec![0x91, 0x80 | head, 0xa4];
        msgpack.extend(b"zone");
        msgpack.extend(&bytes);
        prop_assert_ne!(wanted.matches([None, Some(&msgpack)]), others.matches([None, Some(&msgpack)]));
        let mut json = b"[{\"zone\":".to_vec();
        json.extend(&bytes);
        prop_assert_ne!(wanted.matches([Some(&json), None]), others.matches([Some(&json), None]));
    }
}
