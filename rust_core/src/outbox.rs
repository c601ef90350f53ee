//! What waits for one socket, and where a write stopped inside it; knows no descriptors and no locks.
//!
//! Events are not queued: they stay in the ring, and a position says what is still to come. Only what is for this
//! socket alone is kept here: replies, pongs and closes, each behind the events that were published before it, and
//! the rest of a frame that the socket took in part.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

use crate::connection::ConnectionId;
use crate::event_stream;
use crate::fanout::{Batch, Share};
use crate::frame::{self, Form};
use crate::subscription::Subscriptions;

/// Most buffers in one system call (`IOV_MAX` on Linux and macOS).
pub const MAX_BUFFERS: usize = 1024;

/// Most frames of its own that one write takes from an outbox.
const MAX_OWN_FRAMES: usize = 256;

/// A frame for this socket alone.
#[derive(Debug)]
struct Queued {
    /// It goes out once the connection's position is here; 0 is at once.
    after: u64,
    /// The whole frame.
    frame: Bytes,
}

/// Who reads a batch through this outbox.
#[derive(Clone, Copy)]
pub struct Viewer<'a> {
    /// What its socket takes.
    pub form: Form,
    /// Of the stream.
    pub epoch: &'a str,
    /// For events that name connections.
    pub id: ConnectionId,
    /// For events that go to subscribers.
    pub subscriptions: &'a Subscriptions,
    /// Where it is.
    pub position: u64,
    /// No event after this offset is for it: a close frame follows there.
    pub until: u64,
}

/// One part of a write.
#[derive(Debug)]
enum Piece {
    /// The rest of a frame that went out in part.
    Rest(Bytes),
    /// A frame from the queue.
    Own(Queued),
    /// A share of the batch, which takes the connection to a position.
    Events(Share, u64),
}

/// What one system call is to write.
#[derive(Debug, Default)]
pub struct Write {
    /// In order.
    pieces: SmallVec<[Piece; 2]>,
    /// The form whose lane shares refer to.
    form: Option<Form>,
}

impl Write {
    /// Whether there are no bytes to write. Settling it may still move the position.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Events(share, _) if share.is_empty()))
    }

    /// How many events begin to go out with the first `written` bytes: each counts once, however its frame is divided.
    #[must_use]
    pub fn events_begun(&self, batch: Option<&Batch>, mut written: usize) -> u64 {
        let mut events = 0;
        for piece in &self.pieces {
            let length = match piece {
                Piece::Rest(frame) | Piece::Own(Queued { frame, .. }) => frame.len(),
                Piece::Events(share, _) => {
                    events += match (batch, self.form) {
                        (Some(batch), Some(form)) if written < share.len() => {
                            batch.events_begun(form, share, written)
                        }
                        _ => share.events,
                    };
                    share.len()
                }
            };
            if written <= length {
                break;
            }
            written -= length;
        }
        events
    }

    /// The buffers, at most [`MAX_BUFFERS`]. A write that needs more is settled as one that stopped early.
    #[must_use]
    pub fn buffers<'a>(&'a self, batch: Option<&'a Batch>) -> SmallVec<[IoSlice<'a>; 4]> {
        let mut buffers = SmallVec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Rest(frame) | Piece::Own(Queued { frame, .. }) => buffers.push(IoSlice::new(frame)),
                Piece::Events(share, _) => {
                    if let (Some(batch), Some(form)) = (batch, self.form) {
                        let slices = share.runs.iter().flat_map(|&run| batch.slices(form, run));
                        buffers.extend(slices.map(IoSlice::new));
                    }
                }
            }
        }
        buffers.truncate(MAX_BUFFERS);
        buffers
    }
}

/// What waits for one socket besides events.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The rest of a frame that the socket took in part. It is a copy: holding the ring's block would keep more
    /// memory alive than the frame needs.
    rest: Bytes,
    /// Frames for this socket alone, in order: those that are due, then the others, which wait for ever later events.
    queue: VecDeque<Queued>,
    /// Bytes of `queue`, and of what a write has taken out and not settled yet.
    queued_bytes: usize,
}

impl Outbox {
    /// Queue a frame to go out once the connection's position has reached `after` (0: at the next frame boundary).
    pub fn push(&mut self, frame: Bytes, after: u64) {
        self.queued_bytes += Self::cost(&frame);
        self.queue.push_back(Queued { after, frame });
    }

    /// Queue a frame behind those that are due at `position`, and before those that wait for later events.
    pub fn push_due(&mut self, frame: Bytes, position: u64) {
        self.queued_bytes += Self::cost(&frame);
        let due = self.queue.partition_point(|queued| queued.after <= position);
        self.queue.insert(due, Queued { after: 0, frame });
    }

    /// Forget the frames that wait for events after `position`, which will not go out. A close frame stays.
    pub fn forget_after(&mut self, position: u64) {
        self.queue.retain(|queued| {
            let stays = queued.after <= position || frame::is_close(&queued.frame);
            if !stays {
                self.queued_bytes -= Self::cost(&queued.frame);
            }
            stays
        });
    }

    /// Forget the heartbeats of server-sent events that say of a reader that it is at `position` or before: a gap takes
    /// it there, and behind that its position would go back.
    pub fn forget_heartbeats(&mut self, position: u64) {
        self.queue.retain(|queued| {
            let stays = queued.after > position || !event_stream::is_heartbeat(&queued.frame);
            if !stays {
                self.queued_bytes -= Self::cost(&queued.frame);
            }
            stays
        });
    }

    /// What a queued frame takes in memory: many small ones must not take more than a few large ones.
    fn cost(frame: &Bytes) -> usize {
        size_of::<Queued>() + frame.len()
    }

    /// Bytes of queued frames, and of keeping them in a queue.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Whether nothing waits here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.queue.is_empty()
    }

    /// Whether something waits that goes out at this position.
    #[must_use]
    pub fn is_due(&self, position: u64) -> bool {
        !self.rest.is_empty() || self.queue.front().is_some_and(|queued| queued.after <= position)
    }

    /// Forget everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Take out what to write: the rest of a frame, then queued frames and the viewer's share of `batch` in the order
    /// that `after` demands. Without a viewer every queued frame is due.
    ///
    /// What others queue during the write cannot come between; [`Self::settle`] puts back what did not go out.
    #[must_use]
    pub fn gather(&mut self, batch: Option<&Batch>, viewer: Option<Viewer<'_>>) -> Write {
        let mut write = Write { form: viewer.map(|viewer| viewer.form), ..Write::default() };
        if !self.rest.is_empty() {
            write.pieces.push(Piece::Rest(self.rest.clone()));
        }
        if let (Some(batch), Some(viewer)) = (batch, viewer) {
            batch.prepare(viewer.form, viewer.epoch);
        }
        let mut position = viewer.map_or(u64::MAX, |viewer| viewer.position);
        let mut room = MAX_OWN_FRAMES;
        let last = batch.zip(viewer).map_or(0, |(batch, viewer)| batch.to().min(viewer.until));
        loop {
            while room > 0 && self.queue.front().is_some_and(|queued| queued.after <= position) {
                write.pieces.extend(self.queue.pop_front().map(Piece::Own));
                room -= 1;
            }
            let (Some(batch), Some(viewer)) = (batch, viewer) else {
                break;
            };
            let limit = self.queue.front().map_or(last, |queued| queued.after.min(last));
            if position >= limit {
                break;
            }
            let (share, reached) = batch.share(viewer.form, viewer.id, viewer.subscriptions, position, limit);
            write.pieces.push(Piece::Events(share, reached));
            position = reached;
            if reached < limit {
                break;
            }
        }
        write
    }

    /// Take note that the first `written` bytes of `write` went out, and move the position. Returns whether that was
    /// all of it. If the viewer is gone, the position is `u64::MAX` and stays so: nothing waits for events any more.
    pub fn settle(
        &mut self,
        write: Write,
        batch: Option<&Batch>,
        mut written: usize,
        position: &mut u64,
    ) -> bool {
        let mut pieces = write.pieces.into_iter();
        while let Some(piece) = pieces.next() {
            let length = match &piece {
                Piece::Rest(frame) | Piece::Own(Queued { frame, .. }) => frame.len(),
                Piece::Events(share, _) => share.len(),
            };
            let whole = written >= length;
            match piece {
                Piece::Rest(_) => self.rest.advance(written.min(length)),
                Piece::Own(queued) if written == 0 => {
                    self.put_back(std::iter::once(Piece::Own(queued)).chain(pieces), *position);
                    return false;
                }
                Piece::Own(queued) => {
                    self.queued_bytes -= Self::cost(&queued.frame);
                    self.rest = queued.frame.slice(written.min(length)..);
                }
                Piece::Events(_, reached) if whole => *position = reached.max(*position),
                Piece::Events(share, _) => {
                    if let (Some(batch), Some(form), true) = (batch, write.form, written > 0) {
                        let (reached, rest) = stopped_at(batch, form, &share, written);
                        *position = reached.max(*position);
                        self.rest = rest;
                    }
                }
            }
            if !whole {
                self.put_back(pieces, *position);
                return false;
            }
            written -= length;
        }
        if self.queue.is_empty() {
            // Most connections wait for events and for nothing else: no memory is kept for what they are sent seldom.
            self.queue = VecDeque::new();
        }
        true
    }

    /// Queue again what a write did not come to, in its order, before what was queued meanwhile. What was due only
    /// behind events that did not go out still waits, and lets pass what is due.
    fn put_back(&mut self, pieces: impl DoubleEndedIterator<Item = Piece>, position: u64) {
        let due = self.queue.partition_point(|queued| queued.after <= position);
        for piece in pieces.rev() {
            if let Piece::Own(queued) = piece {
                let place = if queued.after <= position { 0 } else { due };
                self.queue.insert(place, queued);
            }
        }
    }
}

/// Where a write that took only `written` bytes of a share has come to: the offset of the last event whose frame
/// has begun to go out, and the rest of that frame.
fn stopped_at(batch: &Batch, form: Form, share: &Share, mut written: usize) -> (u64, Bytes) {
    let mut stop = 0;
    for &(begin, end) in &share.runs {
        stop = begin + written.min(end - begin);
        written -= stop - begin;
        if written == 0 {
            break;
        }
    }
    let (offset, end) = batch.event_ending_at(form, stop);
    let rest: Vec<u8> = batch.slices(form, (stop, end)).flatten().copied().collect();
    (offset, rest.into())
}
