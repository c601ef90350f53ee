//! A batch of events, and what of it one connection may see.

use ringcast_core::audience::Audience;
use ringcast_core::connection::{ConnectionId, ConnectionTable};
use ringcast_core::frame::{Encoding, Form, Framing};
use ringcast_core::ring::{Limits, Ring};
use ringcast_core::subscription::{Names, Subscriptions};

const JSON: Form = Form { encoding: Encoding::Json, framing: Framing::Frame };

#[test]
fn a_share_is_the_events_that_it_may_see_in_runs_that_do_not_touch() {
    let (mut names, mut own) = (Names::default(), Subscriptions::default());
    own.add(&mut names, "a", 0);
    let id = ConnectionTable::<()>::default().open(Encoding::Json, Subscriptions::default()).id;
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
    assert_eq!(batch.targets(), None);
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
    assert_eq!(ring.batch(0, 1 << 20).targets(), Some(ids.to_vec()));
}
