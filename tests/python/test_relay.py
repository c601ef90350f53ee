"""What the core hands to the event loop, and a publisher on the loop's thread that runs ahead of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ringcast._core import Core, Sink, Stream
from ringcast.encoding import Encoding
from ringcast.relay import MAX_BUFFERED_BYTES, Relay

JSON = Encoding.JSON
LONG = b'["%s"]' % (b"x" * 100_000)


class Roomy(asyncio.WriteTransport):
    """A transport that takes everything at once, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.writers: set[int] = set()
        """The threads that wrote."""
        self.ending = ""
        self.changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that is so after a write or at the end."""
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def until_written(self, end: bytes) -> None:
        await self.until(lambda: bool(self.writes) and self.writes[-1].endswith(end))

    async def until_ended(self) -> None:
        await self.until(lambda: self.ending != "")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert (high, low) == (MAX_BUFFERED_BYTES, None)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        self.writers.add(threading.get_ident())
        self.changed.set()

    def is_closing(self) -> bool:
        return bool(self.ending)

    def close(self) -> None:
        self.ending = "closed"
        self.changed.set()

    def abort(self) -> None:
        self.ending = "aborted"
        self.changed.set()


@contextmanager
def relaying() -> Iterator[tuple[Core, Relay]]:
    core = Core()
    relay = Relay(core, asyncio.get_running_loop())
    try:
        yield core, relay
    finally:
        core.close()
        relay.close()


def attached(core: Core, relay: Relay, **limits: int) -> tuple[Stream, Roomy, Sink]:
    """Return a stream, and a transport that its events `a` go to."""
    stream, transport = core.open_stream("e", **limits), Roomy()
    sink = relay.open_sink(transport, JSON, compressed=False)
    stream.attach(stream.open(JSON.index, ["a"]), sink, 0, b"[]")
    return stream, transport, sink


async def test_what_waits_for_the_loop_is_one_write() -> None:
    with relaying() as (core, relay):
        stream, transport, sink = attached(core, relay)
        for number in range(100):
            stream.publish("a", b"[%d]" % number, None)
        sink.send(b'["last"]')
        while stream.notify_when_swept(stream.head):
            pass
        assert transport.writes == []
        await transport.until_written(b'["last"]')
        assert relay.writes == len(transport.writes) == 1


async def test_a_loop_of_broadcasts_outruns_no_client_that_takes_everything() -> None:
    with relaying() as (core, relay):
        stream, transport, sink = attached(core, relay, max_events=8)
        for _ in range(200):
            # Each takes a good part of what waits for the loop, which does not turn meanwhile.
            assert stream.publish("a", LONG, None) > 0
        sink.send(b'["last"]')
        await transport.until_written(b'["last"]')
        assert sink.end_reason is None
        assert b"".join(transport.writes).count(LONG) == 200


async def test_events_larger_than_a_part_of_the_ring_outrun_nobody_either() -> None:
    with relaying() as (core, relay):
        stream, transport, sink = attached(core, relay, max_bytes=1_000_000)
        large = b'["%s"]' % (b"x" * 700_000)
        for _ in range(20):
            assert stream.publish("a", large, None) > 0
        sink.send(b'["last"]')
        await transport.until_written(b'["last"]')
        assert sink.end_reason is None
        assert b"".join(transport.writes).count(large) == 20


async def test_another_thread_that_publishes_does_not_write() -> None:
    with relaying() as (core, relay):
        stream, transport, sink = attached(core, relay)
        publisher = threading.Thread(
            target=lambda: [stream.publish("a", LONG, None) for _ in range(100)], daemon=True
        )
        publisher.start()
        publisher.join(10)
        assert not publisher.is_alive(), "it waits for nobody"
        assert stream.head == 100
        sink.close(1000)
        await transport.until_ended()
        assert transport.writers == {threading.get_ident()}


async def test_replies_on_one_turn_are_written_before_they_are_too_many() -> None:
    with relaying() as (core, relay):
        _, transport, sink = attached(core, relay)
        for number in range(20):
            sink.send(b'[%d,"%s"]' % (number, b"x" * 1_000_000))
        sink.close(1000)
        await transport.until_ended()
        assert (sink.end_reason, transport.ending) == ("closed", "closed")
        assert sum(map(len, transport.writes)) > 20_000_000


async def test_a_full_transport_is_given_nothing_until_it_has_room() -> None:
    with relaying() as (core, relay):
        stream, transport, sink = attached(core, relay)
        sink.pause_writing()
        stream.publish("a", b"[1]", None)
        sink.send(b'["last"]')
        relay.write_all()
        assert transport.writes == []
        sink.resume_writing()
        await transport.until_written(b'["last"]')


async def test_what_fails_in_a_relay_is_not_the_publishers_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with relaying() as (core, relay):
        stream, _, _ = attached(core, relay)
        said: list[object] = []
        monkeypatch.setattr("sys.unraisablehook", said.append)

        def fail() -> bool:
            raise RuntimeError("a fault")

        core.write_relayed_with(fail)
        while not said:
            assert stream.publish("a", LONG, None) > 0


async def test_closing_writes_what_there_is() -> None:
    core = Core()
    relay = Relay(core, asyncio.get_running_loop())
    stream, transport, sink = attached(core, relay)
    stream.publish("a", b"[1]", None)
    sink.close(1000)
    core.close()
    relay.close()
    assert transport.ending == "closed"
    assert len(transport.writes) == 1 and b"[1]" in transport.writes[0]


class Broken(Roomy):
    def write(self, data: bytes | bytearray | memoryview) -> None:
        raise RuntimeError("the handler is closed")


async def test_a_transport_that_fails_is_cut_off_alone(caplog: pytest.LogCaptureFixture) -> None:
    with relaying() as (core, relay):
        broken = Broken()
        failing = relay.open_sink(broken, JSON, compressed=False)
        failing.send(b'["never written"]')
        _, transport, sink = attached(core, relay)
        sink.send(b'["last"]')
        await transport.until_written(b'["last"]')
        assert broken.ending == "aborted"
        assert "a transport could not be written to" in caplog.text
        failing.drop()
