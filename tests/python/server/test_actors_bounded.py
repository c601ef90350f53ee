"""How many actors there may be: who is refused when one more is to be created, and what can be had."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from linked import eventually
from raw_socket import opened
from served_here import ServedHere

from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig, SqliteStore, action
from ringcast.errors import (
    CloseCode,
    ConnectionRefused,
    TooManyActors,
    TryAgainLater,
    Unauthorized,
)
from ringcast.server.serve import serving
from ringcast.store import Store


class Room(Actor):
    """Has others created, ends, and does not start where it is told so."""

    def on_create(self, c: Context) -> None:
        if self.key == ("broken",):
            raise RuntimeError("as the test has it")

    def on_start(self, c: Context) -> None:
        if self.key == ("lame",):
            raise RuntimeError("as the test has it")

    @action
    def greet(self, c: Context) -> str:
        return "well"

    @action
    async def open(self, c: Context, key: str) -> Any:
        return await c.client().room.get_or_create(key).greet()

    @action
    def end(self, c: Context) -> None:
        c.destroy()


class Guarded(Actor):
    """Lets nobody in."""

    def on_before_connect(self, c: Context, params: Any) -> None:
        raise Unauthorized("who are you?")


class Served(ServedHere):
    async def post(self, key: str, name: str = "greet", actor: str = "room", *args: Any) -> httpx.Response:
        body = {"key": [key], "args": args}
        async with httpx.AsyncClient(base_url=self.url) as http:
            return await http.post(f"/actors/{actor}/actions/{name}", json=body)


@asynccontextmanager
async def served(store: Store | None = None, **limits: Any) -> AsyncIterator[Served]:
    config = ServerConfig(shutdown_timeout_s=0.5, **limits)
    registry = Registry(Room, Guarded, store=store or MemoryStore(), config=config)
    async with serving(registry) as url:
        yield Served(url, registry)


async def test_one_more_than_may_run_is_told_when_to_come_back(caplog: pytest.LogCaptureFixture) -> None:
    async with served(max_actors=2) as server:
        async with opened(server.url) as first, opened(server.url) as second, opened(server.url) as third:
            assert (await first.connect("room", key=["a"]))[0] == "connected"
            assert (await second.connect("room", key=["b"]))[0] == "connected"
            refused = await third.connect("room", key=["c"])
            assert refused[0] == "error" and refused[2]["code"] == "try_again_later"
            assert refused[2]["metadata"] == {"retry_after_ms": 5000}
            assert await third.closed_with() == CloseCode.TRY_AGAIN_LATER
            response = await server.post("c")
            assert (response.status_code, response.headers["retry-after"]) == (503, "5")
            assert response.json()["error"]["code"] == "try_again_later"
            # What is there can be had.
            assert (await server.post("a")).json() == {"value": "well"}
            assert await first.ask("call", "greet", []) == "well"
        assert server.hit == {"max_actors": 2}
        assert (await server.post("a", "end")).status_code == 200
        await eventually(lambda: server.registry.router.actors == 1)
        assert (await server.post("c")).json() == {"value": "well"}
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    text = "as many actors run as the server takes; this one was not created"
    assert warnings == [f"actors are not created: {text} (max_actors)"]


async def test_each_of_the_two_limits_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    async with served(store) as server:
        assert (await server.post("a")).status_code == (await server.post("b")).status_code == 200
    async with served(store, max_actors=1, max_stored_actors=2) as server:
        for _ in range(2):
            assert (await server.post("c")).status_code == 507
        assert (await server.post("a")).status_code == 200
        for _ in range(2):
            assert (await server.post("c")).status_code == 503
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.rpartition(" ")[2] for each in warnings] == ["(max_stored_actors)", "(max_actors)"]


async def test_a_client_comes_back_until_there_is_room() -> None:
    async with served(max_actors=1) as server, Client(server.url) as client:
        await client.room.get_or_create("a").greet()
        for lookup in (client.room.get_or_create, client.room.create):
            waiting = lookup("b").connect()
            await eventually(lambda waiting=waiting: waiting.last_error is not None)  # type: ignore[misc]
            assert "as many actors run as the server takes" in str(waiting.last_error)
            assert waiting.status == "connecting"
            await waiting.close()


async def test_one_more_than_are_kept_is_refused_for_good_also_after_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    async with served(SqliteStore(path)) as server:
        assert (await server.post("a")).status_code == (await server.post("b")).status_code == 200
    async with served(SqliteStore(path), max_stored_actors=2) as server, Client(server.url) as client:
        response = await server.post("c")
        assert response.status_code == 507
        assert response.json()["error"]["code"] == "too_many_actors"
        for lookup in (client.room.get_or_create, client.room.create):
            with pytest.raises(ConnectionRefused) as refused:
                await lookup("c").connect().ready()
            assert refused.value.code == "too_many_actors"
        assert server.hit == {"max_stored_actors": 3}
        # Those of before are woken.
        assert (await server.post("a")).json() == (await server.post("b")).json() == {"value": "well"}
        assert (await server.post("b", "end")).status_code == 200
        await eventually(lambda: server.registry.router.actors == 1)
        assert (await server.post("c")).json() == {"value": "well"}
        assert (await server.post("d")).status_code == 507
        assert server.registry.router.stored_actors == 2


async def test_one_that_sleeps_is_woken_while_as_many_run_as_may() -> None:
    store = MemoryStore()
    async with served(store) as server:
        for key in "abc":
            await server.post(key)
    async with served(store, max_actors=1) as server:
        assert [(await server.post(key)).status_code for key in "abc"] == [200, 200, 200]
        assert server.registry.router.actors == 3
        assert (await server.post("d")).status_code == 503


async def test_of_many_that_are_created_at_once_as_many_as_may() -> None:
    for limit, status in ("max_actors", 503), ("max_stored_actors", 507):
        async with served(**{limit: 10}) as server:
            responses = await asyncio.gather(*(server.post(str(number)) for number in range(40)))
            assert Counter(each.status_code for each in responses) == {200: 10, status: 30}
            assert server.registry.router.actors == 10
            assert server.hit == {limit: 30}


async def test_who_is_not_created_takes_no_place() -> None:
    async with served(max_actors=1, max_stored_actors=1) as server:
        for _ in range(3):
            assert (await server.post("k", "greet", "guarded")).status_code == 401
            assert (await server.post("broken")).status_code == 500
        assert (await server.post("a")).json() == {"value": "well"}
        assert not server.hit


async def test_one_that_was_stored_and_did_not_start_is_there() -> None:
    async with served(max_stored_actors=1) as server:
        assert (await server.post("lame")).status_code == 500
        assert (await server.post("a")).status_code == 507
        assert (await server.post("lame")).status_code == 500
        assert server.registry.router.stored_actors == 1


async def test_what_the_server_itself_creates_counts_and_is_refused_as_well() -> None:
    async with served(max_actors=2, max_stored_actors=3) as server:
        rooms = server.registry.client.room
        assert await rooms.get_or_create("a").open("b") == "well"
        with pytest.raises(TryAgainLater):
            await rooms.get_or_create("c").greet()
        response = await server.post("a", "open", "room", "c")
        assert (response.status_code, response.json()["error"]["code"]) == (503, "try_again_later")
        assert server.hit == {"max_actors": 2}
    async with served(max_stored_actors=1) as server:
        rooms = server.registry.client.room
        await rooms.get_or_create("a").greet()
        with pytest.raises(TooManyActors):
            await rooms.get_or_create("c").greet()


async def test_no_limits() -> None:
    async with served(max_actors=0, max_stored_actors=0) as server:
        assert [(await server.post(key)).status_code for key in "abc"] == [200, 200, 200]
