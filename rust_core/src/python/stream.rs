//! `Stream` in Python: one running actor's ring and its connections.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::relaying::Relaying;
use super::sink::PySink;
use super::{MIN_DETACHED_BYTES, error, parse_encoding};
use crate::audience::Audience;
use crate::connection::{Connection, ConnectionId};
use crate::sink::Sink;
use crate::stream::{Gone, PublishError, Recipients, Stream};
use crate::subscription::Topic;

/// The oldest retained offset, names and connections, as in `LetGo`.
type LetGoItems = (u64, Vec<(String, u64)>, Vec<(u64, u64)>);

#[pyclass(name = "Stream", frozen)]
pub(super) struct PyStream {
    stream: Arc<Stream>,
    /// Whom a publisher may run ahead of, besides the sweep.
    relaying: Arc<Relaying>,
}

#[pymethods]
impl PyStream {
    #[getter]
    fn id(&self) -> u32 {
        self.stream.config().id
    }

    #[getter]
    fn epoch(&self) -> &str {
        &self.stream.config().epoch
    }

    #[getter]
    fn head(&self) -> u64 {
        self.stream.head()
    }

    #[getter]
    fn first(&self) -> u64 {
        self.stream.first()
    }

    #[getter]
    fn swept(&self) -> u64 {
        self.stream.swept()
    }

    #[getter]
    fn retained_bytes(&self) -> usize {
        self.stream.retained_bytes()
    }

    #[getter]
    fn lag(&self) -> u64 {
        self.stream.lag()
    }

    #[getter]
    fn encodings(&self) -> u8 {
        self.stream.encodings()
    }

    #[getter]
    fn filters(&self) -> usize {
        self.stream.filters()
    }

    #[expect(clippy::too_many_arguments, reason = "Python gives them by name")]
    #[pyo3(signature = (name, json, msgpack, *, only = None, exclude = None, matching = None))]
    fn publish(
        &self,
        py: Python<'_>,
        name: &str,
        json: Option<&[u8]>,
        msgpack: Option<&[u8]>,
        only: Option<Vec<u64>>,
        exclude: Option<Vec<u64>>,
        matching: Option<&[u8]>,
    ) -> PyResult<u64> {
        let exclude = ids(exclude.unwrap_or_default());
        let recipients = match (only, matching) {
            (Some(only), _) => Recipients::Audience(Audience::only(ids(only))),
            (None, Some(filter)) => Recipients::Matching(filter, exclude),
            (None, None) => Recipients::Audience(Audience::except(exclude)),
        };
        // A large event may wait for the sweep before it is appended; the others never wait here.
        let is_large = self.stream.is_large([json, msgpack], &recipients);
        if is_large {
            py.detach(|| self.stream.wait_until_swept());
        }
        self.relaying.catch_up(py);
        let takes_long = is_large || self.stream.bytes_to_deflate([json, msgpack]) >= MIN_DETACHED_BYTES;
        let published = if takes_long {
            py.detach(|| self.stream.publish(name, [json, msgpack], recipients))
        } else {
            self.stream.publish(name, [json, msgpack], recipients)
        };
        match published {
            Ok((offset, must_wait)) => {
                if must_wait {
                    py.detach(|| self.stream.wait_for_sweep());
                }
                Ok(offset)
            }
            Err(PublishError::EncodingMissing) => Ok(0),
            Err(PublishError::TooLarge(sizes)) => Err(error(
                py,
                "EventTooLarge",
                &format!("the event takes {} bytes, the ring holds {}", sizes.bytes, sizes.max_bytes),
            )),
            Err(PublishError::NoFilter(error)) => Err(PyValueError::new_err(error.to_string())),
            Err(PublishError::Shut) => Err(error(py, "ActorDestroyed", "the actor has stopped")),
        }
    }

    fn notify_when_swept(&self, offset: u64) -> bool {
        self.stream.notify_when_swept(offset)
    }

    #[pyo3(signature = (encoding, subscriptions = None, *, lost = 0))]
    fn open(
        &self,
        py: Python<'_>,
        encoding: usize,
        subscriptions: Option<Vec<String>>,
        lost: u64,
    ) -> PyResult<u64> {
        let base = self.stream.config().base;
        if lost > base {
            return Err(PyValueError::new_err(format!("lost, {lost}, is above the base, {base}")));
        }
        let topics = subscriptions.unwrap_or_default();
        let topics = topics.iter().map(|text| read_topic(text)).collect::<PyResult<Vec<_>>>()?;
        let id = self.stream.open(parse_encoding(encoding)?, topics, lost);
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
        if connection.encoding != sink.get().form().encoding {
            return Err(PyValueError::new_err("the sink has another encoding than the connection"));
        }
        self.check_offset(offset)?;
        // A sink that takes nothing any more is no error: its client comes back.
        py.detach(|| self.stream.attach(&connection, sink.get(), offset, message));
        Ok(())
    }

    fn detach(&self, connection: u64, sink: &PySink) -> bool {
        let connection = self.stream.get(ConnectionId::from_bits(connection));
        connection.is_ok_and(|connection| self.stream.detach(&connection, sink.get()))
    }

    fn close(&self, connection: u64) -> bool {
        self.stream.close(ConnectionId::from_bits(connection))
    }

    fn resume(&self, py: Python<'_>, connection: u64, offset: u64) -> PyResult<(u64, u64, u64)> {
        self.check_offset(offset)?;
        let missed = self
            .stream
            .resume(ConnectionId::from_bits(connection), offset)
            .map_err(|error| gone(py, error))?;
        let (first, last) = missed.lost.unwrap_or((0, 0));
        Ok((missed.replayed, first, last))
    }

    fn subscribe(&self, py: Python<'_>, connection: u64, topic: &str) -> PyResult<bool> {
        self.change_subscription(py, connection, read_topic(topic)?, true)
    }

    fn unsubscribe(&self, py: Python<'_>, connection: u64, topic: &str) -> PyResult<bool> {
        // By its text alone, so that it need not be one that could be subscribed to.
        self.change_subscription(py, connection, topic.into(), false)
    }

    fn has_filter(&self, topic: &str) -> bool {
        self.stream.has_filter(topic)
    }

    fn hold(&self, py: Python<'_>, connection: u64, names: Vec<String>) -> PyResult<()> {
        self.stream.hold(ConnectionId::from_bits(connection), &names).map_err(|error| gone(py, error))
    }

    #[pyo3(signature = (connection, allowed, chosen = None))]
    fn answer(
        &self,
        py: Python<'_>,
        connection: u64,
        allowed: Vec<String>,
        chosen: Option<Vec<u64>>,
    ) -> PyResult<bool> {
        let (id, chosen) = (ConnectionId::from_bits(connection), chosen.unwrap_or_default());
        // It may write to the socket.
        py.detach(|| self.stream.answer(id, &allowed, &chosen)).map_err(|error| gone(py, error))
    }

    fn set_attributes(&self, py: Python<'_>, connection: u64, attributes: Option<&[u8]>) -> PyResult<bool> {
        let changed = self.stream.set_attributes(ConnectionId::from_bits(connection), attributes);
        changed.map_err(|error| gone(py, error))?.map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn select(&self, matching: &[u8]) -> PyResult<Vec<u64>> {
        let selected =
            self.stream.select(matching).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(selected.into_iter().map(ConnectionId::to_bits).collect())
    }

    fn unsubscribe_all(&self, connection: u64) -> bool {
        self.stream.unsubscribe_all(ConnectionId::from_bits(connection))
    }

    fn let_go(&self, py: Python<'_>, after: u64, connections: Vec<u64>) -> LetGoItems {
        let let_go = py.detach(|| self.stream.let_go(after, &ids(connections)));
        let names = let_go.names.into_iter().map(|(name, offset)| (name.to_string(), offset));
        let connections = let_go.connections.into_iter().map(|(id, offset)| (id.to_bits(), offset));
        (let_go.first, names.collect(), connections.collect())
    }

    fn is_attached(&self, connection: u64) -> bool {
        self.stream.get(ConnectionId::from_bits(connection)).is_ok_and(|connection| {
            let sink = connection.sink.lock().clone();
            sink.is_some_and(|sink| sink.end_reason().is_none())
        })
    }

    fn connections(&self) -> usize {
        self.stream.connections()
    }

    fn shut(&self) {
        self.stream.shut();
    }
}

impl PyStream {
    pub(super) fn new(stream: Arc<Stream>, relaying: Arc<Relaying>) -> Self {
        Self { stream, relaying }
    }

    fn get(&self, py: Python<'_>, connection: u64) -> PyResult<Arc<Connection<Sink>>> {
        self.stream.get(ConnectionId::from_bits(connection)).map_err(|error| gone(py, error))
    }

    fn check_offset(&self, offset: u64) -> PyResult<()> {
        if offset > self.stream.head() {
            return Err(PyValueError::new_err(format!(
                "offset {offset} is above the head of the stream, {}",
                self.stream.head()
            )));
        }
        Ok(())
    }

    fn change_subscription(
        &self,
        py: Python<'_>,
        connection: u64,
        topic: Topic<'_>,
        listen: bool,
    ) -> PyResult<bool> {
        self.stream
            .change_subscription(ConnectionId::from_bits(connection), topic, listen)
            .map_err(|error| gone(py, error))
    }
}

fn read_topic(text: &str) -> PyResult<Topic<'_>> {
    Topic::read(text).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn gone(py: Python<'_>, _: Gone) -> PyErr {
    error(py, "ConnectionGone", "the connection has ended")
}

fn ids(bits: Vec<u64>) -> Vec<ConnectionId> {
    bits.into_iter().map(ConnectionId::from_bits).collect()
}
