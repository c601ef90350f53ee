//! The core's side of what the event loop writes for it: how the loop is woken, what it takes, and how a thread that
//! runs ahead of it has it catch up.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, ThreadId};

use parking_lot::Mutex;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::frame::Encoding;
use crate::relay::{Content, Parting, Relays, Taken};
use crate::stream::Notify;

/// The key, what waits for it, what becomes of it, and what a close frame says that is a message's.
pub(super) type Item<'py> = (u64, Bound<'py, PyAny>, Option<&'static str>, Option<(Option<u16>, String)>);

/// A pipe whose reading end turns readable when the loop has something to look at.
#[derive(Debug)]
pub(super) struct WakePipe {
    /// Watched by the event loop.
    reader: OwnedFd,
    /// Written by any thread. Non-blocking: a full pipe is readable already.
    writer: OwnedFd,
}

impl WakePipe {
    pub(super) fn new() -> PyResult<Arc<Self>> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(Arc::new(Self { reader, writer }))
    }

    pub(super) fn fd(&self) -> i32 {
        self.reader.as_raw_fd()
    }
}

impl Notify for WakePipe {
    fn notify(&self) {
        // A full pipe wakes the reader as well; there is no other error while both ends are open.
        let _ = rustix::io::write(&self.writer, &[0]);
    }
}

/// Who writes what is relayed.
struct Writes {
    /// The loop's: transports belong to it.
    thread: ThreadId,
    /// Writes once, and tells whether there was anything.
    write: Py<PyAny>,
}

/// The relays of a core, and the loop that they go to.
pub(super) struct Relaying {
    /// What waits for it.
    pub(super) relays: Arc<Relays>,
    /// How it learns that something does.
    pub(super) wake: Arc<WakePipe>,
    /// `None` until it has said how, and after it has stopped.
    writes: Mutex<Option<Writes>>,
}

impl Relaying {
    pub(super) fn new() -> PyResult<Arc<Self>> {
        let wake = WakePipe::new()?;
        let relays = Relays::new(Arc::clone(&wake) as Arc<dyn Notify>);
        Ok(Arc::new(Self { relays, wake, writes: Mutex::new(None) }))
    }

    /// Have `write` called on this thread, whenever something here runs ahead.
    pub(super) fn write_with(&self, write: Option<Py<PyAny>>) {
        let writes = write.map(|write| Writes { thread: thread::current().id(), write });
        // What it replaces is dropped after the lock: that may run Python.
        let _before = std::mem::replace(&mut *self.writes.lock(), writes);
    }

    /// What the loop has to write now.
    pub(super) fn take<'py>(&self, py: Python<'py>) -> PyResult<Vec<Item<'py>>> {
        let taken = py.detach(|| self.relays.take());
        taken.into_iter().map(|taken| item(py, taken)).collect()
    }

    /// Let the loop write before more is put behind what it has not written yet: no client is to count as slow because
    /// the loop is busy. On the loop's own thread that is done here.
    pub(super) fn catch_up(&self, py: Python<'_>) {
        if !self.relays.is_behind() {
            return;
        }
        let write = {
            let writes = self.writes.lock();
            let own = writes.as_ref().filter(|writes| writes.thread == thread::current().id());
            own.map(|writes| writes.write.clone_ref(py))
        };
        let Some(write) = write else {
            // The loop's thread gets the interpreter, if that is what it waits for.
            py.detach(thread::yield_now);
            return;
        };
        while self.relays.is_behind() {
            match write.call0(py).and_then(|wrote| wrote.is_truthy(py)) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    // Not the fault of what the caller sends.
                    error.write_unraisable(py, None);
                    return;
                }
            }
        }
    }
}

fn item<'py>(py: Python<'py>, taken: Taken) -> PyResult<Item<'py>> {
    let Taken { key, content, parting } = taken;
    let parting = parting.map(name);
    Ok(match content {
        Content::Bytes(bytes) => (key, PyBytes::new(py, &bytes).into_any(), parting, None),
        Content::Messages(messages) => {
            let list = PyList::empty(py);
            for message in messages.iter() {
                match messages.encoding {
                    // What an application has written past the encoder may be no UTF-8: the others are not to suffer.
                    Encoding::Json => list.append(PyString::new(py, &String::from_utf8_lossy(message)))?,
                    Encoding::Msgpack => list.append(PyBytes::new(py, message))?,
                }
            }
            (key, list.into_any(), parting, messages.close)
        }
    })
}

fn name(parting: Parting) -> &'static str {
    match parting {
        Parting::Close => "close",
        Parting::Abort => "abort",
        Parting::Forget => "forget",
    }
}
