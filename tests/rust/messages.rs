//! Frames back to messages: one by one, or all in one, and never a part of one.

use ringcast_core::frame::{self, Encoding, Opcode};
use ringcast_core::messages::{Messages, Packing};
use ringcast_core::relay::MAX_RELAYED_BYTES;

fn of(encoding: Encoding, payloads: &[&str]) -> Vec<u8> {
    payloads.iter().flat_map(|payload| frame::message(encoding, payload.as_bytes())).collect()
}

fn texts(messages: &Messages) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8(message.to_vec()).unwrap()).collect()
}

#[test]
fn messages_go_out_as_their_client_takes_them() {
    for (encoding, packing, expected) in [
        (Encoding::Json, Packing::Single, vec!["[1]", "[2]", "[3]"]),
        (Encoding::Json, Packing::Joined, vec!["[1]\n[2]\n[3]"]),
        (Encoding::Msgpack, Packing::Single, vec!["[1]", "[2]", "[3]"]),
        (Encoding::Msgpack, Packing::Joined, vec!["[1][2][3]"]),
    ] {
        let mut messages = Messages::new(encoding, packing);
        assert!(messages.is_empty());
        for frames in [of(encoding, &["[1]", "[2]"]), of(encoding, &["[3]"])] {
            assert_eq!(messages.push(&frames, 1000), frames.len());
        }
        let taken = messages.take();
        assert_eq!(texts(&taken), expected);
        assert!(messages.is_empty());
        // What comes then is by itself again.
        messages.push(&of(encoding, &["[4]"]), 1000);
        assert_eq!(texts(&messages), ["[4]"]);
    }
}

#[test]
fn a_line_is_a_message_whoever_wrote_it() {
    let mut messages = Messages::new(Encoding::Json, Packing::Joined);
    messages.push(&of(Encoding::Json, &["[1,\n2]", "[3]\r\n"]), 1000);
    assert_eq!(texts(&messages), ["[1, 2]\n[3]  "]);
}

#[test]
fn a_large_message_goes_out_by_itself() {
    let large = "x".repeat(MAX_RELAYED_BYTES);
    let mut messages = Messages::new(Encoding::Json, Packing::Joined);
    for payload in ["[1]", "[2]", &large, "[3]", "[4]"] {
        messages.push(&of(Encoding::Json, &[payload]), usize::MAX);
    }
    assert!(texts(&messages) == ["[1]\n[2]", &large, "[3]\n[4]"]);
}

#[test]
fn whole_frames_are_taken_while_there_is_room() {
    let mut messages = Messages::new(Encoding::Json, Packing::Joined);
    let frames = of(Encoding::Json, &["[1]", "[2,2,2,2,2,2]", "[3]"]);
    let two = of(Encoding::Json, &["[1]", "[2,2,2,2,2,2]"]).len();
    assert_eq!(messages.push(&frames, 4), two, "the second began when there was room");
    assert_eq!(messages.push(&frames[two..], 4), 0);
    let taken = messages.take();
    assert_eq!(messages.push(&frames[two..], 4), frames.len() - two);
    assert_eq!([texts(&taken), texts(&messages)], [["[1]\n[2,2,2,2,2,2]"], ["[3]"]]);
}

#[test]
fn control_frames_are_for_who_makes_the_frames_but_what_a_close_says_is_told() {
    let mut messages = Messages::new(Encoding::Msgpack, Packing::Joined);
    messages.push(&frame::frame(Opcode::Ping, b"p"), 1000);
    messages.push(&frame::frame(Opcode::Pong, b"p"), 1000);
    assert!(messages.is_empty());
    messages.push(&frame::close(Some(4001), "größe"), 1000);
    assert!(!messages.is_empty() && messages.message_bytes() == 0);
    assert_eq!(messages.take().close, Some((Some(4001), "größe".into())));
    messages.push(&frame::close(None, ""), 1000);
    assert_eq!(messages.close, Some((None, String::new())));
}
