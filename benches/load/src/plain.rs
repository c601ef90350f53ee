//! Connections to servers that do not speak Ringcast's protocol: bare WebSocket messages, or those of Socket.IO.
//!
//! Only the upgrade, the greeting and the messages differ. How events are checked and counted is that of
//! [`crate::client`], with the counter in the place of the offset that these servers do not have.

use serde::Deserialize;

use crate::client::{Client, Phase};
use crate::frame;
use crate::group::{Counts, Group, Settings};
use crate::message::{Event, Malformed, number};

/// How such a server is spoken to.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Plain {
    /// The path of the upgrade, with its query.
    pub path: String,
    /// The subprotocol to ask for.
    #[serde(default)]
    pub subprotocol: Option<String>,
    /// It speaks Socket.IO (version 5) over Engine.IO (version 4), with a greeting and heartbeats of its own.
    #[serde(default)]
    pub socket_io: bool,
}

/// One message of such a server.
#[derive(Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// An event.
    Event(Event<'a>),
    /// Engine.IO is ready: Socket.IO may be connected.
    Open,
    /// Socket.IO is connected.
    Accepted,
    /// To be answered.
    Ping,
}

/// The request for the upgrade.
#[must_use]
pub fn request(path: &str, subprotocol: Option<&str>) -> String {
    let protocol = subprotocol.map_or_else(String::new, |name| format!("sec-websocket-protocol: {name}\r\n"));
    // The key is that of RFC 6455's example; nobody between here and the server could be confused by it.
    format!(
        "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n"
    )
}

/// Read one message: `[counter,sent…]`, or of Socket.IO `42["name",counter,sent…]`. Bare events are called `name`.
///
/// # Errors
/// If it is neither, nor part of a greeting: the end of a Socket.IO connection, for example.
pub fn parse<'a>(payload: &'a [u8], name: &'a [u8], socket_io: bool) -> Result<Said<'a>, Malformed> {
    let event = |name, rest| event(name, rest).map(Said::Event).ok_or(Malformed);
    if !socket_io {
        return event(name, payload.strip_prefix(b"[").ok_or(Malformed)?);
    }
    if let Some(rest) = payload.strip_prefix(b"42[\"") {
        let quote = rest.iter().position(|&byte| byte == b'"').ok_or(Malformed)?;
        return event(&rest[..quote], rest[quote..].strip_prefix(b"\",").ok_or(Malformed)?);
    }
    match payload {
        b"2" => Ok(Said::Ping),
        [b'0', b'{', ..] => Ok(Said::Open),
        [b'4', b'0', ..] => Ok(Said::Accepted),
        _ => Err(Malformed),
    }
}

fn event<'a>(name: &'a [u8], rest: &'a [u8]) -> Option<Event<'a>> {
    let (counter, rest) = number(rest)?;
    let sent = rest.strip_prefix(b",")?;
    sent.ends_with(b"]").then_some(Event { stream: 0, offset: counter, name, counter, sent })
}

impl Client {
    /// The upgrade is done: events may come, unless there is a greeting first.
    pub(crate) fn begin_plain(&mut self, plain: &Plain, settings: &Settings) {
        if plain.socket_io {
            self.phase = Phase::Greeting;
        } else {
            self.be_connected(settings);
        }
    }

    fn be_connected(&mut self, settings: &Settings) {
        self.sequence.begin(settings.next.first().map_or(0, |&next| next.saturating_sub(1)));
        self.phase = Phase::Connected;
    }

    /// Take one message.
    pub(crate) fn on_plain(
        &mut self,
        socket_io: bool,
        payload: &[u8],
        frame: &[u8],
        now: u64,
        group: &mut Group,
    ) {
        let Group { settings, counts, known, .. } = group;
        let name = settings.names.first().map_or(&b""[..], Vec::as_slice);
        match (parse(payload, name, socket_io), self.phase) {
            (Ok(Said::Event(event)), _) => {
                if self.on_event(&event, now, settings, counts) {
                    known.add(frame, &event);
                }
            }
            (Ok(Said::Ping), _) => self.write(&frame::text(b"3"), counts),
            (Ok(Said::Open), Phase::Greeting) => self.write(&frame::text(b"40"), counts),
            (Ok(Said::Accepted), Phase::Greeting) => self.be_connected(settings),
            _ => unexpected(payload, counts),
        }
    }
}

fn unexpected(payload: &[u8], counts: &mut Counts) {
    counts.note_error(format!("unexpected: {}", String::from_utf8_lossy(payload)));
}
