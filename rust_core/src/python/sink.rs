//! `Sink` in Python: where one client's frames go.

use std::sync::Arc;

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::MIN_DETACHED_BYTES;
use super::relaying::Relaying;
use crate::event_stream;
use crate::frame::{self, Framing, Opcode};
use crate::sink::Sink;

#[pyclass(name = "Sink", frozen)]
pub(super) struct PySink {
    sink: Arc<Sink>,
    /// Of one whose bytes the event loop writes.
    relaying: Option<Arc<Relaying>>,
}

#[pymethods]
impl PySink {
    #[pyo3(signature = (message, flush = true))]
    fn send(&self, py: Python<'_>, message: &[u8], flush: bool) {
        if let Some(relaying) = &self.relaying {
            relaying.catch_up(py);
        }
        let is_long = message.len() >= MIN_DETACHED_BYTES && self.sink.deflates(message.len());
        if flush || is_long || self.sink.is_full() {
            py.detach(|| {
                self.sink.push_message(message);
                if flush {
                    self.sink.drive(None);
                }
            });
        } else {
            self.sink.push_message(message);
        }
    }

    #[pyo3(signature = (event, flush = true))]
    fn send_framed(&self, py: Python<'_>, event: &[u8], flush: bool) -> PyResult<()> {
        if self.sink.form().framing != Framing::EventStream {
            return Err(PyValueError::new_err("WebSocket frames are made by the core alone"));
        }
        if let Some(relaying) = &self.relaying {
            relaying.catch_up(py);
        }
        let event = Bytes::copy_from_slice(event);
        py.detach(|| {
            self.sink.push_framed(event);
            if flush {
                self.sink.drive(None);
            }
        });
        Ok(())
    }

    #[pyo3(signature = (fields = None))]
    fn send_heartbeat(&self, py: Python<'_>, fields: Option<&[u8]>) -> PyResult<()> {
        if self.sink.form().framing != Framing::EventStream {
            return Err(PyValueError::new_err("a WebSocket's heartbeat is a message"));
        }
        if let Some(relaying) = &self.relaying {
            relaying.catch_up(py);
        }
        self.sink.push_heartbeat(fields.unwrap_or_default());
        self.flush(py);
        Ok(())
    }

    fn pong(&self, py: Python<'_>, payload: &[u8]) -> PyResult<()> {
        self.control(py, Opcode::Pong, payload)
    }

    #[pyo3(signature = (payload = None))]
    fn ping(&self, py: Python<'_>, payload: Option<&[u8]>) -> PyResult<()> {
        self.control(py, Opcode::Ping, payload.unwrap_or_default())
    }

    fn flush(&self, py: Python<'_>) {
        py.detach(|| self.sink.drive(None));
    }

    #[pyo3(signature = (code, reason = ""))]
    fn close(&self, py: Python<'_>, code: Option<u16>, reason: &str) {
        py.detach(|| self.sink.close(code, reason));
    }

    fn drop(&self, py: Python<'_>) {
        py.detach(|| self.sink.drop_socket());
    }

    fn pause_writing(&self) {
        self.sink.pause();
    }

    fn resume_writing(&self, py: Python<'_>) {
        py.detach(|| self.sink.resume());
    }

    #[getter]
    fn end_reason(&self) -> Option<&'static str> {
        self.sink.end_reason().map(|reason| reason.as_str())
    }

    #[getter]
    fn queued_bytes(&self) -> usize {
        self.sink.queued_bytes()
    }

    #[getter]
    fn written_bytes(&self) -> u64 {
        self.sink.written_bytes()
    }
}

impl PySink {
    pub(super) fn new(sink: Arc<Sink>, relaying: Option<Arc<Relaying>>) -> Self {
        Self { sink, relaying }
    }

    /// What it stands for.
    pub(super) fn get(&self) -> &Arc<Sink> {
        &self.sink
    }

    fn control(&self, py: Python<'_>, opcode: Opcode, payload: &[u8]) -> PyResult<()> {
        if payload.len() > frame::MAX_CONTROL_PAYLOAD_BYTES {
            return Err(PyValueError::new_err("a control frame carries at most 125 bytes"));
        }
        let control = match self.sink.form().framing {
            Framing::EventStream => Bytes::from_static(event_stream::COMMENT),
            Framing::Frame | Framing::Deflated => frame::frame(opcode, payload),
        };
        py.detach(|| {
            self.sink.push_control(control);
            self.sink.drive(None);
        });
        Ok(())
    }
}
