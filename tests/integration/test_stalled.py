"""A client whose handlers are behind cannot tell whether there is a network, and says so: `stalled`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from probes import Feed
from served import Encoding

from ringcast import ServerConfig
from ringcast.client import Connection
from ringcast.testing import IMPATIENT, LocalServer, assert_event, eventually, record

BEAT_S = 0.1
ENOUGH = 50
"""Events with which the client stops reading; few enough that it reads on for an answer."""


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    """Give a server whose clients give it up after a quarter of a second, and which does after a half."""
    config = ServerConfig(heartbeat_s=BEAT_S, dead_peer_timeout_s=5 * BEAT_S)
    async with LocalServer(Feed, config=config) as server:
        yield server


class Slow:
    """A client with a handler that waits for `release`, and that stops reading meanwhile."""

    def __init__(self, server: LocalServer, encoding: Encoding) -> None:
        client = server.client(encoding, replace(IMPATIENT, max_unhandled_events=10))
        self.server = server
        self.connection: Connection = client.get_or_create(Feed, "k").connect()
        self.release = asyncio.Event()
        self.got: list[int] = []
        self.statuses: list[str] = []
        """What was shown when the handler of each was called."""
        self.told = record(self.connection)
        """The lifecycle events that it was told of: they wait for the handler, as everything does."""
        self.connection.on("item", self.handle)

    async def handle(self, number: int) -> None:
        self.statuses.append(self.connection.status)
        await self.release.wait()
        self.got.append(number)

    async def fall_behind(self) -> None:
        await self.connection.ready()
        self.emit(ENOUGH)
        await eventually(lambda: self.connection._lifecycle.backlog.full)

    async def stall(self) -> None:
        """Wait until it shows; up to there it is `connected`."""
        seen: list[str] = []

        def stalled() -> bool:
            seen.append(self.connection.status)
            return seen[-1] == "stalled"

        await eventually(stalled)
        assert set(seen) <= {"connected", "stalled"}

    def emit(self, count: int) -> None:
        feed = self.server.actor(Feed, "k")
        for _ in range(count):
            feed.items += 1
            feed.broadcast("item", feed.items)

    def is_attached(self) -> bool:
        """Whether the actor thinks that the client is there."""
        (conn,) = self.server.actor(Feed, "k").conns
        return conn.connected


@pytest.fixture
async def slow(server: LocalServer, encoding: Encoding) -> Slow:
    slow = Slow(server, encoding)
    await slow.fall_behind()
    return slow


async def all_of(slow: Slow, count: int) -> None:
    """Wait until everything has been handled: once, in order, and with nothing missing."""
    await eventually(lambda: len(slow.got) >= count)
    assert slow.got == list(range(1, count + 1))
    assert slow.connection.duplicates == 0
    assert slow.told.of("gap") == []


async def test_a_lost_network_that_nobody_can_notice_is_not_called_connected(
    server: LocalServer, slow: Slow
) -> None:
    server.partition(slow.connection)
    await slow.stall()
    await eventually(lambda: not slow.is_attached())
    slow.emit(10)
    assert slow.connection.status == "stalled"
    slow.release.set()
    await assert_event(slow.connection, "disconnected")
    server.restore(slow.connection)
    await assert_event(slow.connection, "reconnected")
    assert slow.connection.status == "connected"
    await all_of(slow, ENOUGH + 10)


async def test_a_network_that_was_there_all_the_time_is_called_connected_again(slow: Slow) -> None:
    await slow.stall()
    slow.emit(5)
    assert slow.is_attached()
    slow.release.set()
    await all_of(slow, ENOUGH + 5)
    assert slow.statuses[1] == "stalled"  # the first one that was called after the release
    assert slow.statuses[ENOUGH:] == ["connected"] * 5  # when they were read
    await eventually(lambda: slow.connection.status == "connected")
    assert slow.told.of("disconnected") == []


async def test_a_call_is_answered_and_more_may_follow(slow: Slow) -> None:
    for amount in (1, 2):
        await slow.stall()
        assert await asyncio.wait_for(slow.connection.add(1), 5) == amount
    assert slow.got == []
    slow.release.set()
    await all_of(slow, ENOUGH)


async def test_a_call_finds_out_that_the_network_is_lost_and_runs_once(
    server: LocalServer, slow: Slow
) -> None:
    server.partition(slow.connection)
    await slow.stall()
    call = asyncio.create_task(slow.connection.add(1))
    await eventually(lambda: slow.connection.status == "reconnecting")
    server.restore(slow.connection)
    assert await asyncio.wait_for(call, 5) == 1
    assert slow.got == []
    slow.release.set()
    await all_of(slow, ENOUGH)
    assert await slow.connection.add(1) == 2


async def test_a_socket_that_is_reset_is_noticed_although_nobody_reads(
    server: LocalServer, slow: Slow
) -> None:
    """By what the client sends to show the server that it is there."""
    slow.emit(10)
    await slow.stall()
    await server.cut(slow.connection)
    assert slow.connection.status == "reconnecting"
    server.restore(slow.connection)
    await eventually(slow.is_attached)
    assert slow.got == []
    slow.release.set()
    await all_of(slow, ENOUGH + 10)


async def test_ready_and_repr_while_stalled(slow: Slow) -> None:
    await slow.stall()
    await asyncio.wait_for(slow.connection.ready(), 5)
    assert repr(slow.connection).endswith("stalled>")
    assert slow.connection.last_error is None
