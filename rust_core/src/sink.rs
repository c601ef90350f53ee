//! Where one client's frames go, and who may write them; leaves what to write to [`crate::outbox`] and
//! [`crate::fanout`].
//!
//! A sink owns a duplicate of the socket's descriptor. The event loop may close its own whenever it likes: the
//! number that the core writes to cannot be given to a newcomer while the core holds it. Where only the loop can write,
//! it has a relay instead (`crate::outlet`), and everything else is as it is.
//!
//! Whoever writes first *claims* the sink, writes without holding a lock, and settles what the socket took. Another
//! thread that comes meanwhile goes on: what it came for stands in the outbox or has been offered by its stream, and
//! the claimer looks for both before it rests. So frames never interleave, and no thread waits for another one's
//! system call.

mod ending;
mod locked;
mod writing;

use std::sync::Arc;

use bytes::Bytes;

use crate::connection::Connection;
use crate::deflate::deflate;
use crate::event_stream;
use crate::frame::{self, Encoding, Form, Framing};
use crate::messages::{Messages, Packing};
use crate::outbox::Outbox;
use crate::outlet::Outlet;
use crate::relay::{Content, Relay, Relays};
use crate::socket::Socket;
use crate::stream::Stream;
use crate::sync::Mutex;
use crate::system::Descriptor;
use crate::writer::Writer;

pub use ending::{CLOSE_SLOW_READER, EndReason};

/// When more bytes of replies and control frames than this wait for one socket, the next one makes the client a slow
/// reader. A single frame may be larger.
pub const MAX_QUEUED_BYTES: usize = 4 << 20;

/// How far a sink has moved its connection.
#[derive(Debug)]
struct Cursor {
    /// Where the events come from.
    stream: Arc<Stream>,
    /// What the client takes.
    form: Form,
    /// Whose subscriptions count.
    connection: Arc<Connection<Sink>>,
    /// Everything that the connection may see up to this offset has been handed to the outlet or to `outbox`.
    position: u64,
    /// Whether `position` is exact. If not, nothing is owed up to what the stream has swept, if that is further:
    /// a connection that a sweep had nothing for is not visited.
    behind: bool,
    /// Where a close frame waits: no event after this offset goes out.
    until: Option<u64>,
}

/// What is guarded by the sink's lock.
#[derive(Debug)]
struct State {
    /// `None` once ended.
    outlet: Option<Arc<Outlet>>,
    /// What waits besides events.
    outbox: Outbox,
    /// `None` before a connection is attached, and after.
    cursor: Option<Cursor>,
    /// A connection was attached: there is never a second one, whose position a late write could disturb.
    taken: bool,
    /// Where the connection was when it turned out to be a slow reader: answers to what came later do not go out here.
    left_at: Option<u64>,
    /// Somebody is writing; nobody else may.
    claimed: bool,
    /// How much the outlet has taken in all.
    written_bytes: u64,
    /// The outlet takes nothing now; the writer thread, or the event loop, has been asked to tell when it does.
    blocked: bool,
    /// The reason to end with once the outbox is empty; nothing is accepted any more.
    closing: Option<EndReason>,
    /// Why it ended.
    ended: Option<EndReason>,
}

/// Where one client's frames go.
#[derive(Debug)]
pub struct Sink {
    /// Fixed by the handshake.
    form: Form,
    /// Shorter messages are not compressed; none is where the form does not allow it.
    min_deflated_bytes: u32,
    /// The thread that waits for readiness and deadlines of this socket.
    writer: Arc<Writer>,
    /// Everything that changes.
    state: Mutex<State>,
}

/// What an idle connection takes in the core, besides its place in the table: docs/performance.md lists it. Each is behind
/// an `Arc`, which adds two counters.
#[cfg(all(target_pointer_width = "64", not(feature = "shuttle")))]
const _: () = {
    assert!(size_of::<Connection<Sink>>() <= 120);
    assert!(size_of::<Sink>() <= 184);
    assert!(size_of::<Outlet>() <= 24);
};

impl Sink {
    /// A sink for a socket, which must be an own duplicate.
    #[must_use]
    pub fn new(fd: impl Into<Descriptor>, encoding: Encoding, writer: Arc<Writer>) -> Arc<Self> {
        Self::with_form(fd, encoding.into(), 0, writer)
    }

    /// A sink for a socket whose client may take compressed messages; those that are shorter than that are not.
    #[must_use]
    pub fn with_form(
        fd: impl Into<Descriptor>,
        form: Form,
        min_deflated_bytes: u32,
        writer: Arc<Writer>,
    ) -> Arc<Self> {
        let socket = Socket::new(fd.into(), Arc::clone(&writer));
        Self::through(Outlet::Socket(socket), form, min_deflated_bytes, writer)
    }

    /// A sink for a transport of the event loop's, which writes what it finds under this key.
    #[must_use]
    pub fn relayed(
        relays: &Arc<Relays>,
        key: u64,
        form: Form,
        min_deflated_bytes: u32,
        writer: Arc<Writer>,
    ) -> Arc<Self> {
        let relay = Relay::new(relays, key, Content::Bytes(Vec::new()));
        Self::through(Outlet::Relay(relay), form, min_deflated_bytes, writer)
    }

    /// A sink for a WebSocket whose frames somebody else makes: the event loop finds messages under this key.
    #[must_use]
    pub fn messages(
        relays: &Arc<Relays>,
        key: u64,
        encoding: Encoding,
        packing: Packing,
        writer: Arc<Writer>,
    ) -> Arc<Self> {
        let relay = Relay::new(relays, key, Content::Messages(Messages::new(encoding, packing)));
        Self::through(Outlet::Relay(relay), encoding.into(), 0, writer)
    }

    fn through(outlet: Outlet, form: Form, min_deflated_bytes: u32, writer: Arc<Writer>) -> Arc<Self> {
        let state = State {
            outlet: Some(Arc::new(outlet)),
            outbox: Outbox::default(),
            cursor: None,
            taken: false,
            left_at: None,
            claimed: false,
            written_bytes: 0,
            blocked: false,
            closing: None,
            ended: None,
        };
        Arc::new(Self { form, min_deflated_bytes, writer, state: Mutex::new(state) })
    }

    /// What its client takes.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Whether a message of that many bytes is compressed, which takes its time.
    #[must_use]
    pub fn deflates(&self, bytes: usize) -> bool {
        self.form.is_deflated() && bytes >= self.min_deflated_bytes as usize
    }

    fn message(&self, payload: &[u8]) -> Bytes {
        let deflated = if self.deflates(payload.len()) { deflate(&[payload]) } else { None };
        match deflated {
            Some(deflated) => frame::deflated_message(self.form.encoding, &deflated),
            None => self.form.message(payload),
        }
    }

    /// Why it ended, or is going to end because the client was too slow.
    #[must_use]
    pub fn end_reason(&self) -> Option<EndReason> {
        let state = self.state.lock();
        state.ended.or(state.closing.filter(|&reason| reason == EndReason::SlowReader))
    }

    /// Bytes of frames that wait, events aside.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.state.lock().outbox.queued_bytes()
    }

    /// Whether more waits than may, so that the next message is preceded by a write.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.queued_bytes() > MAX_QUEUED_BYTES
    }

    /// Bytes that the socket or the transport has taken so far, events and all: it grows as long as the client reads.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.state.lock().written_bytes
    }

    /// How many events its client is behind the newest one of its stream, whether they are for it or not.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let state = self.state.lock();
        state.cursor.as_ref().map_or(0, |cursor| {
            let swept = if cursor.behind { 0 } else { cursor.stream.swept() };
            cursor.stream.head().saturating_sub(cursor.position.max(swept))
        })
    }

    /// Queue a whole message behind every event that was published to the attached connection so far.
    pub fn push_message(self: &Arc<Self>, payload: &[u8]) {
        self.push(self.message(payload), true);
    }

    /// Queue what is framed already, behind every event that was published to the attached connection so far.
    pub fn push_framed(self: &Arc<Self>, frame: Bytes) {
        self.push(frame, true);
    }

    /// Queue a control frame for the next frame boundary.
    pub fn push_control(self: &Arc<Self>, frame: Bytes) {
        self.push(frame, false);
    }

    /// Queue what tells a reader of server-sent events where it is, behind every event that was published to the
    /// attached connection so far, and with just that position: it never goes back. Further fields are whole lines.
    pub fn push_heartbeat(&self, fields: &[u8]) {
        let mut state = self.state.lock();
        if state.closing.is_some() || state.ended.is_some() {
            return;
        }
        if let Some(cursor) = &state.cursor {
            let head = cursor.stream.head();
            let heartbeat = event_stream::heartbeat(&cursor.stream.config().epoch, head, fields);
            state.outbox.push(heartbeat, head);
        }
    }

    fn push(self: &Arc<Self>, frame: Bytes, behind_events: bool) {
        if self.is_full() {
            // Perhaps nobody has tried to write it yet.
            self.drive(None);
        }
        let mut state = self.lock();
        if state.closing.is_some() || state.ended.is_some() {
            return;
        }
        if state.outbox.queued_bytes() > MAX_QUEUED_BYTES {
            self.close_slow_reader(&mut state);
            return;
        }
        match &state.cursor {
            Some(cursor) if behind_events => {
                let head = cursor.stream.head();
                state.outbox.push(frame, head);
            }
            Some(cursor) => {
                let position = cursor.position;
                state.outbox.push_due(frame, position);
            }
            None => state.outbox.push(frame, 0),
        }
    }

    /// Deliver a connection's events after `position` through this sink, behind `message`.
    ///
    /// Returns false, and attaches nothing, if the sink takes nothing any more or was attached before.
    pub fn attach(
        &self,
        stream: &Arc<Stream>,
        connection: &Arc<Connection<Self>>,
        position: u64,
        message: &[u8],
    ) -> bool {
        let message = match self.form.framing {
            Framing::EventStream => event_stream::message_at(&stream.config().epoch, position, message),
            Framing::Frame | Framing::Deflated => self.message(message),
        };
        let mut state = self.state.lock();
        if state.closing.is_some() || state.ended.is_some() || state.taken {
            return false;
        }
        state.taken = true;
        state.outbox.push(message, 0);
        stream.note_attached(self.form);
        state.cursor = Some(Cursor {
            form: self.form,
            stream: Arc::clone(stream),
            connection: Arc::clone(connection),
            position,
            behind: true,
            until: None,
        });
        true
    }

    /// Deliver no more events through this sink.
    pub fn detach(&self) {
        self.lock().release_cursor();
    }

    /// It is being decided what comes next for the connection, which is held: even at rest, its position is exact.
    pub fn hold(&self) {
        if let Some(cursor) = &mut self.state.lock().cursor {
            cursor.make_exact();
        }
    }

    /// The outlet takes bytes again.
    pub fn writable(self: &Arc<Self>) {
        self.state.lock().blocked = false;
        self.drive(None);
    }

    /// The transport that is relayed to takes nothing for now.
    pub fn pause(&self) {
        self.state.lock().outlet.as_ref().and_then(|outlet| outlet.relay()).inspect(|relay| relay.pause());
    }

    /// It takes bytes again.
    pub fn resume(self: &Arc<Self>) {
        let outlet = self.state.lock().outlet.clone();
        if outlet.as_ref().and_then(|outlet| outlet.relay()).is_some_and(Relay::resume) {
            self.writable();
        }
    }

    /// Borrow the descriptor for as long as the sink holds it; for tests of what the sink owns.
    pub fn with_fd<T>(&self, look: impl FnOnce(&Descriptor) -> T) -> Option<T> {
        self.state.lock().outlet.as_ref().and_then(|outlet| outlet.fd()).map(look)
    }
}
