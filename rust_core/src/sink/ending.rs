//! Every way in which a sink ends; leaves what is written before to [`crate::sink`].

use std::sync::Arc;

use super::Sink;
use super::locked::{Leave, Locked};

/// The close code for a reader that lost events because it was too slow; `CloseCode.SLOW_READER` in Python.
pub const CLOSE_SLOW_READER: u16 = 4502;

/// Why a sink takes nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// A close frame was written.
    Closed,
    /// The owner let go of the socket.
    Dropped,
    /// The client read too slowly and lost events.
    SlowReader,
    /// The socket did not take the close frame in time.
    CloseTimeout,
    /// The socket failed.
    WriteError,
}

impl EndReason {
    /// The name that Python sees.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Dropped => "dropped",
            Self::SlowReader => "slow_reader",
            Self::CloseTimeout => "close_timeout",
            Self::WriteError => "write_error",
        }
    }
}

impl Sink {
    /// Queue a close frame behind everything, accept nothing more, and end when it is out or the time is up.
    pub fn close(self: &Arc<Self>, code: Option<u16>, reason: &str) {
        {
            let mut state = self.lock();
            if state.closing.is_some() || state.ended.is_some() {
                return;
            }
            let mut after = 0;
            if let Some(cursor) = &mut state.cursor {
                after = cursor.stream.head();
                cursor.until = Some(after);
            }
            state.outbox.push(self.form.close(code, reason), after);
            state.closing = Some(EndReason::Closed);
        }
        let watched = self.writer.watch_close(self);
        self.drive(None);
        if !watched {
            self.close_timed_out();
        }
    }

    pub(super) fn close_slow_reader(self: &Arc<Self>, state: &mut Locked<'_>) {
        // What the client has lost cannot be made good here: it comes back, and is told of the gap.
        let position = state.cursor.as_ref().map_or(0, |cursor| cursor.position);
        let closes_already = state.closing.is_some();
        if let (Some(cursor), false) = (&state.cursor, closes_already) {
            cursor.stream.tally().note_disconnected();
        }
        state.release_cursor();
        if !closes_already {
            state.outbox.push(self.form.close(Some(CLOSE_SLOW_READER), "slow_reader"), 0);
            state.closing = Some(EndReason::SlowReader);
            state.watch_close(self);
        }
        // An answer does not overtake the events before it: the client asks for it again. The close frame is due now.
        state.outbox.forget_after(position);
        state.left_at = Some(position);
    }

    /// Let go of the socket now.
    pub fn drop_socket(&self) {
        self.lock().end(EndReason::Dropped, Leave::Open);
    }

    /// The time for a close is up: shut the socket down if the close frame is still not out.
    pub fn close_timed_out(&self) {
        let mut state = self.lock();
        if let Some(reason) = state.closing {
            let reason = if reason == EndReason::Closed { EndReason::CloseTimeout } else { reason };
            state.shut_down(reason);
        }
    }

    /// End a sink of which nobody knows what its socket got.
    pub(crate) fn fail(&self) {
        self.lock().shut_down(EndReason::WriteError);
    }
}

impl Locked<'_> {
    /// End after the close frame is out. The peer has still to answer it, so only the writing side is shut down.
    pub(super) fn finish(&mut self, reason: EndReason) {
        self.end(reason, Leave::WritingShut);
    }

    /// End at once. The event loop reads the end of the stream from its own descriptor and cleans up.
    pub(super) fn shut_down(&mut self, reason: EndReason) {
        self.end(reason, Leave::BothShut);
    }
}
