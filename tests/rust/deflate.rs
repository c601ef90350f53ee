//! Compressed frames: who gets them, and that they say what the others say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use ringcast_core::audience::Audience;
use ringcast_core::connection::ConnectionId;
use ringcast_core::deflate::{Deflated, deflate};
use ringcast_core::frame::{self, Encoding, Form, NameBytes};
use ringcast_core::ring::Limits;
use ringcast_core::sink::Sink;

use crate::actor::{Actor, MIN_DEFLATED_BYTES, Setup};
use crate::client::{Client, Frame, Message, arguments, inflate, parse, split_frame};
use crate::history::{Step, step};
use crate::model::Model;

/// Text that gets smaller, and differs for each number.
fn text(number: usize, length: usize) -> String {
    format!("{number}:{}", "price of the day ".repeat(length / 17 + 1))[..length].to_owned()
}

/// Numbers below `bound` without a pattern.
fn noise(length: usize, bound: u64) -> impl Iterator<Item = u8> {
    let mut state = 7_u64;
    (0..length).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % bound) as u8
    })
}

/// Text that, as long as it is short, does not get smaller.
fn noisy_text(length: usize) -> String {
    noise(length, 80).map(|number| char::from(b'#' + number)).filter(|&letter| letter != '\\').collect()
}

/// What came, the greeting aside, and whether it was compressed.
fn events(client: &mut Client) -> Vec<(bool, Message)> {
    let frames = std::iter::from_fn(|| client.frame());
    frames
        .map(|frame| (frame.deflated, parse(&frame)))
        .filter(|(_, message)| message.offset().is_some())
        .collect()
}

fn forms(client: &mut Client) -> Vec<bool> {
    events(client).into_iter().map(|(deflated, _)| deflated).collect()
}

#[test]
fn what_was_compressed_is_there_again() {
    for length in [0, 1, 90, 200, 5000, 70_000, 1 << 20] {
        let text = text(1, length.max(2));
        match deflate(&[text.as_bytes(), b"]"]) {
            Some(deflated) => assert_eq!(inflate(&deflated), [text.as_bytes(), b"]"].concat()),
            None => assert!(length < 100, "{length} bytes get smaller"),
        }
    }
    assert_eq!(deflate(&[&noise(5000, 256).collect::<Vec<_>>()]), None, "this does not get smaller");
    assert_eq!(deflate(&[]), None);
}

#[test]
fn an_event_is_compressed_before_its_offset_is_known() {
    for encoding in Encoding::ALL {
        let args = &arguments(&text(1, 300))[encoding.index()];
        let Deflated::Bytes(deflated) = Deflated::new(encoding, args, 0) else { panic!("it gets smaller") };
        for (name, offset) in [("e", 1), (&"größe\n".repeat(21), u64::MAX)] {
            let (name, mut plain, mut out) = (NameBytes::new(name), BytesMut::new(), BytesMut::new());
            frame::push_event(&mut plain, encoding, 7, offset, &name, args);
            frame::push_deflated_event(&mut out, encoding, 7, offset, &name, &deflated);
            assert!(out.len() <= frame::max_event_bytes(encoding, &name, deflated.len()));
            let [plain, out] = [plain, out].map(|bytes| split_frame(&mut bytes.to_vec()).expect("a frame"));
            assert!(out.deflated);
            assert_eq!(Frame { deflated: true, ..plain }, out);
        }
    }
}

#[test]
fn only_those_who_take_it_get_it_compressed() {
    let actor = Actor::by_hand(Setup::default());
    let clients = Encoding::ALL.map(|encoding| {
        let (plain, deflating) = (actor.open(encoding, &["a"]), actor.open(encoding, &["a"]));
        (actor.attach_roomy(plain, 0), actor.attach_deflating(deflating, 0))
    });
    for number in 0..3 {
        actor.publish("a", &text(number, 500));
    }
    actor.sweep_all();
    for ((mut plain, plain_sink), (mut deflating, deflating_sink)) in clients {
        [plain_sink, deflating_sink].iter().for_each(|sink| sink.close(None, ""));
        let (plain, deflating) = (events(&mut plain), events(&mut deflating));
        assert!(
            plain.iter().all(|(deflated, _)| !deflated) && deflating.iter().all(|(deflated, _)| *deflated)
        );
        let messages =
            |events: Vec<(bool, Message)>| events.into_iter().map(|event| event.1).collect::<Vec<_>>();
        assert_eq!(plain.len(), 3);
        assert_eq!(messages(plain), messages(deflating));
    }
}

#[test]
fn an_event_is_compressed_once_and_all_who_take_it_get_the_same_bytes() {
    let actor = Actor::by_hand(Setup::default());
    let ids: Vec<_> = (0..100).map(|_| actor.open(Encoding::Json, &["a"])).collect();
    let clients: Vec<_> = ids.iter().map(|&id| actor.attach_deflating(id, 0)).collect();
    actor.publish("a", &text(1, 5000));
    let form = Form::deflated(Encoding::Json);
    // All at hand at a time: what lies in two places has two addresses.
    let cut: Vec<_> = ids
        .iter()
        .map(|&id| {
            let connection = actor.stream.get(id).unwrap();
            let batch = actor.stream.catch_up(0, &connection).1;
            (connection, batch)
        })
        .collect();
    let places: BTreeSet<_> = cut
        .iter()
        .map(|(connection, batch)| {
            let (share, _) = batch.share(form, connection.id, &connection.subscriptions.lock(), 0, u64::MAX);
            let slices: Vec<&[u8]> = share.runs.iter().flat_map(|&run| batch.slices(form, run)).collect();
            let [frame] = slices[..] else { panic!("{} slices", slices.len()) };
            assert!(frame.len() < 1000, "{} bytes are not compressed", frame.len());
            frame.as_ptr()
        })
        .collect();
    assert_eq!(places.len(), 1, "there is one compressed frame, in the ring");
    actor.sweep_all();
    for (mut client, sink) in clients {
        sink.close(None, "");
        assert_eq!(forms(&mut client), [true]);
    }
}

#[test]
fn what_is_small_or_would_not_get_smaller_goes_out_as_it_is() {
    let actor = Actor::by_hand(Setup::default());
    let id = actor.open(Encoding::Json, &["a"]);
    let (mut client, sink) = actor.attach_deflating(id, 0);
    let texts = [
        text(1, MIN_DEFLATED_BYTES as usize - 5),
        text(2, MIN_DEFLATED_BYTES as usize),
        noisy_text(110),
        text(3, 300),
    ];
    for text in &texts {
        actor.publish("a", text);
    }
    actor.sweep_all();
    sink.close(None, "");
    let events = events(&mut client);
    assert_eq!(events.iter().map(|event| event.0).collect::<Vec<_>>(), [false, true, false, true]);
    let came = events.into_iter().map(|(_, message)| match message {
        Message::Event { text, .. } => text,
        other => panic!("{other:?}"),
    });
    assert_eq!(came.collect::<Vec<_>>(), texts);
}

#[test]
fn a_ring_keeps_what_somebody_takes_and_nothing_else() {
    let actor = Actor::by_hand(Setup::default());
    let id = actor.open(Encoding::Json, &["a"]);
    let cost = |length| {
        let before = actor.stream.retained_bytes();
        actor.publish("a", &text(1, length));
        actor.stream.retained_bytes() - before
    };
    let (small, large) = (cost(50), cost(1000));
    let (_client, sink) = actor.attach_deflating(id, 0);
    assert!(cost(50).abs_diff(small) < 10, "small events are kept once");
    let both = cost(1000);
    assert!(both > large + 40 && both < large + 500, "{both} instead of {large}");
    // They stand in the lane beside large ones, so that a batch is one slice, but not for ever.
    let costs: Vec<_> = (0..100).map(|_| cost(50)).collect();
    assert!(costs[0] > small + 50 && costs[99] < small + 10, "{costs:?}");
    actor.detach(id, &sink);
    assert!(cost(1000).abs_diff(large) < 10, "nobody takes it any more");
}

#[test]
fn who_comes_back_gets_all_events_whatever_the_socket_takes() {
    let actor = Actor::by_hand(Setup::default());
    let ids = [Encoding::Json, Encoding::Msgpack].map(|encoding| actor.open(encoding, &["a"]));
    for id in ids {
        actor.publish("a", &text(1, 300));
        let (_other, other) = actor.attach_deflating(id, 0);
        actor.publish("a", &text(2, 300));
        actor.publish("a", &text(3, 10));
        actor.detach(id, &other);
        actor.publish("a", &text(4, 300));
    }
    for (id, expected) in ids.into_iter().zip([
        [false, true, false, false, false, false, false, false],
        [false, false, false, false, false, true, false, false],
    ]) {
        assert_eq!(actor.stream.resume(id, 0).unwrap().lost, None);
        let (mut client, sink) = actor.attach_deflating(id, 0);
        sink.close(None, "");
        assert_eq!(forms(&mut client), expected, "what was published before is as it was");
        let (mut client, sink) = actor.attach_roomy(id, 0);
        sink.close(None, "");
        assert_eq!(forms(&mut client), [false; 8]);
    }
}

#[test]
fn an_event_that_fits_as_it_is_is_not_too_large_because_of_others() {
    let limits = Limits { max_events: 10, max_bytes: 1024 };
    let actor = Actor::by_hand(Setup { limits, ..Setup::default() });
    let id = actor.open(Encoding::Json, &["a"]);
    let (mut client, sink) = actor.attach_deflating(id, 0);
    let [json, _] = arguments(&noisy_text(600));
    let publish = |args: &[u8]| actor.stream.publish("a", [Some(args), None], Audience::Subscribers);
    assert_eq!(publish(&json).map(|published| published.0), Ok(1));
    actor.sweep_all();
    assert!(actor.stream.retained_bytes() <= 1024);
    sink.close(None, "");
    assert_eq!(forms(&mut client), [false]);
}

#[test]
fn answers_are_compressed_from_the_same_size_on() {
    let actor = Actor::by_hand(Setup::default());
    let id = actor.open(Encoding::Json, &[]);
    let (mut client, sink) = actor.attach_deflating(id, 0);
    let answer = |length: usize| format!("[\"reply\",1,\"{}\"]", "x".repeat(length - 14)).into_bytes();
    for length in [MIN_DEFLATED_BYTES as usize - 1, MIN_DEFLATED_BYTES as usize, 100_000] {
        sink.push_message(&answer(length));
    }
    sink.close(None, "");
    let came: Vec<_> =
        std::iter::from_fn(|| client.frame()).map(|frame| (frame.deflated, frame.payload.len())).collect();
    let minimum = MIN_DEFLATED_BYTES as usize;
    assert_eq!(came[1..4], [(false, minimum - 1), (true, minimum), (true, 100_000)]);
}

/// One client of the property test.
struct Visitor {
    client: Client,
    sink: Arc<Sink>,
    deflating: bool,
    /// Where it began.
    position: u64,
}

/// A history with sockets that come and go.
#[derive(Clone, Debug)]
enum Turn {
    Step(Step),
    Attach { who: usize, deflating: bool },
    Detach { who: usize },
    Sweep,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        8 => step(600).prop_map(Turn::Step),
        2 => (0..64_usize, any::<bool>()).prop_map(|(who, deflating)| Turn::Attach { who, deflating }),
        1 => (0..64_usize).prop_map(|who| Turn::Detach { who }),
        2 => Just(Turn::Sweep),
    ]
}

/// The actor, the model, and who is there.
struct House {
    actor: Actor,
    model: Model,
    here: BTreeMap<ConnectionId, Visitor>,
    /// How far those have come who were there before.
    positions: BTreeMap<ConnectionId, u64>,
}

impl House {
    fn who(&self, number: usize) -> Option<ConnectionId> {
        let open: Vec<_> = self.model.open.keys().copied().collect();
        open.get(number % open.len().max(1)).copied()
    }

    fn take(&mut self, turn: &Turn) {
        match turn {
            Turn::Step(step) => {
                if let Step::Close { who } = step {
                    // The others are checked as they leave.
                    let ever = self.model.ever.get(who % self.model.ever.len().max(1)).copied();
                    ever.into_iter().for_each(|id| self.leave(id));
                }
                self.model.step(&self.actor, step);
            }
            Turn::Attach { who, deflating } => {
                if let Some(id) = self.who(*who) {
                    self.leave(id);
                    self.come(id, *deflating);
                }
            }
            Turn::Detach { who } => self.who(*who).into_iter().for_each(|id| self.leave(id)),
            Turn::Sweep => self.actor.sweep_all(),
        }
    }

    fn come(&mut self, id: ConnectionId, deflating: bool) {
        let before = self.positions.get(&id).copied().unwrap_or(0);
        let missed = self.actor.stream.resume(id, before).expect("open");
        let position = missed.lost.map_or(before, |(_, last)| last);
        let attach = if deflating { Actor::attach_deflating } else { Actor::attach_roomy };
        let (client, sink) = attach(&self.actor, id, position);
        self.here.insert(id, Visitor { client, sink, deflating, position });
    }

    /// Read what came to one, and compare it with what was for it.
    fn leave(&mut self, id: ConnectionId) {
        let Some(mut visitor) = self.here.remove(&id) else { return };
        // A reader that does not block is offered everything by a sweep: none is slow here.
        self.actor.sweep_all();
        // After eight writes a sink is the writer thread's to go on with, whose turns the test takes.
        (0..=self.model.events.len() / 8).for_each(|_| visitor.sink.drive(None));
        self.actor.detach(id, &visitor.sink);
        visitor.sink.close(None, "");
        let expected: Vec<u64> = self.model.entitled(id, visitor.position).collect();
        let came = events(&mut visitor.client);
        assert_eq!(came.iter().filter_map(|(_, message)| message.offset()).collect::<Vec<_>>(), expected);
        for (deflated, message) in came {
            assert!(visitor.deflating || !deflated, "it does not take that");
            let Message::Event { offset, name, text } = message else { panic!("{message:?}") };
            let sent = self.model.event(offset);
            assert_eq!((name.as_str(), &text), (sent.name, &sent.text));
        }
        self.positions.insert(id, self.actor.stream.head());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_socket_gets_what_was_for_it_compressed_or_not(
        max_events in prop_oneof![3..16_usize, Just(1000)],
        max_bytes in prop_oneof![Just(1 << 20), 8000..20_000_usize],
        turns in prop::collection::vec(turn(), 1..150),
    ) {
        let limits = Limits { max_events, max_bytes };
        let mut house = House {
            actor: Actor::by_hand(Setup { limits, ..Setup::default() }),
            model: Model::default(),
            here: BTreeMap::new(),
            positions: BTreeMap::new(),
        };
        for msgpack in [false, true, false] {
            house.take(&Turn::Step(Step::Open { msgpack, topics: vec![0, 1], lost: 0 }));
            house.take(&Turn::Attach { who: house.model.open.len() - 1, deflating: true });
        }
        for turn in &turns {
            house.take(turn);
            // A ready connection is never overtaken: a plain loop of publishing waits for the sweep.
            let (stream, half) = (&house.actor.stream, limits.max_events as u64 / 2);
            if stream.head() - stream.swept() >= half.max(1) || stream.retained_bytes() > max_bytes / 3 {
                house.actor.sweep_all();
            }
            prop_assert!(house.actor.stream.retained_bytes() <= max_bytes);
        }
        house.here.keys().copied().collect::<Vec<_>>().into_iter().for_each(|id| house.leave(id));
    }
}
