//! The Python module `ringcast._core`: the only file that knows PyO3. Documented in `_core.pyi`.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::audience::Audience;
use crate::connection::{Connection, ConnectionId};
use crate::descriptor;
use crate::frame::{self, Encoding, Form, Opcode};
use crate::ring::Limits;
use crate::sink::Sink;
use crate::stream::{Gone, Notify, PublishError, SlowReader, Stream, StreamConfig};
use crate::writer::Writer;

/// The native core of Ringcast.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::{PyCore, PySink, PyStream};

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

/// A pipe whose reading end turns readable when somebody has to look at `swept`.
#[derive(Debug)]
struct WakePipe {
    /// Watched by the event loop.
    reader: OwnedFd,
    /// Written by the writer threads. Non-blocking: a full pipe is readable already.
    writer: OwnedFd,
}

impl Notify for WakePipe {
    fn notify(&self) {
        // A full pipe wakes the reader as well; there is no other error while both ends are open.
        let _ = rustix::io::write(&self.writer, &[0]);
    }
}

#[pyclass(name = "Core", frozen)]
struct PyCore {
    writers: Vec<Arc<Writer>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    wake: Arc<WakePipe>,
    max_unswept_bytes: usize,
    compress_min_bytes: u32,
    next_stream: AtomicU32,
    next_writer: AtomicUsize,
}

#[pymethods]
impl PyCore {
    #[new]
    #[pyo3(signature = (
        *, writer_threads = 1, max_unswept_bytes = 262_144, close_timeout_s = 5.0, compress_min_bytes = 256
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
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .map_err(|error| PyOSError::new_err(error.to_string()))?;
        // Before the threads are started: dropping it stops those that run already.
        let core = Self {
            writers,
            threads: Mutex::default(),
            wake: Arc::new(WakePipe { reader, writer }),
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
        epoch, *, max_events = 8192, max_bytes = 8_388_608, slow_reader = "disconnect", base = 0
    ))]
    fn open_stream(
        &self,
        epoch: String,
        max_events: usize,
        max_bytes: usize,
        slow_reader: &str,
        base: u64,
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
        Ok(PyStream(Stream::new(config, self.writer(), Arc::clone(&self.wake) as Arc<dyn Notify>)))
    }

    #[pyo3(signature = (fd, encoding, compressed = false))]
    fn open_sink(&self, fd: i32, encoding: usize, compressed: bool) -> PyResult<PySink> {
        let form = Form { encoding: parse_encoding(encoding)?, deflated: compressed };
        let own = descriptor::duplicate(fd)?;
        Ok(PySink(Sink::with_form(own, form, self.compress_min_bytes, self.writer())))
    }

    #[getter]
    fn wake_fd(&self) -> i32 {
        self.wake.reader.as_raw_fd()
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
        let next = self.next_writer.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.writers[next % self.writers.len()])
    }
}

impl Drop for PyCore {
    fn drop(&mut self) {
        // Without `close`, the threads end by themselves once they have nothing to do.
        self.writers.iter().for_each(|writer| writer.stop());
    }
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

fn gone(py: Python<'_>, _: Gone) -> PyErr {
    error(py, "ConnectionGone", "the connection has ended")
}

/// The oldest retained offset, names and connections, as in `LetGo`.
type LetGoItems = (u64, Vec<(String, u64)>, Vec<(u64, u64)>);

fn ids(bits: Vec<u64>) -> Vec<ConnectionId> {
    bits.into_iter().map(ConnectionId::from_bits).collect()
}

#[pyclass(name = "Stream", frozen)]
struct PyStream(Arc<Stream>);

#[pymethods]
impl PyStream {
    #[getter]
    fn id(&self) -> u32 {
        self.0.config().id
    }

    #[getter]
    fn epoch(&self) -> &str {
        &self.0.config().epoch
    }

    #[getter]
    fn head(&self) -> u64 {
        self.0.head()
    }

    #[getter]
    fn first(&self) -> u64 {
        self.0.first()
    }

    #[getter]
    fn swept(&self) -> u64 {
        self.0.swept()
    }

    #[getter]
    fn retained_bytes(&self) -> usize {
        self.0.retained_bytes()
    }

    #[getter]
    fn encodings(&self) -> u8 {
        self.0.encodings()
    }

    #[pyo3(signature = (name, json, msgpack, *, only = None, exclude = None))]
    fn publish(
        &self,
        py: Python<'_>,
        name: &str,
        json: Option<&[u8]>,
        msgpack: Option<&[u8]>,
        only: Option<Vec<u64>>,
        exclude: Option<Vec<u64>>,
    ) -> PyResult<u64> {
        let audience = match only {
            Some(only) => Audience::only(ids(only)),
            None => Audience::except(ids(exclude.unwrap_or_default())),
        };
        // A large event may wait for the sweep before it is appended; the others never wait here.
        let takes_long = self.0.is_large([json, msgpack], &audience)
            || self.0.bytes_to_deflate([json, msgpack]) >= MIN_DETACHED_BYTES;
        let published = if takes_long {
            py.detach(|| self.0.publish(name, [json, msgpack], audience))
        } else {
            self.0.publish(name, [json, msgpack], audience)
        };
        match published {
            Ok((offset, must_wait)) => {
                if must_wait {
                    py.detach(|| self.0.wait_for_sweep());
                }
                Ok(offset)
            }
            Err(PublishError::EncodingMissing) => Ok(0),
            Err(PublishError::TooLarge(sizes)) => Err(error(
                py,
                "EventTooLarge",
                &format!("the event takes {} bytes, the ring holds {}", sizes.bytes, sizes.max_bytes),
            )),
            Err(PublishError::Shut) => Err(error(py, "ActorDestroyed", "the actor has stopped")),
        }
    }

    fn notify_when_swept(&self, offset: u64) -> bool {
        self.0.notify_when_swept(offset)
    }

    #[pyo3(signature = (encoding, subscriptions = None, *, lost = 0))]
    fn open(
        &self,
        py: Python<'_>,
        encoding: usize,
        subscriptions: Option<Vec<String>>,
        lost: u64,
    ) -> PyResult<u64> {
        let base = self.0.config().base;
        if lost > base {
            return Err(PyValueError::new_err(format!("lost, {lost}, is above the base, {base}")));
        }
        let id = self.0.open(parse_encoding(encoding)?, &subscriptions.unwrap_or_default(), lost);
        id.map(ConnectionId::to_bits).ok_or_else(|| error(py, "ActorDestroyed", "the actor has stopped"))
    }

    fn attach(
        &self,
        py: Python<'_>,
        connection: u64,
        sink: &PySink,
        offset: u64,
        message: &[u8],
    ) -> PyResult<()> {
        let connection = self.get(py, connection)?;
        if connection.encoding != sink.0.encoding() {
            return Err(PyValueError::new_err("the sink has another encoding than the connection"));
        }
        self.check_offset(offset)?;
        // A sink that takes nothing any more is no error: its client comes back.
        py.detach(|| self.0.attach(&connection, &sink.0, offset, message));
        Ok(())
    }

    fn detach(&self, connection: u64, sink: &PySink) -> bool {
        let connection = self.0.get(ConnectionId::from_bits(connection));
        connection.is_ok_and(|connection| self.0.detach(&connection, &sink.0))
    }

    fn close(&self, connection: u64) -> bool {
        self.0.close(ConnectionId::from_bits(connection))
    }

    fn resume(&self, py: Python<'_>, connection: u64, offset: u64) -> PyResult<(u64, u64, u64)> {
        self.check_offset(offset)?;
        let missed =
            self.0.resume(ConnectionId::from_bits(connection), offset).map_err(|error| gone(py, error))?;
        let (first, last) = missed.lost.unwrap_or((0, 0));
        Ok((missed.replayed, first, last))
    }

    fn subscribe(&self, py: Python<'_>, connection: u64, name: &str) -> PyResult<bool> {
        self.change_subscription(py, connection, name, true)
    }

    fn unsubscribe(&self, py: Python<'_>, connection: u64, name: &str) -> PyResult<bool> {
        self.change_subscription(py, connection, name, false)
    }

    fn unsubscribe_all(&self, connection: u64) -> bool {
        self.0.unsubscribe_all(ConnectionId::from_bits(connection))
    }

    fn let_go(&self, py: Python<'_>, after: u64, connections: Vec<u64>) -> LetGoItems {
        let let_go = py.detach(|| self.0.let_go(after, &ids(connections)));
        let names = let_go.names.into_iter().map(|(name, offset)| (name.to_string(), offset));
        let connections = let_go.connections.into_iter().map(|(id, offset)| (id.to_bits(), offset));
        (let_go.first, names.collect(), connections.collect())
    }

    fn is_attached(&self, connection: u64) -> bool {
        self.0.get(ConnectionId::from_bits(connection)).is_ok_and(|connection| {
            let sink = connection.sink.lock().clone();
            sink.is_some_and(|sink| sink.end_reason().is_none())
        })
    }

    fn connections(&self) -> usize {
        self.0.connections()
    }

    fn shut(&self) {
        self.0.shut();
    }
}

impl PyStream {
    fn get(&self, py: Python<'_>, connection: u64) -> PyResult<Arc<Connection<Sink>>> {
        self.0.get(ConnectionId::from_bits(connection)).map_err(|error| gone(py, error))
    }

    fn check_offset(&self, offset: u64) -> PyResult<()> {
        if offset > self.0.head() {
            return Err(PyValueError::new_err(format!(
                "offset {offset} is above the head of the stream, {}",
                self.0.head()
            )));
        }
        Ok(())
    }

    fn change_subscription(
        &self,
        py: Python<'_>,
        connection: u64,
        name: &str,
        listen: bool,
    ) -> PyResult<bool> {
        self.0
            .change_subscription(ConnectionId::from_bits(connection), name, listen)
            .map_err(|error| gone(py, error))
    }
}

#[pyclass(name = "Sink", frozen)]
struct PySink(Arc<Sink>);

#[pymethods]
impl PySink {
    #[pyo3(signature = (message, flush = true))]
    fn send(&self, py: Python<'_>, message: &[u8], flush: bool) {
        if message.len() >= MIN_DETACHED_BYTES && self.0.deflates(message.len()) {
            py.detach(|| self.0.push_message(message));
        } else {
            self.0.push_message(message);
        }
        if flush {
            self.flush(py);
        }
    }

    fn pong(&self, py: Python<'_>, payload: &[u8]) -> PyResult<()> {
        self.control(py, Opcode::Pong, payload)
    }

    #[pyo3(signature = (payload = None))]
    fn ping(&self, py: Python<'_>, payload: Option<&[u8]>) -> PyResult<()> {
        self.control(py, Opcode::Ping, payload.unwrap_or_default())
    }

    fn flush(&self, py: Python<'_>) {
        py.detach(|| self.0.drive(None));
    }

    #[pyo3(signature = (code, reason = ""))]
    fn close(&self, py: Python<'_>, code: Option<u16>, reason: &str) {
        py.detach(|| self.0.close(code, reason));
    }

    fn drop(&self) {
        self.0.drop_socket();
    }

    #[getter]
    fn end_reason(&self) -> Option<&'static str> {
        self.0.end_reason().map(|reason| reason.as_str())
    }

    #[getter]
    fn queued_bytes(&self) -> usize {
        self.0.queued_bytes()
    }
}

impl PySink {
    fn control(&self, py: Python<'_>, opcode: Opcode, payload: &[u8]) -> PyResult<()> {
        if payload.len() > frame::MAX_CONTROL_PAYLOAD_BYTES {
            return Err(PyValueError::new_err("a control frame carries at most 125 bytes"));
        }
        self.0.push_control(frame::frame(opcode, payload));
        self.flush(py);
        Ok(())
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
