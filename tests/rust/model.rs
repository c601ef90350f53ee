//! The ring, the subscriptions and the audiences against a model that forgets nothing: a list of all events, each
//! with the connections that it was for, decided when it was published.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ringcast_core::audience::Audience;
use ringcast_core::connection::ConnectionId;
use ringcast_core::frame::Encoding;
use ringcast_core::ring::Limits;
use ringcast_core::stream::{PublishError, Recipients};
use ringcast_core::subscription::Topic;

use crate::actor::{Actor, Setup};
use crate::client::fields;
use crate::history::{GROUPS, NAMES, Step, TOPICS, To, attributes, base, filter, step_or_doubt};

/// What the model knows of one event.
#[derive(Clone, Debug)]
pub struct Event {
    pub name: &'static str,
    pub zone: u8,
    pub text: String,
    pub entitled: BTreeSet<ConnectionId>,
}

/// What is being decided about a connection.
#[derive(Debug, Default)]
struct Doubt {
    /// Names, with the offset after which that is so.
    names: BTreeMap<&'static str, u64>,
    /// Where delivery is held.
    held: u64,
    /// Where it was asked again.
    again: Option<u64>,
    /// Events that are for the connection if it may have their names.
    events: Vec<u64>,
}

/// The model: everything, as naively as can be.
#[derive(Debug, Default)]
pub struct Model {
    /// Where the stream goes on: `events[0]` has the next offset.
    pub base: u64,
    pub events: Vec<Event>,
    /// Open connections, and what they are subscribed to now, with the newest offset when that began.
    pub open: BTreeMap<ConnectionId, BTreeMap<&'static str, u64>>,
    /// Of each connection, the newest event at or below the base that was for it.
    pub lost: BTreeMap<ConnectionId, u64>,
    /// Who has ended a subscription, and when last, as long as events from before are retained.
    unsubscribed: BTreeMap<ConnectionId, u64>,
    /// Of whom [`Self::check_let_go`] was told something else than follows from names.
    differing: BTreeSet<ConnectionId>,
    /// What [`Self::check_let_go`] has been told of names, and when.
    told: BTreeMap<String, u64>,
    told_up_to: u64,
    /// What is being decided.
    doubts: BTreeMap<ConnectionId, Doubt>,
    /// Who is in which group; others match no filter.
    groups: BTreeMap<ConnectionId, u8>,
    /// All connections ever opened.
    pub ever: Vec<ConnectionId>,
}

impl Model {
    /// Of a stream that goes on after `base`.
    pub fn after(base: u64) -> Self {
        Self { base, ..Self::default() }
    }

    pub fn head(&self) -> u64 {
        self.base + self.events.len() as u64
    }

    pub fn event(&self, offset: u64) -> &Event {
        &self.events[(offset - self.base - 1) as usize]
    }

    /// Do one step in the model and in the actor, and compare what the actor answers.
    pub fn step(&mut self, actor: &Actor, step: &Step) {
        let who = |who: usize| self.ever.get(who % self.ever.len().max(1)).copied();
        match step {
            Step::Publish { name, zone, length, to } => {
                self.publish(actor, NAMES[*name], *zone, *length, to);
            }
            Step::Open { msgpack, topics, lost } => {
                let encoding = if *msgpack { Encoding::Msgpack } else { Encoding::Json };
                let names: BTreeSet<_> = topics.iter().map(|&topic| TOPICS[topic].text.as_str()).collect();
                let lost = if *lost == 0 { 0 } else { self.base.saturating_sub(lost - 1) };
                let id = actor.open_again(encoding, &names.iter().copied().collect::<Vec<_>>(), lost);
                assert!(!self.ever.contains(&id), "an id is never used twice");
                self.open.insert(id, names.into_iter().map(|name| (name, self.head())).collect());
                self.lost.insert(id, lost);
                self.ever.push(id);
            }
            Step::Close { who: number } => {
                if let Some(id) = who(*number) {
                    assert_eq!(actor.stream.close(id), self.open.remove(&id).is_some());
                    self.doubts.remove(&id);
                }
            }
            Step::Join { who: number, group } => {
                let Some(id) = who(*number) else {
                    return;
                };
                let changed = actor.stream.set_attributes(id, Some(&attributes(*group))).ok();
                let expected =
                    self.open.contains_key(&id).then(|| Ok(self.groups.insert(id, *group) != Some(*group)));
                assert_eq!(changed, expected);
            }
            Step::Doubt { who: number } => {
                if let Some(id) = who(*number) {
                    self.doubt(actor, id);
                }
            }
            Step::Decide { who: number, allowed } => {
                if let Some(id) = who(*number) {
                    self.decide(actor, id, *allowed);
                }
            }
            Step::Subscribe { who: number, topic } | Step::Unsubscribe { who: number, topic } => {
                let listen = matches!(step, Step::Subscribe { .. });
                let Some(id) = who(*number) else {
                    return;
                };
                if self.doubts.contains_key(&id) {
                    return;
                }
                let (name, head) = (TOPICS[*topic].text.as_str(), self.head());
                let expected = self.open.get_mut(&id).map(|subscribed| {
                    if !listen {
                        self.unsubscribed.insert(id, head);
                        return subscribed.remove(name).is_some();
                    }
                    let is_new = !subscribed.contains_key(name);
                    subscribed.entry(name).or_insert(head);
                    is_new
                });
                let topic = Topic::read(name).expect("a topic");
                assert_eq!(actor.stream.change_subscription(id, topic, listen).ok(), expected);
            }
        }
    }

    fn doubt(&mut self, actor: &Actor, id: ConnectionId) {
        let head = self.head();
        let Some(subscribed) = self.open.get_mut(&id) else {
            assert!(actor.stream.hold(id, &[]).is_err());
            return;
        };
        let names: Vec<String> = subscribed.keys().map(|name| (*name).to_owned()).collect();
        let is_asked = self.doubts.contains_key(&id);
        let doubt = self.doubts.entry(id).or_default();
        if is_asked && doubt.held < head {
            doubt.again.get_or_insert(head);
        }
        if !is_asked {
            doubt.held = head;
        }
        doubt.names.extend(std::mem::take(subscribed).into_keys().map(|name| (name, head)));
        self.unsubscribed.insert(id, head);
        actor.stream.hold(id, &names).expect("open");
    }

    fn decide(&mut self, actor: &Actor, id: ConnectionId, allowed: u8) {
        let Some(mut doubt) = self.doubts.remove(&id) else {
            return;
        };
        let place = |text: &str| TOPICS.iter().position(|topic| topic.text == text);
        let is_allowed = |text: &str| place(text).is_some_and(|place| allowed & (1 << (place % 8)) != 0);
        let names: Vec<String> =
            TOPICS.iter().map(|topic| topic.text.clone()).filter(|text| is_allowed(text)).collect();
        let again = doubt.again.take();
        let boundary = again.unwrap_or(u64::MAX);
        for (name, after) in std::mem::take(&mut doubt.names) {
            if after >= boundary {
                doubt.names.insert(name, after);
            } else if is_allowed(name) {
                for &offset in doubt.events.iter().filter(|&&offset| offset <= boundary) {
                    let event = &mut self.events[(offset - self.base - 1) as usize];
                    if place(name).is_some_and(|place| TOPICS[place].covers(event.name, event.zone)) {
                        event.entitled.insert(id);
                    }
                }
                if again.is_some() {
                    doubt.names.insert(name, boundary);
                } else {
                    self.open.get_mut(&id).expect("open").insert(name, after);
                }
            }
        }
        // What it has lost does not follow from names.
        self.unsubscribed.insert(id, self.head());
        assert_eq!(actor.stream.answer(id, &names, &[]), Ok(again.is_some()));
        if again.is_some() {
            doubt.events.retain(|&offset| offset > boundary);
            doubt.held = boundary;
            self.doubts.insert(id, doubt);
        }
    }

    fn publish(&mut self, actor: &Actor, name: &'static str, zone: u8, length: usize, to: &To) {
        let pick = |numbers: &[usize]| -> Vec<ConnectionId> {
            let count = self.ever.len().max(1);
            numbers.iter().filter_map(|number| self.ever.get(number % count).copied()).collect()
        };
        let heard_as: Vec<_> = TOPICS.iter().filter(|topic| topic.covers(name, zone)).collect();
        let subscribed = |id: &ConnectionId| {
            let listens = &self.open[id];
            heard_as.iter().any(|topic| listens.contains_key(topic.text.as_str()))
        };
        let open = self.open.keys().copied();
        let compiled;
        let (recipients, entitled): (Recipients<'_>, BTreeSet<_>) = match to {
            To::Subscribers => (Audience::Subscribers.into(), open.filter(subscribed).collect()),
            To::Group(group, numbers) => {
                let ids = pick(numbers);
                compiled = filter(*group);
                let members: BTreeSet<_> = open.filter(|id| self.groups.get(id) == Some(group)).collect();
                let selected = actor.stream.select(&compiled).expect("a filter");
                assert_eq!(selected.into_iter().collect::<BTreeSet<_>>(), members);
                let entitled = members.into_iter().filter(subscribed).filter(|id| !ids.contains(id));
                let entitled = entitled.collect();
                (Recipients::Matching(&compiled, ids), entitled)
            }
            To::Except(numbers) => {
                let ids = pick(numbers);
                (
                    Audience::except(ids.clone()).into(),
                    open.filter(subscribed).filter(|id| !ids.contains(id)).collect(),
                )
            }
            To::Only(numbers) => {
                let ids = pick(numbers);
                (Audience::only(ids.clone()).into(), open.filter(|id| ids.contains(id)).collect())
            }
        };
        let undecided = self.doubts.iter().filter(|(id, doubt)| {
            heard_as.iter().any(|topic| doubt.names.contains_key(topic.text.as_str()))
                && match to {
                    To::Subscribers => true,
                    To::Except(numbers) => !pick(numbers).contains(id),
                    To::Only(_) => false,
                    To::Group(group, numbers) => {
                        self.groups.get(id) == Some(group) && !pick(numbers).contains(id)
                    }
                }
        });
        let undecided: Vec<_> = undecided.map(|(id, _)| *id).collect();
        let text = format!("{}:{}", self.head() + 1, "x".repeat(length));
        let before = (actor.stream.head(), actor.stream.first(), actor.stream.retained_bytes());
        match actor.publish_args(name, fields(&text, zone), recipients) {
            Ok(offset) => {
                self.events.push(Event { name, zone, text, entitled });
                assert_eq!(offset, self.head());
                for id in undecided {
                    self.doubts.get_mut(&id).expect("in doubt").events.push(offset);
                }
            }
            Err(PublishError::TooLarge(sizes)) => {
                assert!(sizes.bytes > sizes.max_bytes);
                let after = (actor.stream.head(), actor.stream.first(), actor.stream.retained_bytes());
                assert_eq!(after, before, "an event that is refused changes nothing");
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    /// The offsets after `position` that a connection is known to be entitled to.
    pub fn entitled(&self, id: ConnectionId, position: u64) -> impl Iterator<Item = u64> + '_ {
        let after = self.events.iter().zip(self.base + 1..).skip(position.saturating_sub(self.base) as usize);
        after.filter(move |(event, _)| event.entitled.contains(&id)).map(|(_, offset)| offset)
    }

    /// Whether a connection has lost one of the offsets from `first` to `last`.
    pub fn has_lost(&self, id: ConnectionId, first: u64, last: u64) -> bool {
        self.newest_lost(id, last) >= first
    }

    /// The newest event up to `last` that was for a connection; 0 if there is none.
    fn newest_lost(&self, id: ConnectionId, last: u64) -> u64 {
        let entitled = self.entitled(id, self.base).take_while(|&offset| offset <= last);
        entitled.last().unwrap_or(0).max(self.lost[&id])
    }

    /// What the stream tells of events that are gone is enough to know what every connection has lost, when it is asked
    /// now and then, with what it said before, about those who have unsubscribed.
    fn check_let_go(&mut self, actor: &Actor) {
        let asked: Vec<_> = self.unsubscribed.keys().chain(&self.differing).copied().collect();
        let let_go = actor.stream.let_go(self.told_up_to, &asked);
        self.told_up_to = let_go.first - 1;
        self.told.extend(let_go.names.into_iter().map(|(name, offset)| (name.to_string(), offset)));
        let single: BTreeMap<_, _> = let_go.connections.into_iter().collect();
        for (id, listens) in &self.open {
            let by_name = listens
                .iter()
                .filter_map(|(name, since)| self.told.get(*name).copied().filter(|offset| offset > since));
            let by_name = by_name.max().unwrap_or(0);
            let said = single.get(id).copied().unwrap_or(by_name);
            assert_eq!(said, self.newest_lost(*id, let_go.first - 1), "{id:?}, {single:?}");
            if said == by_name {
                self.differing.remove(id);
            } else {
                self.differing.insert(*id);
            }
        }
        self.unsubscribed.retain(|_, until| *until >= let_go.first);
    }

    /// Compare every connection's answer from every position.
    fn check(&self, actor: &Actor) {
        let first = actor.stream.first();
        assert_eq!(actor.stream.head(), self.head());
        assert_eq!(actor.stream.connections(), self.open.len());
        let undecided = self.doubts.values().flat_map(|doubt| doubt.names.keys());
        let listened: BTreeSet<_> =
            self.open.values().flat_map(|topics| topics.keys()).chain(undecided).collect();
        let filters = TOPICS.iter().filter(|topic| topic.filter.is_some());
        let filters = filters.filter(|topic| listened.contains(&topic.text.as_str())).count();
        assert_eq!(actor.stream.filters(), filters);
        for topic in TOPICS.iter().map(|topic| topic.text.as_str()) {
            let listening = self.open.iter().filter(|(_, topics)| topics.contains_key(topic));
            let listening: BTreeSet<_> = listening.map(|(id, _)| *id).collect();
            assert_eq!(actor.stream.listeners(topic).into_iter().collect::<BTreeSet<_>>(), listening);
        }
        for id in self.ever.iter().filter(|id| !self.open.contains_key(id)) {
            assert!(actor.stream.resume(*id, self.base).is_err(), "a stale id finds nobody");
        }
        for &id in self.open.keys() {
            let below = [0, 1, self.base / 2].into_iter().filter(|position| *position < self.base);
            for position in below.chain(self.base.saturating_sub(3)..=actor.stream.head()) {
                let missed = actor.stream.resume(id, position).expect("open");
                let replayed = self.entitled(id, position).filter(|&offset| offset >= first).count();
                assert_eq!(missed.replayed, replayed as u64, "{id:?} from {position}");
                let lost = position + 1 < first && self.has_lost(id, position + 1, first - 1);
                let range = lost.then_some((position + 1, first - 1));
                assert_eq!(missed.lost, range, "{id:?} from {position}, retained from {first}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_resume_is_answered_as_the_model_answers(
        base in base(),
        max_events in 1..16_usize,
        max_bytes in prop_oneof![Just(1 << 20), 500..4000_usize],
        ask_every in 1..12_usize,
        steps in prop::collection::vec(step_or_doubt(300), 1..150),
    ) {
        let limits = Limits { max_events, max_bytes };
        let actor = Actor::by_hand(Setup { limits, base, ..Setup::default() });
        let mut model = Model::after(base);
        for _ in 0..3 {
            model.step(&actor, &Step::Open { msgpack: false, topics: vec![0], lost: 2 });
        }
        for (index, step) in steps.iter().enumerate() {
            model.step(&actor, step);
            prop_assert!(actor.stream.retained_bytes() <= max_bytes);
            prop_assert!(actor.stream.head() + 1 - actor.stream.first() <= max_events as u64);
            if index % 16 == 0 {
                model.check(&actor);
            }
            if index % ask_every == 0 {
                model.check_let_go(&actor);
            }
        }
        model.check(&actor);
    }

    /// As in a room: groups of more than a list is kept for, and so few events that they are soon let go.
    #[test]
    fn a_crowd_is_answered_as_well(
        max_events in 1..6_usize,
        groups in prop::collection::vec(0..GROUPS, 230),
        steps in prop::collection::vec(step_or_doubt(20), 1..60),
    ) {
        let limits = Limits { max_events, max_bytes: 1 << 20 };
        let actor = Actor::by_hand(Setup { limits, ..Setup::default() });
        let mut model = Model::default();
        for (who, group) in groups.into_iter().enumerate() {
            model.step(&actor, &Step::Open { msgpack: false, topics: vec![0], lost: 0 });
            model.step(&actor, &Step::Join { who, group });
        }
        for (index, step) in steps.iter().enumerate() {
            model.step(&actor, step);
            if index % 20 == 0 {
                model.check_let_go(&actor);
            }
        }
        model.check(&actor);
    }
}
