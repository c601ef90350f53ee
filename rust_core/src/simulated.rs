//! Sockets and a poller in memory, for tests under the model checker; the types of `crate::system` by other means.
//!
//! Every access is a point at which another thread may go on, and a thread that makes one while it holds a lock panics.
//! Time does not pass: what would wait for a deadline waits until it is notified.

use std::io::{self, IoSlice, Read};
use std::mem;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, expect_no_lock};

/// What is on its way from a [`Descriptor`] to its [`Peer`].
#[derive(Debug, Default)]
struct Pipe {
    /// Written and not read yet.
    bytes: Vec<u8>,
    /// Most bytes in it.
    capacity: usize,
    /// Nothing is written any more.
    shut: bool,
    /// Nothing is read any more.
    deaf: bool,
    /// The next write panics.
    broken: bool,
    /// The next watch is refused.
    unwatchable: bool,
    /// A poller knows the descriptor.
    watched: bool,
    /// Whom to tell, and with which key, when there is room.
    watch: Option<(Arc<Watch>, usize)>,
}

impl Pipe {
    fn takes_bytes(&self) -> bool {
        self.shut || self.deaf || self.bytes.len() < self.capacity
    }

    fn tell(&mut self) {
        if self.takes_bytes()
            && let Some((watch, key)) = self.watch.take()
        {
            watch.tell(|found| found.keys.push(key));
        }
    }
}

/// A pipe with both its ends.
#[derive(Debug)]
struct Shared {
    /// What is in it.
    pipe: Mutex<Pipe>,
    /// Notified when the reader may find something new.
    readable: Condvar,
}

/// The core's end of a socket.
#[derive(Debug)]
pub struct Descriptor(Arc<Shared>);

/// The client's end of a socket. Reading blocks, and comes to an end when the other one is shut or gone.
#[derive(Debug)]
pub struct Peer(Arc<Shared>);

/// A socket that holds `capacity` bytes that the client has not read.
#[must_use]
pub fn pair(capacity: usize) -> (Descriptor, Peer) {
    let pipe = Mutex::new(Pipe { capacity, ..Pipe::default() });
    let shared = Arc::new(Shared { pipe, readable: Condvar::new() });
    (Descriptor(Arc::clone(&shared)), Peer(shared))
}

impl Descriptor {
    /// Write as much as there is room for. Returns the number of bytes.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room, `BrokenPipe` if nobody reads.
    pub fn send(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        expect_no_lock();
        let mut pipe = self.0.pipe.lock();
        assert!(!mem::take(&mut pipe.broken), "a socket fails: this test wants it to");
        if pipe.shut || pipe.deaf {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = pipe.capacity - pipe.bytes.len();
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let before = pipe.bytes.len();
        let bytes = buffers.iter().flat_map(|buffer| buffer.iter().copied());
        pipe.bytes.extend(bytes.take(room));
        self.0.readable.notify_all();
        Ok(pipe.bytes.len() - before)
    }

    /// Write no more.
    pub fn shut_writing(&self) {
        expect_no_lock();
        let mut pipe = self.0.pipe.lock();
        pipe.shut = true;
        pipe.tell();
        self.0.readable.notify_all();
    }

    /// The same: there is one direction.
    pub fn shut_both(&self) {
        self.shut_writing();
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.shut_writing();
        let is_watched = self.0.pipe.lock().watched;
        assert!(!is_watched || thread::panicking(), "a descriptor is closed that a poller knows");
    }
}

impl Peer {
    /// Have the next write panic.
    pub fn break_next_write(&self) {
        self.0.pipe.lock().broken = true;
    }

    /// Have the next watch refused.
    pub fn refuse_next_watch(&self) {
        self.0.pipe.lock().unwatchable = true;
    }
}

impl Read for Peer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.0.pipe.lock();
        while pipe.bytes.is_empty() && !pipe.shut {
            self.0.readable.wait(&mut pipe);
        }
        let count = into.len().min(pipe.bytes.len());
        into[..count].copy_from_slice(&pipe.bytes[..count]);
        pipe.bytes.drain(..count);
        pipe.tell();
        Ok(count)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let mut pipe = self.0.pipe.lock();
        pipe.deaf = true;
        pipe.tell();
    }
}

/// What a poller waits for.
#[derive(Debug, Default)]
struct Watch {
    /// What there is to find.
    found: Mutex<Found>,
    /// Notified when that is something.
    changed: Condvar,
}

/// What a look at a poller will find.
#[derive(Debug, Default)]
struct Found {
    /// Keys of descriptors that take bytes.
    keys: Vec<usize>,
    /// Somebody called [`Poller::notify`].
    notified: bool,
}

impl Watch {
    fn tell(&self, change: impl FnOnce(&mut Found)) {
        change(&mut self.found.lock());
        self.changed.notify_all();
    }
}

/// Tells which of the watched descriptors take bytes.
#[derive(Debug)]
pub struct Poller(Arc<Watch>);

/// What one look at a poller found.
#[derive(Debug, Default)]
pub struct Ready(Vec<usize>);

impl Ready {
    /// Any number of descriptors.
    #[must_use]
    pub fn with_capacity(_: NonZeroUsize) -> Self {
        Self::default()
    }

    /// The keys of the descriptors that take bytes.
    pub fn keys(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().copied()
    }
}

impl Poller {
    /// A poller that watches nothing.
    ///
    /// # Errors
    /// Never.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::default()))
    }

    /// Wait until a watched descriptor takes bytes or somebody calls [`Self::notify`]. Only a timeout of zero ends the
    /// wait.
    ///
    /// # Errors
    /// Never.
    pub fn wait(&self, ready: &mut Ready, timeout: Option<Duration>) -> io::Result<()> {
        expect_no_lock();
        let mut found = self.0.found.lock();
        while timeout != Some(Duration::ZERO) && found.keys.is_empty() && !found.notified {
            self.0.changed.wait(&mut found);
        }
        found.notified = false;
        ready.0 = mem::take(&mut found.keys);
        Ok(())
    }

    /// Wake the one who waits, or who waits next.
    pub fn notify(&self) {
        expect_no_lock();
        self.0.tell(|found| found.notified = true);
    }

    /// Report `key` once, as soon as `fd` takes bytes.
    ///
    /// # Errors
    /// If a test wants it to be refused.
    pub fn add(&self, fd: &Descriptor, key: usize) -> io::Result<()> {
        expect_no_lock();
        let mut pipe = fd.0.pipe.lock();
        if mem::take(&mut pipe.unwatchable) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        pipe.watched = true;
        pipe.watch = Some((Arc::clone(&self.0), key));
        pipe.tell();
        Ok(())
    }

    /// The same again.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_again(&self, fd: &Descriptor, key: usize) -> io::Result<()> {
        self.add(fd, key)
    }

    /// Stop watching.
    pub fn remove(&self, fd: &Descriptor) {
        expect_no_lock();
        let mut pipe = fd.0.pipe.lock();
        (pipe.watch, pipe.watched) = (None, false);
    }
}
