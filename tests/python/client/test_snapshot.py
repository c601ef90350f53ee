"""Snapshots as a client hears of them: `resynced`, in place of a gap where somebody takes it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ringcast.client import Client, Connection
from ringcast.errors import EventsLost
from ringcast.wire.protocol import Gap

from .scripted import ScriptedServer, event, until

GAP = Gap("ring_overflow", 2, 8)


async def serve_a_loss(server: ScriptedServer) -> None:
    """Answer with a snapshot and event 1; lose the network; make good events 2 to 8 by a snapshot."""
    first = await server.accept()
    await first.welcome(event(1, "added", 1), snapshot=["first"])
    await first.receive_call()
    first.cut()
    second = await server.accept()
    connect = await second.welcome(event(9, "added", 9), offset=8, gap=GAP, snapshot=["second"])
    assert connect.resume is not None and connect.resume.offset == 1


async def lose(connection: Connection) -> None:
    """Have the network cut, and wait until what follows has arrived."""
    call = asyncio.create_task(connection.call("anything"))
    await until(lambda: connection.position[1] == 9)
    call.cancel()


async def test_resynced_comes_in_place_of_the_gap(server: ScriptedServer, client: Client) -> None:
    serving = asyncio.create_task(serve_a_loss(server))
    connection = client.room.get_or_create("k").connect()
    seen: list[Any] = []
    for name in ("connected", "reconnected"):
        connection.on(name, lambda name=name: seen.append(name))
    for name in ("resynced", "gap", "added"):
        connection.on(name, seen.append)
    async with connection:
        await lose(connection)
        assert seen == ["connected", ["first"], 1, "reconnected", ["second"], 9]
        assert connection.snapshot == ["second"]
    await serving


async def test_a_client_that_takes_no_snapshot_hears_of_the_gap(
    server: ScriptedServer, client: Client
) -> None:
    serving = asyncio.create_task(serve_a_loss(server))
    connection = client.room.get_or_create("k").connect()
    seen: list[Any] = []
    connection.on("gap", seen.append)
    connection.on("added", seen.append)
    async with connection:
        await lose(connection)
        assert seen == [1, GAP, 9]
    await serving


async def test_a_gap_that_nobody_takes_goes_to_the_log(
    server: ScriptedServer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    serving = asyncio.create_task(serve_a_loss(server))
    async with client.room.get_or_create("k").connect() as connection:
        await lose(connection)
    await serving
    assert [record.message for record in caplog.records if "missing" in record.message] == [
        "events are missing (ring_overflow), and no listener for 'gap' was told"
    ]


@pytest.mark.parametrize("also", [None, "resynced", "gap"])
async def test_a_stream_of_single_events_raises_whatever_makes_up_for_them(
    server: ScriptedServer, client: Client, also: str | None
) -> None:
    """Who reads events one by one has to know that some are missing."""
    serving = asyncio.create_task(serve_a_loss(server))
    connection = client.room.get_or_create("k").connect()
    if also is not None:
        connection.on(also, lambda _: None)
    async with connection.stream("added") as stream, connection:
        await lose(connection)
        assert await anext(stream) == 1
        with pytest.raises(EventsLost):
            await anext(stream)
        assert await anext(stream) == 9
    await serving
