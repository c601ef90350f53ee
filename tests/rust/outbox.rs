//! What waits for one socket: whatever number of bytes it takes, the stream of bytes is the same.

use proptest::prelude::*;
use ringcast_core::audience::Audience;
use ringcast_core::connection::{Connection, ConnectionTable};
use ringcast_core::fanout::Batch;
use ringcast_core::frame::{self, Encoding, Opcode};
use ringcast_core::outbox::{Outbox, Viewer};
use ringcast_core::ring::{Limits, Ring};
use ringcast_core::subscription::{Names, Subscriptions};

use crate::client::{Frame, arguments, reply, split_frame};

/// One step of a socket's life.
#[derive(Clone, Debug)]
enum Step {
    /// An event, which the viewer is entitled to or not.
    Publish { own: bool, length: usize },
    /// A reply, behind what has been published.
    Reply,
    /// A pong, at the next frame boundary that no reply holds up.
    Pong,
    /// The socket takes this many bytes at most.
    Write(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 0..400_usize).prop_map(|(own, length)| Step::Publish { own, length }),
        1 => Just(Step::Reply),
        1 => Just(Step::Pong),
        4 => prop_oneof![0..40_usize, 0..2000_usize].prop_map(Step::Write),
    ]
}

/// A viewer with a ring, and a socket that keeps what it took.
struct Socket {
    ring: Ring,
    names: Names,
    viewer: std::sync::Arc<Connection<()>>,
    outbox: Outbox,
    position: u64,
    encoding: Encoding,
    max_batch_bytes: usize,
    taken: Vec<u8>,
}

impl Socket {
    fn write(&mut self, room: usize) -> bool {
        let batch: Batch = self.ring.batch(self.position, self.max_batch_bytes);
        let subscriptions = self.viewer.subscriptions.lock();
        let (encoding, id, position) = (self.encoding, self.viewer.id, self.position);
        let viewer = Viewer { encoding, id, subscriptions: &subscriptions, position };
        let write = self.outbox.gather(Some(&batch), Some(viewer));
        let bytes: Vec<u8> = write.buffers(Some(&batch)).iter().flat_map(|buffer| buffer.to_vec()).collect();
        assert_eq!(write.is_empty(), bytes.is_empty());
        let count = room.min(bytes.len());
        self.taken.extend_from_slice(&bytes[..count]);
        let whole = self.outbox.settle(write, Some(&batch), count, &mut self.position);
        whole && self.outbox.is_empty() && self.position == self.ring.head()
    }

    fn publish(&mut self, own: bool, text: &str) -> bytes::Bytes {
        let name = self.names.intern(if own { "own" } else { "other" });
        let args = arguments(text);
        let args = [Some(args[0].as_slice()), Some(args[1].as_slice())];
        let bytes = self.names.bytes(name);
        let offset = self.ring.publish(name, &bytes, args, Audience::Subscribers, |_| true).unwrap();
        let mut frame = bytes::BytesMut::new();
        let args = args[self.encoding.index()].unwrap();
        frame::push_event(&mut frame, self.encoding, 1, offset, &bytes, args);
        frame.freeze()
    }
}

fn socket(encoding: Encoding, max_batch_bytes: usize) -> Socket {
    let (mut names, mut subscriptions) = (Names::default(), Subscriptions::default());
    subscriptions.add(&mut names, "own", 0);
    Socket {
        ring: Ring::new(1, Limits { max_events: 1 << 20, max_bytes: 1 << 30 }, 0),
        names,
        viewer: ConnectionTable::default().open(encoding, subscriptions),
        outbox: Outbox::default(),
        position: 0,
        encoding,
        max_batch_bytes,
        taken: Vec::new(),
    }
}

fn frames(mut bytes: Vec<u8>) -> Vec<Frame> {
    let frames = std::iter::from_fn(|| split_frame(&mut bytes)).collect();
    assert!(bytes.is_empty(), "half a frame at the end");
    frames
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_bytes_do_not_depend_on_what_the_socket_takes(
        msgpack in any::<bool>(),
        max_batch_bytes in prop_oneof![1..3000_usize, Just(1 << 18)],
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let encoding = if msgpack { Encoding::Msgpack } else { Encoding::Json };
        let mut socket = socket(encoding, max_batch_bytes);
        let (mut expected, mut own) = (Vec::new(), Vec::new());
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Publish { own, length } => {
                    let frame = socket.publish(*own, &"x".repeat(*length));
                    if *own {
                        expected.extend_from_slice(&frame);
                    }
                }
                Step::Reply => {
                    let frame = frame::message(encoding, &reply(encoding, number as u64));
                    socket.outbox.push(frame.clone(), socket.ring.head());
                    expected.extend_from_slice(&frame);
                    own.extend_from_slice(&frame);
                }
                Step::Pong => {
                    let frame = frame::frame(Opcode::Pong, &(number as u64).to_be_bytes());
                    socket.outbox.push(frame.clone(), 0);
                    own.extend_from_slice(&frame);
                }
                Step::Write(room) => {
                    socket.write(*room);
                }
            }
        }
        while !socket.write(usize::MAX) {}
        prop_assert_eq!(socket.outbox.queued_bytes(), 0);
        let taken = frames(socket.taken);
        let without_pongs: Vec<_> = taken.iter().filter(|frame| frame.opcode != 0xA).cloned().collect();
        prop_assert_eq!(without_pongs, frames(expected), "events, each reply behind its barrier");
        // What is for this socket alone keeps its own order.
        let own = frames(own);
        let in_order: Vec<_> = taken.into_iter().filter(|frame| own.contains(frame)).collect();
        prop_assert_eq!(in_order, own);
    }
}

#[test]
fn what_is_queued_during_a_write_comes_behind_what_did_not_go_out() {
    for written in 0..=3 * 4 {
        let mut outbox = Outbox::default();
        for payload in [b"aa", b"bb", b"cc"] {
            outbox.push(frame::frame(Opcode::Pong, payload), 0);
        }
        let write = outbox.gather(None, None);
        let mut taken: Vec<u8> = write.buffers(None).iter().flat_map(|buffer| buffer.to_vec()).collect();
        taken.truncate(written);
        outbox.push_due(frame::frame(Opcode::Pong, b"dd"), 0);
        outbox.settle(write, None, written, &mut 0);
        let write = outbox.gather(None, None);
        taken.extend(write.buffers(None).iter().flat_map(|buffer| buffer.to_vec()));
        let rest = taken.len() - written;
        assert!(outbox.settle(write, None, rest, &mut 0));
        let mut payloads = Vec::new();
        while let Some(Frame { payload, .. }) = split_frame(&mut taken) {
            payloads.push(payload);
        }
        assert_eq!(payloads, [b"aa", b"bb", b"cc", b"dd"], "after {written} bytes");
        assert!(outbox.is_empty());
        assert_eq!(outbox.queued_bytes(), 0);
    }
}
