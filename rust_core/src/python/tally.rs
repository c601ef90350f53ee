//! `Tally` in Python: what was counted of the streams that were opened with it.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::tally::{Counts, Tally};

#[pyclass(name = "Tally", frozen)]
pub(super) struct PyTally {
    /// One for each writer thread, so that they do not write to the same memory.
    pub(super) by_writer: Vec<Arc<Tally>>,
}

impl PyTally {
    pub(super) fn new(writers: usize) -> Self {
        Self { by_writer: (0..writers).map(|_| Arc::default()).collect() }
    }
}

#[pymethods]
impl PyTally {
    fn counts(&self) -> (u64, u64, u64, u64, u64) {
        let Counts { events, deliveries, bytes, disconnected, skipped } =
            self.by_writer.iter().map(|tally| tally.counts()).sum();
        (events, deliveries, bytes, disconnected, skipped)
    }
}
