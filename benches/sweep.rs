//! What a sweep costs over sockets that have room: one batch offered to every connection, with as few and as many
//! events in it. The system's part, one write for each socket, is most of it; reading is not measured.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringcast_core::audience::Audience;
use ringcast_core::frame::Encoding;
use ringcast_core::ring::Limits;
use ringcast_core::sink::Sink;
use ringcast_core::stream::{Notify, SlowReader, Stream, StreamConfig};
use ringcast_core::writer::Writer;

/// Three descriptors each, of which a process may have 1,024 on many systems.
const CONNECTIONS: [usize; 3] = [1, 30, 300];
/// Of those many at most, so many listen, the others to something else.
const LISTENING: [usize; 3] = [3, 30, 300];
const BURSTS: [usize; 2] = [1, 30];

#[derive(Debug)]
struct Nobody;

impl Notify for Nobody {
    fn notify(&self) {}
}

/// A stream whose sweeps are done here, by hand, and the far ends of its connections.
struct Room {
    stream: Arc<Stream>,
    clients: Vec<UnixStream>,
    /// Who listens to something else.
    _others: Vec<UnixStream>,
    buffer: Vec<u8>,
}

impl Room {
    fn new(connections: usize, others: usize) -> Self {
        let writer = Writer::new(Duration::from_secs(5)).expect("a poller");
        let config = StreamConfig {
            id: 1,
            epoch: "e".into(),
            limits: Limits { max_events: 8192, max_bytes: 8 << 20 },
            slow_reader: SlowReader::Disconnect,
            max_unswept_bytes: 1 << 20,
            base: 0,
            min_deflated_bytes: 256,
        };
        let stream = Stream::new(config, Arc::clone(&writer), Arc::new(Nobody));
        let clients = (0..connections).map(|_| join(&stream, &writer, "price")).collect();
        let others = (0..others).map(|_| join(&stream, &writer, "news")).collect();
        Self { stream, clients, _others: others, buffer: vec![0; 1 << 20] }
    }

    /// Publish so many events, and offer them; returns how long the offering took.
    fn sweep(&mut self, events: usize, args: &[u8]) -> Duration {
        for _ in 0..events {
            let published = self.stream.publish("price", [Some(args), None], Audience::Subscribers);
            published.expect("it fits");
        }
        let began = Instant::now();
        while self.stream.swept() < self.stream.head() {
            let mut sweep = self.stream.sweep();
            while !sweep.go_on() {}
        }
        let took = began.elapsed();
        for client in &mut self.clients {
            assert!(client.read(&mut self.buffer).expect("nothing was written") > events * args.len());
        }
        took
    }
}

fn join(stream: &Arc<Stream>, writer: &Arc<Writer>, name: &str) -> UnixStream {
    let (client, server) = UnixStream::pair().expect("a socket pair");
    client.set_nonblocking(true).expect("a socket");
    let id = stream.open(Encoding::Json, [name], 0).expect("not shut");
    let connection = stream.get(id).expect("open");
    let sink = Sink::new(std::os::fd::OwnedFd::from(server), Encoding::Json, Arc::clone(writer));
    assert!(stream.attach(&connection, &sink, 0, b"[\"connected\"]"));
    client
}

fn sweep(criterion: &mut Criterion) {
    let args = vec![b'x'; 128];
    for burst in BURSTS {
        let mut group = criterion.benchmark_group(format!("sweep/{burst} events"));
        for connections in CONNECTIONS {
            let mut room = Room::new(connections, 0);
            room.sweep(burst, &args);
            group.throughput(Throughput::Elements((connections * burst) as u64));
            group.bench_function(format!("{connections} connections"), |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| room.sweep(burst, &args)).sum());
            });
        }
        group.finish();
    }
}

/// What it costs by how many of 300 listen: the others are not visited.
fn listeners(criterion: &mut Criterion) {
    let args = vec![b'x'; 128];
    let mut group = criterion.benchmark_group("sweep/1 event to some of 300");
    for listening in LISTENING {
        let mut room = Room::new(listening, 300 - listening);
        room.sweep(1, &args);
        group.throughput(Throughput::Elements(listening as u64));
        group.bench_function(format!("{listening} listen"), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| room.sweep(1, &args)).sum());
        });
    }
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20)
        .without_plots()
}

criterion_group! { name = benches; config = quick(); targets = sweep, listeners }
criterion_main!(benches);
