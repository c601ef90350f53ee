//! One client's descriptor, with its place in a poller; leaves what to write, and when, to [`crate::sink`].

use std::io;
use std::sync::Arc;

use crate::sink::Sink;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::system::Descriptor;
use crate::writer::Writer;

/// No key: a writer counts its keys from 1.
const UNWATCHED: usize = 0;

/// A descriptor and its place in the poller of a writer thread, which end together.
#[derive(Debug)]
pub(crate) struct Socket {
    /// The core's own.
    fd: Descriptor,
    /// The thread that waits until it takes bytes.
    writer: Arc<Writer>,
    /// Names the sink in the poller; given on first use, [`UNWATCHED`] before. Only who has claimed the sink changes it.
    key: AtomicUsize,
}

impl Socket {
    /// A socket that is not watched yet.
    pub(crate) fn new(fd: Descriptor, writer: Arc<Writer>) -> Self {
        Self { fd, writer, key: AtomicUsize::new(UNWATCHED) }
    }

    /// The descriptor.
    pub(crate) fn fd(&self) -> &Descriptor {
        &self.fd
    }

    /// Call [`Sink::writable`] once, as soon as the descriptor takes bytes.
    pub(crate) fn watch(&self, sink: &Arc<Sink>) -> io::Result<()> {
        let key = self.key.load(Ordering::Acquire);
        if key != UNWATCHED {
            return self.writer.poller().add_again(&self.fd, key);
        }
        let new = self.writer.register(sink);
        let watched = self.writer.poller().add(&self.fd, new);
        match watched {
            Ok(()) => self.key.store(new, Ordering::Release),
            Err(_) => self.writer.unregister(new),
        }
        watched
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let key = *self.key.get_mut();
        if key != UNWATCHED {
            self.writer.unregister(key);
            self.writer.poller().remove(&self.fd);
        }
    }
}
