"""Connecting, and what a client goes on from after a lost network: its position, or a gap."""

from __future__ import annotations

import asyncio

import pytest

from ringcast.client import Client
from ringcast.errors import CloseCode
from ringcast.wire.protocol import Gap, Heartbeat, Resume

from .scripted import ScriptedServer, event, record, until

# --- the first time -----------------------------------------------------------------------------------------


async def test_connect_returns_at_once_and_connects_in_the_background(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    assert connection.status == "idle"
    log = record(connection)
    peer = await server.accept()
    assert connection.status == "connecting"
    assert log == []
    await peer.welcome(actor_id="a7", connection="c7")
    await connection.ready()
    assert connection.status == "connected"
    assert (connection.id, connection.actor_id) == ("c7", "a7")
    assert log == [("connected",)]


async def test_a_listener_for_connected_that_comes_too_late_does_not_fire(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    await (await server.accept()).welcome()
    await connection.ready()
    log = record(connection)
    await connection.ready()
    assert log == []


async def test_async_with_waits_until_connected_and_closes(server: ScriptedServer, client: Client) -> None:
    async def serve() -> int | None:
        peer = await server.accept()
        await peer.welcome()
        return await peer.closed()

    serving = asyncio.create_task(serve())
    async with client.room.get_or_create("k").connect() as connection:
        assert connection.status == "connected"
        log = record(connection)
    assert connection.status == "closed"
    assert log == [("disconnected",)]
    assert await serving == CloseCode.NORMAL


# --- the position -------------------------------------------------------------------------------------------


async def test_a_lost_network_is_resumed_from_the_last_position(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    peer = await server.accept()
    first = await peer.welcome(event(5, "a", 5), event(7, "a", 7), epoch="e1", offset=4, session="s1")
    await until(lambda: len(log) == 3)
    peer.cut()
    peer = await server.accept()
    assert connection.status == "reconnecting"
    second = await peer.welcome(event(9, "a", 9), epoch="e1", offset=7, session="s1", replayed=1)
    await until(lambda: ("a", 9) in log)
    assert first.resume is None
    assert second.resume == Resume("s1", "e1", 7, (), 0, (), 1)
    assert second.subscriptions == ("a",)
    assert log[3:] == [("disconnected",), ("reconnected",), ("replayed", 1), ("a", 9)]


async def test_duplicates_are_dropped_and_counted(server: ScriptedServer, client: Client) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    peer = await server.accept()
    await peer.welcome(*(event(offset, "a", offset) for offset in (1, 2, 2, 1, 3)))
    await until(lambda: connection.position == ("e1", 3))
    peer.cut()
    # A server that starts further back than the client is.
    peer = await server.accept()
    await peer.welcome(*(event(offset, "a", offset) for offset in (2, 3, 4)), offset=1, replayed=3)
    await until(lambda: connection.position == ("e1", 4))
    assert [entry[1] for entry in log if entry[0] == "a"] == [1, 2, 3, 4]
    assert connection.duplicates == 4


async def test_a_heartbeat_moves_the_position_past_what_was_for_others(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    peer = await server.accept()
    await peer.welcome(event(3, "a"), Heartbeat(1, 90), Heartbeat(2, 500), Heartbeat(1, 80), event(91, "a"))
    await until(lambda: connection.position == ("e1", 91))
    assert log == [("connected",), ("a",), ("a",)]
    peer.send(Heartbeat(1, 7000))
    await until(lambda: connection.position == ("e1", 7000))
    peer.cut()
    connect = await (await server.accept()).welcome(offset=7000, replayed=0)
    assert connect.resume == Resume("s1", "e1", 7000, (), 0, (), 1)
    assert connection.duplicates == 0


async def test_the_position_moves_before_handlers_run(server: ScriptedServer, client: Client) -> None:
    connection = client.room.get_or_create("k").connect()
    positions = []
    connection.on("a", lambda: positions.append(connection.position))
    await (await server.accept()).welcome(event(3, "a"))
    await until(lambda: positions)
    assert positions == [("e1", 3)]


async def test_events_of_another_stream_are_not_for_this_connection(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    await (await server.accept()).welcome(event(9, "a", stream=2), event(1, "a"))
    await until(lambda: connection.position == ("e1", 1))
    assert log == [("connected",), ("a",)]


@pytest.mark.parametrize("name", ["error", "gap", ""])
async def test_an_event_with_a_reserved_name_is_not_taken_for_a_lifecycle_event(
    server: ScriptedServer, client: Client, name: str
) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection)
    await (await server.accept()).welcome(event(1, name, "forged"))
    await until(lambda: connection.position == ("e1", 1))
    assert log == [("connected",)]


# --- epochs and gaps ----------------------------------------------------------------------------------------


async def test_a_new_epoch_takes_its_own_offset(server: ScriptedServer, client: Client) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    peer = await server.accept()
    await peer.welcome(event(90, "a", 90), epoch="e1", offset=80)
    await until(lambda: connection.position == ("e1", 90))
    peer.cut()
    gap = Gap("epoch_changed")
    peer = await server.accept()
    await peer.welcome(event(3, "a", 3), epoch="e2", offset=2, session="s2", gap=gap)
    await until(lambda: ("a", 3) in log)
    assert log[2:] == [("disconnected",), ("reconnected",), ("gap", gap), ("a", 3)]
    peer.cut()
    peer = await server.accept()
    connect = await peer.welcome(epoch="e2", offset=3, session="s2", replayed=0)
    assert connect.resume == Resume("s2", "e2", 3, (), 0, (), 2)


async def test_a_session_that_goes_on_in_another_epoch_is_replayed(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    peer = await server.accept()
    await peer.welcome(event(90, "a", 90), epoch="e1", offset=80)
    await until(lambda: connection.position == ("e1", 90))
    peer.cut()
    peer = await server.accept()
    await peer.welcome(event(91, "a", 91), epoch="e2", offset=90, replayed=1)
    await until(lambda: ("a", 91) in log)
    assert log[2:] == [("disconnected",), ("reconnected",), ("replayed", 1), ("a", 91)]
    peer.cut()
    connect = await (await server.accept()).welcome(epoch="e3", offset=91, replayed=0)
    assert connect.resume == Resume("s1", "e2", 91, (), 0, (), 2)


async def test_a_ring_overflow_is_a_gap_and_then_a_replay(server: ScriptedServer, client: Client) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    peer = await server.accept()
    await peer.welcome()
    await connection.ready()
    peer.cut()
    gap = Gap("ring_overflow", 1, 4)
    await (await server.accept()).welcome(event(5, "a", 5), offset=4, replayed=1, gap=gap)
    await until(lambda: ("a", 5) in log)
    assert log[2:] == [("reconnected",), ("gap", gap), ("replayed", 1), ("a", 5)]


async def test_a_new_session_without_a_gap_is_reported_as_one(server: ScriptedServer, client: Client) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection)
    peer = await server.accept()
    await peer.welcome(session="s1")
    await connection.ready()
    peer.cut()
    await (await server.accept()).welcome(session="s2")
    await until(lambda: len(log) == 4)
    assert log[-1] == ("gap", Gap("session_expired"))


async def test_a_gap_while_connected_moves_the_position(server: ScriptedServer, client: Client) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    gap = Gap("ring_overflow", 2, 8)
    peer = await server.accept()
    await peer.welcome(event(1, "a"), gap_message := gap, event(9, "a"))  # type: ignore[arg-type]
    await until(lambda: connection.position == ("e1", 9))
    assert log == [("connected",), ("a",), ("gap", gap_message), ("a",)]
    peer.send(Gap("ring_overflow", 10, 20))
    await until(lambda: connection.position == ("e1", 20))


async def test_a_gap_that_nobody_listens_for_is_logged(
    server: ScriptedServer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.room.get_or_create("k").connect()
    await (await server.accept()).welcome(Gap("ring_overflow"))  # type: ignore[arg-type]
    await until(lambda: "events are missing (ring_overflow)" in caplog.text)


# --- the order of what is told ------------------------------------------------------------------------------


async def test_lifecycle_events_wait_for_the_handlers_before_them(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    log: list[str] = []
    release = asyncio.Event()

    async def slow() -> None:
        await release.wait()
        log.append("a")

    connection.on("a", slow)
    connection.on("disconnected", lambda: log.append("disconnected"))
    peer = await server.accept()
    await peer.welcome(event(1, "a"))
    await until(lambda: connection.position == ("e1", 1))
    peer.cut()
    await until(lambda: connection.status == "reconnecting")
    assert log == []
    release.set()
    await until(lambda: len(log) == 2)
    assert log == ["a", "disconnected"]
