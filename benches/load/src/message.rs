//! Messages of `ringcast.v1.json`, as far as a load has to read them. Pure.
//!
//! Events are read by hand, because there are millions of them; all others by serde.

use serde::Deserialize;
use serde_json::Value;

const EVENT: &[u8] = b"[\"event\",";
const REPLY: &[u8] = b"[\"reply\",";

/// One message.
#[derive(Debug, PartialEq)]
pub enum Message<'a> {
    /// An event of an actor of the benchmarks.
    Event(Event<'a>),
    /// The answer to a connect.
    Connected(Box<Connected>),
    /// The reply to a call: its id, and the value as it is written.
    Reply(u64, &'a [u8]),
    /// An error, with the id of the call that it answers.
    Error(Option<u64>, Value),
    /// Events were lost.
    Gap(Gap),
    /// Something that a load has no use for, such as a heartbeat.
    Other,
}

/// An event whose arguments begin with a counter and the sender's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The number of the stream on this socket.
    pub stream: u64,
    /// Its place in the stream.
    pub offset: u64,
    /// Its name.
    pub name: &'a [u8],
    /// How many events of this name the actor has sent, this one included.
    pub counter: u64,
    /// Begins with the time at which it was sent, in nanoseconds of [`crate::clock::monotonic_ns`].
    pub(crate) sent: &'a [u8],
}

impl Event<'_> {
    /// When it was sent, in nanoseconds of [`crate::clock::monotonic_ns`].
    #[must_use]
    pub fn sent_ns(&self) -> u64 {
        number(self.sent).map_or(0, |(value, _)| value)
    }
}

/// The answer to a connect message; what a load has no use for is left out.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Connected {
    /// The number of the stream on this socket.
    pub stream: u64,
    /// The life of the stream.
    pub epoch: String,
    /// The position that delivery starts after.
    pub offset: u64,
    /// The token to come back with.
    pub session: String,
    /// How many missed events follow; only of a session that was taken up again.
    pub replayed: Option<u64>,
    /// What was lost meanwhile.
    pub gap: Option<Gap>,
}

/// What was lost.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: String,
    /// The first offset that may be missing.
    pub first: Option<u64>,
    /// The last offset that may be missing.
    pub last: Option<u64>,
}

/// The message is malformed, or an event without counter and time.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// Read one message.
///
/// # Errors
/// If it is none, or an event that no actor of the benchmarks sends.
pub fn parse(payload: &[u8]) -> Result<Message<'_>, Malformed> {
    if let Some(rest) = payload.strip_prefix(EVENT) {
        return event(rest).map(Message::Event).ok_or(Malformed);
    }
    if let Some(rest) = payload.strip_prefix(REPLY) {
        return reply(rest).ok_or(Malformed);
    }
    let parts: Vec<Value> = serde_json::from_slice(payload).map_err(|_| Malformed)?;
    let mut parts = parts.into_iter();
    let kind = parts.next().ok_or(Malformed)?;
    let mut next = || parts.next().ok_or(Malformed);
    match kind.as_str().ok_or(Malformed)? {
        "connected" => Ok(Message::Connected(Box::new(read(next()?)?))),
        "gap" => Ok(Message::Gap(read(next()?)?)),
        "error" => {
            let id = next()?.as_u64();
            Ok(Message::Error(id, next()?))
        }
        _ => Ok(Message::Other),
    }
}

/// `id,value` without spaces, as the server writes it.
fn reply(rest: &[u8]) -> Option<Message<'_>> {
    let (id, rest) = number(rest)?;
    let value = rest.strip_prefix(b",")?.strip_suffix(b"]")?;
    (!value.is_empty()).then_some(Message::Reply(id, value))
}

fn read<T: for<'a> Deserialize<'a>>(value: Value) -> Result<T, Malformed> {
    serde_json::from_value(value).map_err(|_| Malformed)
}

/// `stream,offset,"name",[counter,sent…` without spaces, as the server writes it. Names have no escapes.
fn event(rest: &[u8]) -> Option<Event<'_>> {
    let (stream, rest) = number(rest)?;
    let (offset, rest) = number(rest.strip_prefix(b",")?)?;
    let rest = rest.strip_prefix(b",\"")?;
    let quote = rest.iter().position(|&byte| byte == b'"')?;
    let (name, rest) = rest.split_at(quote);
    let (counter, rest) = number(rest.strip_prefix(b"\",[")?)?;
    let sent = rest.strip_prefix(b",")?;
    rest.ends_with(b"]]").then_some(Event { stream, offset, name, counter, sent })
}

/// The digits at the beginning as a number, and what follows them.
pub(crate) fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    let mut length = 0;
    for &byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        length += 1;
    }
    // Nineteen digits always fit.
    (1..20).contains(&length).then(|| (value, &bytes[length..]))
}
