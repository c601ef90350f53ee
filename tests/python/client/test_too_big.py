"""A request that is longer than the server takes fails by itself; the connection and all else go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest

from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.client import ClientConfig
from ringcast.errors import MessageTooBig, SubscriptionRefused
from ringcast.server.serve import serving
from ringcast.testing import NetworkProxy, eventually
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call

from .scripted import ScriptedServer

TIMEOUT_S = 20
LIMIT = 1000
SOON = ClientConfig(reconnect_first_s=0.01, reconnect_base_s=0.01, reconnect_max_s=0.05)
Way = tuple[Literal["websocket", "sse"], Literal["json", "msgpack"]]
WAYS: list[Way] = [("websocket", "json"), ("websocket", "msgpack"), ("sse", "json")]


class Desk(Actor[None, None]):
    def __init__(self) -> None:
        self.signed = asyncio.Event()

    @action
    def length(self, c: Context[None, None], text: str) -> int:
        return len(text)

    @action
    async def wait(self, c: Context[None, None]) -> str:
        await self.signed.wait()
        return "signed"

    @action
    def sign(self, c: Context[None, None]) -> None:
        self.signed.set()


@pytest.fixture(params=WAYS, ids="-".join)
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    yield request.param


@asynccontextmanager
async def connected(way: Way) -> AsyncIterator[tuple[Any, NetworkProxy]]:
    """Give a connection to a desk, and the network on its way there."""
    transport, encoding = way
    registry = Registry(Desk, store=MemoryStore(), config=ServerConfig(max_message_bytes=LIMIT))
    async with asyncio.timeout(TIMEOUT_S), serving(registry) as url:
        proxy = NetworkProxy("127.0.0.1", int(url.rpartition(":")[2]))
        await proxy.start()
        try:
            async with (
                Client(proxy.url, transport=transport, encoding=encoding, config=SOON) as client,
                client.desk.get_or_create("k").connect() as connection,
            ):
                yield connection, proxy
        finally:
            await proxy.stop()


def fitting(encoding: str, id: int) -> str:
    """Return the longest text that a call of `length` may have, of characters of two bytes each."""
    spare = LIMIT - len(Encoding[encoding.upper()].encode(Call(id, "length", ["x" * 300]).to_wire())) + 300
    return "ü" * (spare // 2) + "x" * (spare % 2)


async def test_a_call_fails_alone(way: Way) -> None:
    async with connected(way) as (connection, _):
        waiting = asyncio.ensure_future(connection.wait())
        longest = fitting(way[1], 2)
        assert await connection.length(longest) == len(longest)
        for text in (longest + "x", "x" * 100_000):
            with pytest.raises(MessageTooBig, match=f"not sent.* {LIMIT} bytes") as refused:
                await connection.length(text)
            assert refused.value.code == "message_too_big"
        await connection.sign()
        assert await waiting == "signed"
        assert connection.status == "connected" and connection.last_error is None


async def test_a_call_that_has_waited_for_the_network_fails_alone(way: Way) -> None:
    async with connected(way) as (connection, proxy):
        id = connection.id
        proxy.cut()
        await eventually(lambda: connection.status == "reconnecting")
        texts = ["a", "x" * 2 * LIMIT, "abc"]
        calls = [asyncio.ensure_future(connection.length(text)) for text in texts]
        await asyncio.sleep(0)  # they are made now, and wait
        proxy.restore()
        first, too_big, last = await asyncio.gather(*calls, return_exceptions=True)
        assert (first, last) == (1, 3)
        assert isinstance(too_big, MessageTooBig)
        assert (connection.status, connection.id) == ("connected", id)


async def test_what_goes_together_is_no_longer_than_that(way: Way) -> None:
    """Over HTTP, messages of one moment are one request."""
    async with connected(way) as (connection, _):
        texts = ["x" * (7 * number) for number in range(100)]
        assert await asyncio.gather(*map(connection.length, texts)) == list(map(len, texts))
        assert connection.status == "connected" and connection.last_error is None


async def test_a_subscription_fails_alone(way: Way) -> None:
    async with connected(way) as (connection, _):
        errors: asyncio.Queue[Any] = asyncio.Queue()
        connection.on("error", errors.put_nowait)
        connection.on("moved", lambda: None, where={"zone": "x" * LIMIT})
        refused = await errors.get()
        assert isinstance(refused, SubscriptionRefused) and refused.code == "message_too_big"
        assert await connection.length("abc") == 3
        assert connection.status == "connected" and connection.last_error is None


async def test_of_a_server_that_does_not_say_what_it_takes_nothing_is_assumed(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.desk.get_or_create("k").connect()
    peer = await server.accept()
    await peer.welcome()
    calling = asyncio.ensure_future(connection.length("x" * 100_000))
    assert (await peer.receive_call()).args == ["x" * 100_000]
    peer.send(["reply", 1, 100_000])
    assert await calling == 100_000
    await connection.close()
