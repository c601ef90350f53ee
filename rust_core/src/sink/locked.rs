//! The sink's lock, and what is put off until it is let go: no system call is made under it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::{Cursor, EndReason, Sink, State};
use crate::outlet::Outlet;
use crate::sync::MutexGuard;

/// A sink's state, locked. The fields are dropped in their order: the lock is let go first, then what was put off is done.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    /// What is locked.
    state: MutexGuard<'a, State>,
    /// Its events come from here no more. This may be the last reference to the stream, and to other sinks by that.
    released: Option<Cursor>,
    /// Its close frame is to be out in time.
    deadline: Option<Deadline>,
    /// Its outlet is to be let go.
    left: Option<Left>,
}

/// How an outlet is left.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leave {
    /// As it is: somebody else ends it.
    Open,
    /// What was written still goes out, and the peer may answer.
    WritingShut,
    /// At once.
    BothShut,
}

/// A sink that has a time to be out with its close frame. Where nobody can wait for that, as the writer thread has
/// ended, it ends now, perhaps without the frame.
#[derive(Debug)]
struct Deadline(Arc<Sink>);

/// An outlet that its sink has no use for any more.
#[derive(Debug)]
struct Left(Arc<Outlet>, Leave);

impl Sink {
    pub(super) fn lock(&self) -> Locked<'_> {
        Locked { state: self.state.lock(), released: None, deadline: None, left: None }
    }
}

impl Locked<'_> {
    /// Deliver no more events.
    pub(super) fn release_cursor(&mut self) {
        if let Some(cursor) = self.cursor.take() {
            cursor.stream.note_detached(cursor.form);
            self.released = Some(cursor);
        }
    }

    /// Have the writer thread end the sink if its close frame is not out in time.
    pub(super) fn watch_close(&mut self, sink: &Arc<Sink>) {
        self.deadline = Some(Deadline(Arc::clone(sink)));
    }

    /// Nothing goes out any more, and nothing is accepted.
    pub(super) fn end(&mut self, reason: EndReason, how: Leave) {
        self.release_cursor();
        self.outbox.clear();
        self.ended.get_or_insert(reason);
        if let Some(outlet) = self.outlet.take() {
            self.left = Some(Left(outlet, how));
        }
    }
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if !self.0.writer.watch_close(&self.0) {
            self.0.close_timed_out();
        }
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        match self.1 {
            Leave::Open => {}
            Leave::WritingShut => self.0.shut_writing(),
            Leave::BothShut => self.0.shut_both(),
        }
    }
}
