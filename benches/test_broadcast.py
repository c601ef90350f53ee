"""What one broadcast costs the calling thread, at few and at many connections, beside encoding alone.

Everything behind `c.broadcast` is measured: the name checked, the arguments encoded, the event appended to
the ring, the sweep woken. `unattached` connections are in the core's table without a socket, so that nothing
is written meanwhile; `attached` ones read all of it in another process, and the sweep of one round is over
before the next begins. A figure is the processor time of the calling thread; `wall_s` beside it is the
median of the same rounds by the clock on the wall.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import select
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import pytest

from ringcast import Actor, _core
from ringcast.bench.rig import require_release
from ringcast.running.event import Emitter
from ringcast.schema.definition import define
from ringcast.wire.encoding import Encoding

DATA: Final = ("AAPL", 187.25, "x" * 110)
"""128 bytes as JSON."""

EVENTS_PER_ROUND: Final = 400
"""Less than the sweep may be behind, so that no broadcast waits for it."""

CONNECTIONS: Final = (10, 9000)
MAX_RING_EVENTS: Final = 8192

MOST_ROUNDS: Final = int(os.environ.get("RINGCAST_BENCH_ROUNDS", "2000"))
"""There are fewer where it is only to be seen that it works."""

# With the writer thread and whoever reads, three want two cores: the clock on the wall also tells how often
# the calling thread had to stand aside.
pytestmark = pytest.mark.benchmark(timer=time.thread_time)


class Exchange(Actor):
    """Declares what is sent here."""

    class Events:
        def price(self, symbol: str, price: float, note: str) -> None: ...


def no_filters() -> NoReturn:
    raise AssertionError("nothing is filtered here")


def receive(port: int, connections: int) -> None:
    """Read whatever arrives on `connections` sockets until all of them end."""
    allow_files()
    poll = select.poll()
    sockets = {}
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port))
        sockets[sock.fileno()] = sock
        poll.register(sock, select.POLLIN)
    buffer = bytearray(1 << 20)
    while sockets:
        for fd, _ in poll.poll():
            if not sockets[fd].recv_into(buffer):
                poll.unregister(fd)
                sockets.pop(fd).close()


def allow_files() -> int:
    """Raise the limit of open files as far as it goes, and return it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


@contextmanager
def attached(core: _core.Core, connections: int) -> Iterator[_core.Stream]:
    """A stream with this many subscribed connections, read by another process."""
    if allow_files() < connections + 200:
        pytest.skip(f"{connections} sockets are more than a process may have open here")
    stream = core.open_stream("bench")
    sinks = []
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        receiver = multiprocessing.get_context("spawn").Process(
            target=receive, args=(listener.getsockname()[1], connections), daemon=True
        )
        receiver.start()
        for _ in range(connections):
            with listener.accept()[0] as sock:
                sock.setblocking(False)
                # The sink has a descriptor of its own.
                sink = core.open_sink(sock.fileno(), Encoding.JSON.index)
            stream.attach(stream.open(Encoding.JSON.index, ["price"]), sink, 0, b'["connected"]')
            sinks.append(sink)
    try:
        yield stream
    finally:
        ended = [sink.end_reason for sink in sinks if sink.end_reason is not None]
        for sink in sinks:
            sink.close(1000)
        receiver.join(30)
    assert ended == [], "a receiver was too slow: the figure would not count"
    assert receiver.exitcode == 0


@contextmanager
def unattached(core: _core.Core, connections: int) -> Iterator[_core.Stream]:
    """A stream with this many subscribed connections that have no socket."""
    stream = core.open_stream("bench")
    for _ in range(connections):
        stream.open(Encoding.JSON.index, ["price"])
    yield stream


@pytest.fixture
def core() -> Iterator[_core.Core]:
    require_release()
    core = _core.Core()
    yield core
    core.close()


def swept(stream: _core.Stream) -> None:
    """Wait until everything was offered to everybody."""
    deadline = time.monotonic() + 30
    while stream.swept < stream.head:
        assert time.monotonic() < deadline, "the sweep does not come to an end"
        time.sleep(0)


def measure(benchmark: Any, work: Callable[[], None], rounds: int, **given: Any) -> None:
    """Run `work`, which is of `EVENTS_PER_ROUND` events, and note its time by the clock on the wall."""
    walls_s, rounds = [], min(rounds, MOST_ROUNDS)

    def timed() -> None:
        began_s = time.perf_counter()
        work()
        walls_s.append(time.perf_counter() - began_s)

    benchmark.pedantic(timed, rounds=rounds, **given)
    # Behind those that were to warm up.
    wall_s = statistics.median(walls_s[-rounds:])
    benchmark.extra_info.update(events=EVENTS_PER_ROUND, wall_s=wall_s)


def test_the_payload_has_128_bytes() -> None:
    assert len(json.dumps(DATA, separators=(",", ":"))) == 128


@pytest.mark.parametrize("encoding", list(Encoding), ids=lambda encoding: encoding.name.lower())
def test_encode(benchmark: Any, encoding: Encoding) -> None:
    """Encoding the arguments alone: what `test_broadcast` is compared with."""

    def encode() -> None:
        for _ in range(EVENTS_PER_ROUND):
            encoding.encode(DATA)

    measure(benchmark, encode, rounds=2000, warmup_rounds=20)


@pytest.mark.parametrize("connections", CONNECTIONS)
@pytest.mark.parametrize("kind", [unattached, attached], ids=lambda kind: kind.__name__)
def test_broadcast(benchmark: Any, core: _core.Core, kind: Callable[..., Any], connections: int) -> None:
    """Many broadcasts in a row, from a thread that then lets the sweep end.

    Many, because a sweep over thousands of connections leaves little of the interpreter in the caches: the
    first few broadcasts behind it pay for that, about 80 us in all at 9,000, whatever they do.
    """
    with kind(core, connections) as stream:
        emit = Emitter(stream, "bench", no_filters).emit

        def broadcast() -> None:
            for _ in range(EVENTS_PER_ROUND):
                emit("price", DATA)

        rounds = 2000 if kind is unattached else 100
        measure(benchmark, broadcast, rounds, setup=lambda: swept(stream), warmup_rounds=10)
        assert stream.head >= EVENTS_PER_ROUND
        swept(stream)


@pytest.mark.parametrize("validates", [False, True], ids=["names", "arguments"])
def test_broadcast_declared(benchmark: Any, core: _core.Core, validates: bool) -> None:
    """The same, by an actor that declares the event: with its arguments checked, and with its name alone."""
    checks = define(Exchange).event_checks(validates)
    with unattached(core, CONNECTIONS[0]) as stream:
        emit = Emitter(stream, "bench", no_filters, checks=checks).emit

        def broadcast() -> None:
            for _ in range(EVENTS_PER_ROUND):
                emit("price", DATA)

        measure(benchmark, broadcast, rounds=2000, setup=lambda: swept(stream), warmup_rounds=10)
        assert stream.head >= EVENTS_PER_ROUND
        swept(stream)
