//! Messages are read as far as a load needs them, and events only if they can be checked.

use ringcast_load::message::{Gap, Malformed, Message, parse};
use serde_json::json;

#[test]
fn an_event_has_its_place_its_counter_and_its_time() {
    let Ok(Message::Event(event)) = parse(br#"["event",3,300,"tick",[1000042,1234567890123,"xxx"]]"#) else {
        panic!("it is an event");
    };
    assert_eq!((event.stream, event.offset, event.name), (3, 300, &b"tick"[..]));
    assert_eq!((event.counter, event.sent_ns()), (1_000_042, 1_234_567_890_123));
}

#[test]
fn an_event_that_cannot_be_checked_is_malformed() {
    let wrong: [&[u8]; 5] = [
        br#"["event",1,2,"tick",[]]"#,
        br#"["event",1,2,"tick",["a",1]]"#,
        br#"["event",1,2,"tick",[7]]"#,
        br#"["event",1,,"tick",[7,8]]"#,
        br#"["event",1,2,"tick",[7,8"#,
    ];
    for payload in wrong {
        assert_eq!(parse(payload), Err(Malformed), "{}", String::from_utf8_lossy(payload));
    }
}

#[test]
fn the_answer_to_a_connect_tells_whether_a_session_was_taken_up() {
    let answer = |more: serde_json::Value| {
        let mut fields = json!({"stream": 1, "epoch": "E", "offset": 41, "session": "s", "window_s": 30.0});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        match parse(json!(["connected", fields]).to_string().as_bytes()) {
            Ok(Message::Connected(connected)) => *connected,
            other => panic!("{other:?}"),
        }
    };
    let first = answer(json!({}));
    assert_eq!((first.stream, &*first.epoch, first.offset, &*first.session), (1, "E", 41, "s"));
    assert_eq!((first.replayed, first.gap), (None, None));
    let back = answer(json!({"replayed": 5, "gap": {"reason": "ring_overflow", "first": 7, "last": 9}}));
    assert_eq!(back.replayed, Some(5));
    assert_eq!(back.gap, Some(Gap { reason: "ring_overflow".into(), first: Some(7), last: Some(9) }));
}

#[test]
fn replies_errors_and_gaps_are_told_apart() {
    assert_eq!(parse(br#"["reply",7,{"a":1}]"#), Ok(Message::Reply(7, br#"{"a":1}"#)));
    for malformed in [&b"[\"reply\",7]"[..], b"[\"reply\",7,]", b"[\"reply\",,1]", b"[\"reply\",7,1"] {
        assert_eq!(parse(malformed), Err(Malformed));
    }
    assert_eq!(parse(br#"["error",7,{"code":"x"}]"#), Ok(Message::Error(Some(7), json!({"code": "x"}))));
    assert_eq!(parse(br#"["error",null,{"code":"x"}]"#), Ok(Message::Error(None, json!({"code": "x"}))));
    let gap = Gap { reason: "ring_overflow".into(), first: None, last: None };
    assert_eq!(parse(br#"["gap",{"reason":"ring_overflow"}]"#), Ok(Message::Gap(gap)));
}

#[test]
fn what_is_not_known_is_let_pass_and_what_is_no_message_is_not() {
    assert_eq!(parse(br#"["heartbeat",{"stream":1}]"#), Ok(Message::Other));
    assert_eq!(parse(b"[]"), Err(Malformed));
    assert_eq!(parse(b"{"), Err(Malformed));
}
