//! What finding a connection's share of a batch costs: of one that listens to everything, to one name of many, to
//! nothing in the batch, and of events that name their receivers.

use criterion::{Criterion, criterion_group, criterion_main};
use ringcast_core::audience::Audience;
use ringcast_core::connection::ConnectionId;
use ringcast_core::fanout::Batch;
use ringcast_core::frame::Encoding;
use ringcast_core::ring::{Limits, Ring};
use ringcast_core::subscription::{Names, Subscriptions};
use std::hint::black_box;
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

fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
}

criterion_group! { name = benches; config = quick(); targets = share }
criterion_main!(benches);
