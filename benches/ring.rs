//! What publishing costs the core: an event's frame written into the ring, in the steady state in which one goes for
//! each that comes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringcast_core::audience::Audience;
use ringcast_core::ring::{Limits, Ring};
use ringcast_core::subscription::Names;
use std::hint::black_box;
use std::time::Duration;

const PAYLOADS: [usize; 3] = [32, 128, 4096];

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring/append");
    group.throughput(Throughput::Elements(1));
    for payload in PAYLOADS {
        let mut names = Names::default();
        let name = names.intern("price");
        let bytes = names.bytes(name);
        let mut ring = Ring::new(1, Limits { max_events: 8192, max_bytes: 8 << 20 }, 0);
        let args = vec![b'x'; payload];
        group.bench_function(format!("{payload} bytes"), |bencher| {
            bencher.iter(|| {
                let published = ring.publish(
                    name,
                    &bytes,
                    [Some(black_box(&args[..])), None].into(),
                    Audience::Subscribers,
                    |_| true,
                );
                black_box(published.expect("it fits"));
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

criterion_group! { name = benches; config = quick(); targets = append }
criterion_main!(benches);
