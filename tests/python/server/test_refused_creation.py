"""Who is refused creates nothing: an actor is stored once the first who comes for it has been let in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx
import pytest
from linked import eventually

from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.errors import ActorNotFound, ConnectionRefused, Unauthorized
from ringcast.server.serve import serving
from ringcast.store import Change, StoredActor


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


@dataclass
class Member:
    name: str


class Lounge(Actor[Told, Member]):
    """Refuses connections where it makes their state."""

    heard: ClassVar[list[list[str]]] = []

    def on_create(self, c: Context[Told, Member]) -> None:
        c.state.lines.append("created")

    def create_conn_state(self, c: Context[Told, Member], params: Any) -> Member:
        Room.hooks.append(f"state for {params}")
        if params == "broken":
            raise RuntimeError("as the test has it")
        if params not in ("ann", "bob"):
            raise Unauthorized("sign in first")
        c.state.lines.append(params)
        return Member(params)

    def on_connect(self, c: Context[Told, Member]) -> None:
        if c.conn.state.name == "bob":
            raise Unauthorized("not today")

    def on_state_change(self, c: Context[Told, Member]) -> None:
        Lounge.heard.append(list(c.state.lines))

    def on_stop(self, c: Context[Told, Member]) -> None:
        Room.hooks.append("stop")

    @action
    def who(self, c: Context[Told, Member]) -> str:
        return c.conn.state.name


class KeptLounge(Lounge):
    durable = True


class Seats(Actor[None, Member]):
    """Has no hook: the parameters are the state of a connection."""

    @action
    def who(self, c: Context[None, Member]) -> str:
        return c.conn.state.name


class KeptSeats(Seats):
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
    Lounge.heard.clear()
    Room.asked, Room.go_on = asyncio.Event(), asyncio.Event()
    classes = (Room, KeptRoom, Lounge, KeptLounge, Seats, KeptSeats, Picky)
    async with Registry(*classes, store=MemoryStore()) as registry:
        yield registry


@pytest.fixture
async def url(registry: Registry) -> AsyncIterator[str]:
    async with serving(registry) as url:
        yield url


both = pytest.mark.parametrize("actor", ["room", "keptRoom"])
both_lounges = pytest.mark.parametrize("actor", ["lounge", "keptLounge"])


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


@both_lounges
@pytest.mark.parametrize(("params", "code"), [("mallory", "unauthorized"), ("broken", "internal_error")])
async def test_a_connection_whose_state_is_not_made(
    url: str, registry: Registry, actor: str, params: str, code: str
) -> None:
    async with Client(url) as client:
        handle = client.get_or_create(actor, "k")
        with pytest.raises(ConnectionRefused) as refused:
            await handle.connect(params).ready()
        assert refused.value.code == code
        assert Room.hooks == [f"state for {params}", "stop"]
        assert registry.router.actors == 0 and not await is_stored(registry, actor)
        async with handle.connect("ann") as connection:
            assert await connection.call("who") == "ann"
        # Once, and what it has changed is told of.
        assert Room.hooks[2:] == ["state for ann"]
        assert Lounge.heard == [["created", "ann"]]


@both_lounges
async def test_an_event_source_whose_state_is_not_made(url: str, registry: Registry, actor: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        for number in range(3):
            response = await client.get(f"/actors/{actor}/events", params={"key": f"k{number}"})
            assert response.status_code == 401
    assert await registry.router.store.count() == registry.router.stored_actors == 0


@pytest.mark.parametrize("actor", ["seats", "keptSeats"])
async def test_a_connection_with_parameters_that_do_not_fit(url: str, registry: Registry, actor: str) -> None:
    async with Client(url) as client:
        handle = client.get_or_create(actor, "k")
        for params in (None, {"name": 5}):
            with pytest.raises(ConnectionRefused) as refused:
                await handle.connect(params).ready()
            assert refused.value.code == "validation_error"
        assert registry.router.actors == 0 and not await is_stored(registry, actor)
        async with handle.connect({"name": "ann"}) as connection:
            assert await connection.call("who") == "ann"


@both_lounges
async def test_what_refuses_later_finds_the_actor_stored(url: str, registry: Registry, actor: str) -> None:
    async with Client(url) as client:
        with pytest.raises(ConnectionRefused, match="not today"):
            await client.get_or_create(actor, "k").connect("bob").ready()
    assert await is_stored(registry, actor)


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


class FullStore(MemoryStore):
    async def create(self, actor: StoredActor, changes: Sequence[Change] = ()) -> None:
        raise OSError("the disk is full")


@pytest.mark.parametrize("slow", [False, True], ids=["the store fails", "it takes too long"])
async def test_what_on_start_has_begun_is_ended_also_where_nobody_was_refused(slow: bool) -> None:
    hooks: list[str] = []

    class Cellar(Actor[Told, Member]):
        def on_start(self, c: Context[Told, Member]) -> None:
            hooks.append("start")

        async def create_conn_state(self, c: Context[Told, Member], params: Any) -> Member:
            if slow:
                await asyncio.Event().wait()
            return Member("ann")

        def on_stop(self, c: Context[Told, Member]) -> None:
            hooks.append("stop")

    config = ServerConfig(start_timeout_s=0.1) if slow else ServerConfig()
    registry = Registry(Cellar, store=MemoryStore() if slow else FullStore(), config=config)
    async with serving(registry) as url, Client(url) as client:
        client.cellar.get_or_create("a").connect()
        await eventually(lambda: hooks[:2] == ["start", "stop"])
