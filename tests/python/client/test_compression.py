"""A client that offers compression: to another implementation, and to servers that answer wrongly."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from ringcast.client.config import ClientConfig
from ringcast.client.socket import Socket, open_socket
from ringcast.errors import ConnectionFailure
from ringcast.wire.deflate import deflate
from ringcast.wire.encoding import Encoding

TIMEOUT_S = 5.0
LONG = ("a text that says itself again and again; " * 30).encode()


class Receiver:
    """What the socket reports, in order."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self.lost: asyncio.Future[tuple[int | None, str]] = asyncio.get_running_loop().create_future()

    def on_message(self, payload: bytes) -> None:
        self.messages.put_nowait(payload)

    def on_lost(self, code: int | None, reason: str) -> None:
        self.lost.set_result((code, reason))

    async def next(self) -> bytes:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.messages.get()


@asynccontextmanager
async def serving(
    handler: Callable[[ServerConnection], Awaitable[None]], encoding: Encoding, answer: str | None = None
) -> AsyncIterator[str]:
    """Serve with the `websockets` library; `answer` stands in for what it would agree on."""

    def respond(_: ServerConnection, __: Request, response: Response) -> Response:
        if answer is not None:
            name = "Sec-WebSocket-Extensions"
            kept = [header for header in response.headers.raw_items() if header[0] != name]
            response.headers = Headers([*kept, (name, answer)])
        return response

    async with serve(
        handler,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol(encoding.subprotocol)],
        extensions=[ServerPerMessageDeflateFactory()],
        compression=None,
        process_response=respond,
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/connect"


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


async def opened(url: str, encoding: Encoding, **changes: object) -> tuple[Socket, Receiver]:
    receiver = Receiver()
    config = ClientConfig(compression=True, close_timeout_s=1.0, **changes)  # type: ignore[arg-type]
    return await open_socket(url, receiver, encoding, config), receiver


@pytest.mark.parametrize("encoding", Encoding)
async def test_messages_of_every_length_go_both_ways(encoding: Encoding) -> None:
    sizes: list[tuple[int, bool]] = []
    agreed: list[Extension] = []

    async def watch(socket: ServerConnection) -> None:
        (extension,) = socket.protocol.extensions
        agreed.append(extension)
        decode = extension.decode

        def counting(frame: Frame, *, max_size: int | None = None) -> Frame:
            if frame.opcode < 8:
                sizes.append((len(frame.data), frame.rsv1))
            return decode(frame, max_size=max_size)

        extension.decode = counting  # type: ignore[method-assign]
        await echo(socket)

    texts = [b"[]", LONG[:255], LONG[:256], LONG, LONG * 100]
    async with serving(watch, encoding) as url:
        socket, receiver = await opened(url, encoding)
        for text in texts:
            socket.send(text)
            assert await receiver.next() == text
        await socket.close()
    assert agreed
    assert [rsv1 for _, rsv1 in sizes] == [False, False, True, True, True]
    assert all(size < len(text) / 2 for (size, _), text in zip(sizes[2:], texts[2:], strict=True))


async def test_a_server_may_say_that_it_uses_a_smaller_window() -> None:
    answer = "permessage-deflate; server_no_context_takeover; server_max_window_bits=10"
    async with serving(echo, Encoding.JSON, answer) as url:
        socket, receiver = await opened(url, Encoding.JSON)
        socket.send(LONG)
        assert await receiver.next() == LONG
        await socket.close()


async def test_a_server_that_does_not_agree() -> None:
    async with serve(
        echo, "127.0.0.1", 0, subprotocols=[Subprotocol(Encoding.JSON.subprotocol)], compression=None
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        socket, receiver = await opened(f"ws://127.0.0.1:{port}/connect", Encoding.JSON)
        socket.send(LONG)
        assert await receiver.next() == LONG
        await socket.close()


@pytest.mark.parametrize(
    "answer",
    [
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover; client_max_window_bits=9",
        "other",
    ],
)
async def test_an_answer_to_something_else(answer: str) -> None:
    async with serving(echo, Encoding.JSON, answer) as url:
        with pytest.raises(ConnectionFailure, match="not offered"):
            await opened(url, Encoding.JSON)


async def test_an_answer_to_no_offer() -> None:
    async with serving(echo, Encoding.JSON, "permessage-deflate; server_no_context_takeover") as url:
        with pytest.raises(ConnectionFailure, match="not offered"):
            await open_socket(url, Receiver(), Encoding.JSON, ClientConfig())


def frame(opcode: Opcode, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    """Return a frame; `rsv` is the three reserved bits as a number, 4 for a compressed message."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    length = len(payload)
    return head + (bytes([length]) if length < 126 else b"\x7e" + length.to_bytes(2, "big")) + payload


def frames(payload: bytes, cut: int) -> bytes:
    """Return a compressed message in two frames."""
    return frame(Opcode.TEXT, payload[:cut], fin=False, rsv=4) + frame(Opcode.CONT, payload[cut:])


async def test_a_message_in_fragments() -> None:
    async def send(socket: ServerConnection) -> None:
        compressed = deflate(LONG)
        assert compressed is not None
        socket.transport.write(frames(compressed, 7) + frames(compressed, 0))
        await socket.wait_closed()

    async with serving(send, Encoding.JSON) as url:
        socket, receiver = await opened(url, Encoding.JSON)
        assert [await receiver.next() for _ in range(2)] == [LONG, LONG]
        await socket.close()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(Opcode.TEXT, b"\xff" * 20, rsv=4), 1007),
        (frame(Opcode.TEXT, zlib.compress(bytes(9 << 20), 9, -15), rsv=4), 1009),
        (frames(b"\xff" * 20, 5), 1007),
        (frame(Opcode.TEXT, b"[]", rsv=2), 1002),
        (frame(Opcode.PONG, b"", rsv=4), 1002),
        (frame(Opcode.TEXT, b"[", fin=False) + frame(Opcode.CONT, b"]", rsv=4), 1002),
    ],
    ids=["broken", "a bomb", "broken, in fragments", "RSV2", "a pong", "a continuation"],
)
async def test_what_no_server_may_send(data: bytes, code: int) -> None:
    closed: list[int | None] = []

    async def send(socket: ServerConnection) -> None:
        socket.transport.write(data)
        await socket.wait_closed()
        closed.append(socket.close_code)

    async with serving(send, Encoding.JSON) as url:
        _, receiver = await opened(url, Encoding.JSON, max_message_bytes=1 << 20)
        async with asyncio.timeout(TIMEOUT_S):
            lost = await receiver.lost
    assert lost[0] is None
    assert closed == [code]
    assert receiver.messages.empty()
