//! The Python module `ringcast._core`, and `Core` in it: with the files below the only one that knows PyO3. Documented
//! in `_core.pyi`.

mod filter;
mod relaying;
mod sink;
mod stream;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::descriptor;
use crate::frame::{Encoding, Form};
use crate::messages::Packing;
use crate::ring::Limits;
use crate::sink::Sink;
use crate::stream::{Notify, SlowReader, Stream, StreamConfig};
use crate::writer::Writer;
use relaying::{Relaying, WakePipe};
use sink::PySink;
use stream::PyStream;
use tally::PyTally;

/// The native core of Ringcast.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::{PyCore, PySink, PyStream, PyTally};

    #[pymodule_export]
    use super::filter::{PyAttributes, PyFilter, PyListened};

    #[pymodule_export]
    use super::{run_limit, run_load};

    #[pymodule_export]
    const BUILD_PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };
}

/// Most writer threads: more than a machine has cores helps nobody.
const MAX_WRITER_THREADS: usize = 64;

/// Longest time that a socket may delay a close, in seconds: a day, which is as good as for ever.
const MAX_CLOSE_TIMEOUT_S: f64 = 86_400.0;

/// Smallest ring: one event of the largest size that clients may send, and room beside it.
const MIN_RING_BYTES: usize = 1024;

/// Compressing less than this does not let go of the interpreter: that takes a few microseconds, and getting it back
/// from a busy thread some milliseconds.
const MIN_DETACHED_BYTES: usize = 4096;

/// Highest offset that a stream may go on after. On the wire offsets are below 2^63: as many again are left to count on.
const MAX_BASE: u64 = 1 << 62;

#[pyclass(name = "Core", frozen)]
struct PyCore {
    writers: Vec<Arc<Writer>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    wake: Arc<WakePipe>,
    relaying: Arc<Relaying>,
    max_unswept_bytes: usize,
    compress_min_bytes: u32,
    next_stream: AtomicU32,
    next_writer: AtomicUsize,
}

#[pymethods]
impl PyCore {
    #[new]
    #[pyo3(signature = (
        *, writer_threads = 1, max_unswept_bytes = 131_072, close_timeout_s = 5.0, compress_min_bytes = 256
    ))]
    fn new(
        writer_threads: usize,
        max_unswept_bytes: usize,
        close_timeout_s: f64,
        compress_min_bytes: usize,
    ) -> PyResult<Self> {
        if !(1..=MAX_WRITER_THREADS).contains(&writer_threads) {
            return Err(PyValueError::new_err(format!("writer_threads must be 1 to {MAX_WRITER_THREADS}")));
        }
        if !(0.0..=MAX_CLOSE_TIMEOUT_S).contains(&close_timeout_s) {
            return Err(PyValueError::new_err(format!("close_timeout_s must be 0 to {MAX_CLOSE_TIMEOUT_S}")));
        }
        let close_timeout = Duration::from_secs_f64(close_timeout_s);
        let writers = (0..writer_threads)
            .map(|_| Writer::new(close_timeout))
            .collect::<Result<Vec<_>, _>>()
            .map_err(PyOSError::new_err)?;
        // Before the threads are started: dropping it stops those that run already.
        let core = Self {
            writers,
            threads: Mutex::default(),
            wake: WakePipe::new()?,
            relaying: Relaying::new()?,
            max_unswept_bytes,
            // No message is longer than that.
            compress_min_bytes: u32::try_from(compress_min_bytes).unwrap_or(u32::MAX),
            next_stream: AtomicU32::new(1),
            next_writer: AtomicUsize::new(0),
        };
        for (index, writer) in core.writers.iter().enumerate() {
            let thread = writer.start(format!("ringcast-{index}")).map_err(PyOSError::new_err)?;
            core.threads.lock().push(thread);
        }
        Ok(core)
    }

    #[pyo3(signature = (
        epoch, *, max_events = 8192, max_bytes = 8_388_608, slow_reader = "disconnect", base = 0, tally = None
    ))]
    fn open_stream(
        &self,
        epoch: String,
        max_events: usize,
        max_bytes: usize,
        slow_reader: &str,
        base: u64,
        tally: Option<&PyTally>,
    ) -> PyResult<PyStream> {
        let slow_reader = match slow_reader {
            "disconnect" => SlowReader::Disconnect,
            "skip" => SlowReader::Skip,
            _ => return Err(PyValueError::new_err("slow_reader must be 'disconnect' or 'skip'")),
        };
        if max_events == 0 || max_bytes < MIN_RING_BYTES {
            return Err(PyValueError::new_err(format!(
                "a ring holds at least one event and {MIN_RING_BYTES} bytes"
            )));
        }
        if base > MAX_BASE {
            return Err(PyValueError::new_err(format!("base is above {MAX_BASE}")));
        }
        let config = StreamConfig {
            id: self.next_stream.fetch_add(1, Ordering::Relaxed),
            epoch,
            limits: Limits { max_events, max_bytes },
            slow_reader,
            max_unswept_bytes: self.max_unswept_bytes,
            min_deflated_bytes: self.compress_min_bytes as usize,
            base,
        };
        let writer = self.next_writer();
        let counts = match tally.map(|tally| tally.by_writer.get(writer)) {
            None => Arc::default(),
            Some(Some(counts)) => Arc::clone(counts),
            Some(None) => return Err(PyValueError::new_err("the tally is of another core")),
        };
        let on_swept = Arc::clone(&self.wake) as Arc<dyn Notify>;
        let stream = Stream::counted(config, Arc::clone(&self.writers[writer]), on_swept, counts);
        Ok(PyStream::new(stream, Arc::clone(&self.relaying)))
    }

    #[pyo3(signature = (fd, encoding, compressed = false))]
    fn open_sink(&self, fd: i32, encoding: usize, compressed: bool) -> PyResult<PySink> {
        let form = parse_form(encoding, compressed)?;
        let own = descriptor::duplicate(fd)?;
        Ok(PySink::new(Sink::with_form(own, form, self.compress_min_bytes, self.writer()), None))
    }

    #[pyo3(signature = (key, encoding, compressed = false))]
    fn open_relayed_sink(&self, key: u64, encoding: usize, compressed: bool) -> PyResult<PySink> {
        Ok(self.relayed(key, parse_form(encoding, compressed)?))
    }

    fn open_event_stream(&self, fd: i32) -> PyResult<PySink> {
        let own = descriptor::duplicate(fd)?;
        Ok(PySink::new(Sink::with_form(own, Form::EVENT_STREAM, 0, self.writer()), None))
    }

    fn open_relayed_event_stream(&self, key: u64) -> PySink {
        self.relayed(key, Form::EVENT_STREAM)
    }

    #[pyo3(signature = (key, encoding, joined = false))]
    fn open_message_sink(&self, key: u64, encoding: usize, joined: bool) -> PyResult<PySink> {
        let packing = if joined { Packing::Joined } else { Packing::Single };
        let relays = &self.relaying.relays;
        let sink = Sink::messages(relays, key, parse_encoding(encoding)?, packing, self.writer());
        Ok(PySink::new(sink, Some(Arc::clone(&self.relaying))))
    }

    fn open_tally(&self) -> PyTally {
        PyTally::new(self.writers.len())
    }

    fn write_relayed_with(&self, write: Option<Py<PyAny>>) {
        self.relaying.write_with(write);
    }

    fn take_relayed<'py>(&self, py: Python<'py>) -> PyResult<Vec<relaying::Item<'py>>> {
        self.relaying.take(py)
    }

    #[getter]
    fn relay_fd(&self) -> i32 {
        self.relaying.wake.fd()
    }

    #[getter]
    fn wake_fd(&self) -> i32 {
        self.wake.fd()
    }

    fn close(&self, py: Python<'_>) {
        let threads = std::mem::take(&mut *self.threads.lock());
        self.writers.iter().for_each(|writer| writer.stop());
        // A panic in a writer thread was caught there: joining cannot fail for another reason.
        py.detach(|| threads.into_iter().for_each(|thread| drop(thread.join())));
    }
}

impl PyCore {
    fn writer(&self) -> Arc<Writer> {
        Arc::clone(&self.writers[self.next_writer()])
    }

    fn next_writer(&self) -> usize {
        self.next_writer.fetch_add(1, Ordering::Relaxed) % self.writers.len()
    }

    fn relayed(&self, key: u64, form: Form) -> PySink {
        let relays = &self.relaying.relays;
        let sink = Sink::relayed(relays, key, form, self.compress_min_bytes, self.writer());
        PySink::new(sink, Some(Arc::clone(&self.relaying)))
    }
}

impl Drop for PyCore {
    fn drop(&mut self) {
        // Without `close`, the threads end by themselves once they have nothing to do.
        self.writers.iter().for_each(|writer| writer.stop());
    }
}

fn parse_form(encoding: usize, compressed: bool) -> PyResult<Form> {
    let encoding = parse_encoding(encoding)?;
    Ok(if compressed { Form::deflated(encoding) } else { Form::from(encoding) })
}

fn parse_encoding(index: usize) -> PyResult<Encoding> {
    Encoding::from_index(index)
        .ok_or_else(|| PyValueError::new_err("encoding must be 0 (JSON) or 1 (MessagePack)"))
}

/// An exception of `ringcast.errors`, by name.
fn error(py: Python<'_>, class: &str, message: &str) -> PyErr {
    let raised = py
        .import("ringcast.errors")
        .and_then(|module| module.getattr(class))
        .and_then(|class| class.call1((message,)));
    match raised {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

// What `ringcast bench` measures with: programs of the load's crate, in processes of their own.

#[pyfunction]
fn run_load(py: Python<'_>) -> PyResult<()> {
    Ok(py.detach(ringcast_load::program::run_load)?)
}

#[pyfunction]
fn run_limit(py: Python<'_>) -> PyResult<()> {
    Ok(py.detach(ringcast_load::program::run_limit)?)
}
