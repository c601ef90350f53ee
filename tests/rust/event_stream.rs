//! Server-sent events: what they look like, and that one who reads them gets what everybody gets.

use std::sync::Arc;

use ringcast_core::audience::Audience;
use ringcast_core::connection::ConnectionId;
use ringcast_core::event_stream::{self, COMMENT};
use ringcast_core::frame::{Encoding, Form, is_close};
use ringcast_core::ring::Limits;
use ringcast_core::sink::Sink;
use ringcast_core::stream::SlowReader;

use crate::actor::{Actor, ROOMY, Setup};
use crate::client::{Client, pair_with, reply};

/// What the tests' streams are called.
const EPOCH: &str = "e";

fn attach(actor: &Actor, id: ConnectionId, position: u64, send_buffer_bytes: usize) -> (Client, Arc<Sink>) {
    let (client, server) = pair_with(send_buffer_bytes);
    let sink = Sink::with_form(server, Form::EVENT_STREAM, 0, Arc::clone(&actor.writer));
    let connection = actor.stream.get(id).unwrap();
    assert!(actor.stream.attach(&connection, &sink, position, &reply(Encoding::Json, 0)));
    (client, sink)
}

fn event(offset: u64, name: &str, text: &str) -> String {
    at(offset, &format!("[\"event\",1,{offset},\"{name}\",[\"{text}\"]]"))
}

fn at(offset: u64, payload: &str) -> String {
    format!("id: {EPOCH}:{offset}\ndata: {payload}\n\n")
}

fn data(payload: &str) -> String {
    format!("data: {payload}\n\n")
}

fn closed(code: u16, reason: &str) -> String {
    format!("event: close\n{}", data(&format!("[{code},\"{reason}\"]")))
}

#[test]
fn a_message_is_one_line_of_data_and_moves_a_position_where_it_has_one() {
    assert_eq!(event_stream::message(b"[1]"), "data: [1]\n\n");
    assert_eq!(event_stream::message_at("e", u64::MAX, b"[1]"), format!("id: e:{}\ndata: [1]\n\n", u64::MAX));
    assert_eq!(event_stream::message(b"[1,\r\n2]\n"), "data: [1,  2] \n\n", "one event, whoever wrote it");
    let close = event_stream::close(Some(4001), "a \"b\"\n");
    assert_eq!(close, "event: close\ndata: [4001,\"a \\\"b\\\"\\n\"]\n\n");
    assert_eq!(event_stream::close(None, ""), "event: close\ndata: [null,\"\"]\n\n");
    assert!(is_close(&close) && !is_close(COMMENT) && !is_close(&event_stream::message(b"[]")));
}

#[test]
fn events_and_answers_come_in_the_order_of_everybody() {
    let actor = Actor::by_hand(Setup::default());
    let id = actor.open(Encoding::Json, &["a"]);
    actor.publish("a", "before");
    let (mut client, sink) = attach(&actor, id, 1, ROOMY);
    let (mut frames, other) = actor.attach(actor.open(Encoding::Json, &["a"]), 1);
    actor.publish("a", "2");
    actor.publish("b", "for nobody");
    actor.publish_to("b", "4", Audience::only(vec![id])).unwrap();
    sink.push_message(&reply(Encoding::Json, 1));
    actor.sweep_all();
    sink.push_framed(format!("id: {EPOCH}:4\n\n").into());
    sink.close(Some(1000), "");
    let expected = [
        at(1, "[\"reply\",0]"),
        event(2, "a", "2"),
        event(4, "b", "4"),
        data("[\"reply\",1]"),
        format!("id: {EPOCH}:4\n\n"),
        closed(1000, ""),
    ];
    assert_eq!(client.text(), expected.concat());
    other.close(None, "");
    assert_eq!(frames.rest().len(), 3, "beside it somebody has frames");
}

#[test]
fn a_socket_that_takes_little_gets_the_same_and_so_does_one_that_comes_back() {
    let actor = Actor::running(Setup::default());
    let id = actor.open(Encoding::Json, &["a"]);
    let long = "x".repeat(3000);
    for _ in 0..300 {
        actor.publish("a", &long);
    }
    for from in [0, 7] {
        let (mut client, sink) = attach(&actor, id, from, 1);
        let reader = std::thread::spawn(move || client.text());
        let head = actor.publish("a", "last");
        sink.close(Some(1000), "");
        let text = |offset| if offset <= 300 { long.as_str() } else { "last" };
        let events: String = (from + 1..=head).map(|offset| event(offset, "a", text(offset))).collect();
        let expected = [at(from, "[\"reply\",0]"), events, closed(1000, "")].concat();
        assert!(reader.join().unwrap() == expected, "from {from}");
    }
}

#[test]
fn who_reads_too_slowly_is_told_where_it_goes_on() {
    let limits = Limits { max_events: 10, max_bytes: 1 << 20 };
    let actor = Actor::by_hand(Setup { limits, slow_reader: SlowReader::Skip, ..Setup::default() });
    let id = actor.open(Encoding::Json, &["a"]);
    for _ in 0..12 {
        actor.publish("a", "x");
    }
    let (mut client, sink) = attach(&actor, id, 0, ROOMY);
    sink.close(Some(1000), "");
    let gap = "[\"gap\",{\"reason\":\"ring_overflow\",\"first\":1,\"last\":2}]";
    let text = client.text();
    assert!(text.starts_with(&[at(0, "[\"reply\",0]"), at(2, gap), event(3, "a", "x")].concat()), "{text}");
    assert!(text.ends_with(&[event(12, "a", "x"), closed(1000, "")].concat()));
}

#[test]
fn a_reader_that_loses_events_is_closed_behind_what_it_got() {
    let limits = Limits { max_events: 10, max_bytes: 1 << 20 };
    let actor = Actor::by_hand(Setup { limits, ..Setup::default() });
    let id = actor.open(Encoding::Json, &["a"]);
    for _ in 0..12 {
        actor.publish("a", "x");
    }
    let (mut client, _sink) = attach(&actor, id, 0, ROOMY);
    assert_eq!(client.text(), [at(0, "[\"reply\",0]"), closed(4502, "slow_reader")].concat());
}
