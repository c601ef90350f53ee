//! Bytes of WebSocket frames and of the event message inside them; leaves reading frames to picows.
//!
//! A frame from server to client is not masked (RFC 6455, section 5.1), so one prepared frame serves every
//! connection of an encoding, and one compressed frame every one that takes those.

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::event_stream;

/// Longest payload of a control frame (RFC 6455, section 5.5).
pub const MAX_CONTROL_PAYLOAD_BYTES: usize = 125;

/// How messages are written, and in which kind of frame they travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Text frames.
    Json = 0,
    /// Binary frames.
    Msgpack = 1,
}

/// Number of encodings, and so of lanes in a ring.
pub const ENCODINGS: usize = 2;

impl Encoding {
    /// All encodings, in the order of their index.
    pub const ALL: [Self; ENCODINGS] = [Self::Json, Self::Msgpack];

    /// The encoding with this index, if there is one.
    #[must_use]
    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    /// Position in per-encoding arrays, and the bit in a set of encodings.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    fn opcode(self) -> Opcode {
        match self {
            Self::Json => Opcode::Text,
            Self::Msgpack => Opcode::Binary,
        }
    }
}

/// Number of lanes in a ring: one for each encoding as it is, one for each compressed.
pub const LANES: usize = 2 * ENCODINGS;

/// What stands around a message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A WebSocket frame.
    Frame,
    /// A WebSocket frame, whose payload may be compressed: permessage-deflate was negotiated (RFC 7692).
    Deflated,
    /// Lines of server-sent events: see [`crate::event_stream`].
    EventStream,
}

/// What a socket takes: an encoding, and a framing.
///
/// The first belongs to a session and to the end of its life. The second belongs to one socket, and a session may
/// come back on one with another: every event that a ring holds can be had in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// How messages are written.
    pub encoding: Encoding,
    /// What stands around them.
    pub framing: Framing,
}

impl Form {
    /// Server-sent events, which are text.
    pub const EVENT_STREAM: Self = Self { encoding: Encoding::Json, framing: Framing::EventStream };

    /// The lane of a ring that it is read from, if that has what is asked for.
    #[must_use]
    pub fn lane(self) -> usize {
        self.encoding.index() + if self.is_deflated() { ENCODINGS } else { 0 }
    }

    /// An encoding, compressed.
    #[must_use]
    pub fn deflated(encoding: Encoding) -> Self {
        Self { encoding, framing: Framing::Deflated }
    }

    /// Whether messages may be compressed.
    #[must_use]
    pub fn is_deflated(self) -> bool {
        self.framing == Framing::Deflated
    }

    /// A message that tells of something besides events, framed.
    #[must_use]
    pub fn message(self, payload: &[u8]) -> Bytes {
        match self.framing {
            Framing::EventStream => event_stream::message(payload),
            Framing::Frame | Framing::Deflated => message(self.encoding, payload),
        }
    }

    /// The notice that events `first` to `last` are lost to a connection that read too slowly. `epoch` is that of the
    /// offsets.
    #[must_use]
    pub fn gap(self, epoch: &str, first: u64, last: u64) -> Bytes {
        let payload = gap(self.encoding, first, last);
        match self.framing {
            Framing::EventStream => event_stream::message_at(epoch, last, &payload),
            Framing::Frame | Framing::Deflated => message(self.encoding, &payload),
        }
    }

    /// The last that a client is sent: why its socket closes.
    #[must_use]
    pub fn close(self, code: Option<u16>, reason: &str) -> Bytes {
        match self.framing {
            Framing::EventStream => event_stream::close(code, reason),
            Framing::Frame | Framing::Deflated => close(code, reason),
        }
    }
}

impl From<Encoding> for Form {
    /// An encoding as it is, in frames.
    fn from(encoding: Encoding) -> Self {
        Self { encoding, framing: Framing::Frame }
    }
}

/// The opcodes that a server sends (RFC 6455, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A whole text message.
    Text = 0x1,
    /// A whole binary message.
    Binary = 0x2,
    /// The last frame of a connection.
    Close = 0x8,
    /// A question that a pong answers.
    Ping = 0x9,
    /// The answer to a ping.
    Pong = 0xA,
}

const FIN: u8 = 0x80;

/// Marks a compressed message (RFC 7692, section 6).
const RSV1: u8 = 0x40;

/// Append the header of an unmasked, unfragmented frame with a payload of `length` bytes.
pub fn push_header(out: &mut BytesMut, opcode: Opcode, length: usize) {
    push_header_with(out, FIN | opcode as u8, length);
}

fn push_header_with(out: &mut BytesMut, first: u8, length: usize) {
    out.put_u8(first);
    // The shortest form that fits is the only valid one (RFC 6455, section 5.2).
    match length {
        0..=125 => out.put_u8(length as u8),
        126..=0xFFFF => {
            out.put_u8(126);
            out.put_u16(length as u16);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
}

/// A frame with this payload.
#[must_use]
pub fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(MAX_HEADER_BYTES + payload.len());
    push_header(&mut out, opcode, payload.len());
    out.put_slice(payload);
    out.freeze()
}

/// A whole message in a frame of its encoding.
#[must_use]
pub fn message(encoding: Encoding, payload: &[u8]) -> Bytes {
    frame(encoding.opcode(), payload)
}

/// A whole message that [`deflate`](crate::deflate::deflate) has compressed, in a frame of its encoding.
#[must_use]
pub fn deflated_message(encoding: Encoding, deflated: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(MAX_HEADER_BYTES + deflated.len());
    push_header_with(&mut out, FIN | RSV1 | encoding.opcode() as u8, deflated.len());
    out.put_slice(deflated);
    out.freeze()
}

/// A close frame; without a code it is empty (RFC 6455, section 5.5.1). A reason that is too long is cut at a
/// character.
#[must_use]
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else {
        return frame(Opcode::Close, &[]);
    };
    let mut end = reason.len().min(MAX_CONTROL_PAYLOAD_BYTES - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = Vec::with_capacity(2 + end);
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    frame(Opcode::Close, &payload)
}

/// Whether this is a close frame, in any framing.
#[must_use]
pub fn is_close(frame: &[u8]) -> bool {
    frame.first() == Some(&(FIN | Opcode::Close as u8)) || event_stream::is_close(frame)
}

/// A frame of this module split into its opcode and its payload, and what follows it.
///
/// `None` if it is not whole, or if its payload is compressed.
#[must_use]
pub fn split(bytes: &[u8]) -> Option<(Opcode, &[u8], &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let opcode = match first ^ FIN {
        0x1 => Opcode::Text,
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xA => Opcode::Pong,
        _ => return None,
    };
    let (length, rest) = match second {
        126 => {
            rest.split_first_chunk().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?
        }
        127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length) as usize, rest))?,
        short => (usize::from(short), rest),
    };
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((opcode, payload, rest))
}

fn gap(encoding: Encoding, first: u64, last: u64) -> Vec<u8> {
    match encoding {
        Encoding::Json => {
            format!("[\"gap\",{{\"reason\":\"ring_overflow\",\"first\":{first},\"last\":{last}}}]")
                .into_bytes()
        }
        Encoding::Msgpack => {
            let mut out = vec![0x92];
            push_msgpack_str(&mut out, "gap");
            out.push(0x83); // a map of three
            for (key, value) in [("first", first), ("last", last)] {
                push_msgpack_str(&mut out, key);
                put_msgpack_uint(&mut out, value);
            }
            push_msgpack_str(&mut out, "reason");
            push_msgpack_str(&mut out, "ring_overflow");
            out
        }
    }
}

/// Two bytes, and eight for the length of a large payload.
const MAX_HEADER_BYTES: usize = 10;

/// An event name as it stands in messages, prepared once: quoted and escaped for JSON, prefixed for MessagePack.
#[derive(Debug)]
pub struct NameBytes([Box<[u8]>; ENCODINGS]);

impl NameBytes {
    /// Prepare `name` for every encoding.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut msgpack = Vec::with_capacity(name.len() + 5);
        push_msgpack_str(&mut msgpack, name);
        Self([json_string(name).into_boxed_slice(), msgpack.into_boxed_slice()])
    }

    /// Whether a stored block has room for it, and for what else stands before an event's arguments.
    #[must_use]
    pub fn fits_stored_block(&self) -> bool {
        self.0.iter().all(|bytes| bytes.len() < 1 << 15)
    }
}

/// Append the frame of `["event", stream, offset, name, args]`, `args` being encoded already. Returns its length.
pub fn push_event(
    out: &mut BytesMut,
    encoding: Encoding,
    stream: u32,
    offset: u64,
    name: &NameBytes,
    args: &[u8],
) -> usize {
    let name = &name.0[encoding.index()];
    let before = out.len();
    match encoding {
        Encoding::Json => {
            let (mut digits, mut more) = (itoa::Buffer::new(), itoa::Buffer::new());
            let (stream, offset) = (digits.format(stream), more.format(offset));
            let parts: [&[u8]; 9] =
                [b"[\"event\",", stream.as_bytes(), b",", offset.as_bytes(), b",", name, b",", args, b"]"];
            push_header(out, Opcode::Text, parts.iter().map(|part| part.len()).sum());
            parts.iter().for_each(|part| out.put_slice(part));
        }
        Encoding::Msgpack => {
            let head = msgpack_event_head(stream, offset);
            push_header(out, Opcode::Binary, head.len() + name.len() + args.len());
            out.put_slice(&head);
            out.put_slice(name);
            out.put_slice(args);
        }
    }
    out.len() - before
}

fn msgpack_event_head(stream: u32, offset: u64) -> SmallVec<[u8; 32]> {
    let mut head = [0_u8; 1 + 6 + 9 + 9];
    let mut rest = &mut head[..];
    rest.put_u8(0x95); // an array of five
    rest.put_slice(b"\xa5event");
    put_msgpack_uint(&mut rest, u64::from(stream));
    put_msgpack_uint(&mut rest, offset);
    let unused = rest.len();
    SmallVec::from_slice(&head[..head.len() - unused])
}

/// What follows the arguments in an event message, which is compressed with them.
#[must_use]
pub fn event_tail(encoding: Encoding) -> &'static [u8] {
    match encoding {
        Encoding::Json => b"]",
        Encoding::Msgpack => b"",
    }
}

/// Append the frame of an event whose arguments and [tail](event_tail) have been compressed, before its offset was
/// known: what comes before them stands in a block of its own, as it is (RFC 1951, section 3.2.4).
pub fn push_deflated_event(
    out: &mut BytesMut,
    encoding: Encoding,
    stream: u32,
    offset: u64,
    name: &NameBytes,
    deflated: &[u8],
) {
    let name = &name.0[encoding.index()];
    let head: SmallVec<[u8; 32]> = match encoding {
        Encoding::Json => {
            let mut head = SmallVec::from_slice(b"[\"event\",");
            head.extend_from_slice(itoa::Buffer::new().format(stream).as_bytes());
            head.push(b',');
            head.extend_from_slice(itoa::Buffer::new().format(offset).as_bytes());
            head.push(b',');
            head
        }
        Encoding::Msgpack => msgpack_event_head(stream, offset),
    };
    let comma: &[u8] = if encoding == Encoding::Json { b"," } else { b"" };
    let stored = head.len() + name.len() + comma.len();
    // The caller has asked `fits_stored_block`.
    debug_assert!(stored <= usize::from(u16::MAX));
    push_header_with(out, FIN | RSV1 | encoding.opcode() as u8, STORED_BLOCK_BYTES + stored + deflated.len());
    out.put_u8(0); // a stored block, not the last one, and nothing up to the next whole byte
    out.put_u16_le(stored as u16);
    out.put_u16_le(!(stored as u16));
    out.put_slice(&head);
    out.put_slice(name);
    out.put_slice(comma);
    out.put_slice(deflated);
}

/// What it takes to have bytes in a compressed stream as they are.
pub const STORED_BLOCK_BYTES: usize = 5;

/// Upper bound of what [`push_event`] or [`push_deflated_event`] appends, so that a block can be chosen before.
#[must_use]
pub fn max_event_bytes(encoding: Encoding, name: &NameBytes, args_bytes: usize) -> usize {
    const FIXED: usize = MAX_HEADER_BYTES + STORED_BLOCK_BYTES + 12 + 2 * 20;
    FIXED + name.0[encoding.index()].len() + args_bytes
}

/// The shortest MessagePack form of an unsigned integer, which is also what other encoders write.
fn put_msgpack_uint(out: &mut impl BufMut, value: u64) {
    if let Ok(small) = u8::try_from(value) {
        if small >= 0x80 {
            out.put_u8(0xcc);
        }
        out.put_u8(small);
    } else if let Ok(medium) = u16::try_from(value) {
        out.put_u8(0xcd);
        out.put_u16(medium);
    } else if let Ok(large) = u32::try_from(value) {
        out.put_u8(0xce);
        out.put_u32(large);
    } else {
        out.put_u8(0xcf);
        out.put_u64(value);
    }
}

fn push_msgpack_str(out: &mut Vec<u8>, text: &str) {
    let length = text.len();
    match length {
        0..=31 => out.put_u8(0xa0 | length as u8),
        32..=0xFF => {
            out.put_u8(0xd9);
            out.put_u8(length as u8);
        }
        256..=0xFFFF => {
            out.put_u8(0xda);
            out.put_u16(length as u16);
        }
        _ => {
            out.put_u8(0xdb);
            out.put_u32(length as u32);
        }
    }
    out.put_slice(text.as_bytes());
}

/// A JSON string literal (RFC 8259, section 7): only what must be escaped is.
pub(crate) fn json_string(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1F => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
    out
}
