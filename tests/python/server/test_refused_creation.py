"""Who is refused creates nothing: an actor is stored once the first who comes for it has been let in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx
import pytest
from linked import eventually

from ringcast import Actor, Client, Context, MemoryStore, Registry, action
from ringcast.errors import ActorNotFound, ConnectionRefused, Unauthorized
from ringcast.server.serve import serving


@dataclass
class Told:
    lines: list[str] = field(default_factory=list)


class Room(Actor[Told, None]):
    """Lets in who has a token; what its hook looks at is there once `on_start` has run."""

    hooks: ClassVar[list[str]] = []
    asked: ClassVar[asyncio.Event]
    go_on: ClassVar[asyncio.Event]

    def on_create(self, c: Context[Told, None]) -> None:
        Room.hooks.append(f"create for {c.request.transport}")

    def on_start(self, c: Context[Told, None]) -> None:
        Room.hooks.append("start")
        self.tokens = {"ann", "bob"}
        c.spawn(asyncio.Event().wait())  # type: ignore[arg-type]  # it never ends
        c.schedule.after(3600, self.enter)

    async def on_before_connect(self, c: Context[Told, None], params: Any) -> None:
        Room.hooks.append("before")
        if params == "slow":
            Room.asked.set()
            await Room.go_on.wait()
        if params not in self.tokens:
            raise Unauthorized("sign in first")
        c.state.lines.append(params)

    def on_stop(self, c: Context[Told, None]) -> None:
        Room.hooks.append("stop")

    @action
    def enter(self, c: Context[Told, None]) -> list[str]:
        return c.state.lines


class KeptRoom(Room):
    durable = True


class Picky(Actor[None, None]):
    """Refuses to be created: there it sees who asks."""

    def on_create(self, c: Context[None, None]) -> None:
        if c.request.transport != "in_process" and c.request.headers.get("x-api-key") != "ann":
            raise Unauthorized("sign in first")

    @action
    def here(self, c: Context[None, None]) -> bool:
        return True


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    Room.hooks.clear()
    Room.asked, Room.go_on = asyncio.Event(), asyncio.Event()
    async with Registry(Room, KeptRoom, Picky, store=MemoryStore()) as registry:
        yield registry


@pytest.fixture
async def url(registry: Registry) -> AsyncIterator[str]:
    async with serving(registry) as url:
        yield url


both = pytest.mark.parametrize("actor", ["room", "keptRoom"])


async def is_stored(registry: Registry, actor: str, key: str = "k") -> bool:
    name = registry.definition(actor).name
    return await registry.router.store.find(name, (key,)) is not None


@both
@pytest.mark.parametrize("lookup", ["get_or_create", "create"])
@pytest.mark.parametrize("way", ["actions/enter", "resolve"])
async def test_a_request_that_is_refused(
    url: str, registry: Registry, actor: str, lookup: str, way: str
) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        body = {"key": ["k"], "lookup": lookup, "params": "mallory"}
        response = await client.post(f"/actors/{actor}/{way}", json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (401, "unauthorized")
        # What has begun for it is ended as it would be.
        assert Room.hooks == ["create for http", "start", "before", "stop"]
        assert registry.router.actors == 0 and not await is_stored(registry, actor)
        assert await registry.router.store.schedule() == []
        body["params"] = "ann"
        assert (await client.post(f"/actors/{actor}/{way}", json=body)).status_code == 200
        assert await is_stored(registry, actor)


@both
async def test_a_connection_that_is_refused(url: str, registry: Registry, actor: str) -> None:
    async with Client(url) as client:
        handle = client.get_or_create(actor, "k")
        with pytest.raises(ConnectionRefused, match="sign in"):
            await handle.connect("mallory").ready()
        assert registry.router.actors == 0 and not await is_stored(registry, actor)
        async with handle.connect("ann") as connection:
            assert await connection.enter() == ["ann"]


@both
async def test_a_made_up_session_creates_nothing_either(url: str, registry: Registry, actor: str) -> None:
    async with httpx.AsyncClient(base_url=url, headers={"Accept": "text/event-stream"}) as client:
        query = {"key": "k", "session": "made up", "offset": "1", "epoch": "e"}
        response = await client.get(f"/actors/{actor}/events", params=query)
        assert response.status_code == 401
    assert registry.router.actors == 0 and not await is_stored(registry, actor)


@both
async def test_the_first_who_is_let_in_is_asked_about_once(url: str, actor: str) -> None:
    async with Client(url) as client:
        assert await client.get_or_create(actor, "a", params="ann").call("enter") == ["ann"]
        async with client.get_or_create(actor, "b").connect("bob") as connection:
            assert await connection.enter() == ["bob"]
        created = await client.create(actor, "c", params="ann")
        assert await created.call("enter") == ["ann", "ann"]  # twice: it was found first, and called then
    assert Room.hooks.count("before") == 4


async def test_one_who_waits_for_a_creation_is_not_refused_with_it(url: str, registry: Registry) -> None:
    async with Client(url) as client:
        refused = asyncio.create_task(client.room.get_or_create("k", params="slow").call("enter"))
        await Room.asked.wait()
        waiting = asyncio.create_task(client.room.get_or_create("k", params="ann").call("enter"))
        missing = asyncio.create_task(client.room.get("k", params="ann").call("enter"))
        # Once both have come in: each begins to look for the actor.
        await eventually(lambda: registry.router._directory._wanted["Room", ("k",)] == 3)
        Room.go_on.set()
        with pytest.raises(Unauthorized):
            await refused
        assert await waiting == ["ann"]
        # It is there by now, or was not when it was looked for.
        with contextlib.suppress(ActorNotFound):
            assert await missing == ["ann", "ann"]


async def test_what_this_process_creates_is_asked_about_by_nobody(registry: Registry) -> None:
    assert await registry.client.get_or_create(Room, "k").enter() == []
    assert Room.hooks == ["create for in_process", "start"]


async def test_on_create_sees_the_request(url: str, registry: Registry) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        for way in ("actions/here", "resolve"):
            response = await client.post(f"/actors/picky/{way}", json={"key": ["k"]})
            assert response.status_code == 401
            headers = {"X-Api-Key": "ann"}
            response = await client.post(f"/actors/picky/{way}", json={"key": [way]}, headers=headers)
            assert response.status_code == 200
    async with Client(url) as others:
        with pytest.raises(ConnectionRefused, match="sign in"):
            await others.get_or_create(Picky, "k").connect().ready()
    assert await registry.client.get_or_create(Picky, "own").here()
