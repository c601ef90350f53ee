//! What the event loop writes for the core: one buffer for each client whose bytes have to go through a transport of
//! the loop's, TLS for instance, and the list of those that it has to look at. Leaves what to write to [`crate::sink`].
//!
//! To its sink a relay is a socket that takes [`MAX_RELAYED_BYTES`] and is emptied by the loop. What several sweeps
//! write until the loop comes is one buffer, and one write. A transport that is full takes nothing: the sink's position
//! stays, and its client is a slow reader like any other. A relay that is full because the *loop* has not come is
//! different: nobody is to be punished for that, so publishers look at [`Relays::is_behind`], and have the loop catch
//! up.
//!
//! Where somebody else makes the frames, a relay hands over messages, and then takes nothing until the loop says that
//! they are sent ([`Relay::resume`]): meanwhile what is to come next grows in the ring.

use std::io::{self, IoSlice};
use std::mem;
use std::sync::{Arc, Weak};

use crate::messages::Messages;
use crate::sink::Sink;
use crate::stream::Notify;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::writer::guarded;

/// Most bytes that wait for the loop on behalf of one client: a whole batch of a sweep.
pub const MAX_RELAYED_BYTES: usize = if cfg!(feature = "shuttle") { 64 } else { 256 << 10 };

/// Clients that the loop writes to in one turn, before it does something else.
const MAX_TAKEN: usize = if cfg!(feature = "shuttle") { 1 } else { 128 };

/// What becomes of a transport once its bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// It is closed in order: the close frame was the last of its bytes.
    Close,
    /// It is cut off.
    Abort,
    /// It is gone already, or somebody else's to close.
    Forget,
}

/// What the loop is to write for one client.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// The name that its relay was opened with.
    pub key: u64,
    /// May be empty if there is a parting.
    pub content: Content,
    /// What follows. Nothing comes for this key after it.
    pub parting: Option<Parting>,
}

/// What waits for one client, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// What its transport takes as it is.
    Bytes(Vec<u8>),
    /// Messages to a WebSocket of somebody else's.
    Messages(Messages),
}

/// What is guarded by a line's lock.
#[derive(Debug)]
struct Waiting {
    /// Taken from the sink, and not yet by the loop: at most [`MAX_RELAYED_BYTES`], and one message where there are
    /// messages.
    content: Content,
    /// It is on the list. Always so if there is something that the loop may take.
    listed: bool,
    /// The transport is full: the loop takes nothing.
    paused: bool,
    /// Somebody was refused and is to be told when there is room.
    refused: Option<Weak<Sink>>,
    /// What the loop is still to be told.
    parting: Option<Parting>,
    /// A parting was set: there is never a second one.
    over: bool,
}

/// What a relay and the list share.
#[derive(Debug)]
struct Line {
    /// Names it to the loop.
    key: u64,
    /// A leaf but for the list's lock.
    waiting: Mutex<Waiting>,
}

/// The sink's end of one client's transport.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Shared with the list.
    line: Arc<Line>,
    /// Where it is listed.
    relays: Arc<Relays>,
}

/// All relays of one event loop that have something for it.
#[derive(Debug)]
pub struct Relays {
    /// In the order in which they got something. A leaf.
    listed: Mutex<Vec<Arc<Line>>>,
    /// Sinks that have more than fitted, and whose bytes the loop has taken since. A leaf.
    refused: Mutex<Vec<Weak<Sink>>>,
    /// Somebody was refused for no other reason than that the loop has not come yet.
    behind: AtomicBool,
    /// Tells the loop that there is something to take.
    on_listed: Arc<dyn Notify>,
}

impl Relays {
    /// Nothing to take yet. `on_listed` is told when that changes, from any thread.
    #[must_use]
    pub fn new(on_listed: Arc<dyn Notify>) -> Arc<Self> {
        Arc::new(Self {
            listed: Mutex::default(),
            refused: Mutex::default(),
            behind: AtomicBool::new(false),
            on_listed,
        })
    }

    /// Whether a sink waits for the loop alone: to take once more would help it on.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire)
    }

    /// What the loop has to write now, for a few at a time: it writes that before it comes again, and is told if there is
    /// more. Sinks that had more than fitted go on first: what was taken for them before is written by now, and has
    /// paused a transport that is full.
    #[must_use]
    pub fn take(&self) -> Vec<Taken> {
        let was_behind = self.behind.swap(false, Ordering::AcqRel);
        let refused = mem::take(&mut *self.refused.lock());
        for sink in refused.iter().filter_map(Weak::upgrade) {
            guarded(|| sink.writable());
        }
        let (lines, is_more) = self.listed_first();
        let mut taken = Vec::with_capacity(lines.len());
        let mut refused = Vec::new();
        for line in &lines {
            let mut waiting = line.waiting.lock();
            waiting.listed = false;
            // Behind a close frame nothing comes: to wait for the transport would hold up its closing.
            if waiting.paused && waiting.parting.is_none() {
                continue;
            }
            refused.extend(waiting.refused.take());
            let content = waiting.content.take();
            // What is written to a transport pauses that if it is too much; what is sent takes its time.
            waiting.paused |= matches!(&content, Content::Messages(messages) if !messages.is_empty());
            taken.push(Taken { key: line.key, content, parting: waiting.parting.take() });
        }
        let is_refused = !refused.is_empty();
        self.refused.lock().append(&mut refused);
        if is_refused || (is_more && was_behind) {
            self.behind.store(true, Ordering::Release);
        }
        if is_refused || is_more {
            self.on_listed.notify();
        }
        taken
    }

    /// The first few of the list, and whether there are others.
    fn listed_first(&self) -> (Vec<Arc<Line>>, bool) {
        let mut listed = self.listed.lock();
        let count = listed.len().min(MAX_TAKEN);
        let lines = listed.drain(..count).collect();
        (lines, !listed.is_empty())
    }

    /// Put a line on the list unless it is there. Returns whether the loop is to be told, once no lock is held.
    #[must_use]
    fn list(&self, line: &Arc<Line>, waiting: &mut Waiting) -> bool {
        if mem::replace(&mut waiting.listed, true) {
            return false;
        }
        let mut listed = self.listed.lock();
        listed.push(Arc::clone(line));
        listed.len() == 1
    }
}

impl Relay {
    /// A relay that the loop knows by `key`, and that hands over what `content` has, which is empty.
    pub(crate) fn new(relays: &Arc<Relays>, key: u64, content: Content) -> Self {
        let waiting =
            Waiting { content, listed: false, paused: false, refused: None, parting: None, over: false };
        let line = Arc::new(Line { key, waiting: Mutex::new(waiting) });
        Self { line, relays: Arc::clone(relays) }
    }

    /// Take as much as there is room for. Returns the number of bytes.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, or the transport is full; `BrokenPipe` if nothing is taken any more.
    pub(crate) fn send(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut waiting = self.line.waiting.lock();
        if waiting.over {
            // The sink ended during this write: what was taken before it may be gone.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = waiting.room();
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = waiting.content.push(buffers, room);
        self.list(waiting);
        Ok(written)
    }

    /// Have [`Sink::writable`] called once there is room. False if there is some again.
    pub(crate) fn watch(&self, sink: &Arc<Sink>) -> bool {
        let mut waiting = self.line.waiting.lock();
        if waiting.room() > 0 {
            return false;
        }
        waiting.refused = Some(Arc::downgrade(sink));
        if !waiting.paused {
            self.relays.behind.store(true, Ordering::Release);
        }
        true
    }

    /// The transport is full: nothing is taken.
    pub(crate) fn pause(&self) {
        self.line.waiting.lock().paused = true;
    }

    /// The transport takes bytes again. Returns whether somebody was refused and has to go on.
    pub(crate) fn resume(&self) -> bool {
        let mut waiting = self.line.waiting.lock();
        waiting.paused = false;
        if waiting.room() == 0 {
            // Whoever empties it tells the sink.
            if waiting.refused.is_some() {
                self.relays.behind.store(true, Ordering::Release);
            }
            self.list(waiting);
            return false;
        }
        let is_refused = waiting.refused.take().is_some();
        if !waiting.content.is_empty() {
            self.list(waiting);
        }
        is_refused
    }

    /// Have the transport closed behind what has been taken.
    pub(crate) fn close(&self) {
        self.part(Parting::Close);
    }

    /// Have the transport cut off.
    pub(crate) fn abort(&self) {
        self.part(Parting::Abort);
    }

    fn part(&self, parting: Parting) {
        let mut waiting = self.line.waiting.lock();
        if mem::replace(&mut waiting.over, true) {
            return;
        }
        if parting != Parting::Close {
            drop(waiting.content.take());
        }
        waiting.refused = None;
        waiting.parting = Some(parting);
        self.list(waiting);
    }

    fn list(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let is_first = self.relays.list(&self.line, &mut waiting);
        drop(waiting);
        if is_first {
            self.relays.on_listed.notify();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.part(Parting::Forget);
    }
}

impl Waiting {
    fn room(&self) -> usize {
        if self.paused { 0 } else { MAX_RELAYED_BYTES.saturating_sub(self.content.len()) }
    }
}

impl Content {
    /// Take as much as there is room for; of messages, those that begin in it. Returns the number of bytes.
    fn push(&mut self, buffers: &[IoSlice<'_>], mut room: usize) -> usize {
        let offered = buffers.iter().map(|buffer| buffer.len()).sum::<usize>();
        match self {
            Self::Bytes(bytes) => {
                let before = bytes.len();
                bytes.reserve(room.min(offered));
                for buffer in buffers {
                    let count = room.min(buffer.len());
                    bytes.extend_from_slice(&buffer[..count]);
                    room -= count;
                }
                bytes.len() - before
            }
            Self::Messages(messages) => {
                let (max_bytes, mut written) = (messages.message_bytes() + room, 0);
                for buffer in buffers {
                    // Frames lie in one buffer each, and none is ever taken in part.
                    let count = messages.push(buffer, max_bytes);
                    written += count;
                    if count < buffer.len() {
                        break;
                    }
                }
                written
            }
        }
    }

    fn take(&mut self) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Bytes(mem::take(bytes)),
            Self::Messages(messages) => Self::Messages(messages.take()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Messages(messages) => messages.message_bytes(),
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Messages(messages) => messages.is_empty(),
        }
    }
}
