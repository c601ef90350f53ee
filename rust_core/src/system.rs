//! What the core asks of the operating system: descriptors that take bytes, and a poller that tells when they do.
//!
//! The `shuttle` feature puts `crate::simulated` in its place, which has the same types in memory.

use std::io::{self, IoSlice};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use polling::{Event, Events};
use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown, send, sendmsg, shutdown};

use crate::descriptor;

/// An own descriptor of a socket.
#[derive(Debug)]
pub struct Descriptor(OwnedFd);

impl From<OwnedFd> for Descriptor {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Descriptor {
    /// Write as much as the socket takes now. Returns the number of bytes.
    ///
    /// # Errors
    /// `WouldBlock` if it takes nothing; any other if it never will.
    pub fn send(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        // CPython ignores SIGPIPE; other hosts of this crate need not.
        #[cfg(not(target_vendor = "apple"))]
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        #[cfg(target_vendor = "apple")]
        let flags = SendFlags::DONTWAIT;
        loop {
            let sent = match buffers {
                // Nearly all there is. The kernel has no list of buffers to copy first.
                [one] => send(&self.0, one, flags),
                several => sendmsg(&self.0, several, &mut SendAncillaryBuffer::default(), flags),
            };
            match sent {
                Err(rustix::io::Errno::INTR) => {}
                result => return result.map_err(Into::into),
            }
        }
    }

    /// Write no more. The peer may still answer.
    pub fn shut_writing(&self) {
        self.shut(Shutdown::Write);
    }

    /// Write and read no more.
    pub fn shut_both(&self) {
        self.shut(Shutdown::Both);
    }

    fn shut(&self, how: Shutdown) {
        // An error means that the peer was faster: the socket is not connected any more.
        let _ = shutdown(&self.0, how);
    }
}

/// Tells which of the watched descriptors take bytes.
#[derive(Debug)]
pub struct Poller(polling::Poller);

/// What one look at a poller found.
#[derive(Debug)]
pub struct Ready(Events);

impl Ready {
    /// Room for that many descriptors.
    #[must_use]
    pub fn with_capacity(capacity: NonZeroUsize) -> Self {
        Self(Events::with_capacity(capacity))
    }

    /// The keys of the descriptors that take bytes.
    pub fn keys(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|event| event.key)
    }
}

impl Poller {
    /// A poller that watches nothing.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn new() -> io::Result<Self> {
        polling::Poller::new().map(Self)
    }

    /// Wait until a watched descriptor takes bytes, somebody calls [`Self::notify`], or the time is up.
    ///
    /// # Errors
    /// If the wait was interrupted.
    pub fn wait(&self, ready: &mut Ready, timeout: Option<Duration>) -> io::Result<()> {
        ready.0.clear();
        self.0.wait(&mut ready.0, timeout).map(drop)
    }

    /// Wake the one who waits, or who waits next.
    pub fn notify(&self) {
        // It can only fail for a poller that is gone.
        let _ = self.0.notify();
    }

    /// Report `key` once, as soon as `fd` takes bytes.
    ///
    /// # Errors
    /// If the system refuses to watch the descriptor.
    pub fn add(&self, fd: &Descriptor, key: usize) -> io::Result<()> {
        descriptor::watch(&self.0, &fd.0, key)
    }

    /// The same again, for a descriptor that was added before.
    ///
    /// # Errors
    /// If the system refuses to watch the descriptor.
    pub fn add_again(&self, fd: &Descriptor, key: usize) -> io::Result<()> {
        self.0.modify(&fd.0, Event::writable(key))
    }

    /// Stop watching; must be called before `fd` is closed.
    pub fn remove(&self, fd: &Descriptor) {
        // The poller refuses only a descriptor that it does not know.
        let _ = self.0.delete(&fd.0);
    }
}
