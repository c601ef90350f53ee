//! Frames of a server are read whole or not at all; those of a client are masked.

use ringcast_load::frame::{Broken, Frame, Kind, MAX_PAYLOAD_BYTES, close, close_code, next, pong, text};

fn from_server(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(u8::try_from(length).unwrap()),
        length @ 126..65_536 => {
            frame.push(126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

#[test]
fn a_frame_of_any_length_is_read_when_its_last_byte_is_there() {
    for length in [0, 1, 125, 126, 65_535, 65_536] {
        let payload = vec![b'x'; length];
        let bytes = from_server(0x81, &payload);
        let frame = Frame { kind: Kind::Text, payload: &payload, length: bytes.len() };
        assert_eq!(next(&bytes), Ok(Some(frame)));
        for missing in 1..=bytes.len().min(12) {
            assert_eq!(next(&bytes[..bytes.len() - missing]), Ok(None), "{length} bytes, {missing} missing");
        }
    }
}

#[test]
fn what_follows_a_frame_is_not_part_of_it() {
    let bytes = [from_server(0x89, b"one"), from_server(0x81, b"two")].concat();
    assert_eq!(next(&bytes), Ok(Some(Frame { kind: Kind::Ping, payload: b"one", length: 5 })));
    assert_eq!(next(&bytes[5..]).unwrap().unwrap().payload, b"two");
}

#[test]
fn what_this_server_does_not_send_is_broken() {
    let beginnings = [
        ("a fragment", [0x01, 1]),
        ("a reserved bit", [0xc1, 1]),
        ("binary", [0x82, 1]),
        ("masked", [0x81, 0x81]),
    ];
    for (what, bytes) in beginnings {
        assert_eq!(next(&bytes), Err(Broken::Foreign), "{what}");
    }
}

#[test]
fn a_frame_is_as_large_as_the_bound_and_never_larger() {
    let header = |length: usize| [&[0x81, 127][..], &(length as u64).to_be_bytes()].concat();
    assert_eq!(next(&header(MAX_PAYLOAD_BYTES)), Ok(None));
    assert_eq!(next(&header(MAX_PAYLOAD_BYTES + 1)), Err(Broken::TooLarge));
    assert_eq!(next(&header(usize::MAX)), Err(Broken::TooLarge));
}

#[test]
fn a_close_frame_has_a_code_or_counts_as_1005() {
    assert_eq!(close_code(b"\x11\x96slow_reader"), 4502);
    assert_eq!(close_code(b""), 1005);
}

#[test]
fn frames_of_a_client_are_masked_with_zeros() {
    assert_eq!(text(b"hi"), b"\x81\x82\0\0\0\0hi");
    assert_eq!(pong(b""), b"\x8a\x80\0\0\0\0");
    assert_eq!(close(1000), b"\x88\x82\0\0\0\0\x03\xe8");
    assert_eq!(text(&[b'x'; 126])[..8], [0x81, 0xfe, 0, 126, 0, 0, 0, 0]);
    assert_eq!(text(&vec![b'x'; 65_536])[..10], [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]);
}
