//! Where the bytes of one sink go: its own socket, or a relay to the event loop. All that a sink does is the same for
//! both; what is different is behind these few methods.

use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::relay::Relay;
use crate::sink::Sink;
use crate::socket::Socket;
use crate::system::Descriptor;

/// Takes the bytes of one sink, one write at a time.
#[derive(Debug)]
pub(crate) enum Outlet {
    /// The core writes by itself.
    Socket(Socket),
    /// The event loop writes what the core hands over.
    Relay(Relay),
}

impl Outlet {
    /// Take as much as goes now, without waiting. Returns the number of bytes.
    ///
    /// # Errors
    /// `WouldBlock` if nothing goes; any other if nothing ever will.
    pub(crate) fn send(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.fd().send(buffers),
            Self::Relay(relay) => relay.send(buffers),
        }
    }

    /// Call [`Sink::writable`] once, as soon as something goes. False if it does by now: nobody calls then.
    ///
    /// # Errors
    /// If the system refuses to watch the descriptor.
    pub(crate) fn watch(&self, sink: &Arc<Sink>) -> io::Result<bool> {
        match self {
            Self::Socket(socket) => socket.watch(sink).map(|()| true),
            Self::Relay(relay) => Ok(relay.watch(sink)),
        }
    }

    /// Take nothing more; what was taken still goes out.
    pub(crate) fn shut_writing(&self) {
        match self {
            Self::Socket(socket) => socket.fd().shut_writing(),
            // There is no half of a transport to close. It tells its peer so, and reads on until the peer has closed too.
            Self::Relay(relay) => relay.close(),
        }
    }

    /// Take nothing more, and end.
    pub(crate) fn shut_both(&self) {
        match self {
            Self::Socket(socket) => socket.fd().shut_both(),
            Self::Relay(relay) => relay.abort(),
        }
    }

    /// The relay, if it is one.
    pub(crate) fn relay(&self) -> Option<&Relay> {
        match self {
            Self::Relay(relay) => Some(relay),
            Self::Socket(_) => None,
        }
    }

    /// The descriptor, if there is one.
    pub(crate) fn fd(&self) -> Option<&Descriptor> {
        match self {
            Self::Socket(socket) => Some(socket.fd()),
            Self::Relay(_) => None,
        }
    }
}
