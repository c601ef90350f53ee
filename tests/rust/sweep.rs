//! The sweep over real sockets: each connection gets what the model says it is entitled to, once and in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use proptest::prelude::*;
use ringcast_core::audience::Audience;
use ringcast_core::connection::ConnectionId;
use ringcast_core::frame::Encoding;
use ringcast_core::ring::Limits;
use ringcast_core::sink::{EndReason, Sink};
use ringcast_core::stream::{PublishError, SlowReader};

use crate::actor::{Actor, Setup};
use crate::client::{Client, Message, reply, wait_until};
use crate::history::{Step, base, step, step_or_doubt};
use crate::model::Model;

fn offsets(messages: &[Message]) -> Vec<u64> {
    messages.iter().filter_map(Message::offset).collect()
}

fn closed(sink: &Arc<Sink>, mut client: Client) -> Vec<Message> {
    let reader = thread::spawn(move || client.rest());
    sink.close(Some(1000), "");
    reader.join().unwrap()
}

#[test]
fn a_sweep_offers_everything_and_tells_who_waits_for_it() {
    let actor = Actor::by_hand(Setup::default());
    let (client, sink) = actor.attach(actor.open(Encoding::Json, &["a"]), 0);
    actor.publish("a", "1");
    let second = actor.publish("a", "2");
    assert!(actor.stream.notify_when_swept(second));
    assert_eq!((actor.stream.swept(), actor.swept.count()), (0, 0));
    actor.sweep_all();
    assert_eq!((actor.stream.swept(), actor.swept.count()), (second, 1));
    assert!(!actor.stream.notify_when_swept(second), "it is so already");
    assert_eq!(offsets(&closed(&sink, client)), [1, 2]);
}

#[test]
fn without_a_sink_nothing_waits_for_a_sweep() {
    let actor = Actor::by_hand(Setup::default());
    actor.open(Encoding::Json, &["a"]);
    assert_eq!(actor.publish("a", "1"), 1);
    assert_eq!(actor.stream.swept(), 1);
}

#[test]
fn a_share_of_many_runs_is_delivered_whole() {
    // Every other event is for it, so that its share of a batch has more runs than one write may have.
    let actor = Actor::by_hand(Setup::default());
    let (mut client, sink) = actor.attach_roomy(actor.open(Encoding::Json, &["a"]), 0);
    for _ in 0..700 {
        actor.publish("a", "");
        actor.publish("b", "");
    }
    actor.sweep_all();
    sink.close(None, "");
    assert_eq!(offsets(&client.rest()), (1..=1400).step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_connection_that_is_behind_catches_up_and_stays_caught_up() {
    let actor = Actor::running(Setup::default());
    let id = actor.open(Encoding::Msgpack, &["a"]);
    let long = "x".repeat(1000);
    for _ in 0..1000 {
        actor.publish("a", &long);
    }
    let (mut client, sink) = actor.attach(id, 10);
    let reader = thread::spawn(move || client.rest());
    for _ in 0..1000 {
        actor.publish("a", &long);
    }
    sink.close(None, "");
    assert_eq!(offsets(&reader.join().unwrap()), (11..=2000).collect::<Vec<_>>());
}

#[test]
fn an_encoding_that_came_into_use_must_be_given() {
    let actor = Actor::by_hand(Setup::default());
    actor.open(Encoding::Msgpack, &[]);
    let missing = actor.stream.publish("a", [Some(b"[]"), None], Audience::Subscribers);
    assert_eq!(missing, Err(PublishError::EncodingMissing));
    assert_eq!(actor.stream.head(), 0);
}

#[test]
fn a_ready_reader_is_never_outrun() {
    // Little rings of every kind: by count, by bytes of frames, by bytes of the lists of whom events are for.
    for (max_events, max_bytes, listed) in
        [(1, 1 << 20, 0), (2, 1 << 20, 0), (10_000, 20_000, 0), (10_000, 60_000, 500)]
    {
        let limits = Limits { max_events, max_bytes };
        let actor = Actor::running(Setup { limits, ..Setup::default() });
        let id = actor.open(Encoding::Json, &["a"]);
        let (mut client, sink) = actor.attach_roomy(id, 0);
        // The socket has room for all of it, so the reader is ready throughout.
        let nobody = ConnectionId::from_bits(u64::MAX);
        let others: Vec<_> =
            (0..listed).map(|slot| ConnectionId::from_bits(1000 + slot)).chain([nobody]).collect();
        for _ in 0..1000 {
            actor.publish_to("a", "", Audience::except(others.clone())).unwrap();
        }
        assert_eq!(sink.end_reason(), None, "{max_events} events, {max_bytes} bytes, {listed} listed");
        sink.close(None, "");
        assert_eq!(offsets(&client.rest()), (1..=1000).collect::<Vec<_>>());
    }
}

#[test]
fn a_publisher_is_slowed_by_the_sweep_and_not_by_a_blocked_reader() {
    let actor = Actor::running(Setup { max_unswept_bytes: 1 << 12, ..Setup::default() });
    let (_blocked, slow) = actor.attach(actor.open(Encoding::Json, &["a"]), 0);
    let (mut client, fast) = actor.attach(actor.open(Encoding::Json, &["a"]), 0);
    let reader = thread::spawn(move || client.rest());
    let long = "x".repeat(2000);
    for _ in 0..2000 {
        actor.publish("a", &long);
        let unswept = actor.stream.head() - actor.stream.swept();
        assert!(unswept <= 3, "{unswept} events ahead");
    }
    fast.close(None, "");
    assert_eq!(offsets(&reader.join().unwrap()).len(), 2000);
    assert_eq!(slow.end_reason(), None, "the ring still holds what it is owed");
}

#[test]
fn a_waiting_publisher_is_released_when_the_actor_stops() {
    let actor = Actor::by_hand(Setup { max_unswept_bytes: 1, ..Setup::default() });
    let _attached = actor.attach(actor.open(Encoding::Json, &["a"]), 0);
    actor.publish("a", "nobody sweeps this");
    let publisher = {
        let stream = Arc::clone(&actor.stream);
        thread::spawn(move || stream.wait_for_sweep())
    };
    actor.stream.shut();
    publisher.join().unwrap();
    assert_eq!(actor.publish_to("a", "", Audience::Subscribers), Err(PublishError::Shut));
}

#[test]
fn a_large_event_waits_for_what_it_would_push_out() {
    let limits = Limits { max_events: 100, max_bytes: 20_000 };
    let actor = Actor::running(Setup { limits, ..Setup::default() });
    let (mut client, sink) = actor.attach(actor.open(Encoding::Json, &["a"]), 0);
    let reader = thread::spawn(move || client.rest());
    for _ in 0..20 {
        actor.publish("a", "small");
        // It fills the ring, and the socket's buffer with it; its own reader takes it before the next.
        let offset = actor.publish("a", &"x".repeat(7000));
        wait_until("swept", || actor.stream.swept() >= offset);
    }
    sink.close(None, "");
    let received = offsets(&reader.join().unwrap());
    // The reader may be slower than the publisher, and is told so; it never misses an event without a word.
    let whole = received == (1..=40).collect::<Vec<_>>();
    assert!(whole || sink.end_reason() == Some(EndReason::SlowReader));
}

#[test]
fn a_sweep_visits_those_who_may_listen_and_no_others() {
    let actor = Actor::by_hand(Setup::default());
    let ids: Vec<_> = (0..6).map(|_| actor.open(Encoding::Json, &["common"])).collect();
    let listen = |id: ConnectionId, listen| actor.stream.change_subscription(id, "rare", listen).unwrap();
    let attached: Vec<_> = ids.iter().map(|id| actor.attach(*id, 0)).collect();
    let visited = || {
        let mut visited = Vec::new();
        while actor.stream.swept() < actor.stream.head() {
            let seen = std::cell::RefCell::new(&mut visited);
            let offer = |sink: &Arc<Sink>, batch: &_| {
                seen.borrow_mut().extend(attached.iter().position(|(_, own)| Arc::ptr_eq(own, sink)));
                sink.drive(Some(batch));
            };
            assert!(actor.stream.sweep().go_on_with(offer), "so few are one turn");
        }
        visited
    };
    actor.publish("rare", "1");
    assert!(visited().is_empty(), "nobody listens");
    listen(ids[1], true);
    listen(ids[4], true);
    actor.publish("rare", "2");
    assert_eq!(visited(), [1, 4]);
    actor.publish("rare", "3");
    listen(ids[4], false);
    listen(ids[5], true);
    assert_eq!(visited(), [1, 4, 5], "it ceased to listen behind the event, and the other one may listen");
    actor.publish("rare", "4");
    actor.publish_to("news", "5", Audience::only(vec![ids[0]])).unwrap();
    assert_eq!(visited(), [0, 1, 5], "those who are named, too");
    actor.publish("rare", "6");
    actor.publish("common", "7");
    assert_eq!(visited(), [0, 1, 2, 3, 4, 5]);
    let received: Vec<_> =
        attached.into_iter().map(|(client, sink)| offsets(&closed(&sink, client))).collect();
    let expected: [&[u64]; 6] = [&[5, 7], &[2, 3, 4, 6, 7], &[7], &[7], &[2, 3, 7], &[4, 6, 7]];
    assert_eq!(received, expected);
}

/// A connection of the random history, with its socket.
struct Attached {
    sink: Arc<Sink>,
    reader: JoinHandle<Vec<Message>>,
    /// Most bytes that its reader takes at a time.
    chunk: usize,
    /// Where it began, over all its sockets.
    position: u64,
    /// What came over its earlier sockets.
    before: Vec<Message>,
}

impl Attached {
    fn new(actor: &Actor, id: ConnectionId, position: u64, chunk: usize) -> Self {
        let (sink, reader) = Self::connect(actor, id, position, chunk);
        Self { sink, reader, chunk, position, before: Vec::new() }
    }

    fn connect(
        actor: &Actor,
        id: ConnectionId,
        position: u64,
        chunk: usize,
    ) -> (Arc<Sink>, JoinHandle<Vec<Message>>) {
        let (mut client, sink) = actor.attach(id, position);
        client.chunk = chunk;
        (sink, thread::spawn(move || client.whole_messages()))
    }

    /// Lose the socket in the middle of whatever goes over it, in one of the ways in which that is noticed, and come
    /// back on another one.
    fn come_back(self, actor: &Actor, id: ConnectionId, way: u8) -> Self {
        match way % 3 {
            0 => actor.detach(id, &self.sink),
            // It is still attached when the next one comes.
            1 => {}
            _ => self.sink.detach(),
        }
        self.sink.drop_socket();
        let mut before = self.before;
        before.extend(self.reader.join().expect("a reader that understands every byte"));
        let position = reached(self.position, &before);
        let (sink, reader) = Self::connect(actor, id, position, self.chunk);
        Self { sink, reader, before, ..self }
    }

    /// Everything that came, over all its sockets.
    fn messages(self) -> Vec<Message> {
        let mut messages = self.before;
        messages.extend(self.reader.join().expect("a reader that understands every byte"));
        messages
    }
}

/// The position of a client that began at `position` and got `messages`.
fn reached(position: u64, messages: &[Message]) -> u64 {
    let seen = messages.iter().filter_map(|message| match message {
        Message::Event { offset, .. } => Some(*offset),
        Message::Gap { last, .. } => Some(*last),
        _ => None,
    });
    seen.fold(position, u64::max)
}

/// Check what one connection received from `position` on against the model.
fn check(model: &Model, id: ConnectionId, ended: u64, attached: Attached) -> Result<(), TestCaseError> {
    let position = attached.position;
    let messages = attached.messages();
    let mut lost = Vec::new();
    let mut reached = position;
    let (mut event, mut replies) = (0, 0);
    for message in &messages {
        match message {
            Message::Event { offset, name, text } => {
                prop_assert!(*offset > reached, "{offset} after {reached}");
                (reached, event) = (*offset, *offset);
                let published = model.event(*offset);
                prop_assert_eq!((name.as_str(), text), (published.name, &published.text));
            }
            Message::Gap { first, last } => {
                prop_assert!(*first > reached && last >= first);
                prop_assert!(model.has_lost(id, *first, *last), "an empty gap");
                reached = *last;
                lost.push(*first..=*last);
            }
            // The first message on each socket.
            Message::Reply(0) => {}
            // A reply carries the offset that was the newest when it was queued.
            Message::Reply(after) => {
                prop_assert!(*after >= replies && event <= *after);
                let owed = model.entitled(id, reached).find(|offset| offset <= after);
                prop_assert_eq!(owed, None, "reply {} overtook it", after);
                replies = *after;
            }
            Message::Pong(_) | Message::Close(..) => {}
        }
    }
    let expected: Vec<u64> = model
        .entitled(id, position)
        .filter(|offset| *offset <= ended && !lost.iter().any(|range| range.contains(offset)))
        .collect();
    let told = lost.iter().any(|range| range.contains(&model.lost[&id]));
    prop_assert!(told || model.lost[&id] <= position, "{id:?} from {position} with gaps {lost:?}");
    prop_assert_eq!(offsets(&messages), expected, "{:?} from {} with gaps {:?}", id, position, lost);
    Ok(())
}

/// A step; how much to reply after it; and whether, and in which way, which connection loses its socket then.
type Turn = (Step, u8, Option<(usize, u8)>);

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let comes_back = prop::option::weighted(0.15, (0..64_usize, any::<u8>()));
    prop::collection::vec((step(3000), any::<u8>(), comes_back), 100..400)
}

fn run(base: u64, limits: Limits, chunks: &[usize], turns: &[Turn]) -> Result<(), TestCaseError> {
    let (slow_reader, max_unswept_bytes) = (SlowReader::Skip, 1 << 14);
    let actor = Actor::running(Setup { limits, base, slow_reader, max_unswept_bytes, ..Setup::default() });
    let mut model = Model::after(base);
    let mut attached: BTreeMap<ConnectionId, Attached> = BTreeMap::new();
    let mut ended = Vec::new();
    let opening =
        (0..4).map(|index| Step::Open { msgpack: index % 2 == 1, topics: vec![0, index % 3], lost: 1 });
    for (step, replies, comes_back) in opening.map(|step| (step, 0, None)).chain(turns.iter().cloned()) {
        let head = actor.stream.head();
        if let Step::Close { who } = step
            && let Some(id) = model.ever.get(who % model.ever.len())
            && let Some(attached) = attached.remove(id)
        {
            // The connection ends behind its events: what it was owed still goes out.
            attached.sink.close(Some(1000), "");
            wait_until("the close", || attached.sink.end_reason().is_some());
            ended.push((*id, head, attached));
        }
        model.step(&actor, &step);
        if let (Step::Open { .. }, Some(&id)) = (&step, model.ever.last()) {
            let chunk = chunks[model.ever.len() % chunks.len()];
            // Some come from below the base, and may have lost something there.
            let position = if replies % 8 == 7 { base.saturating_sub(u64::from(replies)) } else { head };
            attached.insert(id, Attached::new(&actor, id, position, chunk));
        }
        let count = attached.len().max(1);
        if let Some(attached) = attached.values().nth(usize::from(replies) % count)
            && replies > 128
        {
            let encoding = attached.sink.form().encoding;
            attached.sink.push_message(&reply(encoding, actor.stream.head()));
            attached.sink.drive(None);
        }
        if let Some((who, way)) = comes_back
            && let Some(&id) = attached.keys().nth(who % count)
            && let Some(lost) = attached.remove(&id)
        {
            attached.insert(id, lost.come_back(&actor, id, way));
        }
    }
    let head = actor.stream.head();
    for attached in attached.values() {
        attached.sink.close(Some(1000), "");
    }
    ended.extend(attached.into_iter().map(|(id, attached)| (id, head, attached)));
    for (id, until, attached) in ended {
        let sink = Arc::clone(&attached.sink);
        check(&model, id, until, attached)?;
        prop_assert_eq!(sink.end_reason(), Some(EndReason::Closed));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48, failure_persistence: None, max_shrink_iters: 64, ..ProptestConfig::default()
    })]

    #[test]
    fn each_connection_receives_what_it_is_entitled_to(
        base in base(),
        chunks in prop::collection::vec(prop_oneof![16..200_usize, Just(1 << 16)], 1..5),
        turns in turns(),
    ) {
        run(base, Limits { max_events: 1 << 20, max_bytes: 1 << 28 }, &chunks, &turns)?;
    }

    #[test]
    fn a_slow_connection_receives_it_too_or_a_notice_of_the_gap(
        base in base(),
        max_events in 4..40_usize,
        chunks in prop::collection::vec(prop_oneof![16..200_usize, Just(1 << 16)], 1..5),
        turns in turns(),
    ) {
        run(base, Limits { max_events, max_bytes: 1 << 20 }, &chunks, &turns)?;
    }
}

/// One thread does everything, so that each sweep begins where the steps say: it visits few, and nobody misses anything.
fn run_by_hand(turns: &[(Step, bool)]) -> Result<(), TestCaseError> {
    let actor = Actor::by_hand(Setup::default());
    let mut model = Model::default();
    let mut attached: BTreeMap<ConnectionId, (u64, Client, Arc<Sink>)> = BTreeMap::new();
    let end = |model: &Model, id: ConnectionId, (position, mut client, sink): (u64, Client, Arc<Sink>)| {
        // What is still being decided is not for it.
        assert!(actor.stream.unsubscribe_all(id));
        sink.close(Some(1000), "");
        let expected: Vec<u64> = model.entitled(id, position).collect();
        prop_assert_eq!(offsets(&client.rest()), expected, "{:?} from {}", id, position);
        Ok(())
    };
    let opening = (0..4).map(|index| Step::Open { msgpack: false, topics: vec![index % 3], lost: 0 });
    for (step, sweep) in opening.map(|step| (step, false)).chain(turns.iter().cloned()) {
        if let Step::Close { who } = step
            && let Some(id) = model.ever.get(who % model.ever.len())
            && let Some(attached) = attached.remove(id)
        {
            end(&model, *id, attached)?;
        }
        let head = model.head();
        model.step(&actor, &step);
        if let (Step::Open { .. }, Some(&id)) = (&step, model.ever.last()) {
            let (client, sink) = actor.attach_roomy(id, head);
            attached.insert(id, (head, client, sink));
        }
        if sweep {
            actor.sweep_all();
        }
    }
    actor.sweep_all();
    attached.into_iter().try_for_each(|(id, attached)| end(&model, id, attached))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sweep_passes_by_nobody_whom_an_event_is_for(
        turns in prop::collection::vec((step_or_doubt(50), prop::bool::weighted(0.3)), 1..150),
    ) {
        run_by_hand(&turns)?;
    }
}

#[test]
fn a_full_room_is_not_in_the_way_of_the_others() {
    let room = Actor::by_hand(Setup::default());
    let crowd: Vec<_> = (0..300).map(|_| room.attach(room.open(Encoding::Json, &["a"]), 0)).collect();
    let other = room.sibling(|| {});
    let id = other.open(Encoding::Json, &["a".to_owned()], 0).unwrap();
    let (mut client, _sink) = room.attach_in(&other, id, 0);
    room.publish("a", "for three hundred");
    other.publish("a", [Some(b"[\"\"]"), None], Audience::Subscribers).unwrap();
    assert!(room.writer.turn(), "some of the room");
    assert!(room.writer.turn(), "all of the other");
    assert_eq!((room.stream.swept(), other.swept()), (0, 1));
    assert_eq!([client.message(), client.message()].map(|message| message.offset()), [None, Some(1)]);
    // What is published meanwhile is the next sweep's.
    room.publish("a", "again");
    while room.stream.swept() == 0 {
        assert!(room.writer.turn());
    }
    assert_eq!(room.stream.swept(), 1);
    while room.writer.turn() {}
    assert_eq!(room.stream.swept(), 2);
    for (client, sink) in crowd {
        assert_eq!(offsets(&closed(&sink, client)), [1, 2]);
    }
}
