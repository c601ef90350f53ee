//! Filters and attributes as Python sees them.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::attributes::Attributes;
use crate::filter::{Filter, Malformed};
use crate::subscription::{Listened, Topic};

#[pyclass(name = "Filter", frozen)]
pub struct PyFilter(Arc<Filter>);

#[pymethods]
impl PyFilter {
    #[new]
    fn new(compiled: &[u8]) -> PyResult<Self> {
        Filter::parse(compiled).map(|filter| Self(Arc::new(filter))).map_err(malformed)
    }

    fn matches(&self, json: Option<&[u8]>, msgpack: Option<&[u8]>) -> bool {
        self.0.matches([json, msgpack])
    }
}

#[pyclass(name = "Listened", frozen)]
pub struct PyListened(Mutex<Listened>);

#[pymethods]
impl PyListened {
    #[new]
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn add(&self, topic: &str) -> PyResult<()> {
        self.0.lock().add(&Topic::read(topic).map_err(malformed)?);
        Ok(())
    }

    fn remove(&self, topic: &str) -> bool {
        self.0.lock().remove(topic)
    }

    fn matching(&self, name: &str, json: Option<&[u8]>, msgpack: Option<&[u8]>) -> Vec<String> {
        self.0.lock().matching(name, [json, msgpack]).iter().map(ToString::to_string).collect()
    }

    fn __contains__(&self, topic: &str) -> bool {
        self.0.lock().has(topic)
    }

    fn __len__(&self) -> usize {
        self.0.lock().filters()
    }
}

#[pyclass(name = "Attributes", frozen)]
pub struct PyAttributes(Mutex<Attributes>);

#[pymethods]
impl PyAttributes {
    #[new]
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn set(&self, slot: u32, attributes: &[u8]) -> PyResult<bool> {
        self.0.lock().set(slot, attributes).map_err(malformed)
    }

    fn remove(&self, slot: u32) -> bool {
        self.0.lock().remove(slot)
    }

    fn select(&self, compiled: &PyFilter) -> Vec<u32> {
        self.0.lock().select_kept(&compiled.0).iter().collect()
    }

    fn __len__(&self) -> usize {
        self.0.lock().len()
    }
}

fn malformed(error: Malformed) -> PyErr {
    PyValueError::new_err(error.to_string())
}
