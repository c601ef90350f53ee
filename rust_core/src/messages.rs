//! Frames back to messages, for WebSockets whose frames somebody else makes; leaves whose they are to [`crate::relay`].
//!
//! Such a server takes one message at a time and makes one write of each. So all that waits for a client becomes one
//! message, if its client says that it can take it apart.

use std::mem;

use crate::event_stream::push_line;
use crate::frame::{self, Encoding, Opcode};
use crate::relay::MAX_RELAYED_BYTES;

/// How a client takes several messages that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Each by itself.
    Single,
    /// All in one, but for the large: JSON one to a line, MessagePack one behind the other.
    Joined,
}

/// Messages that wait for one client.
#[derive(Debug, PartialEq, Eq)]
pub struct Messages {
    /// How they are written.
    pub encoding: Encoding,
    /// How its client takes them.
    packing: Packing,
    /// What they say, in order.
    bytes: Vec<u8>,
    /// Where each one ends in `bytes` that goes out by itself.
    ends: Vec<usize>,
    /// What the close frame said that came last: the code and the reason.
    pub close: Option<(Option<u16>, String)>,
}

impl Messages {
    /// None yet.
    #[must_use]
    pub fn new(encoding: Encoding, packing: Packing) -> Self {
        Self { encoding, packing, bytes: Vec::new(), ends: Vec::new(), close: None }
    }

    /// Bytes of the messages.
    #[must_use]
    pub fn message_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing, no close frame either.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.close.is_none()
    }

    /// Take them out.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let empty = Self::new(self.encoding, self.packing);
        mem::replace(self, empty)
    }

    /// Take whole frames from `frames` while there are less than `max_bytes`: the last may go beyond that. Returns how
    /// many bytes of frames that were.
    ///
    /// # Panics
    /// If they are not whole.
    pub fn push(&mut self, frames: &[u8], max_bytes: usize) -> usize {
        let mut rest = frames;
        while self.bytes.len() < max_bytes && !rest.is_empty() {
            // The form of such a sink allows no others, and none is ever taken in part.
            let (opcode, payload, behind) = frame::split(rest).expect("whole frames, not compressed");
            match opcode {
                Opcode::Text | Opcode::Binary => self.push_message(payload),
                Opcode::Close => self.close = Some(read_close(payload)),
                // Who makes the frames also asks for signs of life, and answers when asked.
                Opcode::Ping | Opcode::Pong => {}
            }
            rest = behind;
        }
        frames.len() - rest.len()
    }

    fn push_message(&mut self, payload: &[u8]) {
        if self.is_joined_by(payload.len()) {
            self.ends.pop();
            if self.encoding == Encoding::Json {
                self.bytes.push(b'\n');
            }
        }
        match self.encoding {
            Encoding::Json => push_line(&mut self.bytes, payload),
            Encoding::Msgpack => self.bytes.extend_from_slice(payload),
        }
        self.ends.push(self.bytes.len());
    }

    /// Whether a message of that many bytes is put behind the newest, in one. Not if that got large by it: a client
    /// takes any message, and only so much at once.
    fn is_joined_by(&self, bytes: usize) -> bool {
        let newest = match self.ends.as_slice() {
            [] => return false,
            [end] => *end,
            [.., begin, end] => end - begin,
        };
        self.packing == Packing::Joined && newest + bytes < MAX_RELAYED_BYTES
    }

    /// The messages as they go out.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + '_ {
        let mut begin = 0;
        self.ends.iter().map(move |&end| &self.bytes[mem::replace(&mut begin, end)..end])
    }
}

fn read_close(payload: &[u8]) -> (Option<u16>, String) {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return (None, String::new());
    };
    (Some(u16::from_be_bytes(*code)), String::from_utf8_lossy(reason).into_owned())
}
