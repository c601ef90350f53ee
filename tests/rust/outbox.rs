//! What waits for one socket: whatever number of bytes it takes, the stream of bytes is the same.

use proptest::prelude::*;
use ringcast_core::audience::Audience;
use ringcast_core::connection::{Connection, ConnectionTable};
use ringcast_core::event_stream;
use ringcast_core::fanout::Batch;
use ringcast_core::frame::{self, Encoding, Form, Opcode};
use ringcast_core::outbox::{Outbox, Viewer};
use ringcast_core::ring::{Limits, Ring};
use ringcast_core::subscription::Names;

use crate::client::{Frame, arguments, reply, split_frame};

/// One step of a socket's life.
#[derive(Clone, Debug)]
enum Step {
    /// An event, which the viewer is entitled to or not.
    Publish { own: bool, length: usize },
    /// A reply, behind what has been published.
    Reply,
    /// A pong, at the next frame boundary.
    Pong,
    /// The socket takes this many bytes at most; meanwhile others queue so many replies and pongs.
    Write { room: usize, replies: usize, pongs: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 0..400_usize).prop_map(|(own, length)| Step::Publish { own, length }),
        1 => Just(Step::Reply),
        1 => Just(Step::Pong),
        4 => (prop_oneof![0..40_usize, 0..2000_usize], 0..3_usize, 0..3_usize)
            .prop_map(|(room, replies, pongs)| Step::Write { room, replies, pongs }),
    ]
}

/// A viewer with a ring, and a socket that keeps what it took.
struct Socket {
    ring: Ring,
    names: Names,
    viewer: std::sync::Arc<Connection<()>>,
    outbox: Outbox,
    position: u64,
    form: Form,
    max_batch_bytes: usize,
    taken: Vec<u8>,
    /// What the socket is to take, pongs aside: events, and each reply behind those that were published before it.
    expected: Vec<u8>,
    /// Replies and pongs so far.
    own: u64,
    /// Events that the viewer is entitled to, and those that count as having gone out.
    entitled: u64,
    begun: u64,
}

impl Socket {
    fn reply(&mut self) {
        self.own += 1;
        let frame = self.form.message(&reply(self.form.encoding, self.own));
        self.expected.extend_from_slice(&frame);
        self.outbox.push(frame, self.ring.head());
    }

    fn pong(&mut self) {
        self.own += 1;
        let frame = frame::frame(Opcode::Pong, &self.own.to_be_bytes());
        self.outbox.push_due(frame, self.position);
    }

    fn write(&mut self, room: usize, meanwhile: impl FnOnce(&mut Self)) -> bool {
        let batch: Batch = self.ring.batch(self.position, self.max_batch_bytes);
        let connection = std::sync::Arc::clone(&self.viewer);
        let subscriptions = connection.subscriptions.lock();
        let (form, id, position) = (self.form, self.viewer.id, self.position);
        let viewer =
            Viewer { form, epoch: "e", id, subscriptions: &subscriptions, position, until: u64::MAX };
        let write = self.outbox.gather(Some(&batch), Some(viewer));
        let bytes: Vec<u8> = write.buffers(Some(&batch)).iter().flat_map(|buffer| buffer.to_vec()).collect();
        assert_eq!(write.is_empty(), bytes.is_empty());
        let count = room.min(bytes.len());
        self.begun += write.events_begun(Some(&batch), count);
        self.taken.extend_from_slice(&bytes[..count]);
        meanwhile(self);
        let whole = self.outbox.settle(write, Some(&batch), count, &mut self.position);
        whole && self.outbox.is_empty() && self.position == self.ring.head()
    }

    fn publish(&mut self, own: bool, text: &str) {
        let name = self.names.intern(if own { "own" } else { "other" });
        let args = arguments(text);
        let args = [Some(args[0].as_slice()), Some(args[1].as_slice())];
        let bytes = self.names.bytes(name);
        let offset =
            self.ring.publish(name, &bytes, args.into(), Audience::Subscribers, |_| true).unwrap().offset;
        if own {
            self.entitled += 1;
            let mut frame = bytes::BytesMut::new();
            let encoding = self.form.encoding;
            let args = args[encoding.index()].unwrap();
            frame::push_event(&mut frame, encoding, 1, offset, &bytes, args);
            if self.form == Form::EVENT_STREAM {
                let (_, payload, _) = frame::split(&frame).unwrap();
                self.expected.extend_from_slice(&event_stream::message_at("e", offset, payload));
            } else {
                self.expected.extend_from_slice(&frame);
            }
        }
    }
}

fn socket(form: impl Into<Form>, max_batch_bytes: usize) -> Socket {
    let form = form.into();
    let mut names = Names::default();
    let viewer = ConnectionTable::default().open(form.encoding);
    viewer.subscriptions.lock().add(&mut names, "own", 0);
    Socket {
        ring: Ring::new(1, Limits { max_events: 1 << 20, max_bytes: 1 << 30 }, 0),
        names,
        viewer,
        outbox: Outbox::default(),
        position: 0,
        form,
        max_batch_bytes,
        taken: Vec::new(),
        expected: Vec::new(),
        own: 0,
        entitled: 0,
        begun: 0,
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
        for step in &steps {
            match step {
                Step::Publish { own, length } => socket.publish(*own, &"x".repeat(*length)),
                Step::Reply => socket.reply(),
                Step::Pong => socket.pong(),
                Step::Write { room, replies, pongs } => {
                    socket.write(*room, |socket| {
                        (0..*replies).for_each(|_| socket.reply());
                        (0..*pongs).for_each(|_| socket.pong());
                    });
                }
            }
        }
        while !socket.write(usize::MAX, |_| ()) {}
        prop_assert_eq!(socket.begun, socket.entitled, "each counts once, however it was divided");
        prop_assert_eq!(socket.outbox.queued_bytes(), 0);
        let is_pong = |frame: &Frame| frame.opcode == 0xA;
        let (pongs, others): (Vec<_>, Vec<_>) = frames(socket.taken).into_iter().partition(is_pong);
        prop_assert_eq!(others, frames(socket.expected), "events, each reply behind its barrier");
        let numbers: Vec<_> = pongs.iter().map(|pong| pong.payload.clone()).collect();
        prop_assert!(numbers.is_sorted(), "pongs keep their own order: {:?}", numbers);
        let owed = steps.iter().map(|step| match step {
            Step::Pong => 1,
            Step::Write { pongs, .. } => *pongs,
            Step::Publish { .. } | Step::Reply => 0,
        });
        prop_assert_eq!(pongs.len(), owed.sum::<usize>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn server_sent_events_do_not_depend_on_it_either(
        max_batch_bytes in prop_oneof![1..3000_usize, Just(1 << 18)],
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut socket = socket(Form::EVENT_STREAM, max_batch_bytes);
        for step in &steps {
            match step {
                Step::Publish { own, length } => socket.publish(*own, &"x".repeat(*length)),
                Step::Reply => socket.reply(),
                Step::Pong => {}
                Step::Write { room, replies, .. } => {
                    socket.write(*room, |socket| (0..*replies).for_each(|_| socket.reply()));
                }
            }
        }
        while !socket.write(usize::MAX, |_| ()) {}
        prop_assert_eq!(socket.begun, socket.entitled, "each counts once, however it was divided");
        prop_assert_eq!(socket.outbox.queued_bytes(), 0);
        prop_assert_eq!(String::from_utf8(socket.taken), String::from_utf8(socket.expected));
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

#[test]
fn a_pong_passes_a_reply_whose_events_did_not_go_out() {
    let mut socket = socket(Encoding::Json, 1 << 18);
    socket.publish(true, "");
    socket.reply();
    // The event and the reply are on their way when the pong comes; the socket takes neither.
    socket.write(0, Socket::pong);
    socket.pong();
    while !socket.write(usize::MAX, |_| ()) {}
    let opcodes: Vec<_> = frames(socket.taken).iter().map(|frame| frame.opcode).collect();
    assert_eq!(opcodes, [0xA, 0xA, 0x1, 0x1]);
}

#[test]
fn what_waits_for_events_that_do_not_come_is_forgotten_even_if_it_is_on_its_way() {
    let mut socket = socket(Encoding::Json, 1 << 18);
    for _ in 0..2 {
        socket.publish(true, "");
    }
    socket.reply();
    // The socket takes half of the first event. Meanwhile somebody finds that the reader is too slow.
    socket.write(10, |socket| {
        socket.reply();
        socket.outbox.push(frame::close(Some(4502), ""), 0);
        socket.outbox.forget_after(socket.position);
    });
    socket.outbox.forget_after(socket.position);
    let write = socket.outbox.gather(None, None);
    socket.taken.extend(write.buffers(None).iter().flat_map(|buffer| buffer.to_vec()));
    let opcodes: Vec<_> = frames(socket.taken).iter().map(|frame| frame.opcode).collect();
    assert_eq!(opcodes, [0x1, 0x8], "the rest of the event, and the close");
}

#[test]
fn what_waited_for_events_keeps_its_place_when_its_connection_ends_during_a_write() {
    for taken in [0, 10, 30] {
        let mut socket = socket(Encoding::Json, 1 << 18);
        for _ in 0..2 {
            socket.publish(true, "");
        }
        socket.reply();
        // Nobody has a position any more when this write is settled: what comes from here on waits for nothing.
        socket.write(taken, |socket| {
            socket.position = u64::MAX;
            socket.outbox.push(frame::message(Encoding::Json, &reply(Encoding::Json, 7)), 0);
        });
        assert_eq!(socket.position, u64::MAX);
        let write = socket.outbox.gather(None, None);
        socket.taken.extend(write.buffers(None).iter().flat_map(|buffer| buffer.to_vec()));
        let payloads = frames(socket.taken).into_iter().map(|frame| frame.payload);
        let replies: Vec<_> = payloads.filter(|payload| payload.starts_with(b"[\"reply\"")).collect();
        assert_eq!(replies, [1, 7].map(|number| reply(Encoding::Json, number)), "after {taken} bytes");
    }
}
