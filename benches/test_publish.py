"""What one `Stream.publish` costs the calling thread, with few and with many connections that read all of it.

The receivers are another process, so that they do not share the publisher's interpreter. Correctness of what
is delivered is for the tests; here the core is asked only whether any sink has ended early.
"""

from __future__ import annotations

import multiprocessing
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ringcast import _core

PAYLOAD = b'["' + b"x" * 124 + b'"]'
"""The encoded arguments of an event: 128 bytes."""

EVENTS_PER_ROUND = 100


def receive(port: int, connections: int) -> None:
    """Read whatever arrives on `connections` sockets until all of them end."""
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


@contextmanager
def connected(core: _core.Core, connections: int) -> Iterator[_core.Stream]:
    """A stream with this many subscribed connections, read by another process."""
    stream = core.open_stream("bench")
    with socket.create_server(("127.0.0.1", 0), backlog=connections) as listener:
        receiver = multiprocessing.get_context("spawn").Process(
            target=receive, args=(listener.getsockname()[1], connections)
        )
        receiver.start()
        sockets = [listener.accept()[0] for _ in range(connections)]
    sinks = []
    for sock in sockets:
        sock.setblocking(False)
        sink = core.open_sink(sock.fileno(), 0)
        stream.attach(stream.open(0, ["price"]), sink, 0, b'["connected"]')
        sinks.append(sink)
    yield stream
    ended = [sink.end_reason for sink in sinks if sink.end_reason is not None]
    for sink, sock in zip(sinks, sockets, strict=True):
        sink.close(1000)
        sock.close()
    receiver.join(30)
    assert ended == [], "a receiver was too slow: the figure would not count"
    assert receiver.exitcode == 0


@pytest.fixture
def core() -> Iterator[_core.Core]:
    core = _core.Core()
    yield core
    core.close()


@pytest.mark.parametrize("connections", [10, 100, 1000])
def test_publish(benchmark: Callable[..., Any], core: _core.Core, connections: int) -> None:
    """One hundred events of 128 bytes; past `max_unswept_bytes` it includes waiting for the sweep."""
    assert _core.BUILD_PROFILE == "release", "a debug build says nothing about speed"
    with connected(core, connections) as stream:

        def publish() -> None:
            for _ in range(EVENTS_PER_ROUND):
                stream.publish("price", PAYLOAD, None)

        before = stream.head
        benchmark(publish)
        assert stream.head > before
