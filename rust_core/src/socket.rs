//! One client's descriptor, with its place in a poller; leaves what to write, and when, to [`crate::sink`].

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown, sendmsg, shutdown};

use crate::sink::Sink;
use crate::writer::{Registration, Writer};

/// A descriptor and its place in a poller; they end together, in that order.
#[derive(Debug)]
pub(crate) struct Socket {
    /// How the writer thread finds the sink when the descriptor is ready.
    registration: Registration,
    /// The core's own duplicate.
    fd: OwnedFd,
}

impl Socket {
    /// A socket that is not watched yet.
    pub(crate) fn new(fd: OwnedFd, writer: &Arc<Writer>) -> Self {
        Self { registration: Writer::registration(writer), fd }
    }

    /// The descriptor.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Write as much as the socket takes now. Returns the number of bytes.
    pub(crate) fn send(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        // CPython ignores SIGPIPE; other hosts of this crate need not.
        #[cfg(not(target_vendor = "apple"))]
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        #[cfg(target_vendor = "apple")]
        let flags = SendFlags::DONTWAIT;
        loop {
            match sendmsg(&self.fd, buffers, &mut SendAncillaryBuffer::default(), flags) {
                Err(rustix::io::Errno::INTR) => {}
                result => return result.map_err(Into::into),
            }
        }
    }

    /// Have `sink` told once the socket takes bytes again.
    pub(crate) fn watch(&self, sink: &Arc<Sink>) -> io::Result<()> {
        self.registration.watch(&self.fd, sink)
    }

    /// Write no more. The peer may still answer.
    pub(crate) fn shut_writing(&self) {
        self.shut(Shutdown::Write);
    }

    /// Write and read no more.
    pub(crate) fn shut_both(&self) {
        self.shut(Shutdown::Both);
    }

    fn shut(&self, how: Shutdown) {
        // An error means that the peer was faster: the socket is not connected any more.
        let _ = shutdown(&self.fd, how);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.registration.forget(&self.fd);
    }
}
