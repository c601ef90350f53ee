//! A stretch of a stream that one connection has checked event by event, so that the others of its group need only
//! have the same bytes. Pure.
//!
//! Every connection gets the same frames. Comparing them says as much as reading them once more, equal bytes being
//! equal offsets and counters, and halves what the load spends on an event of a flood. Without it the load would be as
//! slow as the server.

use crate::message::Event;
use crate::sequence::Sequence;

/// A new stretch is begun when this one takes more: what connections are apart, several times over.
const MAX_BYTES: usize = 4 << 20;

/// One frame of the stretch.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Where it ends.
    end: usize,
    /// When the event was sent.
    sent_ns: u64,
}

/// Consecutive frames, which are all events.
#[derive(Debug, Default)]
pub struct Known {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    /// The number of the stream in them.
    stream: u64,
    /// The offset and the counter of the first one.
    first: (u64, u64),
}

/// What a connection has got of the stretch.
#[derive(Debug)]
pub struct Found<'a> {
    /// Whole frames.
    pub events: usize,
    /// The bytes that they take.
    pub bytes: usize,
    /// The counter of the first one.
    pub counter: u64,
    marks: &'a [Mark],
}

impl Found<'_> {
    /// When the events were sent whose counters are multiples of `every`, without the first `skipped`.
    pub fn sent_ns(&self, every: u64, skipped: usize) -> impl Iterator<Item = u64> {
        let from = self.counter + skipped as u64;
        let step = usize::try_from(every).unwrap_or(usize::MAX);
        let first = skipped + usize::try_from(from.next_multiple_of(every) - from).unwrap_or(usize::MAX);
        self.marks.iter().skip(first).step_by(step).map(|mark| mark.sent_ns)
    }
}

impl Known {
    /// Add a frame that was found to be the next event of a connection.
    pub fn add(&mut self, frame: &[u8], event: &Event<'_>) {
        let count = self.marks.len() as u64;
        let next = (self.first.0 + count, self.first.1 + count);
        let this = (event.offset, event.counter);
        let ends = count == 0 || self.bytes.len() > MAX_BYTES || event.stream != self.stream;
        if ends || (this != next && event.offset >= next.0) {
            self.bytes.clear();
            self.marks.clear();
            self.stream = event.stream;
            self.first = this;
        } else if this != next {
            // Somebody who is behind.
            return;
        }
        self.bytes.extend_from_slice(frame);
        self.marks.push(Mark { end: self.bytes.len(), sent_ns: event.sent_ns() });
    }

    /// What of `bytes` is known to be the next events of a connection, whose stream has this number on its socket.
    #[must_use]
    pub fn find(&self, stream: u64, sequence: &Sequence, bytes: &[u8]) -> Option<Found<'_>> {
        let at = usize::try_from((sequence.position() + 1).checked_sub(self.first.0)?).ok()?;
        let start = if at == 0 { 0 } else { self.marks.get(at - 1)?.end };
        let counter = self.first.1 + at as u64;
        if stream != self.stream || !sequence.expects(counter) {
            return None;
        }
        let mut marks = &self.marks[at..];
        marks = &marks[..marks.partition_point(|mark| mark.end - start <= bytes.len())];
        loop {
            let length = marks.last()?.end - start;
            if bytes[..length] == self.bytes[start..start + length] {
                return Some(Found { events: marks.len(), bytes: length, counter, marks });
            }
            // Something else lies between, a heartbeat perhaps: as far as that, in a few steps.
            marks = &marks[..marks.len() / 2];
        }
    }
}
