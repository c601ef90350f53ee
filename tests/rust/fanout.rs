//! A batch of events, and what of it one connection may see.

use ringcast_core::audience::Audience;
use ringcast_core::connection::{ConnectionId, ConnectionTable};
use ringcast_core::frame::{Encoding, Form, Framing};
use ringcast_core::ring::{Limits, Ring};
use ringcast_core::subscription::{Names, Subscriptions};
use roaring::RoaringBitmap;

const JSON: Form = Form { encoding: Encoding::Json, framing: Framing::Frame };

#[test]
fn a_share_is_the_events_that_it_may_see_in_runs_that_do_not_touch() {
    let (mut names, mut own) = (Names::default(), Subscriptions::default());
    own.add(&mut names, "a", 0);
    let id = ConnectionTable::<()>::default().open(Encoding::Json).id;
    let mut ring = Ring::new(1, Limits { max_events: 10, max_bytes: 1 << 20 }, 0);
    for (name, audience) in [
        ("a", Audience::Subscribers),
        ("a", Audience::Subscribers),
        ("b", Audience::Subscribers),
        ("b", Audience::only(vec![id])),
        ("a", Audience::except(vec![id])),
    ] {
        let name = names.intern(name);
        ring.publish(name, &names.bytes(name), [Some(&b"[]"[..]), None].into(), audience, |_| true).unwrap();
    }
    let batch = ring.batch(0, 1 << 20);
    let (share, reached) = batch.share(JSON, id, &own, 0, u64::MAX);
    assert_eq!((share.runs.len(), reached), (2, 5));
    let bytes: Vec<u8> =
        share.runs.iter().flat_map(|&run| batch.slices(JSON, run).flatten().copied()).collect();
    let frame = |name: &str, offset| {
        ringcast_core::frame::message(
            Encoding::Json,
            format!("[\"event\",1,{offset},\"{name}\",[]]").as_bytes(),
        )
    };
    assert_eq!(bytes, [frame("a", 1), frame("a", 2), frame("b", 4)].concat());
    assert_eq!(batch.share(JSON, id, &own, 2, 3), (Default::default(), 3), "nothing, but further on");
    assert!(batch.share(Encoding::Msgpack.into(), id, &own, 0, 5).0.is_empty(), "a lane that nobody uses");
    assert_eq!(batch.topics().unwrap().as_slice(), ["a", "b"].map(|name| names.find(name).unwrap()));
    let later = ring.batch(1, 1);
    assert_eq!(
        (later.to(), batch.share(JSON, id, &own, 0, 1).1, later.share(JSON, id, &own, 0, 1)),
        (2, 1, (Default::default(), 1)),
        "a limit before the batch: what was there is gone, and was for others"
    );
    assert_eq!(ring.batch(0, 1).to(), 1, "at least one event");
}

#[test]
fn a_batch_of_targeted_events_knows_whom_to_visit() {
    let mut names = Names::default();
    let mut ring = Ring::new(1, Limits { max_events: 10, max_bytes: 1 << 20 }, 0);
    let name = names.intern("a");
    let ids = [1, 2, 3].map(ConnectionId::from_bits);
    for audience in [vec![ids[2], ids[0]], vec![ids[0], ids[1]]] {
        ring.publish(
            name,
            &names.bytes(name),
            [Some(&b"[]"[..]), None].into(),
            Audience::only(audience),
            |_| true,
        )
        .unwrap();
    }
    let batch = ring.batch(0, 1 << 20);
    assert!(batch.topics().is_some_and(|topics| topics.is_empty()), "none of them is to subscribers");
    assert_eq!(batch.targets(RoaringBitmap::new()), [1, 2, 3]);
    assert_eq!(batch.targets([0, 2, 9].into_iter().collect()), [0, 1, 2, 3, 9], "and those who listen");
    let room: Vec<_> = (0..200).map(|slot| ConnectionId::from_bits(1 << 32 | slot)).collect();
    let (none, everybody) = (RoaringBitmap::new(), Audience::only(room.clone()));
    ring.publish(name, &names.bytes(name), [Some(&b"[]"[..]), None].into(), everybody, |_| true).unwrap();
    assert_eq!(
        ring.batch(2, 1 << 20).targets(none),
        (0..200).collect::<Vec<_>>(),
        "many, of a later generation"
    );
}

#[test]
fn a_batch_of_more_topics_than_are_worth_it_is_for_everybody() {
    let mut names = Names::default();
    let mut ring = Ring::new(1, Limits { max_events: 100, max_bytes: 1 << 20 }, 0);
    for number in 0..65 {
        let name = names.intern(&format!("name {number}"));
        let args = [Some(&b"[]"[..]), None].into();
        ring.publish(name, &names.bytes(name), args, Audience::Subscribers, |_| true).unwrap();
    }
    assert_eq!(ring.batch(1, 1 << 20).topics().map(|topics| topics.len()), Some(64));
    assert_eq!(ring.batch(0, 1 << 20).topics(), None);
}
