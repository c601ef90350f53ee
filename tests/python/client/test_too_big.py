"""A request that is longer than the server takes fails by itself; the connection and all else go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest

from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.client import ClientConfig
from ringcast.errors import ConnectionRefused, MessageTooBig, OutcomeUnknown, SubscriptionRefused
from ringcast.server.serve import serving
from ringcast.testing import NetworkProxy, eventually
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connect

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
    def say(self, c: Context[None, None], *names: str) -> None:
        for name in names:
            c.broadcast(name, name)

    @action
    def sign(self, c: Context[None, None]) -> None:
        self.signed.set()


@pytest.fixture(params=WAYS, ids="-".join)
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    yield request.param


@asynccontextmanager
async def reached(way: Way) -> AsyncIterator[tuple[Any, Any, NetworkProxy]]:
    """Give a desk twice, as it is reached at once and over a network, and that network."""
    transport, encoding = way
    registry = Registry(Desk, store=MemoryStore(), config=ServerConfig(max_message_bytes=LIMIT))
    async with (
        asyncio.timeout(TIMEOUT_S),
        serving(registry) as url,
        NetworkProxy("127.0.0.1", int(url.rpartition(":")[2])) as proxy,
        Client(url) as near,
        Client(proxy.url, transport=transport, encoding=encoding, config=SOON) as far,
    ):
        yield near.desk.get_or_create("k"), far.desk.get_or_create("k"), proxy


@asynccontextmanager
async def connected(way: Way) -> AsyncIterator[tuple[Any, NetworkProxy]]:
    """Give a connection to a desk, and the network on its way there."""
    async with reached(way) as (_, desk, proxy), desk.connect() as connection:
        yield connection, proxy


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


NAMES = [f"{number}".rjust(100, "x") for number in range(20)]
"""Events of which not nearly all fit into one message."""


class Heard:
    """What a connection hears of events, and what it is told."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.events: list[str] = []
        self.refused: list[str] = []
        """The names, or what stands for them in messages, of subscriptions that were too long."""
        self.gaps: list[Any] = []
        connection.on("error", self._on_error)
        connection.on("gap", self.gaps.append)

    def listen(self, *names: str) -> None:
        for name in names:
            self._connection.on(name, self.events.append)

    def _on_error(self, error: Exception) -> None:
        assert isinstance(error, SubscriptionRefused) and error.code == "message_too_big", error
        self.refused.append(error.message.split("'")[1])


async def lose(connection: Any, proxy: NetworkProxy) -> None:
    proxy.cut()
    await eventually(lambda: connection.status == "reconnecting")


async def come_back(connection: Any, proxy: NetworkProxy) -> None:
    """Let the connection come back, and everything arrive that it has missed."""
    proxy.restore()
    await connection.ready()
    assert await connection.length("") == 0


async def test_after_a_subscription_that_was_too_long_a_client_comes_back(way: Way) -> None:
    async with connected(way) as (connection, proxy):
        id, heard = connection.id, Heard(connection)
        connection.on("moved", heard.events.append, where={"zone": "x" * LIMIT})
        heard.listen("said")
        assert heard.refused == ["moved"]
        for _ in range(2):
            await lose(connection, proxy)
            await come_back(connection, proxy)
        await connection.say("said", "moved")
        assert (heard.events, heard.gaps, connection.id) == (["said"], [], id)
        # As of any other that is refused, it is told each time.
        assert heard.refused == 3 * ["moved"]


async def test_subscriptions_that_are_too_long_together_fail_one_by_one(way: Way) -> None:
    async with reached(way) as (desk, far, proxy), far.connect() as connection:
        id, heard = connection.id, Heard(connection)
        heard.listen(*NAMES)
        taken = [name for name in NAMES if name not in heard.refused]
        assert 4 < len(taken) < 9 and heard.refused == NAMES[len(taken) :]
        assert await connection.length("") == 0
        for _ in range(2):
            await lose(connection, proxy)
            await desk.say(*taken)
            await come_back(connection, proxy)
        assert (heard.events, heard.gaps, connection.id) == (2 * taken, [], id)


async def test_what_is_listened_for_without_a_network_is_asked_for_as_far_as_it_fits(way: Way) -> None:
    async with reached(way) as (desk, far, proxy), far.connect() as connection:
        id, heard = connection.id, Heard(connection)
        heard.listen(NAMES[0])
        await connection.length("")
        await lose(connection, proxy)
        connection.on("moved", heard.events.append, where={"zone": "x" * LIMIT})
        heard.listen(*NAMES[1:])
        await desk.say(NAMES[0])
        await come_back(connection, proxy)
        taken = [name for name in NAMES if name not in heard.refused]
        assert 4 < len(taken) < 9 and "moved" in heard.refused
        await desk.say(*taken)
        await lose(connection, proxy)
        await come_back(connection, proxy)
        assert (heard.events, heard.gaps, connection.id) == ([NAMES[0], *taken], [], id)


async def test_what_fitted_at_first_and_does_not_when_it_is_taken_up_again_is_told(way: Way) -> None:
    """A connect message that takes up a session is longer than the one that began it."""
    first = Connect("desk", ("k",), subscriptions=(*NAMES[:8], "y" * 40))
    spare = LIMIT - len(Encoding[way[1].upper()].encode(first.to_wire()))
    names = [*NAMES[:8], "y" * (40 + spare)]
    async with reached(way) as (desk, far, proxy):
        connection = far.connect()
        heard = Heard(connection)
        heard.listen(*names)
        await connection.ready()
        id = connection.id
        await connection.length("")
        assert heard.refused == []
        await lose(connection, proxy)
        await desk.say(*names)
        await come_back(connection, proxy)
        assert heard.refused
        assert sorted(heard.events + heard.refused) == sorted(names)
        assert (heard.gaps, connection.id) == ([], id)
        await connection.close()


async def test_calls_under_way_take_no_room_of_those_that_are_listened_for(way: Way) -> None:
    async with reached(way) as (desk, far, proxy), far.connect() as connection:
        id, heard = connection.id, Heard(connection)
        heard.listen(*NAMES[:5])
        waiting = [asyncio.ensure_future(connection.wait()) for _ in range(400)]
        await connection.length("")
        await lose(connection, proxy)
        await desk.say(*NAMES[:5])
        await come_back(connection, proxy)
        await desk.sign()
        assert await asyncio.gather(*waiting) == 400 * ["signed"]
        assert (heard.events, heard.refused, heard.gaps) == (NAMES[:5], [], [])
        assert connection.id == id


async def test_a_first_connect_that_is_too_long_says_so(way: Way) -> None:
    async with reached(way) as (_, far, _proxy):
        connection = far.connect()
        for name in NAMES:
            connection.on(name, lambda: None)
        with pytest.raises(ConnectionRefused) as refused:
            await connection.ready()
        assert refused.value.code == "message_too_big"


async def test_a_call_that_the_server_takes_no_more_at_a_resume_fails_alone(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.desk.get_or_create("k").connect()
    peer = await server.accept()
    await peer.welcome(max_message_bytes=2 * LIMIT)
    long = asyncio.ensure_future(connection.length("x" * LIMIT))
    short = asyncio.ensure_future(connection.length("x"))
    assert [(await peer.receive_call()).id for _ in range(2)] == [1, 2]
    peer.cut()
    peer = await server.accept()
    await peer.welcome(max_message_bytes=LIMIT, replayed=0)
    assert await peer.receive_call() == Call(2, "length", ["x"])
    with pytest.raises(OutcomeUnknown, match="at most 1000 bytes now"):
        await long
    peer.send(["reply", 2, 1])
    assert await short == 1
    await connection.close()


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
