//! Frames and event messages, byte for byte.

use bytes::BytesMut;
use ringcast_core::frame::{self, Encoding, Form, NameBytes, Opcode};
use serde_json::Value;

use crate::client::split_frame;

fn golden(list: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/wire/frames.json");
    let text = std::fs::read_to_string(path).expect("the golden frames");
    let mut file: Value = serde_json::from_str(&text).expect("JSON");
    let Value::Array(cases) = file[list].take() else { panic!("no list {list}") };
    assert!(!cases.is_empty());
    cases
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("a text");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn encode(encoding: Encoding, value: &Value) -> Vec<u8> {
    match encoding {
        Encoding::Json => serde_json::to_vec(value).unwrap(),
        Encoding::Msgpack => rmp_serde::to_vec(value).unwrap(),
    }
}

fn event(encoding: Encoding, stream: u32, offset: u64, name: &str, args: &[u8]) -> Vec<u8> {
    let (name, mut out) = (NameBytes::new(name), BytesMut::new());
    let length = frame::push_event(&mut out, encoding, stream, offset, &name, args);
    assert_eq!(length, out.len());
    assert!(length <= frame::max_event_bytes(encoding, &name, args.len()));
    out.to_vec()
}

#[test]
fn a_header_has_the_shortest_length_that_fits() {
    for (length, header) in [
        (0, vec![0x82, 0]),
        (125, vec![0x82, 125]),
        (126, vec![0x82, 126, 0, 126]),
        (65_535, vec![0x82, 126, 0xFF, 0xFF]),
        (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let payload = vec![7; length];
        let frame = frame::frame(Opcode::Binary, &payload);
        assert_eq!(frame[..header.len()], header, "{length} bytes");
        assert_eq!(frame[header.len()..], payload, "{length} bytes");
    }
}

#[test]
fn a_message_travels_in_the_frame_of_its_encoding() {
    assert_eq!(frame::message(Encoding::Json, b"[]"), [0x81, 2, b'[', b']'].as_slice());
    assert_eq!(frame::message(Encoding::Msgpack, &[0x90]), [0x82, 1, 0x90].as_slice());
}

#[test]
fn a_close_frame_without_a_code_is_empty() {
    assert_eq!(frame::close(None, "not sent"), [0x88, 0].as_slice());
}

#[test]
fn a_close_reason_is_cut_at_a_character_to_fit_a_control_frame() {
    let frame = frame::close(Some(4000), &"ß".repeat(100));
    assert_eq!(frame[1], 124, "61 characters of two bytes; the byte that is left holds no character");
    assert_eq!(std::str::from_utf8(&frame[4..]), Ok("ß".repeat(61).as_str()));
    assert_eq!(frame::close(Some(4000), &"r".repeat(200)).len(), 2 + frame::MAX_CONTROL_PAYLOAD_BYTES);
}

#[test]
fn events_equal_the_golden_frames() {
    for case in golden("events") {
        for encoding in Encoding::ALL {
            let expected = match encoding {
                Encoding::Json => bytes(&case["json_frame_hex"]),
                Encoding::Msgpack => bytes(&case["msgpack_frame_hex"]),
            };
            let (stream, offset) = (case["stream"].as_u64().unwrap(), case["offset"].as_u64().unwrap());
            let args = encode(encoding, &case["args"]);
            let frame =
                event(encoding, stream.try_into().unwrap(), offset, case["event"].as_str().unwrap(), &args);
            assert_eq!(frame, expected, "{encoding:?} {}", case["name"]);
        }
    }
}

#[test]
fn long_events_equal_the_golden_frames() {
    for case in golden("long_events") {
        let encoding = match case["encoding"].as_str() {
            Some("json") => Encoding::Json,
            Some("msgpack") => Encoding::Msgpack,
            other => panic!("{other:?}"),
        };
        let times = case["argument"]["times"].as_u64().unwrap() as usize;
        let text = case["argument"]["character"].as_str().unwrap().repeat(times);
        let expected =
            [bytes(&case["head_hex"]), text.clone().into_bytes(), bytes(&case["tail_hex"])].concat();
        let args = encode(encoding, &Value::Array(vec![text.into()]));
        let frame =
            event(encoding, 1, case["offset"].as_u64().unwrap(), case["event"].as_str().unwrap(), &args);
        assert!(frame == expected, "{encoding:?} {}", case["name"]);
    }
}

#[test]
fn messages_equal_the_golden_frames() {
    for case in golden("messages") {
        for (encoding, expected) in Encoding::ALL.iter().zip(["json_frame_hex", "msgpack_frame_hex"]) {
            let frame = frame::message(*encoding, &encode(*encoding, &case["value"]));
            assert_eq!(frame, bytes(&case[expected]), "{encoding:?} {}", case["name"]);
        }
    }
}

#[test]
fn compressed_golden_frames_say_what_they_should() {
    for case in golden("compressed") {
        for (encoding, hex) in Encoding::ALL.iter().zip(["json_frame_hex", "msgpack_frame_hex"]) {
            let frame = split_frame(&mut bytes(&case[hex])).expect("a frame");
            assert!(frame.deflated);
            assert_eq!(frame.payload, encode(*encoding, &case["value"]), "{encoding:?} {}", case["name"]);
        }
    }
}

#[test]
fn control_frames_equal_the_golden_frames() {
    for case in golden("control") {
        let frame = match case["kind"].as_str().unwrap() {
            "pong" => frame::frame(Opcode::Pong, &bytes(&case["payload_hex"])),
            "ping" => frame::frame(Opcode::Ping, &bytes(&case["payload_hex"])),
            "close" => {
                let code = case["code"].as_u64().map(|code| code.try_into().unwrap());
                frame::close(code, case["reason"].as_str().unwrap())
            }
            other => panic!("{other}"),
        };
        assert_eq!(frame, bytes(&case["frame_hex"]), "{}", case["name"]);
    }
}

#[test]
fn a_name_is_escaped_as_json_demands() {
    for name in ["plain", "\"\\/", "\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}", "größe 😀", "", "\u{2028}"] {
        let frame = event(Encoding::Json, 1, 1, name, b"[]");
        let payload: Value = serde_json::from_slice(&frame[2..]).expect("JSON");
        assert_eq!(payload[3], name);
    }
    let frame = event(Encoding::Json, 1, 1, "a\"\\\n\u{1}", b"[]");
    assert_eq!(&frame[2..], br#"["event",1,1,"a\"\\\n\u0001",[]]"#);
}

#[test]
fn a_msgpack_name_has_the_shortest_prefix_at_every_length() {
    for length in [0, 31, 32, 255, 256, 65_535, 65_536] {
        let name = "n".repeat(length);
        let frame = event(Encoding::Msgpack, u32::MAX, u64::MAX, &name, &[0x90]);
        let value = encode(Encoding::Msgpack, &serde_json::json!(["event", u32::MAX, u64::MAX, name, []]));
        assert_eq!(frame, frame::message(Encoding::Msgpack, &value), "{length}");
    }
}

#[test]
fn a_gap_notice_says_which_offsets_are_lost() {
    let expected = serde_json::json!(["gap", {"reason": "ring_overflow", "first": 3, "last": 70_000}]);
    let json = Form::from(Encoding::Json).gap("e", 3, 70_000);
    assert_eq!(serde_json::from_slice::<Value>(&json[2..]).unwrap(), expected);
    let msgpack = Form::from(Encoding::Msgpack).gap("e", 3, 70_000);
    assert_eq!(rmp_serde::from_slice::<Value>(&msgpack[2..]).unwrap(), expected);
}

#[test]
fn a_frame_is_split_into_what_it_was_made_of() {
    for length in [0, 1, 125, 126, 65_535, 65_536] {
        let payload = "x".repeat(length);
        for (encoding, opcode) in [(Encoding::Json, Opcode::Text), (Encoding::Msgpack, Opcode::Binary)] {
            let mut bytes = frame::message(encoding, payload.as_bytes()).to_vec();
            bytes.extend(frame::close(Some(1000), ""));
            let (first, said, rest) = frame::split(&bytes).unwrap();
            assert_eq!((first, said), (opcode, payload.as_bytes()));
            assert_eq!(frame::split(rest), Some((Opcode::Close, &1000_u16.to_be_bytes()[..], &[][..])));
            let whole = bytes.len() - 4;
            assert_eq!(frame::split(&bytes[..whole - usize::from(length > 0)]).is_some(), length == 0);
        }
    }
    let compressed = frame::deflated_message(Encoding::Json, b"x");
    assert_eq!(frame::split(&compressed), None);
    assert_eq!(frame::split(b""), None);
}
