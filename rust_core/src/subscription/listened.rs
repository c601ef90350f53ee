//! Topics that somebody listens for, away from any stream: which of those with filters an event matches.
//!
//! For a durable actor, whose subscriptions hold before its stream has them.

use std::sync::Arc;

use crate::frame::ENCODINGS;

use super::{Names, Topic};

/// Topics, each as often as it was added.
#[derive(Debug, Default)]
pub struct Listened(Names);

impl Listened {
    /// Somebody begins to listen for a topic.
    pub fn add(&mut self, topic: &Topic<'_>) {
        let id = self.0.intern_topic(topic);
        self.0.add_use(id);
        self.0.begin_listening(id);
    }

    /// Somebody listens for it no more. False if nobody did.
    pub fn remove(&mut self, topic: &str) -> bool {
        let Some(id) = self.0.find(topic).filter(|&id| self.0.is_listened_to(id)) else {
            return false;
        };
        self.0.end_listening(id);
        self.0.remove_use(id);
        true
    }

    /// Whether this is one of those with filters.
    #[must_use]
    pub fn has(&self, topic: &str) -> bool {
        self.0.has_filter(topic)
    }

    /// Number of different ones with filters.
    #[must_use]
    pub fn filters(&self) -> usize {
        self.0.filters()
    }

    /// Those with filters that an event of this name with these arguments matches.
    pub fn matching(&mut self, name: &str, args: [Option<&[u8]>; ENCODINGS]) -> Vec<Arc<str>> {
        let Some(id) = self.0.find(name) else {
            return Vec::new();
        };
        let topics = self.0.topics(id, args);
        topics.filtered().iter().filter_map(|&topic| self.0.text(topic).map(Arc::clone)).collect()
    }
}
