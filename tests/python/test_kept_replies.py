"""What a durable actor's store keeps of the answers to a client: as much as its session does, and no more."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from linked import LinkedSocket, resume_from, running

from ringcast import Actor, Context, SqliteStore, action
from ringcast.router import Router
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connected, Error, Received, Reply

_LIMITS = {"max_calls_recorded": 4, "max_recorded_bytes": 10_000}


class Echo(Actor):
    durable = True

    @action
    def echo(self, c: Context, size: int) -> str:
        return "x" * size


@contextlib.asynccontextmanager
async def server(path: Path) -> AsyncIterator[Router]:
    async with running(Echo, store=SqliteStore(path), **_LIMITS) as router:
        yield router


def kept_bytes(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as database:
        (size,) = database.execute("select coalesce(sum(length(reply)), 0) from reply").fetchone()
        return int(size)


def acknowledge(client: LinkedSocket, *ids: int) -> None:
    client.send_raw(Encoding.JSON.encode(Received(ids).to_wire()))


async def call_all(client: LinkedSocket, sizes: dict[int, int]) -> None:
    client.send(*(Call(id, "echo", [size]) for id, size in sizes.items()))
    for _ in sizes:
        await client.receive(Reply)


async def come_back(client: LinkedSocket, connected: Connected) -> None:
    again = await client.connect("echo", "a", resume=resume_from(connected))
    assert again.session == connected.session


async def answers(client: LinkedSocket, *ids: int) -> list[Any]:
    """Send these calls again; return the length of each result, or the error that came instead."""
    client.send(*(Call(id, "echo", [0]) for id in ids))
    found: list[Any] = []
    for _ in ids:
        message = await client.next()
        found.append(len(message.value) if isinstance(message, Reply) else message)
    return [each.error["code"] if isinstance(each, Error) else each for each in found]


async def test_answers_that_have_not_arrived_are_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "kept.db"
    async with server(path) as router, LinkedSocket(router) as client:
        connected = await client.connect("echo", "a")
        await call_all(client, {id: id for id in range(1, 49)})
        acknowledge(client, *range(1, 48))
        await call_all(client, {49: 49, 50: 50})
        acknowledge(client, 49)
    async with server(path) as router, LinkedSocket(router) as client:
        await come_back(client, connected)
        assert await answers(client, 48, 50, 51) == [48, 50, 0]
        # These have arrived: their client does not ask again.
        assert await answers(client, 1, 47) == ["outcome_unknown"] * 2


async def test_of_a_client_that_says_nothing_the_latest_answers_are_there(tmp_path: Path) -> None:
    path = tmp_path / "kept.db"
    async with server(path) as router, LinkedSocket(router) as client:
        connected = await client.connect("echo", "a")
        await call_all(client, {id: id for id in range(1, 51)})
    async with server(path) as router, LinkedSocket(router) as client:
        await come_back(client, connected)
        assert await answers(client, 1, 46, 47, 50, 51) == ["outcome_unknown", "outcome_unknown", 47, 50, 0]


async def test_large_answers_do_not_fill_the_store(tmp_path: Path) -> None:
    path = tmp_path / "kept.db"
    async with server(path) as router, LinkedSocket(router) as client:
        connected = await client.connect("echo", "a")
        await call_all(client, dict.fromkeys(range(1, 101), 4_000))
        # Of rows that are wanted no more, some stay for a while, to be deleted together.
        assert kept_bytes(path) < 40 * 4_100
    async with server(path) as router, LinkedSocket(router) as client:
        await come_back(client, connected)
        assert await answers(client, 98, 99, 100) == ["outcome_unknown", 4_000, 4_000]
