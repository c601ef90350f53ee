"""Which actors run: how one is found, that each runs once, and how starts and stops meet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from linked import TIMEOUT_S, call, eventually, running

from ringcast import Actor, Context, MemoryStore, Registry, SqliteStore, UserError, action
from ringcast.errors import (
    MASKED,
    ActorAlreadyExists,
    ActorNotFound,
    ConnectionClosed,
    InternalError,
    OutcomeUnknown,
    UnknownActor,
)
from ringcast.router import Router
from ringcast.store import Change, StoredActor
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Connect


@dataclass
class Count:
    value: int = 0


class Counter(Actor[Count]):
    """Counts."""

    @action
    def add(self, c: Context[Count], by: int = 1) -> int:
        c.state.value += by
        return c.state.value

    @action
    async def add_and_save(self, c: Context[Count]) -> int:
        c.state.value += 1
        await c.save_state()
        return c.state.value

    @action
    def end(self, c: Context[Count]) -> None:
        c.destroy()


class Other(Actor):
    """Another one."""


class Gated(Actor):
    """Starts when the test lets it."""

    starts = 0
    gate = asyncio.Event()
    fail = False

    async def on_start(self) -> None:
        Gated.starts += 1
        await Gated.gate.wait()
        if Gated.fail:
            raise UserError("failed")

    @action
    def who(self, c: Context) -> str:
        return c.actor_id


@pytest.fixture(autouse=True)
def gate() -> None:
    Gated.starts, Gated.gate, Gated.fail = 0, asyncio.Event(), False


async def test_get_or_create_gives_one_actor_for_a_key() -> None:
    async with running(Counter) as router:
        assert [await call(router, "counter", key, "add") for key in "aab"] == [1, 2, 1]
        assert router.actors == 2


async def test_get_finds_only_what_exists() -> None:
    store = MemoryStore()
    address = Connect("counter", ("a",), lookup="get")
    async with running(Counter, store=store) as router:
        with pytest.raises(ActorNotFound, match=r"no Counter has the key \['a'\]"):
            await router.call(address, "add", [])
        assert router.actors == 0
        await call(router, "counter", "a", "add")
        assert await router.call(address, "add", []) == 2
    async with running(Counter, store=store) as router:
        assert await router.call(address, "add", []) == 3


async def test_an_attempt_to_create_finds_what_it_has_created() -> None:
    store = MemoryStore()
    address = Connect("counter", ("a",), lookup="create", attempt="one")
    async with running(Counter, store=store) as router:
        created = await asyncio.gather(*(router.resolve(address) for _ in range(3)))
        assert len(set(created)) == 1
        for other in (address._replace(attempt="two"), address._replace(attempt=None)):
            with pytest.raises(ActorAlreadyExists):
                await router.resolve(other)
        elsewhere = await router.resolve(address._replace(key=("b",)))
        assert elsewhere[0] != created[0][0]
    async with running(Counter, store=store) as router:
        with pytest.raises(ActorAlreadyExists):
            await router.resolve(address._replace(attempt="two"))
        assert await router.resolve(address) == created[0]
        with pytest.raises(ActorAlreadyExists):
            await router.resolve(address._replace(attempt="two"))


async def test_create_makes_only_what_does_not_exist() -> None:
    store = MemoryStore()
    address = Connect("counter", ("a",), lookup="create")
    async with running(Counter, store=store) as router:
        actor_id, key = await router.resolve(address)
        assert key == ("a",)
        with pytest.raises(ActorAlreadyExists):
            await router.resolve(address)
    async with running(Counter, store=store) as router:
        with pytest.raises(ActorAlreadyExists):
            await router.resolve(address)
        assert await router.resolve(Connect("counter", ("a",))) == (actor_id, ("a",))


async def test_an_actor_is_found_by_its_id_running_or_not() -> None:
    store = MemoryStore()
    async with running(Counter, Other, store=store) as router:
        actor_id, _ = await router.resolve(Connect("counter", ("a", "b")))
        by_id = Connect("counter", lookup="id", actor_id=actor_id)
        assert await router.resolve(by_id) == (actor_id, ("a", "b"))
        with pytest.raises(ActorNotFound, match="no Other has the id"):
            await router.resolve(Connect("other", lookup="id", actor_id=actor_id))
        with pytest.raises(ActorNotFound):
            await router.resolve(Connect("counter", lookup="id", actor_id="nobody"))
    async with running(Counter, store=store) as router:
        assert await router.resolve(by_id) == (actor_id, ("a", "b"))


async def test_an_unknown_actor_is_an_error() -> None:
    async with running(Counter) as router:
        with pytest.raises(UnknownActor, match="no actor is called 'nobody'"):
            await call(router, "nobody", "a", "add")


async def many(router: Router, count: int, *lookups: str) -> list[asyncio.Future[str]]:
    requests = [
        Connect("gated", ("k",), lookup=lookups[n % len(lookups)])  # type: ignore[arg-type]
        for n in range(count)
    ]
    tasks = [asyncio.ensure_future(router.call(request, "who", [])) for request in requests]
    await eventually(lambda: Gated.starts)
    return tasks


async def test_many_at_once_start_it_once() -> None:
    async with running(Gated) as router:
        tasks = await many(router, 20, "get_or_create")
        Gated.gate.set()
        ids = await asyncio.wait_for(asyncio.gather(*tasks), TIMEOUT_S)
        assert len(set(ids)) == 1
        assert Gated.starts == 1


async def test_a_failing_start_is_told_to_all_who_wait_and_the_next_one_tries_again() -> None:
    async with running(Gated) as router:
        Gated.fail = True
        tasks = await many(router, 5, "get_or_create")
        Gated.gate.set()
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), TIMEOUT_S)
        assert [str(outcome) for outcome in outcomes] == ["failed"] * 5
        assert Gated.starts == 1
        Gated.fail = False
        assert await call(router, "gated", "k", "who")
        assert Gated.starts == 2


async def test_one_who_gives_up_does_not_end_the_start_for_the_others() -> None:
    async with running(Gated) as router:
        first, second = await many(router, 2, "get_or_create")
        first.cancel()
        await asyncio.wait([first])
        Gated.gate.set()
        assert await asyncio.wait_for(second, TIMEOUT_S)


async def test_a_get_that_finds_nothing_does_not_stand_in_the_way_of_those_who_create() -> None:
    async with running(Gated) as router:
        get, create, again = await many(router, 3, "get", "get_or_create", "create")
        Gated.gate.set()
        outcomes = await asyncio.wait_for(
            asyncio.gather(get, create, again, return_exceptions=True), TIMEOUT_S
        )
        assert isinstance(outcomes[0], ActorNotFound)
        assert isinstance(outcomes[1], str)
        assert isinstance(outcomes[2], ActorAlreadyExists)


async def test_a_destroyed_key_can_be_made_anew() -> None:
    async with running(Counter) as router:
        await call(router, "counter", "a", "add", 5)
        await call(router, "counter", "a", "end")
        assert await call(router, "counter", "a", "add") == 1
        await call(router, "counter", "a", "end")
        with pytest.raises(ActorNotFound):
            await router.resolve(Connect("counter", ("a",), lookup="get"))
        assert router.actors == 0


async def test_nothing_starts_once_the_router_stops() -> None:
    async with running(Counter) as router:
        await call(router, "counter", "a", "add")
    with pytest.raises(ConnectionClosed, match="shutting down"):
        await call(router, "counter", "a", "add")


async def test_a_start_under_way_ends_before_the_router_has_stopped() -> None:
    async with running(Gated) as router:
        (task,) = await many(router, 1, "get_or_create")
        stopping = asyncio.ensure_future(router.stop())
        await asyncio.sleep(0)
        Gated.gate.set()
        await asyncio.wait_for(stopping, TIMEOUT_S)
        await asyncio.wait([task])
        assert router.actors == 0


# --- saving -------------------------------------------------------------------------------------------------


async def test_state_is_saved_by_itself_and_only_when_it_differs() -> None:
    class Watching(MemoryStore):
        saves = 0

        async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
            self.saves += 1
            await super().commit(actor_id, changes)

    store, clock = Watching(), ManualClock()
    async with running(Counter, store=store, clock=clock, save_interval_s=10) as router:
        for value in (1, 2, 3):
            assert await call(router, "counter", "a", "add") == value
            await clock.advance(3)
        assert store.saves == 0
        await clock.advance(1)
        assert store.saves == 1
        assert [actor.state for actor in store._by_id.values()] == [b'{"value":3}']
        await call(router, "counter", "a", "add", 0)
        await clock.advance(100)
        assert (store.saves, clock.waiting) == (1, 0)
    assert store.saves == 1


async def test_an_interval_of_zero_saves_on_the_next_turn_of_the_loop() -> None:
    store = MemoryStore()
    async with running(Counter, store=store, save_interval_s=0) as router:
        await call(router, "counter", "a", "add")
        await eventually(lambda: [actor.state for actor in store._by_id.values()] == [b'{"value":1}'])


async def test_state_is_saved_when_asked() -> None:
    store = MemoryStore()
    async with running(Counter, store=store, clock=ManualClock()) as router:
        await call(router, "counter", "a", "add")
        assert [actor.state for actor in store._by_id.values()] == [b'{"value":0}']
        await call(router, "counter", "a", "addAndSave")
        assert [actor.state for actor in store._by_id.values()] == [b'{"value":2}']


async def test_a_failed_save_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(MemoryStore):
        failures = 2

        async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
            if self.failures:
                self.failures -= 1
                raise OSError("the disk is full")
            await super().commit(actor_id, changes)

    store, clock = Failing(), ManualClock()
    async with running(Counter, store=store, clock=clock) as router:
        await call(router, "counter", "a", "add")
        for failures in (1, 2):
            await clock.advance(1)
            assert caplog.text.count("saving the state failed") == failures
            assert [actor.state for actor in store._by_id.values()] == [b'{"value":0}']
        await clock.advance(1)
        assert [actor.state for actor in store._by_id.values()] == [b'{"value":1}']
        assert caplog.text.count("saving the state failed") == 2


async def test_state_comes_back_from_sqlite(tmp_path: Path) -> None:
    registry = Registry(Counter, store=SqliteStore(tmp_path / "test.db"))
    async with registry:
        assert await call(registry.router, "counter", "a", "add", 5) == 5
    async with registry:
        assert await call(registry.router, "counter", "a", "add", 1) == 6


async def test_a_store_that_fails_refuses_and_is_masked(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryStore):
        async def find(self, name: str, key: tuple[str, ...]) -> StoredActor | None:
            raise OSError("the disk is gone")

    async with running(Counter, store=Broken()) as router:
        with pytest.raises(InternalError, match=MASKED):
            await call(router, "counter", "a", "add")
        assert "the disk is gone" in caplog.text


class Reluctant(Actor[Count]):
    """Takes its time to go."""

    leaving: asyncio.Event
    may_go: asyncio.Event

    async def on_stop(self, c: Context[Count]) -> None:
        Reluctant.leaving.set()
        await Reluctant.may_go.wait()

    @action
    def end(self, c: Context[Count]) -> None:
        c.destroy()


async def test_an_id_never_finds_the_successor_of_its_actor() -> None:
    Reluctant.leaving, Reluctant.may_go = asyncio.Event(), asyncio.Event()
    async with running(Reluctant) as router:
        old, _ = await router.resolve(Connect("reluctant", ("k",)))
        await call(router, "reluctant", "k", "end")
        await Reluctant.leaving.wait()
        by_id = asyncio.ensure_future(router.resolve(Connect("reluctant", lookup="id", actor_id=old)))
        by_key = asyncio.ensure_future(router.resolve(Connect("reluctant", ("k",))))
        await asyncio.sleep(0)
        Reluctant.may_go.set()
        new, _ = await by_key
        assert new != old
        with pytest.raises(ActorNotFound):
            await by_id


class Absorbed(Actor[Count]):
    """Keeps a reference to its state, and changes it without asking for it again."""

    @action
    async def count(self, c: Context[Count]) -> None:
        state = c.state
        while True:
            state.value += 1
            await asyncio.sleep(0)


async def test_a_state_that_a_running_action_holds_on_to_is_saved() -> None:
    store, clock = MemoryStore(), ManualClock()
    async with running(Absorbed, store=store, clock=clock, shutdown_timeout_s=0.01) as router:
        running_call = asyncio.ensure_future(call(router, "absorbed", "k", "count"))
        saved = set()
        for _ in range(5):
            await clock.advance(1)
            found = await store.find("Absorbed", ("k",))
            assert found is not None
            saved.add(found.state)
        assert len(saved) == 5
        assert not running_call.done()
    with pytest.raises(OutcomeUnknown):
        await running_call


async def test_a_request_that_comes_as_a_start_fails_makes_its_own() -> None:
    """It meets a start that has failed and is not cleared away yet; waiting for that one would never end."""
    late: list[asyncio.Task[tuple[str, tuple[str, ...]]]] = []

    class Store(MemoryStore):
        async def find(self, name: str, key: tuple[str, ...]) -> StoredActor | None:
            if not late:
                # In the turn after this one, when the start has just failed.
                late.append(asyncio.create_task(router.resolve(Connect("counter", ("a",)))))
            return await super().find(name, key)

    async with asyncio.timeout(TIMEOUT_S), running(Counter, store=Store()) as router:
        with pytest.raises(ActorNotFound):
            await router.resolve(Connect("counter", ("a",), lookup="get"))
        _, key = await late[0]
        assert key == ("a",)
