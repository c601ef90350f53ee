//! The far end of a sink: reads WebSocket frames from a socket, and what the messages in them say.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ringcast_core::deflate::WINDOW_BITS;
use ringcast_core::frame::Encoding;
use serde_json::Value;

/// How long a test waits for what must come. Only a failing test waits that long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Poll until `done`, or fail.
pub fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// One frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// With the FIN bit taken off, which must be set.
    pub opcode: u8,
    /// What was compressed is so no more.
    pub payload: Vec<u8>,
    /// It came compressed (RFC 7692).
    pub deflated: bool,
}

/// What a frame means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// `["event", stream, offset, name, [text]]`
    Event {
        offset: u64,
        name: String,
        text: String,
    },
    /// `["reply", number]`
    Reply(u64),
    Gap {
        first: u64,
        last: u64,
    },
    Pong(Vec<u8>),
    /// Code and reason.
    Close(Option<u16>, String),
}

impl Message {
    /// Of an event.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Event { offset, .. } => Some(*offset),
            _ => None,
        }
    }
}

/// Split the frame at the front of `bytes` off, if it is complete.
pub fn split_frame(bytes: &mut Vec<u8>) -> Option<Frame> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(first & 0xB0, 0x80, "a whole, unfragmented frame without unknown extensions: {first:#x}");
    assert!(second < 0x80, "a server does not mask");
    let (header, length) = match second {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize),
        short => (2, usize::from(short)),
    };
    let payload = bytes.get(header..header + length)?.to_vec();
    bytes.drain(..header + length);
    let (opcode, deflated) = (first & 0x0F, first & 0x40 != 0);
    assert!(!deflated || opcode < 8, "a control frame is not compressed");
    Some(Frame { opcode, payload: if deflated { inflate(&payload) } else { payload }, deflated })
}

/// What a compressed payload says; fails unless it is whole blocks.
pub fn inflate(payload: &[u8]) -> Vec<u8> {
    // The end of the flushed block, and a last one that is empty: behind anything else it makes no sense.
    let rest = [0x00, 0x00, 0xff, 0xff, 0x03, 0x00];
    let mut inflater = flate2::Decompress::new_with_window_bits(false, WINDOW_BITS);
    let input = [payload, &rest].concat();
    let mut out = Vec::with_capacity(1 << 24);
    let status = inflater.decompress_vec(&input, &mut out, flate2::FlushDecompress::Finish).expect("DEFLATE");
    // Some write their last block as such, and an empty one behind it.
    let consumed = [input.len(), payload.len() - 1].contains(&(inflater.total_in() as usize));
    assert!(status == flate2::Status::StreamEnd && consumed, "{status:?}");
    out
}

/// Read what a frame means; fails on anything that is not a message of these tests.
pub fn parse(frame: &Frame) -> Message {
    let value: Value = match frame.opcode {
        0x1 => serde_json::from_slice(&frame.payload).expect("JSON"),
        0x2 => rmp_serde::from_slice(&frame.payload).expect("MessagePack"),
        0x8 if frame.payload.is_empty() => return Message::Close(None, String::new()),
        0x8 => {
            let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            return Message::Close(
                Some(code),
                String::from_utf8(frame.payload[2..].to_vec()).expect("UTF-8"),
            );
        }
        0xA => return Message::Pong(frame.payload.clone()),
        other => panic!("unexpected opcode {other}"),
    };
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let number = |value: &Value| value.as_u64().expect("a number");
    match value[0].as_str() {
        Some("event") => {
            Message::Event { offset: number(&value[2]), name: text(&value[3]), text: text(first(&value[4])) }
        }
        Some("reply") => Message::Reply(number(&value[1])),
        Some("gap") => {
            assert_eq!(value[1]["reason"], "ring_overflow");
            Message::Gap { first: number(&value[1]["first"]), last: number(&value[1]["last"]) }
        }
        other => panic!("unexpected message {other:?}"),
    }
}

/// The text in an event's arguments.
fn first(args: &Value) -> &Value {
    args[0].get("text").unwrap_or(&args[0])
}

/// The arguments of an event whose first one has fields, by encoding.
pub fn fields(text: &str, zone: u8) -> [Vec<u8>; 2] {
    let args = serde_json::json!([{ "text": text, "zone": zone, "deep": [{ "zone": 9 }] }, "more"]);
    [serde_json::to_vec(&args).unwrap(), rmp_serde::to_vec(&args).unwrap()]
}

/// The arguments of an event with one text, by encoding.
pub fn arguments(text: &str) -> [Vec<u8>; 2] {
    [serde_json::to_vec(&[text]).unwrap(), rmp_serde::to_vec(&[text]).unwrap()]
}

/// The payload of `["reply", number]`.
pub fn reply(encoding: Encoding, number: u64) -> Vec<u8> {
    match encoding {
        Encoding::Json => serde_json::to_vec(&("reply", number)).unwrap(),
        Encoding::Msgpack => rmp_serde::to_vec(&("reply", number)).unwrap(),
    }
}

/// What a close frame says.
pub fn close_message(code: u16, reason: &str) -> Message {
    Message::Close(Some(code), reason.into())
}

/// A client that reads.
#[derive(Debug)]
pub struct Client<R = UnixStream> {
    socket: R,
    /// Read, but not parsed yet.
    bytes: Vec<u8>,
    /// Most bytes of one read.
    pub chunk: usize,
}

/// A client, and the server's end of its connection; the server's send buffer is as small as the system allows.
pub fn pair() -> (Client, OwnedFd) {
    pair_with(1)
}

/// The same with a send buffer of that many bytes.
pub fn pair_with(send_buffer_bytes: usize) -> (Client, OwnedFd) {
    let (client, server) = UnixStream::pair().expect("a socket pair");
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    rustix::net::sockopt::set_socket_send_buffer_size(&server, send_buffer_bytes).unwrap();
    (Client::new(client), server.into())
}

impl<R: Read> Client<R> {
    pub fn new(socket: R) -> Self {
        Self { socket, bytes: Vec::new(), chunk: 1 << 16 }
    }

    /// The next frame; `None` at the end of the stream, which must not come inside a frame.
    pub fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = split_frame(&mut self.bytes) {
                return Some(frame);
            }
            if self.read() == 0 {
                assert!(self.bytes.is_empty(), "the stream ends inside a frame");
                return None;
            }
        }
    }

    /// Read once. Returns how much came, 0 at the end of the stream.
    pub fn read(&mut self) -> usize {
        let before = self.bytes.len();
        self.bytes.resize(before + self.chunk, 0);
        let count = match self.socket.read(&mut self.bytes[before..]) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            result => result.expect("something comes in time"),
        };
        self.bytes.truncate(before + count);
        count
    }

    /// All that comes up to the end of the stream, where it is no frames.
    pub fn text(&mut self) -> String {
        while self.read() > 0 {}
        String::from_utf8(std::mem::take(&mut self.bytes)).expect("UTF-8")
    }

    /// A frame that has been read already.
    pub fn buffered(&mut self) -> Option<Frame> {
        split_frame(&mut self.bytes)
    }

    /// To write to.
    pub fn socket(&mut self) -> &mut R {
        &mut self.socket
    }

    /// The next message; the stream must not end.
    pub fn message(&mut self) -> Message {
        parse(&self.frame().expect("a message"))
    }

    /// All whole messages up to the end of the stream, which may come inside one.
    pub fn whole_messages(&mut self) -> Vec<Message> {
        while self.read() > 0 {}
        std::iter::from_fn(|| self.buffered().as_ref().map(parse)).collect()
    }

    /// All messages up to the end of the stream.
    pub fn rest(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.frame().as_ref().map(parse)).collect()
    }
}
