"""How many actors the store has is right also after it has failed: what is in doubt is asked of it again."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from linked import TIMEOUT_S, call, eventually, running
from stores import on_thread

from ringcast import Actor, Context, MemoryStore, SqliteStore, action
from ringcast.clock import SystemClock
from ringcast.errors import ActionTimeout, InternalError, RingcastError, TooManyActors
from ringcast.operations.store_health import WatchedStore
from ringcast.router import Router
from ringcast.running import capacity
from ringcast.store import Change, StateCorrupt, Store, StoredActor
from ringcast.wire.protocol import Connect

Fault = Literal["raises", "does and raises", "does and hangs"]
FAULTS: tuple[Fault, ...] = ("raises", "does and raises", "does and hangs")


class FaultyStore(WatchedStore):
    """A store between which and the server something goes wrong, as often as it is told to."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, SystemClock())
        self.creates: list[Fault] = []
        self.deletes: list[Fault] = []
        self.looks: list[Exception] = []
        self.looked = 0

    async def create(self, actor: StoredActor, changes: Sequence[Change] = ()) -> None:
        await self._faulty(self.creates, super().create(actor, changes))

    async def delete(self, actor_id: str) -> None:
        await self._faulty(self.deletes, super().delete(actor_id))

    async def load(self, actor_id: str) -> StoredActor | None:
        self.looked += 1
        if self.looks:
            raise self.looks.pop()
        return await super().load(actor_id)

    @staticmethod
    async def _faulty(faults: list[Fault], work: Awaitable[None]) -> None:
        # Asked for first, so that it takes effect in its order.
        doing = asyncio.ensure_future(work)
        fault = faults.pop() if faults else None
        if fault == "raises":
            doing.cancel()
            raise OSError("the store is away")
        await doing
        if fault is not None:
            if fault == "does and hangs":
                await asyncio.Event().wait()
            raise OSError("the store is away")


class Room(Actor):
    """Ends when it is told to, and starts when the test lets it, where it is told so."""

    starting: ClassVar[asyncio.Event]
    may_start: ClassVar[asyncio.Event]

    async def on_start(self, c: Context) -> None:
        if self.key == ("slow",):
            Room.starting.set()
            await Room.may_start.wait()

    @action
    def greet(self, c: Context) -> str:
        return "well"

    @action
    def end(self, c: Context) -> None:
        c.destroy()


class KeptRoom(Room):
    durable = True


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FaultyStore]:
    Room.starting, Room.may_start = asyncio.Event(), asyncio.Event()
    sqlite = request.param == "sqlite"
    yield FaultyStore(SqliteStore(tmp_path / "s.db", synchronous="normal") if sqlite else MemoryStore())


both = pytest.mark.parametrize("actor", ["room", "keptRoom"])


@contextmanager
def impatient(router: Router) -> Iterator[None]:
    """Have starts and ends given up soon."""
    config = router.config
    router.config = replace(config, start_timeout_s=0.1, shutdown_timeout_s=0.1)
    try:
        yield
    finally:
        router.config = config


async def fail_to_create(router: Router, store: FaultyStore, fault: Fault, request: Connect) -> None:
    """Ask for an actor until the store has failed."""
    store.creates.append(fault)
    if fault != "does and hangs":
        with pytest.raises(InternalError):
            await router.resolve(request)
        return
    with impatient(router):
        while store.creates:
            with pytest.raises(ActionTimeout):
                await router.resolve(request)


async def fail_to_destroy(router: Router, store: FaultyStore, fault: Fault, actor: str, key: str) -> None:
    """Have an actor destroyed by a store that fails; a durable one is tried again, until the time is over."""
    await call(router, actor, key, "greet")
    store.deletes[:] = [fault] * (1 if actor == "room" else 10)
    ends_by_itself = actor == "room" and fault != "does and hangs"
    with nullcontext() if ends_by_itself else impatient(router):
        await call(router, actor, key, "end")
        await eventually(lambda: not router._directory._stopping and not router.actors)
    store.deletes.clear()


@both
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_delete_that_fails(store: FaultyStore, actor: str, fault: Fault) -> None:
    async with running(Room, KeptRoom, store=store, max_stored_actors=2) as router:
        await fail_to_destroy(router, store, fault, actor, "k")
        assert router.stored_actors == 1  # for all that is known
        await call(router, "room", "other", "greet")
        assert router.stored_actors == await store.count()
        # It is there, or there is room for it.
        await call(router, actor, "k", "greet")
        assert router.stored_actors == await store.count() == 2
        with pytest.raises(TooManyActors):
            await call(router, "room", "third", "greet")


@both
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_create_that_fails(store: FaultyStore, actor: str, fault: Fault) -> None:
    async with running(Room, KeptRoom, store=store, max_stored_actors=2) as router:
        await fail_to_create(router, store, fault, Connect(actor, ("k",)))
        assert router.stored_actors == 1  # for all that is known
        await call(router, "room", "other", "greet")
        assert router.stored_actors == await store.count() == (1 if fault == "raises" else 2)
        await call(router, actor, "k", "greet")
        assert router.stored_actors == await store.count() == 2
        with pytest.raises(TooManyActors):
            await call(router, "room", "third", "greet")


async def test_the_store_is_asked_once_for_each_doubt_and_else_not_at_all(store: FaultyStore) -> None:
    async with running(Room, store=store) as router:
        for number in range(5):
            await call(router, "room", str(number), "greet")
        assert store.looked == 0
        await fail_to_create(router, store, "raises", Connect("room", ("k",)))
        await asyncio.gather(*(call(router, "room", f"at once {number}", "greet") for number in range(5)))
        await call(router, "room", "last", "greet")
        assert store.looked == 1
        assert router.stored_actors == await store.count() == 11


async def test_what_the_store_does_not_say_counts_and_is_asked_again(
    store: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Room, store=store) as router:
        await fail_to_create(router, store, "raises", Connect("room", ("k",)))
        store.looks.append(OSError("the store is away"))
        assert await call(router, "room", "a", "greet") == "well"
        assert "does not say whether it has the actor" in caplog.text
        assert (router.stored_actors, await store.count()) == (2, 1)
        assert await call(router, "room", "b", "greet") == "well"
        assert router.stored_actors == await store.count() == 2


async def test_while_the_store_fails_doubts_do_not_become_more_and_more(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "_MOST_DOUBTED", 3)
    async with running(Room, store=store) as router:
        for number in range(6):
            store.creates[:] = ["raises"]
            store.looks.append(OSError("the store is away"))
            with pytest.raises(RingcastError):
                await router.resolve(Connect("room", (str(number),)))
        assert (router.stored_actors, await store.count()) == (3, 0)
        store.creates.clear()
        store.looks.clear()
        assert await call(router, "room", "a", "greet") == "well"
        assert router.stored_actors == await store.count() == 1


async def test_an_actor_whose_state_is_damaged_is_there(store: FaultyStore) -> None:
    async with running(Room, store=store) as router:
        await fail_to_destroy(router, store, "raises", "room", "k")
        store.looks.append(StateCorrupt("a bad checksum"))
        for key in "ab":
            assert await call(router, "room", key, "greet") == "well"
            assert router.stored_actors == await store.count()
        assert store.looked == 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_attempt_to_create_that_is_made_again_counts_once(store: FaultyStore, fault: Fault) -> None:
    async with running(Room, store=store) as router:
        attempt = Connect("room", ("k",), lookup="create", attempt="the same")
        await fail_to_create(router, store, fault, attempt)
        # Nor does the store say what it has.
        store.looks.append(OSError("the store is away"))
        await router.resolve(attempt)
        assert router.stored_actors == await store.count() == 1
        store.looks.clear()
        await call(router, "room", "a", "greet")
        assert router.stored_actors == await store.count() == 2


async def test_one_that_still_starts_takes_one_place(store: FaultyStore) -> None:
    async with running(Room, store=store, max_stored_actors=2) as router:
        slow = asyncio.create_task(call(router, "room", "slow", "greet"))
        async with asyncio.timeout(TIMEOUT_S):
            await Room.starting.wait()
        assert router.stored_actors == 1
        assert await call(router, "room", "a", "greet") == "well"
        with pytest.raises(TooManyActors):
            await call(router, "room", "b", "greet")
        Room.may_start.set()
        assert await slow == "well"
        assert router.stored_actors == await store.count() == 2


class BusySqlite(SqliteStore):
    """Has its thread busy with something else, and so keeps an actor when nobody waits for it any more."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, synchronous="normal")
        self.may_create = threading.Event()
        self.given = False

    async def create(self, actor: StoredActor, changes: Sequence[Change] = ()) -> None:
        if not self.may_create.is_set():
            busy = asyncio.ensure_future(self._opened.read(lambda _: self.may_create.wait(TIMEOUT_S)))
            await asyncio.sleep(0)
            assert not busy.done()
        self.given = True
        await super().create(actor, changes)


async def test_a_create_that_takes_effect_when_its_start_was_given_up(tmp_path: Path) -> None:
    store = BusySqlite(tmp_path / "s.db")
    async with running(Room, store=store) as router:
        with impatient(router):
            while not store.given:
                with pytest.raises(ActionTimeout):
                    await call(router, "room", "k", "greet")
        store.may_create.set()
        await call(router, "room", "other", "greet")
        assert router.stored_actors == await store.count() == 2


async def test_sqlite_that_takes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db", synchronous="normal")
    async with running(Room, store=store) as router:
        await call(router, "room", "k", "greet")
        await on_thread(store, "pragma query_only = on")
        with pytest.raises(InternalError):
            await call(router, "room", "new", "greet")
        await call(router, "room", "k", "end")
        await eventually(lambda: not router._directory._stopping and not router.actors)
        await on_thread(store, "pragma query_only = off")
        await call(router, "room", "other", "greet")
        assert router.stored_actors == await store.count() == 2


@pytest.mark.parametrize("seed", range(4))
async def test_any_faults(store: FaultyStore, seed: int) -> None:
    chance = random.Random(seed)

    async def use(router: Router) -> None:
        for _ in range(12):
            if chance.random() < 0.5:
                chance.choice((store.creates, store.deletes)).append(chance.choice(FAULTS))
            actor, key = chance.choice(("room", "keptRoom")), chance.choice("abcdef")
            with suppress(RingcastError):
                await call(router, actor, key, chance.choice(("greet", "end")))

    async with running(Room, KeptRoom, store=store) as router:
        with impatient(router):
            await asyncio.gather(*(use(router) for _ in range(4)))
            await eventually(lambda: not router._directory._stopping and not router._directory._starting)
        store.creates.clear()
        store.deletes.clear()
        await call(router, "room", "last", "greet")
        assert router.stored_actors == await store.count() >= 1
