//! Histories of a stream: what its connections listen to, and the steps that are drawn at random.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

/// The first few are in use all the time; the others come and go, and are forgotten in between.
pub const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// A topic: an event name, and of some a filter.
pub struct Listened {
    pub name: &'static str,
    pub filter: Option<usize>,
    pub text: String,
}

/// A compiled filter over the zone of an event, and what it means.
type Zones = (Vec<u8>, fn(u8) -> bool);

/// The first two are found by value.
fn zones() -> [Zones; 5] {
    let packed = |filter: serde_json::Value| rmp_serde::to_vec(&filter).expect("MessagePack");
    [
        (packed(json!(["eq", "zone", 0])), |zone| zone == 0),
        (packed(json!(["and", [["ge", "zone", 1], ["in", "zone", [1, 2]]]])), |zone| zone == 1 || zone == 2),
        (packed(json!(["ge", "zone", 1])), |zone| zone >= 1),
        (packed(json!(["not", ["eq", "zone", 1]])), |zone| zone != 1),
        (packed(json!(["and", [["eq", "missing", null], ["lt", "zone", 3]]])), |zone| zone < 3),
    ]
}

/// What connections listen to: every name by itself, and the first two with each of the filters.
pub static TOPICS: LazyLock<Vec<Listened>> = LazyLock::new(|| {
    let names = NAMES.map(|name| Listened { name, filter: None, text: name.to_owned() });
    let filtered = NAMES[..2].iter().flat_map(|name| {
        zones().into_iter().enumerate().map(move |(filter, (compiled, _))| {
            let digits: String = compiled.iter().map(|byte| format!("{byte:02x}")).collect();
            let text = format!("{:129}\n{digits}\n{name}", format!("filter {filter}"));
            Listened { name, filter: Some(filter), text }
        })
    });
    names.into_iter().chain(filtered).collect()
});

impl Listened {
    pub fn covers(&self, name: &str, zone: u8) -> bool {
        self.name == name && self.filter.is_none_or(|filter| zones()[filter].1(zone))
    }
}

/// Whom to publish to; connections are named by their number among all that were ever opened.
#[derive(Clone, Debug)]
pub enum To {
    Subscribers,
    Except(Vec<usize>),
    Only(Vec<usize>),
    /// Subscribers of one group, except some.
    Group(u8, Vec<usize>),
}

/// How many groups there are.
pub const GROUPS: u8 = 3;

/// The attributes of a member of a group, and the filter that selects them.
pub fn attributes(group: u8) -> Vec<u8> {
    rmp_serde::to_vec(&BTreeMap::from([("group", group)])).expect("MessagePack")
}

pub fn filter(group: u8) -> Vec<u8> {
    rmp_serde::to_vec(&("eq", "group", group)).expect("MessagePack")
}

/// One step of a history.
#[derive(Clone, Debug)]
pub enum Step {
    Publish {
        name: usize,
        zone: u8,
        length: usize,
        to: To,
    },
    Subscribe {
        who: usize,
        topic: usize,
    },
    Unsubscribe {
        who: usize,
        topic: usize,
    },
    /// `lost` counts down from the base: how far below it, and one more, the newest event lies that is lost.
    Open {
        msgpack: bool,
        topics: Vec<usize>,
        lost: u64,
    },
    Close {
        who: usize,
    },
    Join {
        who: usize,
        group: u8,
    },
    /// It is to be decided whether `who` may listen for what it listens for.
    Doubt {
        who: usize,
    },
    /// It may, for those of the names whose bit is set.
    Decide {
        who: usize,
        allowed: u8,
    },
}

fn to() -> impl Strategy<Value = To> {
    let several = || prop::collection::vec(0..64_usize, 0..4);
    prop_oneof![
        3 => Just(To::Subscribers),
        2 => several().prop_map(To::Except),
        2 => several().prop_map(To::Only),
        2 => (0..GROUPS, several()).prop_map(|(group, except)| To::Group(group, except)),
        2 => (0..GROUPS).prop_map(|group| To::Group(group, Vec::new())),
    ]
}

pub fn step(max_length: usize) -> impl Strategy<Value = Step> {
    let name = || prop_oneof![4 => 0..3_usize, 1 => 3..NAMES.len()];
    let topic = || prop_oneof![2 => name(), 1 => NAMES.len()..TOPICS.len()];
    prop_oneof![
        8 => (name(), 0..4_u8, 0..max_length, to())
            .prop_map(|(name, zone, length, to)| Step::Publish { name, zone, length, to }),
        3 => (0..64_usize, topic()).prop_map(|(who, topic)| Step::Subscribe { who, topic }),
        3 => (0..64_usize, topic()).prop_map(|(who, topic)| Step::Unsubscribe { who, topic }),
        1 => (any::<bool>(), prop::collection::vec(topic(), 0..3), 0..4_u64)
            .prop_map(|(msgpack, topics, lost)| Step::Open { msgpack, topics, lost }),
        1 => (0..64_usize).prop_map(|who| Step::Close { who }),
        3 => (0..64_usize, 0..GROUPS).prop_map(|(who, group)| Step::Join { who, group }),
    ]
}

/// The same, and permissions that are in doubt for a while, in which nothing is delivered.
pub fn step_or_doubt(max_length: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => step(max_length),
        2 => (0..64_usize).prop_map(|who| Step::Doubt { who }),
        2 => (0..64_usize, any::<u8>()).prop_map(|(who, allowed)| Step::Decide { who, allowed }),
    ]
}

/// Where a stream begins or goes on.
pub fn base() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..300_u64, Just(u64::from(u32::MAX) - 3), 1 << 40..1_u64 << 62]
}
