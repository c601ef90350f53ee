"""What the core hands to the event loop, and a publisher on the loop's thread that runs ahead of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ringcast._core import Core, Sink, Stream
from ringcast.gateway.relay import MAX_BUFFERED_BYTES, Relay
from ringcast.wire.encoding import Encoding

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


class Sent:
    """A WebSocket of somebody else's, which keeps what it is given and is sent when the test says so."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.ending: tuple[int | None, str] | str = ""
        self.changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def send(self, messages: list[str] | list[bytes]) -> None:
        self.messages.extend(messages)
        self.changed.set()

    def close(self, code: int | None, reason: str) -> None:
        self.ending = (code, reason)
        self.changed.set()

    def abort(self) -> None:
        self.ending = "aborted"
        self.changed.set()


def attached_websocket(
    core: Core, relay: Relay, encoding: Encoding, joined: bool
) -> tuple[Stream, Sent, Sink]:
    stream, websocket = core.open_stream("e"), Sent()
    sink = relay.open_messages(websocket, encoding, joined)
    stream.attach(stream.open(encoding.index, ["a"]), sink, 0, encoding.encode(["hello"]))
    return stream, websocket, sink


def publish(stream: Stream, number: int) -> None:
    stream.publish("a", JSON.encode([number]), Encoding.MSGPACK.encode([number]))


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("joined", [True, False])
async def test_messages_that_wait_for_one_that_is_being_sent_are_one(
    encoding: Encoding, joined: bool
) -> None:
    with relaying() as (core, relay):
        stream, websocket, sink = attached_websocket(core, relay, encoding, joined)
        await websocket.until(lambda: bool(websocket.messages))
        for number in range(100):
            publish(stream, number)
        sink.send(encoding.encode(["last"]))
        relay.write_all()
        assert len(websocket.messages) == 1, "nothing comes while that is being sent"
        sink.resume_writing()
        await websocket.until(lambda: len(websocket.messages) > 1)
        events = [["event", stream.id, number + 1, "a", [number]] for number in range(100)]
        expected = [encoding.encode(message) for message in [*events, ["last"]]]
        if joined:
            expected = [(b"\n" if encoding is JSON else b"").join(expected)]
        sent = [message.encode() if isinstance(message, str) else message for message in websocket.messages]
        assert sent == [encoding.encode(["hello"]), *expected]
        assert {type(message) for message in websocket.messages} == {str if encoding is JSON else bytes}
        assert relay.writes == len(sent)


@pytest.mark.parametrize("code", [4000, None])
async def test_what_a_close_frame_would_say_is_told(code: int | None) -> None:
    with relaying() as (core, relay):
        _, websocket, sink = attached_websocket(core, relay, JSON, joined=True)
        sink.close(code, "" if code is None else "größe")
        await websocket.until(lambda: websocket.ending != "")
        assert websocket.ending == ((None, "") if code is None else (4000, "größe"))
        assert websocket.messages == ['["hello"]']


async def test_text_that_is_no_unicode_costs_nobody_else_anything() -> None:
    with relaying() as (core, relay):
        stream, websocket, _ = attached_websocket(core, relay, JSON, joined=True)
        other = Sent()
        beside = relay.open_messages(other, JSON, joined=True)
        beside.send(b"[]")
        stream.publish("a", b'["\xff"]', None)
        while stream.notify_when_swept(stream.head):
            pass
        await other.until(lambda: bool(other.messages))
        await websocket.until(lambda: bool(websocket.messages))
        assert websocket.messages == [f'["hello"]\n["event",{stream.id},1,"a",["\ufffd"]]']


async def test_a_websocket_that_fails_is_given_up() -> None:
    class Broken(Sent):
        def send(self, messages: list[str] | list[bytes]) -> None:
            raise RuntimeError("broken")

    with relaying() as (_core, relay):
        websocket = Broken()
        sink = relay.open_messages(websocket, JSON, joined=True)
        sink.send(b"[]")
        await websocket.until(lambda: websocket.ending != "")
        assert websocket.ending == "aborted"


async def test_an_event_stream_that_is_relayed_is_one_write_too() -> None:
    with relaying() as (core, relay):
        stream, transport = core.open_stream("e"), Roomy()
        sink = relay.open_event_stream(transport)
        stream.attach(stream.open(JSON.index, ["a"]), sink, 0, b"[]")
        stream.publish("a", b"[1]", None)
        sink.close(1000)
        await transport.until_ended()
        event = b'id: e:1\ndata: ["event",%d,1,"a",[1]]\n\n' % stream.id
        close = b'event: close\ndata: [1000,""]\n\n'
        assert transport.writes == [b"id: e:0\ndata: []\n\n" + event + close]
        assert transport.ending == "closed"
