"""A stream that goes on after a base: offsets count from it, and it is told what of before was for whom."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ringcast._core import Core, Sink, Stream

JSON, MSGPACK = 0, 1

BASE = 5_000_000_000
"""Above what 32 bits hold."""


@pytest.fixture
def core() -> Iterator[Core]:
    core = Core()
    yield core
    core.close()


class Client:
    """The far end of a sink; reads unmasked frames of less than 126 bytes."""

    def __init__(self, core: Core) -> None:
        self._near, far = socket.socketpair()
        self._near.settimeout(10)
        self.sink: Sink = core.open_sink(far.fileno(), JSON)
        far.close()
        self._file = self._near.makefile("rb")

    def message(self) -> Any:
        """The next message; of a close frame, its code."""
        first, length = self._file.read(2)
        payload = self._file.read(length)
        return int.from_bytes(payload[:2]) if first & 0x0F == 8 else json.loads(payload)

    def close(self) -> None:
        self.sink.drop()
        self._file.close()
        self._near.close()


@contextmanager
def attached(core: Core, stream: Stream, connection: int, offset: int) -> Iterator[Client]:
    client = Client(core)
    stream.attach(connection, client.sink, offset, b'["connected"]')
    assert client.message() == ["connected"]
    try:
        yield client
    finally:
        client.close()


def event(stream: Stream, offset: int, name: str) -> list[Any]:
    return ["event", stream.id, offset, name, []]


def test_a_stream_begins_at_one_unless_told_otherwise(core: Core) -> None:
    stream = core.open_stream("e")
    assert (stream.head, stream.first, stream.swept) == (0, 1, 0)
    assert stream.publish("a", b"[]", None) == 1


def test_the_first_event_follows_the_base(core: Core) -> None:
    stream = core.open_stream("e", base=BASE)
    assert (stream.head, stream.first, stream.swept) == (BASE, BASE + 1, BASE)
    assert not stream.notify_when_swept(BASE)
    assert [stream.publish("a", b"[]", None) for _ in range(2)] == [BASE + 1, BASE + 2]
    assert (stream.head, stream.first, stream.swept) == (BASE + 2, BASE + 1, BASE + 2)


@pytest.mark.parametrize("base", [2**62 + 1, 2**63, 2**64 - 1])
def test_a_base_leaves_offsets_to_count_on(core: Core, base: int) -> None:
    with pytest.raises(ValueError, match="base"):
        core.open_stream("e", base=base)
    assert core.open_stream("e", base=2**62).publish("a", None, b"\x90") == 2**62 + 1


def test_a_restored_history_is_served_as_it_was(core: Core) -> None:
    """Two sessions are opened again, and what was kept happens again in its order."""
    stream = core.open_stream("e", base=BASE)
    listener = stream.open(JSON, ["a"])
    other = stream.open(JSON, ["b"])
    stream.publish("a", b"[]", None)
    stream.subscribe(other, "a")
    stream.publish("a", b"[]", None, exclude=[listener])
    stream.publish("private", b"[]", None, only=[other])
    stream.unsubscribe(listener, "a")
    stream.publish("a", b"[]", None)

    assert stream.resume(listener, BASE) == (1, 0, 0)
    assert stream.resume(listener, BASE + 1) == (0, 0, 0)
    assert stream.resume(other, BASE) == (3, 0, 0)
    with attached(core, stream, listener, BASE) as first, attached(core, stream, other, BASE) as second:
        live = stream.publish("b", b"[]", None, only=[listener, other])
        assert first.message() == event(stream, BASE + 1, "a")
        assert first.message() == event(stream, live, "b")
        assert [second.message() for _ in range(4)] == [
            event(stream, BASE + 2, "a"),
            event(stream, BASE + 3, "private"),
            event(stream, BASE + 4, "a"),
            event(stream, live, "b"),
        ]


@pytest.mark.parametrize("published", [0, 3])
def test_below_the_base_a_connection_has_lost_what_was_for_it(core: Core, published: int) -> None:
    stream = core.open_stream("e", base=BASE)
    listener, other = stream.open(JSON, ["a"], lost=BASE), stream.open(JSON, lost=7)
    newcomer = stream.open(JSON)
    for _ in range(published):
        stream.publish("a", b"[]", None)
    assert stream.resume(listener, BASE) == (published, 0, 0)
    assert stream.resume(listener, BASE - 1) == (published, BASE, BASE)
    assert stream.resume(listener, 0) == (published, 1, BASE)
    assert [stream.resume(other, offset) for offset in (BASE, 7, 6)] == [(0, 0, 0), (0, 0, 0), (0, 7, BASE)]
    assert stream.resume(newcomer, 0) == (0, 0, 0)


def test_nobody_has_lost_above_the_base_before_it_is_opened(core: Core) -> None:
    stream = core.open_stream("e", base=5)
    with pytest.raises(ValueError, match="lost, 6, is above the base, 5"):
        stream.open(JSON, lost=6)


def test_it_tells_what_it_has_let_go(core: Core) -> None:
    stream = core.open_stream("e", max_events=1)
    plain, named = stream.open(JSON, ["a"]), stream.open(JSON, ["a"])
    stream.publish("a", b"[]", None)
    stream.publish("a", b"[]", None, only=[named])
    stream.publish("b", b"[]", None)
    assert stream.let_go(0, []) == (3, [("a", 1)], [(named, 2)])
    assert stream.let_go(1, [plain]) == (3, [], [(plain, 1), (named, 2)])
    stream.close(named)
    assert stream.let_go(1, [named]) == (3, [], [])


def test_a_reader_from_below_the_base_is_told_first(core: Core) -> None:
    skipping = core.open_stream("e", base=BASE, slow_reader="skip")
    with attached(core, skipping, skipping.open(JSON, ["a"], lost=BASE), BASE - 8) as client:
        offset = skipping.publish("a", b"[]", None)
        gap = {"reason": "ring_overflow", "first": BASE - 7, "last": BASE}
        assert client.message() == ["gap", gap]
        assert client.message() == event(skipping, offset, "a")
    strict = core.open_stream("e", base=BASE)
    with attached(core, strict, strict.open(JSON, ["a"], lost=BASE), BASE - 8) as client:
        assert client.message() == 4502
