"""Messages that come as one, from a server whose frames another program makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from ringcast.client import ClientConfig
from ringcast.client.socket import open_socket
from ringcast.wire.encoding import Encoding

from .receiver import Receiver

MESSAGES: list[Any] = [["reply", 1, "größe"], ["event", 1, 1, "a", [{"x": [1, 2]}]], [], "x" * 70_000]


@asynccontextmanager
async def sending(
    encoding: Encoding, batch: bytes, offered: list[Sequence[str]], chosen: int
) -> AsyncIterator[str]:
    """Serve somebody who sends one message, after choosing one of the subprotocols that are offered."""

    async def handle(socket: ServerConnection) -> None:
        await socket.send(batch.decode() if encoding.is_text else batch)

    def choose(_socket: ServerConnection, names: Sequence[Subprotocol]) -> Subprotocol:
        offered.append(names)
        return names[chosen]

    async with serve(handle, "127.0.0.1", 0, select_subprotocol=choose, compression=None) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/connect"


async def received(encoding: Encoding, batch: bytes, chosen: int) -> list[bytes]:
    offered: list[Sequence[str]] = []
    async with sending(encoding, batch, offered, chosen) as url, asyncio.timeout(10):
        receiver = Receiver()
        await open_socket(url, receiver, encoding, ClientConfig())
        await receiver.lost.wait()
    assert offered == [[encoding.subprotocol, encoding.batched_subprotocol]]
    return receiver.messages


@pytest.mark.parametrize("encoding", Encoding)
async def test_each_of_them_is_handed_on(encoding: Encoding) -> None:
    messages = [encoding.encode(message) for message in MESSAGES]
    batch = (b"\n" if encoding.is_text else b"").join(messages)
    assert await received(encoding, batch, chosen=1) == messages


@pytest.mark.parametrize("encoding", Encoding)
async def test_a_server_that_does_not_choose_it_sends_one_in_each(encoding: Encoding) -> None:
    message = b'["reply",1,\n2]' if encoding.is_text else encoding.encode(["reply", 1, 2])
    assert await received(encoding, message, chosen=0) == [message]


def test_what_is_no_message_is_left_to_who_reads_it() -> None:
    one = Encoding.MSGPACK.encode(["reply", 1, None])
    assert Encoding.MSGPACK.split(one + b"\xc1" + one) == [one, b"\xc1" + one]
    assert Encoding.MSGPACK.split(one + one[:-1]) == [one, one[:-1]]
    assert Encoding.MSGPACK.split(one) == [one]
    assert Encoding.JSON.split(b"[]\n\n[1]") == [b"[]", b"", b"[1]"]
