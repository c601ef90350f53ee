//! WebSocket frames (RFC 6455, section 5.2): those of a server read, those of a client written. Pure.

use std::fmt::{self, Display, Formatter};

/// What a frame is, by its opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole text message.
    Text,
    /// The end, with a code and a reason.
    Close,
    /// To be answered by a pong.
    Ping,
    /// The answer to a ping; the load sends none.
    Pong,
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// What it carries.
    pub payload: &'a [u8],
    /// How many bytes all of it takes.
    pub length: usize,
}

/// The most that a frame may carry: 16 MiB.
pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;

/// Why the bytes can never become a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// They are not what this server sends: fragments, reserved bits, masks, binary messages.
    Foreign,
    /// The frame carries more than [`MAX_PAYLOAD_BYTES`].
    TooLarge,
}

impl Display for Broken {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "a broken frame",
            Self::TooLarge => "a frame of more than 16 MiB, which is the most that the load takes",
        })
    }
}

/// The first frame of `bytes`; `None` if it is not whole yet.
///
/// # Errors
/// If it can never become a frame that this server sends.
pub fn next(bytes: &[u8]) -> Result<Option<Frame<'_>>, Broken> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    let kind = match first {
        0x81 => Kind::Text,
        0x88 => Kind::Close,
        0x89 => Kind::Ping,
        0x8a => Kind::Pong,
        _ => return Err(Broken::Foreign),
    };
    let (start, length): (usize, usize) = match second {
        length @ 0..126 => (2, usize::from(length)),
        126 => match rest.first_chunk() {
            Some(&length) => (4, usize::from(u16::from_be_bytes(length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(&length) => (10, usize::try_from(u64::from_be_bytes(length)).unwrap_or(usize::MAX)),
            None => return Ok(None),
        },
        _ => return Err(Broken::Foreign),
    };
    if length > MAX_PAYLOAD_BYTES {
        return Err(Broken::TooLarge);
    }
    let end = start + length;
    Ok(bytes.get(start..end).map(|payload| Frame { kind, payload, length: end }))
}

/// The code of a close frame's payload; 1005 where there is none.
#[must_use]
pub fn close_code(payload: &[u8]) -> u16 {
    payload.first_chunk().map_or(1005, |&code| u16::from_be_bytes(code))
}

/// A text message of a client.
#[must_use]
pub fn text(payload: &[u8]) -> Vec<u8> {
    masked(0x81, payload)
}

/// The answer to a ping.
#[must_use]
pub fn pong(payload: &[u8]) -> Vec<u8> {
    masked(0x8a, payload)
}

/// The frame that ends a session for good.
#[must_use]
pub fn close(code: u16) -> Vec<u8> {
    masked(0x88, &code.to_be_bytes())
}

/// A text message of a server.
#[must_use]
pub fn sent_by_server(payload: &[u8]) -> Vec<u8> {
    written(0x81, 0, payload, &[])
}

/// Masked with zeros, which a server has to accept and which change nothing.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    written(first, 0x80, payload, &[0; 4])
}

fn written(first: u8, masked: u8, payload: &[u8], mask: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut frame = Vec::with_capacity(length + 14);
    frame.push(first);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..126), _) => frame.push(masked | short),
        (_, Ok(medium)) => {
            frame.push(masked | 126);
            frame.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            frame.push(masked | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(mask);
    frame.extend_from_slice(payload);
    frame
}
