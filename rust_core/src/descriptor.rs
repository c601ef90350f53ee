//! What the type system cannot know about descriptors. Besides this module only `crate::prefetch` may use `unsafe`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use polling::{Event, Poller};

/// An own duplicate of a descriptor that somebody else owns and keeps open during the call.
///
/// # Errors
/// `EBADF` if it is not open, `EMFILE` if the process may have no more.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: it is not the value -1, and it is borrowed for the one call below; whether it is open is for the
    // system to say, and the answer owns another number.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(rustix::io::fcntl_dupfd_cloexec(borrowed, 0)?)
}

/// Have `poller` report `key` once, when `fd` takes bytes. The caller removes `fd` from the poller before it closes
/// it.
///
/// # Errors
/// If the system refuses to watch the descriptor.
pub fn watch(poller: &Poller, fd: &OwnedFd, key: usize) -> io::Result<()> {
    // SAFETY: `crate::sink` owns every descriptor that comes here together with its registration, and its `Drop`
    // removes it from the poller before the descriptor is closed.
    unsafe { poller.add(fd.as_raw_fd(), Event::writable(key)) }
}
