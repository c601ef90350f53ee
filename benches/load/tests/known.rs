//! What one connection has checked, the others only compare: no event is taken for one that it is not.

use ringcast_load::known::Known;
use ringcast_load::message::{Message, parse};
use ringcast_load::sequence::{Faults, Sequence};

/// The frame of an event whose counter is 100 above its offset, sent at a thousand times its offset.
fn frame(stream: u64, offset: u64) -> Vec<u8> {
    let payload =
        format!("[\"event\",{stream},{offset},\"tick\",[{},{},\"x\"]]", offset + 100, offset * 1000);
    [vec![0x81, u8::try_from(payload.len()).unwrap()], payload.into_bytes()].concat()
}

fn frames(offsets: impl IntoIterator<Item = u64>) -> Vec<u8> {
    offsets.into_iter().flat_map(|offset| frame(1, offset)).collect()
}

fn known(offsets: impl IntoIterator<Item = u64>) -> Known {
    let mut known = Known::default();
    for offset in offsets {
        let frame = frame(1, offset);
        let Ok(Message::Event(event)) = parse(&frame[2..]) else { panic!("it is an event") };
        known.add(&frame, &event);
    }
    known
}

/// A connection that has seen everything up to `position`, and read it by itself.
fn at(position: u64) -> Sequence {
    let mut sequence = Sequence::new(1, true, &[]);
    sequence.begin(position - 1);
    sequence.take(0, position, position + 100, &mut Faults::default());
    sequence
}

/// How many events are found for a connection of stream 1 at this position, in these bytes.
fn found(known: &Known, position: u64, bytes: &[u8]) -> usize {
    known.find(1, &at(position), bytes).map_or(0, |found| found.events)
}

#[test]
fn whole_frames_that_are_the_same_are_found() {
    let known = known(10..20);
    let bytes = frames(12..18);
    let found = known.find(1, &at(11), &bytes).unwrap();
    assert_eq!((found.events, found.bytes, found.counter), (6, bytes.len(), 112));
    assert_eq!(known.find(1, &at(11), &bytes[..bytes.len() - 1]).unwrap().events, 5);
    assert!(known.find(1, &at(11), &bytes[..3]).is_none());
}

#[test]
fn what_differs_is_found_as_far_as_it_is_the_same() {
    let known = known(10..50);
    let mut sequence = at(9);
    let bytes = frames((10..31).chain(32..40));
    let mut used = 0;
    while let Some(found) = known.find(1, &sequence, &bytes[used..]) {
        used += found.bytes;
        let events = found.events as u64;
        sequence.take_expected(events);
    }
    assert_eq!(sequence.position(), 30);
    assert_eq!(used, frames(10..31).len());
}

#[test]
fn an_event_that_is_missing_or_comes_again_is_not_found() {
    let known = known(10..20);
    assert_eq!(found(&known, 11, &frames([13, 14])), 0);
    assert_eq!(found(&known, 12, &frames([12, 13])), 0);
}

#[test]
fn a_connection_that_expects_another_counter_finds_nothing() {
    let known = known(10..20);
    let mut sequence = Sequence::new(1, true, &[]);
    sequence.begin(11);
    sequence.take(0, 12, 500, &mut Faults::default());
    assert!(known.find(1, &sequence, &frames(13..15)).is_none());
}

#[test]
fn a_connection_finds_nothing_before_it_has_read_an_event_or_after_a_gap() {
    let known = known(10..20);
    let mut sequence = Sequence::new(1, true, &[112]);
    sequence.begin(11);
    assert!(known.find(1, &sequence, &frames(12..15)).is_none());
    sequence = at(9);
    sequence.skip(11);
    assert!(known.find(1, &sequence, &frames(12..15)).is_none());
}

#[test]
fn another_stream_or_a_connection_that_is_not_for_every_event_finds_nothing() {
    let known = known(10..20);
    assert!(known.find(2, &at(11), &frames(12..15)).is_none());
    let mut sequence = Sequence::new(1, false, &[]);
    sequence.begin(10);
    sequence.take(0, 11, 111, &mut Faults::default());
    assert!(known.find(1, &sequence, &frames(12..15)).is_none());
}

#[test]
fn a_stretch_has_no_holes() {
    let after_a_hole = known((10..20).chain(22..25));
    assert_eq!(found(&after_a_hole, 14, &frames(15..18)), 0);
    assert_eq!(found(&after_a_hole, 22, &frames(23..25)), 2);
    let with_a_laggard = known((10..20).chain([12, 20]));
    assert_eq!(found(&with_a_laggard, 11, &frames(12..21)), 9);
}

#[test]
fn the_times_of_some_events_are_told() {
    let known = known(10..20);
    let bytes = frames(12..18);
    let sequence = at(11);
    let found = known.find(1, &sequence, &bytes).unwrap();
    assert_eq!(found.sent_ns(1, 0).collect::<Vec<_>>(), [12_000, 13_000, 14_000, 15_000, 16_000, 17_000]);
    assert_eq!(found.sent_ns(1, 4).collect::<Vec<_>>(), [16_000, 17_000]);
    // Counters 112 to 117.
    assert_eq!(found.sent_ns(5, 0).collect::<Vec<_>>(), [15_000]);
    assert_eq!(found.sent_ns(2, 1).collect::<Vec<_>>(), [14_000, 16_000]);
}
