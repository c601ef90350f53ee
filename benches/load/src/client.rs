//! One connection of the load, over one socket after the other: upgrade, connect message, and what comes then.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use serde_json::json;
use socket2::SockRef;

use crate::clock;
use crate::frame::{self, Frame, Kind};
use crate::group::{Counts, Group, Settings};
use crate::known::Found;
use crate::message::{self, Connected, Event, Message};
use crate::plain::{self, Plain};
use crate::sequence::Sequence;

/// What a socket waits for, and what it does not need to wait for: a request always fits into the send buffer.
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Closed by the server without a close frame (RFC 6455, section 7.1.5).
const NO_CLOSE_FRAME: u16 = 1006;

/// The most that the response to an upgrade takes.
const MAX_RESPONSE_BYTES: usize = 64 << 10;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Without a socket.
    Closed,
    /// Its socket is being connected.
    Dialling,
    /// It has asked for the upgrade.
    Upgrading,
    /// It has sent its connect message.
    Greeting,
    /// It has its answer.
    Connected,
}

/// What to come back with.
#[derive(Debug)]
struct Session {
    token: String,
    epoch: String,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    /// The index of its group.
    pub group: usize,
    /// How far it is.
    pub phase: Phase,
    /// Whether it has got to where the current command wants it.
    pub reached: bool,
    /// How many events of a replay are still to come.
    pub replay_left: u64,
    /// What it has seen.
    pub sequence: Sequence,
    /// Present except while it is closed.
    socket: Option<TcpStream>,
    /// Its place in the load's list.
    token: Token,
    /// Nothing is read.
    asleep: bool,
    /// The beginning of a frame that is not whole yet.
    rest: Vec<u8>,
    /// The code of the server's close frame.
    close_code: Option<u16>,
    /// The number of the stream on this socket.
    stream: u64,
    session: Option<Session>,
    /// The id of the newest call.
    call: u64,
    /// When the newest calls were sent, the oldest first; 0 where the reply has come.
    called_ns: VecDeque<u64>,
    /// How many of those wait for their replies.
    calling: usize,
}

/// The connection is over.
#[derive(Debug)]
struct Over;

impl Client {
    /// A connection without a socket. `place` is its own in the load's list.
    #[must_use]
    pub fn new(place: usize, group: usize, settings: &Settings) -> Self {
        Self {
            group,
            phase: Phase::Closed,
            reached: false,
            replay_left: 0,
            sequence: Sequence::new(settings.names.len(), settings.whole, &settings.next),
            socket: None,
            token: Token(place),
            asleep: false,
            rest: Vec::new(),
            close_code: None,
            stream: 0,
            session: None,
            call: 0,
            called_ns: VecDeque::new(),
            calling: 0,
        }
    }

    /// Begin to connect, or to come back.
    ///
    /// # Errors
    /// If there are no descriptors or ports left.
    pub fn dial(&mut self, registry: &Registry, settings: &Settings) -> io::Result<()> {
        let mut socket = TcpStream::connect(settings.address)?;
        registry.register(&mut socket, self.token, INTEREST)?;
        self.socket = Some(socket);
        self.phase = Phase::Dialling;
        self.close_code = None;
        Ok(())
    }

    /// Lose the socket as a lost network does: the peer gets a reset instead of a close frame.
    ///
    /// # Errors
    /// If the socket cannot be told to do so.
    pub fn lose(&mut self) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
        }
        self.forget_socket();
        Ok(())
    }

    /// Ask the server to end the session for good.
    pub fn close(&mut self, counts: &mut Counts) {
        if self.phase == Phase::Connected {
            self.write(&frame::close(1000), counts);
        } else {
            self.forget_socket();
        }
    }

    /// Stop reading, or begin again.
    ///
    /// # Errors
    /// If the socket cannot be watched.
    pub fn set_asleep(&mut self, asleep: bool, registry: &Registry) -> io::Result<()> {
        if let Some(socket) = &mut self.socket
            && self.asleep != asleep
        {
            if asleep {
                registry.deregister(socket)?;
            } else {
                registry.register(socket, self.token, INTEREST)?;
            }
        }
        self.asleep = asleep;
        Ok(())
    }

    /// How many calls wait for their replies.
    #[must_use]
    pub fn calling(&self) -> usize {
        self.calling
    }

    /// Call an action so many times; `action_and_args` is the rest of the message behind the id.
    pub fn call(&mut self, times: usize, action_and_args: &str, counts: &mut Counts) {
        let now = clock::monotonic_ns();
        let mut calls = Vec::new();
        for _ in 0..times {
            self.call += 1;
            calls.extend(frame::text(format!("[\"call\",{},{action_and_args}]", self.call).as_bytes()));
            self.called_ns.push_back(now);
        }
        self.calling += times;
        self.write(&calls, counts);
    }

    /// A reply, or an error, has come. Returns when the call was sent, if there is one that waits for it.
    fn answered(&mut self, id: u64) -> Option<u64> {
        let oldest = self.call + 1 - self.called_ns.len() as u64;
        let at = usize::try_from(id.checked_sub(oldest)?).ok()?;
        let sent_ns = std::mem::take(self.called_ns.get_mut(at)?);
        while self.called_ns.front() == Some(&0) {
            self.called_ns.pop_front();
        }
        if sent_ns == 0 {
            return None;
        }
        self.calling -= 1;
        Some(sent_ns)
    }

    fn forget_calls(&mut self) {
        self.called_ns.clear();
        self.calling = 0;
    }

    /// The socket is ready: go on as far as it goes.
    pub fn ready(&mut self, group: &mut Group, buffer: &mut Vec<u8>) {
        if self.phase == Phase::Dialling && !self.upgrade(&group.settings, &mut group.counts) {
            return;
        }
        while let Some(socket) = &mut self.socket {
            let kept = self.rest.len();
            // The beginning of a frame that takes more than this: `frame::next` has bounds for that.
            if kept == buffer.len() {
                buffer.resize(2 * kept, 0);
            }
            buffer[..kept].copy_from_slice(&self.rest);
            match socket.read(&mut buffer[kept..]) {
                Ok(0) => self.note_closed(&mut group.counts),
                Ok(count) => {
                    group.counts.bytes += count as u64;
                    let end = kept + count;
                    match self.take(&buffer[..end], group) {
                        Ok(used) => {
                            self.rest.clear();
                            self.rest.extend_from_slice(&buffer[used..end]);
                        }
                        Err(Over) => self.note_closed(&mut group.counts),
                    }
                    // A read that does not fill the buffer has emptied the socket: there will be a new event.
                    if end < buffer.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.note_closed(&mut group.counts),
            }
        }
    }

    /// The socket is connected, unless that failed: ask for the upgrade.
    fn upgrade(&mut self, settings: &Settings, counts: &mut Counts) -> bool {
        let Some(socket) = &self.socket else {
            return false;
        };
        match socket.take_error() {
            Ok(None) if socket.peer_addr().is_ok() => {}
            Ok(None) => return false,
            Ok(Some(error)) | Err(error) => {
                counts.note_error(error);
                self.note_closed(counts);
                return false;
            }
        }
        self.phase = Phase::Upgrading;
        let request = match &settings.plain {
            Some(plain) => plain::request(&plain.path, plain.subprotocol.as_deref()),
            None => plain::request("/connect", Some("ringcast.v1.json")),
        };
        self.write(request.as_bytes(), counts);
        true
    }

    pub(crate) fn write(&mut self, bytes: &[u8], counts: &mut Counts) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        match socket.write(bytes) {
            Ok(count) if count == bytes.len() => {}
            Ok(_) => counts.note_error("the socket did not take a whole request"),
            // What was lost is read from the socket as well.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {}
            Err(error) => counts.note_error(error),
        }
    }

    fn note_closed(&mut self, counts: &mut Counts) {
        *counts.closed.entry(self.close_code.unwrap_or(NO_CLOSE_FRAME)).or_default() += 1;
        self.forget_socket();
    }

    fn forget_socket(&mut self) {
        self.socket = None;
        self.phase = Phase::Closed;
        self.asleep = false;
        self.rest.clear();
        self.forget_calls();
    }

    /// Take what has come; returns how many bytes of it were whole.
    fn take(&mut self, bytes: &[u8], group: &mut Group) -> Result<usize, Over> {
        let mut used = 0;
        if self.phase == Phase::Upgrading {
            used = self.finish_upgrade(bytes, group)?;
            if used == 0 {
                return Ok(0);
            }
        }
        let now = clock::monotonic_ns();
        loop {
            if let Some(found) = group.known.find(self.stream, &self.sequence, &bytes[used..])
                && self.phase == Phase::Connected
            {
                used += found.bytes;
                self.on_known(&found, now, &group.settings, &mut group.counts);
            }
            let frame = match frame::next(&bytes[used..]) {
                Ok(frame) => frame,
                Err(broken) => {
                    group.counts.note_error(broken);
                    return Err(Over);
                }
            };
            let Some(Frame { kind, payload, length }) = frame else {
                return Ok(used);
            };
            match kind {
                Kind::Text => self.on_message(payload, &bytes[used..used + length], now, group),
                Kind::Close => {
                    self.close_code = Some(frame::close_code(payload));
                    return Err(Over);
                }
                Kind::Ping => self.write(&frame::pong(payload), &mut group.counts),
                Kind::Pong => {}
            }
            used += length;
        }
    }

    /// Send the connect message once the whole response is there; returns the bytes of it, or 0.
    fn finish_upgrade(&mut self, bytes: &[u8], group: &mut Group) -> Result<usize, Over> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            if bytes.len() > MAX_RESPONSE_BYTES {
                group.counts.note_error("a response without an end");
                return Err(Over);
            }
            return Ok(0);
        };
        if !bytes.starts_with(b"HTTP/1.1 101") {
            group.counts.note_error(String::from_utf8_lossy(&bytes[..end]));
            return Err(Over);
        }
        if let Some(plain) = &group.settings.plain {
            self.begin_plain(plain, &group.settings);
            return Ok(end + 4);
        }
        self.phase = Phase::Greeting;
        self.write(&frame::text(self.connect_message(&group.settings).as_bytes()), &mut group.counts);
        Ok(end + 4)
    }

    fn connect_message(&self, settings: &Settings) -> String {
        let mut connect = settings.connect.clone();
        if let Some(Session { token, epoch }) = &self.session {
            let resume = json!({"session": token, "epoch": epoch, "offset": self.sequence.position()});
            connect.insert("resume".into(), resume);
        }
        json!(["connect", connect]).to_string()
    }

    #[inline]
    fn on_message(&mut self, payload: &[u8], frame: &[u8], now: u64, group: &mut Group) {
        if let Some(Plain { socket_io, .. }) = group.settings.plain {
            return self.on_plain(socket_io, payload, frame, now, group);
        }
        let Group { settings, counts, known, reply, .. } = group;
        match message::parse(payload) {
            Ok(Message::Event(event)) => {
                if self.on_event(&event, now, settings, counts) {
                    known.add(frame, &event);
                }
            }
            Ok(Message::Reply(id, value)) => match self.answered(id) {
                Some(_) if reply.as_ref().is_some_and(|reply| reply.as_bytes() != value) => {
                    counts.note_error("a reply with another value");
                }
                Some(sent_ns) => counts.note_reply(sent_ns, now),
                None => counts.note_error("a reply that nobody waits for"),
            },
            Ok(Message::Error(id, error)) => {
                counts.note_error(error);
                id.and_then(|id| self.answered(id));
            }
            Ok(Message::Connected(connected)) => self.on_connected(*connected, settings, counts),
            Ok(Message::Gap(gap)) => self.on_gap(gap.first, gap.last, counts),
            Ok(Message::Other) => {}
            Err(message::Malformed) => counts.note_error(String::from_utf8_lossy(payload)),
        }
    }

    /// Returns whether others that get the same frame at the same place need not read it.
    #[inline]
    pub(crate) fn on_event(
        &mut self,
        event: &Event<'_>,
        now: u64,
        settings: &Settings,
        counts: &mut Counts,
    ) -> bool {
        let name = settings.names.iter().position(|name| name == event.name);
        let (Some(name), true) = (name, event.stream == self.stream && self.phase == Phase::Connected) else {
            counts.faults.foreign += 1;
            return false;
        };
        let expected = self.sequence.expects(event.counter);
        self.sequence.take(name, event.offset, event.counter, &mut counts.faults);
        counts.note_events(1, now);
        if self.replay_left > 0 {
            self.replay_left -= 1;
            counts.replayed += 1;
        } else if event.counter.is_multiple_of(settings.latency_every) {
            counts.latency.saturating_record(now.saturating_sub(event.sent_ns()));
        }
        expected
    }

    fn on_known(&mut self, found: &Found<'_>, now: u64, settings: &Settings, counts: &mut Counts) {
        let events = found.events as u64;
        self.sequence.take_expected(events);
        counts.note_events(events, now);
        let replayed = events.min(self.replay_left);
        self.replay_left -= replayed;
        counts.replayed += replayed;
        let replayed = usize::try_from(replayed).unwrap_or(usize::MAX);
        for sent_ns in found.sent_ns(settings.latency_every, replayed) {
            counts.latency.saturating_record(now.saturating_sub(sent_ns));
        }
    }

    fn on_connected(&mut self, connected: Connected, settings: &Settings, counts: &mut Counts) {
        let Connected { stream, epoch, offset, session: token, replayed, gap } = connected;
        match &self.session {
            Some(earlier) if earlier.token == token => {
                counts.resumed += 1;
                match gap {
                    Some(gap) => self.on_gap(gap.first, Some(offset), counts),
                    None => self.sequence.go_on(offset, &mut counts.faults),
                }
                self.replay_left = replayed.unwrap_or(0);
                counts.announced += self.replay_left;
            }
            earlier => {
                if earlier.is_some() {
                    counts.renewed += 1;
                    self.sequence = Sequence::new(settings.names.len(), settings.whole, &[]);
                    self.call = 0;
                }
                self.sequence.begin(offset);
            }
        }
        self.session = Some(Session { token, epoch });
        self.stream = stream;
        self.phase = Phase::Connected;
    }

    fn on_gap(&mut self, first: Option<u64>, last: Option<u64>, counts: &mut Counts) {
        counts.gaps += 1;
        let last = last.unwrap_or(0);
        counts.lost += (last + 1).saturating_sub(first.unwrap_or(last + 1));
        self.sequence.skip(last);
    }
}
