//! Sinks whose bytes the event loop writes: what it is handed, when, and in what order; and every way to end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ringcast_core::connection::ConnectionId;
use ringcast_core::frame::{self, Encoding, Form, Opcode};
use ringcast_core::messages::Packing;
use ringcast_core::relay::{Content, MAX_RELAYED_BYTES, Parting, Relays, Taken};
use ringcast_core::ring::Limits;
use ringcast_core::sink::{EndReason, Sink};
use ringcast_core::stream::{Notify, SlowReader};

use crate::actor::{Actor, Calls, MIN_DEFLATED_BYTES, Setup};
use crate::client::{Message, parse, reply, split_frame, wait_until};

const JSON: Encoding = Encoding::Json;

/// An event loop, whose turns the test takes.
struct Loop {
    relays: Arc<Relays>,
    told: Arc<Calls>,
    /// Written to each transport and not looked at yet.
    written: HashMap<u64, Vec<u8>>,
    /// How often something was written.
    writes: usize,
}

impl Loop {
    fn new() -> Self {
        let told = Arc::new(Calls::default());
        let relays = Relays::new(Arc::clone(&told) as Arc<dyn Notify>);
        Self { relays, told, written: HashMap::new(), writes: 0 }
    }

    fn attach(&self, actor: &Actor, id: ConnectionId, key: u64, position: u64) -> Arc<Sink> {
        let form = Form::from(actor.stream.get(id).unwrap().encoding);
        self.attach_in_form(actor, id, key, position, form)
    }

    fn attach_in_form(
        &self,
        actor: &Actor,
        id: ConnectionId,
        key: u64,
        position: u64,
        form: Form,
    ) -> Arc<Sink> {
        let sink = Sink::relayed(&self.relays, key, form, MIN_DEFLATED_BYTES, Arc::clone(&actor.writer));
        let connection = actor.stream.get(id).unwrap();
        assert!(actor.stream.attach(&connection, &sink, position, &reply(form.encoding, 0)));
        sink
    }

    /// One turn. Returns what became of transports.
    fn turn(&mut self) -> Vec<(u64, Parting)> {
        let mut partings = Vec::new();
        for Taken { key, content, parting } in self.relays.take() {
            let Content::Bytes(bytes) = content else { panic!("messages") };
            assert!(bytes.len() <= MAX_RELAYED_BYTES);
            self.writes += usize::from(!bytes.is_empty());
            self.written.entry(key).or_default().extend(bytes);
            partings.extend(parting.map(|parting| (key, parting)));
        }
        partings
    }

    /// Turns until nothing is left to do.
    fn turns(&mut self) -> Vec<(u64, Parting)> {
        let mut partings = Vec::new();
        loop {
            let before = self.writes;
            let some = self.turn();
            if some.is_empty() && self.writes == before {
                assert!(!self.relays.is_behind());
                return partings;
            }
            partings.extend(some);
        }
    }

    /// The messages that one client was sent since the last look.
    fn messages(&mut self, key: u64) -> Vec<Message> {
        let bytes = self.written.entry(key).or_default();
        std::iter::from_fn(|| split_frame(bytes).as_ref().map(parse)).collect()
    }

    fn offsets(&mut self, key: u64) -> Vec<u64> {
        self.messages(key).iter().filter_map(Message::offset).collect()
    }
}

fn small(slow_reader: SlowReader) -> Setup {
    Setup { limits: Limits { max_events: 10, max_bytes: 1 << 20 }, slow_reader, ..Setup::default() }
}

#[test]
fn what_several_sweeps_write_is_one_write_of_the_loop() {
    let actor = Actor::by_hand(Setup::default());
    let mut event_loop = Loop::new();
    let sink = event_loop.attach(&actor, actor.open(JSON, &["a"]), 7, 0);
    actor.publish("a", "first");
    actor.sweep_all();
    sink.push_message(&reply(JSON, 1));
    actor.publish("a", "second");
    actor.sweep_all();
    sink.push_message(&reply(JSON, 2));
    sink.push_control(frame::frame(Opcode::Pong, b"p"));
    sink.drive(None);
    assert_eq!((event_loop.told.count(), event_loop.writes), (1, 0));
    assert_eq!(event_loop.turn(), []);
    assert_eq!(event_loop.writes, 1);
    let event = |offset, text: &str| Message::Event { offset, name: "a".into(), text: text.into() };
    let expected = [
        Message::Reply(0),
        event(1, "first"),
        Message::Reply(1),
        event(2, "second"),
        Message::Reply(2),
        Message::Pong(b"p".to_vec()),
    ];
    assert_eq!(event_loop.messages(7), expected);
    assert_eq!(sink.queued_bytes(), 0);
}

#[test]
fn one_sweep_wakes_the_loop_once_and_is_one_write_for_each() {
    const CONNECTIONS: u64 = 300;
    let actor = Actor::by_hand(Setup::default());
    let mut event_loop = Loop::new();
    let sinks: Vec<_> =
        (0..CONNECTIONS).map(|key| event_loop.attach(&actor, actor.open(JSON, &["a"]), key, 0)).collect();
    event_loop.turns();
    let (told, writes) = (event_loop.told.count(), event_loop.writes);
    for _ in 0..100 {
        actor.publish("a", "x");
    }
    actor.sweep_all();
    assert_eq!(event_loop.told.count(), told + 1);
    // A few at a time, and told when there are more.
    event_loop.turn();
    assert!(event_loop.writes - writes < CONNECTIONS as usize);
    assert_eq!(event_loop.told.count(), told + 2);
    event_loop.turns();
    assert_eq!(event_loop.writes - writes, CONNECTIONS as usize);
    for key in 0..CONNECTIONS {
        assert_eq!(event_loop.offsets(key), (1..=100).collect::<Vec<_>>());
    }
    drop(sinks);
}

#[test]
fn what_does_not_fit_goes_on_where_it_stopped_when_the_loop_has_come() {
    let actor = Actor::by_hand(Setup::default());
    let mut event_loop = Loop::new();
    let sink = event_loop.attach(&actor, actor.open(JSON, &["a"]), 1, 0);
    let texts: Vec<String> = ["x", "y", "z"].iter().map(|letter| letter.repeat(900_000)).collect();
    for text in &texts {
        actor.publish("a", text);
    }
    sink.push_message(&reply(JSON, 1));
    actor.sweep_all();
    assert!(event_loop.relays.is_behind());
    event_loop.turn();
    assert_eq!(event_loop.written[&1].len(), MAX_RELAYED_BYTES);
    assert!(event_loop.relays.is_behind(), "there is more, and nothing but the loop to wait for");
    event_loop.turns();
    // Full buffers, and one that is not.
    assert_eq!(event_loop.writes, event_loop.written[&1].len().div_ceil(MAX_RELAYED_BYTES));
    let messages = event_loop.messages(1);
    assert_eq!(messages[0], Message::Reply(0));
    for (message, text) in messages[1..4].iter().zip(&texts) {
        let Message::Event { text: received, .. } = message else { panic!("not an event") };
        assert!(received == text);
    }
    assert_eq!(messages[4..], [Message::Reply(1)]);
}

#[test]
fn a_transport_that_is_full_keeps_its_client_where_it_is() {
    let actor = Actor::by_hand(Setup::default());
    let mut event_loop = Loop::new();
    let sink = event_loop.attach(&actor, actor.open(JSON, &["a"]), 1, 0);
    actor.publish("a", "x");
    actor.sweep_all();
    // Full by what the loop wrote before: even what is at hand stays.
    sink.pause();
    for _ in 0..5 {
        actor.publish("a", "x");
        actor.sweep_all();
    }
    sink.push_message(&reply(JSON, 1));
    sink.drive(None);
    event_loop.turns();
    assert_eq!((event_loop.writes, sink.end_reason()), (0, None));
    assert!(sink.queued_bytes() > 0);
    sink.resume();
    event_loop.turns();
    assert_eq!(event_loop.offsets(1), [1, 2, 3, 4, 5, 6]);
    assert_eq!(event_loop.messages(1), []);
    assert_eq!(sink.queued_bytes(), 0);
}

#[test]
fn a_full_relay_of_a_full_transport_goes_on_after_both() {
    let actor = Actor::by_hand(Setup::default());
    let mut event_loop = Loop::new();
    let sink = event_loop.attach(&actor, actor.open(JSON, &["a"]), 1, 0);
    actor.publish("a", &"x".repeat(MAX_RELAYED_BYTES));
    actor.publish("a", "y");
    actor.sweep_all();
    sink.pause();
    assert_eq!((event_loop.turns(), event_loop.writes), (vec![], 0));
    assert!(!event_loop.relays.is_behind(), "the loop can do nothing about it");
    sink.resume();
    assert!(event_loop.relays.is_behind());
    event_loop.turns();
    assert_eq!(event_loop.offsets(1), [1, 2]);
}

#[test]
fn a_slow_reader_is_closed_once_the_ring_lets_go_what_it_is_owed() {
    let actor = Actor::by_hand(small(SlowReader::Disconnect));
    let mut event_loop = Loop::new();
    let sink = event_loop.attach(&actor, actor.open(JSON, &["a"]), 1, 0);
    actor.publish("a", "x");
    actor.sweep_all();
    event_loop.turns();
    sink.pause();
    for _ in 0..11 {
        assert_eq!(sink.end_reason(), None);
        actor.publish("a", "x");
        actor.sweep_all();
    }
    assert_eq!(sink.end_reason(), Some(EndReason::SlowReader));
    assert_eq!(event_loop.turns(), []);
    sink.resume();
    assert_eq!(event_loop.turns(), [(1, Parting::Close)]);
    let close = Message::Close(Some(4502), "slow_reader".into());
    let messages = event_loop.messages(1);
    assert_eq!(messages.iter().filter_map(Message::offset).collect::<Vec<_>>(), [1]);
    assert_eq!(messages.last(), Some(&close));
}

#[test]
fn a_slow_reader_that_skips_is_told_of_the_gap() {
    let actor = Actor::by_hand(small(SlowReader::Skip));
    let mut event_loop = Loop::new();
    let sink = event_loop.attach(&actor, actor.open(JSON, &["a"]), 1, 0);
    event_loop.turns();
    sink.pause();
    for _ in 0..25 {
        actor.publish("a", "x");
        actor.sweep_all();
    }
    sink.resume();
    event_loop.turns();
    let messages = event_loop.messages(1);
    assert_eq!(messages[..2], [Message::Reply(0), Message::Gap { first: 1, last: 15 }]);
    let offsets: Vec<u64> = messages.iter().filter_map(Message::offset).collect();
    assert_eq!(offsets, (16..=25).collect::<Vec<_>>());
}

#[test]
fn a_publisher_that_lets_the_loop_catch_up_outruns_nobody() {
    let actor = Actor::by_hand(small(SlowReader::Disconnect));
    let mut event_loop = Loop::new();
    let sinks = [1, 2].map(|key| event_loop.attach(&actor, actor.open(JSON, &["a"]), key, 0));
    let long = "x".repeat(100_000);
    for _ in 0..100 {
        while event_loop.relays.is_behind() {
            event_loop.turn();
        }
        actor.publish("a", &long);
        actor.sweep_all();
    }
    event_loop.turns();
    for key in [1, 2] {
        assert_eq!(event_loop.offsets(key), (1..=100).collect::<Vec<_>>());
    }
    assert!(sinks.iter().all(|sink| sink.end_reason().is_none()));
}

#[test]
fn a_close_frame_is_the_last_that_a_transport_gets_before_it_is_closed() {
    let actor = Actor::by_hand(Setup::default());
    let mut event_loop = Loop::new();
    let sink = event_loop.attach(&actor, actor.open(JSON, &["a"]), 1, 0);
    // More than fits: the close waits for the rest.
    actor.publish("a", &"x".repeat(2 * MAX_RELAYED_BYTES));
    sink.close(Some(4000), "bye");
    actor.publish("a", "too late");
    actor.sweep_all();
    sink.push_message(b"[]");
    assert_eq!(sink.end_reason(), None);
    assert_eq!(event_loop.turns(), [(1, Parting::Close)]);
    assert_eq!(sink.end_reason(), Some(EndReason::Closed));
    let messages = event_loop.messages(1);
    assert_eq!(messages.iter().filter_map(Message::offset).collect::<Vec<_>>(), [1]);
    assert_eq!(messages.last(), Some(&Message::Close(Some(4000), "bye".into())));
    drop(sink);
    assert_eq!(event_loop.turns(), [], "nothing follows");
}

#[test]
fn a_close_frame_at_hand_does_not_wait_for_a_full_transport() {
    let actor = Actor::by_hand(Setup::default());
    let mut event_loop = Loop::new();
    let sink = event_loop.attach(&actor, actor.open(JSON, &[]), 1, 0);
    sink.close(None, "");
    sink.pause();
    assert_eq!(event_loop.turns(), [(1, Parting::Close)]);
    assert_eq!(event_loop.messages(1), [Message::Reply(0), Message::Close(None, String::new())]);
}

#[test]
fn a_close_that_a_transport_does_not_take_in_time_cuts_it_off() {
    let actor = Actor::running(Setup { close_timeout: Duration::from_millis(50), ..Setup::default() });
    let mut event_loop = Loop::new();
    let sink = event_loop.attach(&actor, actor.open(JSON, &[]), 1, 0);
    event_loop.turns();
    sink.pause();
    sink.close(Some(1000), "");
    wait_until("the timeout", || sink.end_reason() == Some(EndReason::CloseTimeout));
    assert_eq!(event_loop.turns(), [(1, Parting::Abort)]);
    assert_eq!(event_loop.messages(1), [Message::Reply(0)]);
}

#[test]
fn what_waits_for_the_loop_goes_with_a_dropped_sink() {
    let actor = Actor::by_hand(Setup::default());
    let mut event_loop = Loop::new();
    let id = actor.open(JSON, &["a"]);
    let sink = event_loop.attach(&actor, id, 1, 0);
    actor.publish("a", &"x".repeat(2 * MAX_RELAYED_BYTES));
    actor.sweep_all();
    sink.drop_socket();
    sink.drop_socket();
    assert_eq!(sink.end_reason(), Some(EndReason::Dropped));
    assert_eq!(event_loop.turns(), [(1, Parting::Forget)]);
    assert_eq!(event_loop.writes, 0);
    sink.resume();
    sink.drive(None);
    assert_eq!(event_loop.turns(), []);
    // The client comes back, and reads on from where it was.
    let _sink = event_loop.attach(&actor, id, 2, 0);
    event_loop.turns();
    assert_eq!(event_loop.offsets(2), [1]);
}

#[test]
fn a_connection_goes_from_a_socket_to_a_relay_and_back() {
    let actor = Actor::by_hand(Setup::default());
    let mut event_loop = Loop::new();
    let id = actor.open(Encoding::Msgpack, &["a"]);
    let (mut client, socket) = actor.attach(id, 0);
    actor.publish("a", "1");
    actor.sweep_all();
    assert_eq!([client.message(), client.message()].map(|message| message.offset()), [None, Some(1)]);
    let relayed = event_loop.attach(&actor, id, 1, 1);
    actor.publish("a", "2");
    actor.sweep_all();
    event_loop.turns();
    assert_eq!(event_loop.offsets(1), [2]);
    let (mut client, _socket) = actor.attach(id, 2);
    actor.publish("a", "3");
    actor.sweep_all();
    assert_eq!([client.message(), client.message()].map(|message| message.offset()), [None, Some(3)]);
    relayed.close(Some(4001), "");
    assert_eq!(event_loop.turns(), [(1, Parting::Close)]);
    assert_eq!(event_loop.messages(1), [Message::Close(Some(4001), String::new())]);
    drop(socket);
}

#[test]
fn compressed_frames_are_shared_with_sockets() {
    let actor = Actor::by_hand(Setup::default());
    let mut event_loop = Loop::new();
    let (mut client, _socket) = actor.attach_deflating(actor.open(JSON, &["a"]), 0);
    let form = Form::deflated(JSON);
    let _sink = event_loop.attach_in_form(&actor, actor.open(JSON, &["a"]), 1, 0, form);
    actor.publish("a", &"x".repeat(5000));
    actor.sweep_all();
    event_loop.turns();
    let written = event_loop.written.get_mut(&1).unwrap();
    assert!(written.len() < 1000);
    let (answer, event) = (split_frame(written).unwrap(), split_frame(written).unwrap());
    assert_eq!(parse(&answer), Message::Reply(0));
    assert!(event.deflated && written.is_empty());
    assert_eq!(client.message(), Message::Reply(0));
    assert_eq!(client.message(), parse(&event));
}

/// What the loop is to send for one client, as the WebSocket messages that it makes of it.
fn sent(taken: Vec<Taken>) -> Vec<(u64, Vec<String>, Option<Parting>)> {
    let text = |message: &[u8]| String::from_utf8(message.to_vec()).unwrap();
    let sent = |Taken { key, content, parting }| {
        let Content::Messages(messages) = content else { panic!("bytes") };
        (key, messages.iter().map(text).collect(), parting)
    };
    taken.into_iter().map(sent).collect()
}

fn attach_messages(event_loop: &Loop, actor: &Actor, packing: Packing) -> Arc<Sink> {
    let connection = actor.stream.get(actor.open(JSON, &["a"])).unwrap();
    let sink = Sink::messages(&event_loop.relays, 1, JSON, packing, Arc::clone(&actor.writer));
    assert!(actor.stream.attach(&connection, &sink, 0, &reply(JSON, 0)));
    sink
}

fn lines(offsets: std::ops::RangeInclusive<u64>) -> String {
    let line = |offset| format!("[\"event\",1,{offset},\"a\",[\"x\"]]");
    offsets.map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn while_messages_are_being_sent_the_next_grow_into_one() {
    let actor = Actor::by_hand(Setup::default());
    let event_loop = Loop::new();
    let sink = attach_messages(&event_loop, &actor, Packing::Joined);
    assert_eq!(sent(event_loop.relays.take()), [(1, vec!["[\"reply\",0]".into()], None)]);
    for _ in 0..100 {
        actor.publish("a", "x");
        actor.sweep_all();
    }
    sink.push_control(frame::frame(Opcode::Ping, b""));
    sink.drive(None);
    assert_eq!(sent(event_loop.relays.take()), []);
    assert!(!event_loop.relays.is_behind(), "the loop can do nothing about it");
    sink.resume();
    assert_eq!(sent(event_loop.relays.take()), [(1, vec![lines(1..=100)], None)]);
    sink.resume();
    actor.publish("a", "x");
    sink.close(Some(4000), "bye");
    let taken = event_loop.relays.take();
    let Content::Messages(messages) = &taken[0].content else { panic!("bytes") };
    assert_eq!(messages.close, Some((Some(4000), "bye".into())));
    assert_eq!(sent(taken), [(1, vec![lines(101..=101)], Some(Parting::Close))]);
}

#[test]
fn a_client_that_takes_one_at_a_time_gets_no_less() {
    let actor = Actor::by_hand(Setup::default());
    let event_loop = Loop::new();
    let sink = attach_messages(&event_loop, &actor, Packing::Single);
    actor.publish("a", "x");
    actor.publish("a", "x");
    actor.sweep_all();
    let expected = vec!["[\"reply\",0]".into(), lines(1..=1), lines(2..=2)];
    assert_eq!(sent(event_loop.relays.take()), [(1, expected, None)]);
    sink.drop_socket();
    drop(sink);
    assert_eq!(sent(event_loop.relays.take()), [(1, vec![], Some(Parting::Forget))]);
}

#[test]
fn messages_larger_than_a_relay_go_out_whole() {
    let actor = Actor::by_hand(Setup::default());
    let event_loop = Loop::new();
    let sink = attach_messages(&event_loop, &actor, Packing::Joined);
    let long = "x".repeat(2 * MAX_RELAYED_BYTES);
    for _ in 0..3 {
        actor.publish("a", &long);
    }
    actor.sweep_all();
    let mut messages = Vec::new();
    while messages.len() < 4 {
        for (_, sent, _) in sent(event_loop.relays.take()) {
            messages.extend(sent);
            sink.resume();
        }
    }
    assert_eq!(messages[0], "[\"reply\",0]");
    for (offset, message) in (1..).zip(&messages[1..]) {
        assert!(*message == format!("[\"event\",1,{offset},\"a\",[\"{long}\"]]"));
    }
    assert_eq!((messages.len(), sink.queued_bytes()), (4, 0));
}

#[test]
fn a_client_whose_server_sends_nothing_on_is_slow_as_any_other() {
    let actor = Actor::by_hand(small(SlowReader::Disconnect));
    let event_loop = Loop::new();
    let sink = attach_messages(&event_loop, &actor, Packing::Joined);
    assert_eq!(event_loop.relays.take().len(), 1);
    for _ in 0..11 {
        assert_eq!(sink.end_reason(), None);
        actor.publish("a", "x");
        actor.sweep_all();
    }
    assert_eq!(sink.end_reason(), Some(EndReason::SlowReader));
    sink.resume();
    let taken = event_loop.relays.take();
    let Content::Messages(messages) = &taken[0].content else { panic!("bytes") };
    assert_eq!(messages.close, Some((Some(4502), "slow_reader".into())));
    assert_eq!(sent(taken), [(1, vec![], Some(Parting::Close))]);
}
