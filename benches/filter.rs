//! What finding a connection's share of a batch costs: of one that listens to everything, to one name of
//! many, to nothing in the batch, and of events that name their receivers. What a filter over the attributes
//! of 9,000 connections costs, by how many match, and setting one attribute of one of them.

use criterion::{Criterion, criterion_group, criterion_main};
use ringcast_core::attributes::Attributes;
use ringcast_core::audience::Audience;
use ringcast_core::connection::ConnectionId;
use ringcast_core::fanout::Batch;
use ringcast_core::filter::Filter;
use ringcast_core::frame::Encoding;
use ringcast_core::ring::{Limits, Ring};
use ringcast_core::subscription::{Names, Subscriptions};
use serde_json::{Value, json};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const EVENTS: u64 = 100;

/// A batch of events whose names take turns, each for those that `audience` says.
fn batch(names: &mut Names, texts: &[&str], audience: impl Fn(u64) -> Audience) -> Batch {
    let mut ring = Ring::new(1, Limits { max_events: 8192, max_bytes: 8 << 20 }, 0);
    let args = [b'x'; 128];
    for event in 0..EVENTS {
        let name = names.intern(texts[usize::try_from(event).unwrap() % texts.len()]);
        let bytes = names.bytes(name);
        let published = ring.publish(name, &bytes, [Some(&args[..]), None].into(), audience(event), |_| true);
        published.expect("it fits");
    }
    ring.batch(0, 1 << 20)
}

fn share(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filter/share of 100 events");
    let viewer = ConnectionId::from_bits(7);
    let many = ["a", "b", "c", "d"];
    let cases: [(&str, &[&str], &str, bool); 4] = [
        ("everything", &["a"], "a", false),
        ("one name of four", &many, "a", false),
        ("nothing", &["a"], "z", false),
        ("one of a hundred receivers", &["a"], "a", true),
    ];
    for (case, texts, listens, listed) in cases {
        let mut names = Names::default();
        let mut subscriptions = Subscriptions::default();
        subscriptions.add(&mut names, listens, 0);
        let batch = batch(&mut names, texts, |event| {
            if listed {
                Audience::only((event..event + 100).map(ConnectionId::from_bits).collect())
            } else {
                Audience::Subscribers
            }
        });
        group.bench_function(case, |bencher| {
            bencher.iter(|| {
                black_box(batch.share(Encoding::Json.into(), viewer, black_box(&subscriptions), 0, EVENTS))
            });
        });
    }
    group.finish();
}

const CONNECTIONS: u32 = 9000;

/// What one of the 9,000 has: a name of its own, one of 10 groups, something that one has, and something that
/// all have.
fn state(slot: u32, level: u32) -> Vec<u8> {
    let state = json!({
        "user": format!("user {slot}"),
        "group": format!("group {}", slot % 10),
        "role": if slot == 4500 { "admin" } else { "member" },
        "room": "lobby",
        "level": level,
        "tags": [if slot.is_multiple_of(100) { "vip" } else { "usual" }, "all"],
    });
    rmp_serde::to_vec(&state).unwrap()
}

fn everybody(connections: u32) -> Attributes {
    let mut attributes = Attributes::default();
    for slot in 0..connections {
        attributes.set(slot, &state(slot, slot)).unwrap();
    }
    attributes
}

fn select(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filter/select of 9000");
    let attributes = everybody(CONNECTIONS);
    let cases: [(&str, Value, usize); 13] = [
        ("eq, 0.01 %", json!(["eq", "role", "admin"]), 1),
        ("has, 1 %", json!(["has", "tags", "vip"]), 90),
        ("eq, 10 %", json!(["eq", "group", "group 1"]), 900),
        ("eq, 100 %", json!(["eq", "room", "lobby"]), 9000),
        ("range of 1 value, 0.01 %", json!(["ge", "level", 8999]), 1),
        ("range of 90 values, 1 %", json!(["ge", "level", 8910]), 90),
        ("range of 9000 values, 100 %", json!(["ge", "level", 0]), 9000),
        ("prefix of 1111 values, 12 %", json!(["prefix", "user", "user 1"]), 1111),
        ("not, 99 %", json!(["not", ["has", "tags", "vip"]]), 8910),
        (
            "and of a range of 9000 and 0.01 %",
            json!(["and", [["ge", "level", 0], ["eq", "role", "admin"]]]),
            1,
        ),
        ("and of 10 % and 1 %", json!(["and", [["eq", "group", "group 0"], ["has", "tags", "vip"]]]), 90),
        ("and not, 99 %", json!(["and", [["eq", "room", "lobby"], ["not", ["has", "tags", "vip"]]]]), 8910),
        ("or of 10 % and 1 %", json!(["or", [["eq", "group", "group 1"], ["has", "tags", "vip"]]]), 990),
    ];
    for (case, filter, matching) in cases {
        let filter = Filter::parse(&rmp_serde::to_vec(&filter).unwrap()).unwrap();
        assert_eq!(attributes.select(&filter).len(), matching, "{case}");
        group.bench_function(case, |bencher| bencher.iter(|| attributes.select(black_box(&filter))));
    }
    group.finish();
}

/// The same nine, of more and more.
fn scale(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filter/select 9 of");
    let filter = json!(["and", [["ge", "level", 100], ["lt", "level", 190], ["eq", "group", "group 0"]]]);
    let filter = Filter::parse(&rmp_serde::to_vec(&filter).unwrap()).unwrap();
    for connections in [900, 9000, 90_000] {
        let attributes = everybody(connections);
        assert_eq!(attributes.select(&filter).len(), 9);
        group.bench_function(connections.to_string(), |bencher| {
            bencher.iter(|| attributes.select(black_box(&filter)));
        });
    }
    group.finish();
}

fn set(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filter/set of 9000");
    let mut attributes = everybody(CONNECTIONS);
    let states = [state(4000, 0), state(4000, 1)];
    let mut turn = 0;
    group.bench_function("one of six attributes", |bencher| {
        bencher.iter(|| {
            turn = 1 - turn;
            assert_eq!(attributes.set(4000, black_box(&states[turn])), Ok(true));
        });
    });
    group.bench_function("nothing new", |bencher| {
        attributes.set(4000, &states[0]).unwrap();
        bencher.iter(|| assert_eq!(attributes.set(4000, black_box(&states[0])), Ok(false)));
    });
    let compiled = rmp_serde::to_vec(&json!(["eq", "room", "lobby"])).unwrap();
    let filter = Arc::new(Filter::parse(&compiled).unwrap());
    group.bench_function("a result that is kept", |bencher| {
        bencher.iter(|| attributes.select_kept(black_box(&filter)));
    });
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
}

criterion_group! { name = benches; config = quick(); targets = share, select, scale, set }
criterion_main!(benches);
