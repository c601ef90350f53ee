//! Messages as server-sent events (WHATWG HTML, section 9.2), which carry text; leaves what is in them to whoever made
//! them.
//!
//! A message is the `data` of one event. Where a client that has read it is, is its `id`: browsers send back the last
//! of those as `Last-Event-ID`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::frame::json_string;

/// Nothing to read, but a sign that somebody is there.
pub const COMMENT: &[u8] = b":\n\n";

const CLOSE: &[u8] = b"event: close\n";

const HEARTBEAT: &[u8] = b": heartbeat\n";

/// What stands around a payload, besides the epoch.
const FIXED_BYTES: usize = "id: :\ndata: \n\n".len() + 20;

/// A message that moves no position.
#[must_use]
pub fn message(payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(FIXED_BYTES + payload.len());
    push_data(&mut out, payload);
    out.freeze()
}

/// A message whose readers are at `offset` then.
#[must_use]
pub fn message_at(epoch: &str, offset: u64, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(FIXED_BYTES + epoch.len() + payload.len());
    push_message_at(&mut out, epoch, offset, payload);
    out.freeze()
}

/// Append what [`message_at`] returns.
pub fn push_message_at(out: &mut BytesMut, epoch: &str, offset: u64, payload: &[u8]) {
    out.reserve(FIXED_BYTES + epoch.len() + payload.len());
    push_id(out, epoch, offset);
    push_data(out, payload);
}

fn push_id(out: &mut BytesMut, epoch: &str, offset: u64) {
    out.put_slice(b"id: ");
    out.put_slice(epoch.as_bytes());
    out.put_u8(b':');
    out.put_slice(itoa::Buffer::new().format(offset).as_bytes());
    out.put_u8(b'\n');
}

/// A comment whose readers know by its `id` that they are at `offset`. Further fields are whole lines.
#[must_use]
pub fn heartbeat(epoch: &str, offset: u64, fields: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEARTBEAT.len() + FIXED_BYTES + epoch.len() + fields.len());
    out.put_slice(HEARTBEAT);
    push_id(&mut out, epoch, offset);
    out.put_slice(fields);
    out.put_u8(b'\n');
    out.freeze()
}

/// Whether this is what [`heartbeat`] makes.
#[must_use]
pub fn is_heartbeat(event: &[u8]) -> bool {
    event.starts_with(HEARTBEAT)
}

/// What a close frame says, as an event of its own name: `[code, reason]`, with null for no code.
#[must_use]
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    let mut payload = vec![b'['];
    match code {
        Some(code) => payload.extend_from_slice(itoa::Buffer::new().format(code).as_bytes()),
        None => payload.extend_from_slice(b"null"),
    }
    payload.push(b',');
    payload.extend_from_slice(&json_string(reason));
    payload.push(b']');
    let mut out = BytesMut::with_capacity(CLOSE.len() + FIXED_BYTES + payload.len());
    out.put_slice(CLOSE);
    push_data(&mut out, &payload);
    out.freeze()
}

/// Whether this is what [`close`] makes.
#[must_use]
pub fn is_close(event: &[u8]) -> bool {
    event.starts_with(CLOSE)
}

fn push_data(out: &mut BytesMut, payload: &[u8]) {
    out.put_slice(b"data: ");
    push_line(out, payload);
    out.put_slice(b"\n\n");
}

/// Append JSON as one line. Line breaks in it, which no encoder of ours writes, stand between values, where a space
/// says the same.
pub fn push_line(out: &mut impl BufMut, json: &[u8]) {
    let mut lines = json.split(|&byte| byte == b'\n' || byte == b'\r');
    out.put_slice(lines.next().unwrap_or_default());
    for line in lines {
        out.put_u8(b' ');
        out.put_slice(line);
    }
}
