"""`LocalServer`: what it serves, the networks and the time that it puts into a test's hand, and its end."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import uvloop

from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig, SqliteStore, action
from ringcast.client import Connection
from ringcast.errors import ActorNotFound, ConnectionRefused, OutcomeUnknown, UserError
from ringcast.testing import (
    IMPATIENT,
    SLOW_CLIENT_BYTES,
    LocalServer,
    ManualClock,
    assert_event,
    assert_no_event,
    eventually,
    record,
)
from ringcast.wire.protocol import Gap

ENCODINGS: list[Literal["json", "msgpack"]] = ["json", "msgpack"]


@dataclass
class Lines:
    lines: list[str] = field(default_factory=list)


@dataclass
class Guest:
    name: str = "nobody"


class Room(Actor[Lines, Guest]):
    def on_before_connect(self, c: Context[Lines, Guest], params: Guest | None) -> None:
        if params is not None and params.name == "mallory":
            raise UserError("not you")

    def on_disconnect(self, c: Context[Lines, Guest]) -> None:
        c.broadcast("left", c.conn.state.name)

    @action
    def say(self, c: Context[Lines, Guest], text: str) -> int:
        c.state.lines.append(text)
        c.broadcast("said", text)
        return len(c.state.lines)

    @action
    async def wait(self, c: Context[Lines, Guest]) -> None:
        await asyncio.Event().wait()


class Strict(Room, max_ring_events=4):
    """Closes slow readers."""


class Lenient(Room, max_ring_events=4, slow_reader="skip"):
    """Lets slow readers skip."""


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    async with LocalServer(Room, Strict, Lenient) as server:
        yield server


@pytest.fixture
async def ann(server: LocalServer) -> Connection:
    return await server.connect(Room, "lobby", {"name": "ann"}, events=["said", "left"])


# --- serving ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_actors_are_served_to_network_clients(
    server: LocalServer, encoding: Literal["json", "msgpack"]
) -> None:
    client = server.client(encoding)
    room = client.get_or_create(Room, "lobby")
    async with room.connect() as connection:
        recorder = record(connection, "said")
        assert await connection.say("over a connection") == 1
        assert await room.say("over HTTP") == 2
        assert await server.registry.client.get_or_create(Room, "lobby").say("in process") == 3
        await assert_event(connection, "said", "in process")
        assert recorder.of("said") == ["over a connection", "over HTTP", "in process"]
    async with Client(server.url) as stranger:
        assert await stranger.get_or_create(Room, "lobby").say("from elsewhere") == 4


async def test_a_registry_lends_its_actors_and_limits_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "production.db"
    limits = {"session_window_s": 7, "hook_timeout_s": 8, "close_timeout_s": 0.1}
    registry = Registry(Room, store=SqliteStore(file), config=ServerConfig(**limits))
    async with LocalServer(registry) as server:
        # What would only hold the tests up is shortened.
        assert server.registry.config == ServerConfig(**limits, shutdown_timeout_s=1.0)
        ann = await server.connect(Room, events=["said"])
        await ann.say("x")
    assert not file.exists()
    assert registry._router is None


async def test_a_store_a_clock_and_limits_may_be_given() -> None:
    store, clock, config = MemoryStore(), ManualClock(5000.0), ServerConfig(session_window_s=7)
    async with LocalServer(Room, store=store, clock=clock, config=config) as server:
        assert (server.store, server.clock, server.registry.config) == (store, clock, config)
        assert (server.registry.store, server.registry.clock) == (store, clock)


async def test_a_refused_connection_is_raised(server: LocalServer) -> None:
    with pytest.raises(ConnectionRefused, match="not you"):
        await server.connect(Room, "lobby", {"name": "mallory"})
    with pytest.raises(ActorNotFound):  # nothing was created for it
        server.actor(Room, "lobby")


# --- time ---------------------------------------------------------------------------------------------------


async def test_a_window_passes_when_the_test_says_so(server: LocalServer, ann: Connection) -> None:
    bob = await server.connect(Room, "lobby", {"name": "bob"}, events=["left"])
    await server.cut(ann)
    await server.clock.advance(29.9)
    assert len(server.actor(Room, "lobby").conns) == 2
    await assert_no_event(bob, "left")
    await server.clock.advance(0.1)
    assert len(server.actor(Room, "lobby").conns) == 1
    await assert_event(bob, "left", "ann")


async def test_state_is_saved_when_the_test_says_so(server: LocalServer, ann: Connection) -> None:
    async def saved() -> bytes:
        stored = await server.store.find("Room", ("lobby",))
        return b"" if stored is None else stored.state

    await ann.say("x")
    assert await saved() == b'{"lines":[]}'
    await server.clock.advance(1)
    assert await saved() == b'{"lines":["x"]}'


# --- networks -----------------------------------------------------------------------------------------------


async def test_a_dropped_connection_comes_back_and_misses_nothing(
    server: LocalServer, ann: Connection
) -> None:
    id = ann.id
    for number in range(10):
        await server.drop_connection(ann)
        server.actor(Room, "lobby").broadcast("said", str(number))
    for number in range(10):
        await assert_event(ann, "said", str(number))
    await assert_no_event(ann)
    await assert_no_event(ann, "gap")
    assert ann.id == id
    assert record(ann).of("said") == [str(number) for number in range(10)]


async def test_a_cut_connection_stays_away_and_both_sides_know(server: LocalServer, ann: Connection) -> None:
    bob = await server.connect(Room, "lobby", {"name": "bob"}, events=["said"])
    await server.cut(ann)
    seen = {conn.state.name: conn.connected for conn in server.actor(Room, "lobby").conns}
    assert seen == {"ann": False, "bob": True}
    assert ann.status == "reconnecting"
    refused = server.network(ann).accepted
    await bob.say("missed")
    await assert_event(bob, "said", "missed")
    assert server.network(ann).accepted == refused
    assert ann.status == "reconnecting"
    server.restore(ann)
    await assert_event(ann, "replayed", 1)
    await assert_event(ann, "said", "missed")


async def test_connections_of_one_client_are_lost_one_by_one(server: LocalServer) -> None:
    client = server.client()
    first, second = (client.get_or_create(Room, key).connect() for key in ("first", "second"))
    async with first, second:
        await server.cut(first)
        assert (first.status, second.status) == ("reconnecting", "connected")
        assert await second.say("x") == 1


async def test_a_partition_is_told_to_nobody_and_passes(server: LocalServer, ann: Connection) -> None:
    server.partition(ann)
    server.actor(Room, "lobby").broadcast("said", "held back")
    call = asyncio.create_task(ann.say("held back too"))
    bob = await server.connect(Room, "lobby", events=["said"])
    await bob.say("not held back")
    await assert_event(bob, "said", "not held back")
    assert (ann.status, record(ann).of("said")) == ("connected", [])
    assert all(conn.connected for conn in server.actor(Room, "lobby").conns)
    server.restore(ann)
    assert await call == 2
    assert record(ann).of("said") == ["held back", "not held back", "held back too"]
    await assert_no_event(ann, "disconnected")


async def test_a_client_notices_a_partition_by_its_pings(server: LocalServer) -> None:
    config = replace(IMPATIENT, ping_idle_s=0.01, ping_reply_s=0.01)
    connection = server.client(config=config).get_or_create(Room).connect()
    record(connection, "said")
    async with connection:
        server.partition(connection)
        await assert_event(connection, "disconnected")
        server.restore(connection)
        await assert_event(connection, "reconnected")


async def flood(room: Room, count: int = 10) -> None:
    """Send much more than the way to a slow client and its ring hold."""
    for number in range(count):
        room.broadcast("said", f"{number} ".ljust(SLOW_CLIENT_BYTES // 4, "x"))
        await room.drain()


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_slow_client_is_closed_where_the_actor_says_so(
    server: LocalServer, encoding: Literal["json", "msgpack"]
) -> None:
    slow = await server.slow_client(Strict, events=["said"], encoding=encoding)
    room = server.actor(Strict)
    (conn,) = room.conns
    await flood(room)
    # It may take a moment to close a socket that takes nothing.
    await eventually(lambda: not conn.connected)
    assert slow.status == "connected"  # it does not read, so it cannot know
    server.restore(slow)
    await assert_event(slow, "disconnected")
    await assert_event(slow, "reconnected")
    assert (await assert_event(slow, "gap")).value.reason == "ring_overflow"
    await assert_event(slow, "said", where=lambda text: text.startswith("9 "))


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_slow_client_skips_where_the_actor_says_so(
    server: LocalServer, encoding: Literal["json", "msgpack"]
) -> None:
    slow = await server.slow_client(Lenient, events=["said"], encoding=encoding)
    await flood(server.actor(Lenient))
    server.restore(slow)
    assert (await assert_event(slow, "gap")).value.reason == "ring_overflow"
    await assert_event(slow, "said", where=lambda text: text.startswith("9 "))
    await assert_no_event(slow, "disconnected")


async def test_a_slow_client_is_heard_and_harms_nobody(server: LocalServer) -> None:
    slow = await server.slow_client(Strict, events=["said"])
    bob = await server.connect(Strict, events=["said"])
    call = asyncio.create_task(slow.say("I can still speak"))
    await assert_event(bob, "said", "I can still speak")
    assert not call.done()
    await flood(server.actor(Strict))
    await assert_event(bob, "said", where=lambda text: text.startswith("9 "))
    await assert_no_event(bob, "gap")


async def test_a_slow_client_that_is_let_go_gets_all_that_the_ring_holds(server: LocalServer) -> None:
    slow = await server.slow_client(Room, events=["said"])
    await flood(server.actor(Room), 50)
    server.restore(slow)
    await assert_event(slow, "said", where=lambda text: text.startswith("49 "))
    assert len(record(slow).of("said")) == 50
    await assert_no_event(slow, "gap")


async def test_networks_of_strangers_are_not_in_hand(server: LocalServer) -> None:
    async with Client(server.url) as stranger, stranger.get_or_create(Room).connect() as connection:
        with pytest.raises(LookupError, match="was not made by this server"):
            server.partition(connection)


# --- a restart ----------------------------------------------------------------------------------------------


async def test_state_and_clients_outlive_a_restart(server: LocalServer, ann: Connection) -> None:
    url = server.url
    await ann.say("before")
    await server.restart()
    assert server.url == url
    await assert_event(ann, "gap", Gap("epoch_changed"))
    assert await ann.say("after") == 2
    assert server.actor(Room, "lobby").state.lines == ["before", "after"]
    slow = await server.slow_client(Strict, events=["said"])
    (conn,) = server.actor(Strict).conns
    await flood(server.actor(Strict))
    await eventually(lambda: not conn.connected)
    server.restore(slow)


# --- the actors' side ---------------------------------------------------------------------------------------


async def test_a_running_actor_is_found_by_class_and_name(server: LocalServer, ann: Connection) -> None:
    room = server.actor(Room, "lobby")
    assert isinstance(room, Room)
    assert room is server.actor("room", ["lobby"]) is server.actor("Room", ("lobby",))
    assert server.actors == [room]
    (conn,) = room.conns
    assert (conn.id, conn.state) == (ann.id, Guest("ann"))
    with pytest.raises(ActorNotFound, match=r"no Room with the key \['x'\] runs; these do: Room \['lobby'\]"):
        server.actor(Room, "x")


# --- the end ------------------------------------------------------------------------------------------------


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/dev/fd"))


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_nothing_is_left_whatever_state_clients_are_in(
    run: Callable[[Coroutine[Any, Any, None]], None], tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with LocalServer(Room):
            pass  # what the loop itself opens with its first server, it keeps
        before, tasks = descriptors(), asyncio.all_tasks()
        async with LocalServer(Room, Strict, store=SqliteStore(tmp_path / "test.db")) as server:
            cut, partitioned, calling, closed = [
                await server.connect(Room, "lobby", events=["said"]) for _ in range(4)
            ]
            slow = await server.slow_client(Strict, events=["said"])
            await flood(server.actor(Strict))
            never = server.client().get_or_create(Room).connect()
            server.network(never).cut()
            await server.client("msgpack").get_or_create(Room, "lobby").say("x")
            await server.cut(cut)
            server.partition(partitioned)
            await closed.close()
            call = asyncio.create_task(calling.wait())
            await server.clock.advance(0)
            assert slow.status == "connected"
        with pytest.raises(OutcomeUnknown):
            await call
        assert {each.status for each in (cut, partitioned, slow, never, calling)} == {"closed"}
        assert (await asyncio.gather(server.stop()), server.clock.waiting) == ([None], 0)
        assert asyncio.all_tasks() == tasks
        await eventually(lambda: descriptors() == before)

    run(scenario())


def test_misuse_says_what_is_wrong() -> None:
    async def not_started() -> None:
        with pytest.raises(RuntimeError, match="is not started"):
            LocalServer(Room).client()

    async def elsewhere(server: LocalServer) -> None:
        with pytest.raises(RuntimeError, match="asyncio_default_fixture_loop_scope"):
            await server.connect(Room)

    async def scenario() -> None:
        async with LocalServer(Room) as server:
            await asyncio.to_thread(asyncio.run, elsewhere(server))

    asyncio.run(not_started())
    asyncio.run(scenario())
