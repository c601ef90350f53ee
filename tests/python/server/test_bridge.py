"""What the bridge relies on in uvicorn and picows, pinned against the installed versions.

The listener here only records: nothing of RFC 6455 beyond picows' parser is at work.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from loops import Run
from picows import (
    WSFrame,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from ringcast.request import Request
from ringcast.server.bridge import (
    MAX_READ_BYTES,
    FrameListener,
    FrameProtocol,
    Gate,
    UpgradeProtocol,
    upgrade_protocol_class,
)
from ringcast.server.first_read import MAX_HEAD_BYTES

MAX_FRAME_BYTES = 65_536
MASK = bytes(4)
REQUEST = (
    b"GET /anywhere?x=1 HTTP/1.1\r\nhost: here\r\nupgrade: websocket\r\nconnection: keep-alive, Upgrade\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
    b"cookie: " + b"c" * 3000 + b"\r\n\r\n"
)
PING = b"\x89\x80" + MASK
CLOSE = b"\x88\x82" + MASK + b"\x03\xe8"
RESERVED_OPCODE = b"\x83\x80" + MASK


def text(payload: bytes) -> bytes:
    assert len(payload) < 126
    return bytes([0x81, 0x80 | len(payload)]) + MASK + payload


class Recorder(FrameListener):
    """Notes what happens, in `seen`."""

    __slots__ = ("keep_after_eof", "seen", "something", "transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.seen: list[Any] = []
        self.something = asyncio.Event()
        self.keep_after_eof = False

    def note(self, what: Any) -> None:
        self.seen.append(what)
        self.something.set()

    async def until(self, count: int) -> list[Any]:
        while len(self.seen) < count:
            self.something.clear()
            await asyncio.wait_for(self.something.wait(), 5)
        return self.seen

    def on_ws_connected(self, transport: WSTransport) -> None:
        gate = transport.underlying_transport
        assert isinstance(gate, Gate)
        gate.shut(self)
        self.note(("connected", self.transport.get_write_buffer_size()))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.note((frame.msg_type, frame.get_payload_as_bytes(), bool(frame.last_in_buffer)))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.note("disconnected")

    def on_broken_frame(self, code: int, reason: str) -> None:
        self.note((code, bool(reason)))

    def on_eof(self) -> bool:
        self.note("eof")
        return self.keep_after_eof


class Upgrading:
    """Upgrades whoever comes, unless it is to refuse or to fail."""

    def __init__(self) -> None:
        self.listeners: list[Recorder] = []
        self.requests: list[WSUpgradeRequest] = []
        self.refuse = self.fail = False
        self.refused: asyncio.Queue[tuple[int, str]] = asyncio.Queue()

    def accept(self, request: WSUpgradeRequest, gate: Gate) -> WSUpgradeResponseWithListener:
        self.requests.append(request)
        if self.fail:
            raise ValueError("a secret")
        if self.refuse:
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(403, b"no"), None)
        self.listeners.append(Recorder(gate.transport))
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(), self.listeners[-1])

    def log_refused(self, status: int, request: Request) -> None:
        self.refused.put_nowait((status, request.path))


class Served(Upgrading):
    """uvicorn with the bridge, on a free port."""

    def __init__(self) -> None:
        super().__init__()
        config = uvicorn.Config(
            self._app,
            port=0,
            http="httptools",
            ws=upgrade_protocol_class(self, MAX_FRAME_BYTES),
            lifespan="off",
            log_config=None,
            interface="asgi3",
        )
        self.server = uvicorn.Server(config)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def open(self, request: bytes = REQUEST) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        port = self.server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        return reader, writer

    async def upgraded(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Recorder]:
        reader, writer = await self.open()
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 101 "), head
        return reader, writer, self.listeners[-1]


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[Served]:
    """Run uvicorn's own start and stop, without its signal handlers."""
    made = Served()
    made.server.config.load()
    made.server.lifespan = made.server.config.lifespan_class(made.server.config)
    await made.server.startup()
    try:
        yield made
    finally:
        await asyncio.wait_for(made.server.shutdown(), 5)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):  # it may have been reset: closed as well
        await writer.wait_closed()


def test_uvicorn_hands_the_socket_over(run: Run) -> None:
    async def scenario() -> None:
        async with served() as here:
            _, writer, listener = await here.upgraded()
            protocol = listener.transport.get_protocol()
            assert isinstance(protocol, UpgradeProtocol)
            # The loop reads straight into picows' buffer.
            assert isinstance(protocol, WSProtocol) and not hasattr(WSProtocol, "data_received")
            # uvicorn does not wait for it at shutdown.
            assert protocol not in here.server.server_state.connections
            assert len(here.server.server_state.connections) == 0
            # picows' options are not needed: the loop has set the one that matters.
            sock = listener.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            # The response was written at once: the core may write from now on.
            assert listener.seen == [("connected", 0)]
            writer.write(text(b"one") + text(b"two") + PING)
            assert (await listener.until(4))[1:] == [
                (WSMsgType.TEXT, b"one", False),
                (WSMsgType.TEXT, b"two", False),
                (WSMsgType.PING, b"", True),
            ]
            await closed(writer)
            assert (await listener.until(6))[-2:] == ["eof", "disconnected"]

    run(scenario())


def test_request_reaches_the_application_without_ballast(run: Run) -> None:
    async def scenario() -> None:
        async with served() as here:
            _, writer, _ = await here.upgraded()
            request = here.requests[0]
            assert (request.method, request.path) == (b"GET", b"/anywhere")
            assert set(request.headers) == {
                "connection",
                "host",
                "upgrade",
                "sec-websocket-key",
                "sec-websocket-version",
            }
            await closed(writer)

    run(scenario())


def test_refusal_is_written_and_the_socket_closed(run: Run) -> None:
    async def scenario() -> None:
        async with served() as here:
            here.refuse = True
            reader, writer = await here.open()
            answer = await asyncio.wait_for(reader.read(), 5)
            assert answer.startswith(b"HTTP/1.1 403 ") and answer.endswith(b"\r\n\r\nno")
            assert await asyncio.wait_for(here.refused.get(), 5) == (403, "/anywhere")
            await closed(writer)

    run(scenario())


def error_of(answer: bytes, status: int) -> dict[str, str]:
    """Return the error that an upgrade is refused with, as all others are."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"\r\ncontent-type: application/json\r\n" in head.lower()
    assert b"\r\nringcast-error: true\r\n" in head.lower()
    error: dict[str, str] = json.loads(body)["error"]
    return error


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"content-length: 5", "not supported: Content-Length is '5'"),
        (b"transfer-encoding: chunked", "Transfer-Encoding is not supported"),
        (b"\r\n".join([b"sec-websocket-protocol: x"] * 200), "more than 128 headers"),
    ],
)
def test_what_picows_refuses_is_told_as_the_rest(run: Run, line: bytes, told: str) -> None:
    async def scenario() -> None:
        async with served() as here:
            for request in (REQUEST, REQUEST.replace(b"c" * 3000, b"")):
                reader, writer = await here.open(request.replace(b"host: here", b"host: here\r\n" + line))
                error = error_of(await asyncio.wait_for(reader.read(), 5), 400)
                assert error["code"] == "invalid_message" and told in error["message"]
                assert await asyncio.wait_for(here.refused.get(), 5) == (400, "/anywhere")
                await closed(writer)
            assert here.requests == []

    run(scenario())


def test_headers_that_are_nothing_to_picows_may_be_many(run: Run) -> None:
    async def scenario() -> None:
        async with served() as here:
            for ballast in (b"a: \r\n" * 150, b"sec-websocket-x: 1\r\n" * 200):
                reader, writer = await here.open(REQUEST.replace(b"host:", ballast + b"host:"))
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
                assert head.startswith(b"HTTP/1.1 101 ")
                await closed(writer)

    run(scenario())


def test_head_that_is_too_long_for_picows(run: Run) -> None:
    async def scenario() -> None:
        async with served() as here:
            reader, writer = await here.open(
                REQUEST.replace(b"host: here", b"host: " + b"h" * MAX_HEAD_BYTES)
            )
            answer = await asyncio.wait_for(reader.read(), 5)
            assert error_of(answer, 431)["code"] == "head_too_large"
            assert await asyncio.wait_for(here.refused.get(), 5) == (431, "/anywhere")
            await closed(writer)

    run(scenario())


def test_nobody_is_told_what_went_wrong_with_us(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with served() as here:
            here.fail = True
            reader, writer = await here.open()
            answer = await asyncio.wait_for(reader.read(), 5)
            assert error_of(answer, 500)["code"] == "internal_error"
            assert b"a secret" not in answer
            await closed(writer)

    run(scenario())
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.name == "ringcast.server" and "a secret" in str(record.exc_info)


def test_invalid_key_is_refused_by_picows(run: Run) -> None:
    """picows checks the key after the listener was made, which is told that nothing comes of it."""

    async def scenario() -> None:
        async with served() as here:
            reader, writer = await here.open(REQUEST.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"))
            answer = await asyncio.wait_for(reader.read(), 5)
            assert error_of(answer, 400)["code"] == "invalid_message"
            await closed(writer)
            assert here.listeners[0].seen == ["disconnected"]

    run(scenario())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (RESERVED_OPCODE, 1002),
        (b"\x81\x02hi", 1002),
        (b"\x81\xff" + (MAX_FRAME_BYTES + 1).to_bytes(8, "big"), 1009),
        (b"\x88\x84" + MASK + b"\x03\xe8\xff\xff", 1007),
    ],
    ids=["reserved opcode", "not masked", "too large", "reason not UTF-8"],
)
def test_nothing_that_picows_writes_gets_out(run: Run, data: bytes, code: int) -> None:
    """Its close frame for what it cannot parse comes to the listener, after every frame before it."""

    async def scenario() -> None:
        async with served() as here:
            reader, writer, listener = await here.upgraded()
            writer.write(text(b"first") + text(b"second") + data + text(b"never"))
            assert await listener.until(4) == [
                ("connected", 0),
                (WSMsgType.TEXT, b"first", False),
                (WSMsgType.TEXT, b"second", True),
                (code, True),
            ]
            # Neither then nor when picows' own disconnect is due, 10 ms later.
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.1)
            # What else comes is read, so that the socket can be closed in order, and not parsed.
            writer.write(text(b"never") * 10_000)
            await writer.drain()
            await closed(writer)
            assert (await listener.until(6))[-2:] == ["eof", "disconnected"]

    run(scenario())


def test_two_close_frames_in_one_read(run: Run) -> None:
    """picows fails the second before it delivers the first."""

    async def scenario() -> None:
        async with served() as here:
            _, writer, listener = await here.upgraded()
            writer.write(CLOSE + CLOSE)
            assert (await listener.until(3))[1:] == [
                (WSMsgType.CLOSE, b"\x03\xe8", True),
                (1002, True),
            ]
            await closed(writer)

    run(scenario())


def test_listener_may_keep_a_half_closed_socket(run: Run) -> None:
    async def scenario() -> None:
        async with served() as here:
            reader, writer, listener = await here.upgraded()
            listener.keep_after_eof = True
            writer.write_eof()
            assert (await listener.until(2))[-1] == "eof"
            listener.transport.write(b"still open")
            assert await asyncio.wait_for(reader.readexactly(10), 5) == b"still open"
            listener.transport.close()
            assert await asyncio.wait_for(reader.read(), 5) == b""
            assert (await listener.until(3))[-1] == "disconnected"
            await closed(writer)

    run(scenario())


def test_one_read_is_bounded(run: Run) -> None:
    """So is picows' buffer, which doubles whenever a read fills it."""

    async def scenario() -> None:
        async with served() as here:
            _, writer, listener = await here.upgraded()
            protocol = listener.transport.get_protocol()
            assert isinstance(protocol, FrameProtocol)
            assert len(protocol.get_buffer(-1)) <= 2048
            count = 40_000
            for _ in range(10):
                writer.write(text(b"x" * 100) * (count // 10))
                await writer.drain()
            await listener.until(count + 1)
            assert len(WSProtocol.get_buffer(protocol, -1)) <= 4 * MAX_READ_BYTES
            assert len(protocol.get_buffer(-1)) <= MAX_READ_BYTES
            await closed(writer)

    run(scenario())


def test_connections_leave_no_loggers_behind(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with served() as here:
            for _ in range(3):
                _, writer, listener = await here.upgraded()
                writer.write(RESERVED_OPCODE)
                await listener.until(2)
                await closed(writer)

    before = set(logging.Logger.manager.loggerDict)
    with caplog.at_level(logging.INFO):
        run(scenario())
    assert {name for name in set(logging.Logger.manager.loggerDict) - before if "picows" in name} == set()
    assert [record for record in caplog.records if "picows" in record.name] == []


def test_socket_without_uvicorn(run: Run) -> None:
    """The same protocol reads its upgrade request from the socket, and gives up waiting for it."""

    async def scenario() -> None:
        here = Upgrading()
        listeners = here.listeners
        server = await asyncio.get_running_loop().create_server(
            lambda: FrameProtocol(here, MAX_FRAME_BYTES, 0.2), "127.0.0.1", 0
        )
        async with server:
            port = server.sockets[0].getsockname()[1]
            request = REQUEST.replace(b"keep-alive, Upgrade", b"Upgrade")
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request[:30])
            writer.write(request[30:] + text(b"early"))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert head.startswith(b"HTTP/1.1 101 ")
            assert await listeners[0].until(2) == [("connected", 0), (WSMsgType.TEXT, b"early", True)]
            await closed(writer)
            await listeners[0].until(4)

            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            await closed(writer)

    run(scenario())
