//! The sink's lock, and what is put off until it is let go: no system call is made under it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::{EndReason, Sink, State};
use crate::outlet::Outlet;
use crate::sync::MutexGuard;

/// A sink's state, locked. The fields are dropped in their order: the lock is let go first, then what was put off is done.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    /// What is locked.
    state: MutexGuard<'a, State>,
    /// Its close frame is to be out in time.
    closing: Option<Closing>,
    /// Its outlet is to be let go.
    outlet: Option<Parted>,
}

/// How an outlet is left.
#[derive(Clone, Copy, Debug)]
pub(super) enum Parting {
    /// As it is: somebody else ends it.
    LetGo,
    /// What was written still goes out, and the peer may answer.
    ShutWriting,
    /// At once.
    ShutBoth,
}

/// A sink that has a time to be out with its close frame.
#[derive(Debug)]
struct Closing(Arc<Sink>);

/// An outlet that its sink has no use for any more.
#[derive(Debug)]
struct Parted(Arc<Outlet>, Parting);

impl Sink {
    pub(super) fn lock(&self) -> Locked<'_> {
        Locked { state: self.state.lock(), closing: None, outlet: None }
    }
}

impl Locked<'_> {
    /// Have the writer thread end the sink if its close frame is not out in time.
    pub(super) fn watch_close(&mut self, sink: &Arc<Sink>) {
        self.closing = Some(Closing(Arc::clone(sink)));
    }

    /// Nothing goes out any more, and nothing is accepted.
    pub(super) fn end(&mut self, reason: EndReason, parting: Parting) {
        self.release_cursor();
        self.outbox.clear();
        self.ended.get_or_insert(reason);
        if let Some(outlet) = self.state.outlet.take() {
            self.outlet = Some(Parted(outlet, parting));
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

impl Drop for Closing {
    fn drop(&mut self) {
        if !self.0.writer.watch_close(&self.0) {
            self.0.close_timed_out();
        }
    }
}

impl Drop for Parted {
    fn drop(&mut self) {
        match self.1 {
            Parting::LetGo => {}
            Parting::ShutWriting => self.0.shut_writing(),
            Parting::ShutBoth => self.0.shut_both(),
        }
    }
}
