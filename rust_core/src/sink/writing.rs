//! One turn at a sink: claim it, write what is due without a lock, settle what its outlet took, and rest; leaves what
//! is due to [`crate::outbox`].

use std::io;
use std::sync::Arc;

use super::ending::EndReason;
use super::locked::Locked;
use super::{Cursor, Sink, State};
use crate::fanout::Batch;
use crate::outbox::{Viewer, Write};
use crate::outlet::Outlet;
use crate::stream::SlowReader;
use crate::sync::atomic::Ordering;
use crate::writer::guarded;

/// Writes that one thread makes to one socket before it lets others have a turn.
const MAX_ROUNDS: usize = if cfg!(feature = "shuttle") { 2 } else { 8 };

impl Sink {
    /// Write all that is due, as far as the socket takes it. A sweep offers its batch; without one, what is missing
    /// is cut from the ring. A panic on the way ends this sink, and nothing else.
    pub fn drive(self: &Arc<Self>, offered: Option<&Batch>) {
        if !guarded(|| self.take_turn(offered)) {
            self.fail();
        }
    }

    fn take_turn(self: &Arc<Self>, offered: Option<&Batch>) {
        loop {
            for _ in 0..MAX_ROUNDS {
                if self.write_once(offered) {
                    return;
                }
            }
            // Somebody else's turn: the writer thread goes on here after the others. If it has ended, nobody does.
            if self.writer.resume(Arc::clone(self)) {
                return;
            }
        }
    }

    /// Make one system call at most. Returns whether this thread is done with the sink.
    fn write_once(self: &Arc<Self>, offered: Option<&Batch>) -> bool {
        let mut state = self.lock();
        let Some(outlet) = self.claim(&mut state) else {
            return true;
        };
        let own = self.catch_up(&mut state, offered);
        let batch = match &own {
            Some(batch) => Some(batch),
            None => offered.filter(|batch| state.is_within(batch)),
        };
        let write = state.gather(batch);
        self.write(state, &outlet, write, batch)
    }

    /// Try to become the one who writes, and return what to. If somebody else is, what is due is not forgotten: see
    /// [`Self::rest`].
    fn claim(self: &Arc<Self>, state: &mut Locked<'_>) -> Option<Arc<Outlet>> {
        state.outlet.as_ref()?;
        if let Some(cursor) = &mut state.cursor {
            cursor.make_exact();
        }
        if state.claimed {
            return None;
        }
        if state.blocked {
            self.check_slow_reader(state);
            return None;
        }
        state.claimed = true;
        state.outlet.clone()
    }

    /// A socket that blocks has no effect on the ring; once the ring has let go what it was owed, it is too slow.
    fn check_slow_reader(self: &Arc<Self>, state: &mut Locked<'_>) {
        let Some(cursor) = &state.cursor else {
            return;
        };
        let slow = cursor.stream.slow_reader() == SlowReader::Disconnect
            && cursor.stream.has_lost(cursor.position, &cursor.connection).is_some();
        if slow {
            self.close_slow_reader(state);
        }
    }

    /// Cut a batch of its own for a connection that is behind the one that is offered, or that nothing is offered.
    fn catch_up(self: &Arc<Self>, state: &mut Locked<'_>, offered: Option<&Batch>) -> Option<Batch> {
        let State { cursor, outbox, .. } = &mut **state;
        let cursor = cursor.as_mut()?;
        let is_over = cursor.end().is_some_and(|end| cursor.position >= end);
        if is_over || offered.is_some_and(|batch| cursor.position >= batch.from()) {
            return None;
        }
        let (lost, batch) = cursor.stream.catch_up(cursor.position, &cursor.connection);
        if let Some((first, last)) = lost {
            match cursor.stream.slow_reader() {
                SlowReader::Disconnect => {
                    self.close_slow_reader(state);
                    return None;
                }
                SlowReader::Skip => {
                    cursor.stream.tally().note_skipped();
                    outbox.forget_heartbeats(last);
                    let gap = self.form.gap(&cursor.stream.config().epoch, first, last);
                    outbox.push_due(gap, cursor.position);
                    cursor.position = last;
                }
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Make the system call and settle it. Returns whether this thread is done with the sink.
    fn write<'a>(
        self: &'a Arc<Self>,
        mut state: Locked<'a>,
        outlet: &Arc<Outlet>,
        write: Write,
        batch: Option<&Batch>,
    ) -> bool {
        let result = if write.is_empty() {
            Ok(0)
        } else {
            drop(state);
            let result = outlet.send(&write.buffers(batch));
            state = self.lock();
            result
        };
        state.claimed = false;
        if state.outlet.is_none() {
            return true;
        }
        let (written, would_block) = match result {
            Ok(written) => (written, false),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (0, true),
            Err(_) => {
                // The peer is gone. The event loop learns it from the same socket and detaches the connection.
                state.shut_down(EndReason::WriteError);
                return true;
            }
        };
        state.written_bytes += written as u64;
        if written > 0
            && let Some(cursor) = &state.cursor
        {
            cursor.stream.tally().note_sent(write.events_begun(batch, written), written);
        }
        let whole = state.settle(write, batch, written);
        if would_block {
            return self.wait_for_room(state, outlet);
        }
        whole && self.rest(&mut state)
    }

    /// Have the outlet tell when it takes bytes again. The sink stays claimed until that is arranged, which takes a system
    /// call. Returns whether this thread is done with the sink.
    fn wait_for_room(self: &Arc<Self>, mut state: Locked<'_>, outlet: &Arc<Outlet>) -> bool {
        state.claimed = true;
        // Before, as it may tell at once.
        state.blocked = true;
        drop(state);
        let watched = outlet.watch(self);
        let mut state = self.lock();
        state.claimed = false;
        match watched {
            Ok(true) if state.blocked => self.check_slow_reader(&mut state),
            // It takes bytes by now: whoever was told found the sink claimed.
            Ok(_) => {
                state.blocked = false;
                return false;
            }
            Err(_) => state.shut_down(EndReason::WriteError),
        }
        true
    }

    /// Decide whether there is more to do now; if not, leave the sink at rest. Whoever came in vain since it was claimed
    /// had put something into the outbox, or came with a batch that counts as offered since before.
    fn rest(&self, state: &mut Locked<'_>) -> bool {
        if let (true, Some(reason)) = (state.outbox.is_empty(), state.closing) {
            state.finish(reason);
            return true;
        }
        let State { cursor, outbox, .. } = &mut **state;
        if let Some(cursor) = cursor {
            // Exact as it is, and driven again once that is decided.
            let is_held =
                cursor.held().is_some_and(|held| cursor.position >= held) && !outbox.is_due(cursor.position);
            if is_held {
                return true;
            }
            if !outbox.is_empty() || cursor.position < cursor.stream.offered() {
                return false;
            }
            // While it is held, sweeps pass it by whatever they are about: what they have swept says nothing of it.
            cursor.behind = cursor.held().is_some();
            return true;
        }
        outbox.is_empty()
    }
}

impl Cursor {
    /// Take the position that is right although no sweep has visited the connection.
    pub(super) fn make_exact(&mut self) {
        if !self.behind {
            // Not where an offered batch begins: that is later if the ring let go what is still owed. What is kept since
            // it is held is owed; who sees what was swept after that sees that it is held.
            let swept = self.stream.swept();
            self.position = self.position.max(self.held().map_or(swept, |held| swept.min(held)));
            self.behind = true;
        }
    }

    fn held(&self) -> Option<u64> {
        Some(self.connection.held.load(Ordering::Acquire)).filter(|&held| held != u64::MAX)
    }

    /// No event after this offset goes out for now.
    fn end(&self) -> Option<u64> {
        self.until.into_iter().chain(self.held()).min()
    }
}

impl State {
    fn is_within(&self, batch: &Batch) -> bool {
        self.cursor.as_ref().is_some_and(|cursor| cursor.position >= batch.from())
    }

    fn gather(&mut self, batch: Option<&Batch>) -> Write {
        let Some(cursor) = &self.cursor else {
            return self.outbox.gather(None, None);
        };
        let subscriptions = cursor.connection.subscriptions.lock();
        let viewer = Viewer {
            form: cursor.form,
            epoch: &cursor.stream.config().epoch,
            id: cursor.connection.id,
            subscriptions: &subscriptions,
            position: cursor.position,
            until: cursor.end().unwrap_or(u64::MAX),
        };
        self.outbox.gather(batch, Some(viewer))
    }

    fn settle(&mut self, write: Write, batch: Option<&Batch>, written: usize) -> bool {
        // A connection that was detached during the write has its position from the client when it comes back.
        let mut left_at = self.left_at.unwrap_or(u64::MAX);
        let position = self.cursor.as_mut().map_or(&mut left_at, |cursor| &mut cursor.position);
        let whole = self.outbox.settle(write, batch, written, position);
        if self.left_at.is_some() {
            self.outbox.forget_after(left_at);
        }
        whole
    }
}
