"""Which way a client takes: a WebSocket, and server-sent events where a proxy lets none through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from blocking_proxy import WAYS, BlockingProxy, Way
from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.client import Client, ClientConfig
from ringcast.client.fallback import KEPT_SOCKETS
from ringcast.errors import ConnectionRefused
from ringcast.server.serve import serving
from ringcast.testing import eventually

# Short, so that a proxy which answers nothing is given up soon: an upgrade gets a quarter of it.
CONFIG = ClientConfig(
    reconnect_first_s=0.01,
    reconnect_base_s=0.01,
    reconnect_max_s=0.05,
    connect_timeout_s=2.0,
    close_timeout_s=1.0,
)
PATIENT = replace(CONFIG, connect_timeout_s=20.0)
"""Where nothing has to be given up, an upgrade may take as long as a busy machine needs."""
TIMEOUT_S = 30.0


class Room(Actor):
    """Says what it is told."""

    @action
    def say(self, c: Context, text: str) -> str:
        c.broadcast("said", text)
        return text


@pytest.fixture
def registry() -> Registry:
    limits = ServerConfig(close_timeout_s=0.5, shutdown_timeout_s=2.0)
    return Registry(Room, store=MemoryStore(), config=limits)


@pytest.fixture
async def proxy(registry: Registry) -> AsyncIterator[BlockingProxy]:
    async with serving(registry) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        async with BlockingProxy(host, int(port), None) as proxy:
            yield proxy


def is_event_stream(connection: Any) -> bool:
    link = connection._lifecycle._link
    return type(link._socket).__name__ == "EventStreamSocket"


async def lose(proxy: BlockingProxy, connection: Any) -> None:
    """Lose the network of a connection, and wait until it is back."""
    reconnected = asyncio.Event()
    connection.once("reconnected", reconnected.set)
    proxy.lose_all()
    await reconnected.wait()


@pytest.mark.parametrize("way", WAYS)
async def test_where_upgrades_are_blocked_events_come_all_the_same(
    proxy: BlockingProxy, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.way = way
    async with asyncio.timeout(TIMEOUT_S), Client(proxy.url, config=CONFIG) as client:
        room = client.room.get_or_create("a")
        async with room.connect() as connection, connection.stream("said") as said:
            assert await connection.say("hello") == "hello"
            assert (await anext(said)) == "hello"
            assert is_event_stream(connection)
        tried = proxy.upgrades
        async with room.connect() as another:
            # It is remembered, for all connections of the client.
            assert is_event_stream(another)
        assert proxy.upgrades == tried
    assert [record.levelno for record in caplog.records if "do not get through" in record.message] == [
        logging.WARNING
    ]


async def test_where_nothing_is_blocked_it_is_a_websocket(proxy: BlockingProxy) -> None:
    async with Client(proxy.url, config=PATIENT) as client:
        async with client.room.get_or_create("a").connect() as connection:
            assert not is_event_stream(connection)
        assert (proxy.upgrades, proxy.others) == (1, 0)


@pytest.mark.parametrize("way", [None, "refuse"])
async def test_a_server_that_is_down_is_waited_for(
    proxy: BlockingProxy, way: Way | None, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.way, proxy.down = way, True
    async with asyncio.timeout(TIMEOUT_S), Client(proxy.url, config=CONFIG) as client:
        connection = client.room.get_or_create("a").connect()
        await eventually(lambda: connection.last_error is not None)
        proxy.down = False
        await connection.ready()
        assert is_event_stream(connection) is (way == "refuse")
    assert ("do not get through" in caplog.text) is (way == "refuse")


def test_a_socket_that_is_kept_is_let_go_before_the_server_does_so() -> None:
    """A request on one that the server is closing would be lost, and the connection with it."""
    assert KEPT_SOCKETS.keepalive_expiry is not None
    assert KEPT_SOCKETS.keepalive_expiry < ServerConfig().idle_timeout_s / 2


async def test_a_network_that_is_lost_now_and_then_blocks_nothing(proxy: BlockingProxy) -> None:
    async with (
        asyncio.timeout(TIMEOUT_S),
        Client(proxy.url, config=PATIENT) as client,
        client.room.get_or_create("a").connect() as connection,
    ):
        for _ in range(5):
            await lose(proxy, connection)
        assert not is_event_stream(connection)


async def test_a_session_goes_on_over_events_when_upgrades_become_blocked_and_back(
    proxy: BlockingProxy, registry: Registry
) -> None:
    config = replace(CONFIG, websocket_retry_s=0.0)  # tried again at every connect
    async with (
        asyncio.timeout(TIMEOUT_S),
        Client(proxy.url, config=config) as client,
        client.room.get_or_create("a").connect() as connection,
        connection.stream("said") as said,
    ):
        name = connection.id
        gaps: list[Any] = []
        connection.on("gap", gaps.append)
        ways: tuple[Way | None, ...] = ("refuse", None, "strip")
        for way in ways:
            proxy.way = way
            await connection.say("before")
            assert await anext(said) == "before"
            losing = asyncio.create_task(lose(proxy, connection))
            await eventually(lambda: connection.status == "reconnecting")
            await registry.client.get_or_create("room", "a").say(str(way))
            assert await anext(said) == str(way)
            await losing
            assert is_event_stream(connection) is (way is not None)
            assert connection.id == name
        assert not gaps


async def test_after_a_while_a_websocket_is_tried_again(proxy: BlockingProxy) -> None:
    proxy.way = "refuse"
    config = replace(CONFIG, websocket_retry_s=0.0)
    async with Client(proxy.url, config=config) as client:
        for tried in (2, 4):
            async with client.room.get_or_create("a").connect() as connection:
                assert is_event_stream(connection)
            assert proxy.upgrades == tried
        proxy.way = None
        async with client.room.get_or_create("a").connect() as connection:
            assert not is_event_stream(connection)


async def test_msgpack_has_no_other_way(proxy: BlockingProxy) -> None:
    proxy.way = "drop"
    async with Client(proxy.url, encoding="msgpack", config=CONFIG) as client:
        connection = client.room.get_or_create("a").connect()
        await eventually(lambda: proxy.upgrades > 2)
        assert (connection.status, proxy.others) == ("connecting", 0)
    # It cannot be known whether a refusal is meant for WebSockets or for this client.
    proxy.way, proxy.upgrades = "refuse", 0
    async with asyncio.timeout(TIMEOUT_S), Client(proxy.url, encoding="msgpack", config=CONFIG) as client:
        with pytest.raises(ConnectionRefused, match="403"):
            await client.room.get_or_create("a").connect().ready()
        assert (proxy.upgrades, proxy.others) == (1, 0)


async def test_where_there_is_no_place_for_a_websocket_the_next_is_one_too() -> None:
    config = ServerConfig(
        max_connections_per_address=1,
        uncounted_networks=(),
        trusted_proxies=("127.0.0.1",),  # whose own sockets, as for a plain request, take no place by address
        session_window_s=0,
    )
    registry = Registry(Room, store=MemoryStore(), config=config)
    async with (
        asyncio.timeout(TIMEOUT_S),
        serving(registry) as url,
        Client(url, config=CONFIG) as first,
        Client(url, config=CONFIG) as second,
    ):
        held = first.room.get_or_create("a").connect()
        await held.ready()
        waiting = second.room.get_or_create("a").connect()
        await eventually(lambda: waiting.last_error is not None)
        await held.close()
        await waiting.ready()
        assert not is_event_stream(waiting)
        assert registry.router.limits_hit["max_connections_per_address"] > 0


async def test_only_what_was_asked_for(proxy: BlockingProxy) -> None:
    async with Client(proxy.url, transport="sse", config=CONFIG) as client:
        async with client.room.get_or_create("a").connect() as connection:
            assert await connection.say("hello") == "hello"
        assert proxy.upgrades == 0
    proxy.way = "drop"
    async with Client(proxy.url, transport="websocket", config=CONFIG) as client:
        others = proxy.others
        client.room.get_or_create("a").connect()
        await eventually(lambda: proxy.upgrades > 2)
        assert proxy.others == others


def test_a_transport_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="auto, websocket or sse"):
        Client("http://localhost", transport="pigeon")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="carry JSON"):
        Client("http://localhost", transport="sse", encoding="msgpack")
