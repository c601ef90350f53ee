"""The life of running actors: hooks, background tasks, and how they end."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from linked import LinkedSocket, call, eventually, running

from ringcast import Actor, Context, MemoryStore, UserError, action
from ringcast.errors import (
    MASKED,
    ActionTimeout,
    ActorDestroyed,
    CloseCode,
    InternalError,
    OutcomeUnknown,
    ValidationError,
)
from ringcast.router import Router
from ringcast.store import StoredActor
from ringcast.wire.protocol import Call, Connect, Event, Reply


@dataclass
class Seen:
    events: list[str] = field(default_factory=list)


def instance_of(router: Router) -> Any:
    (instance,) = router._directory
    return instance


# --- life ---------------------------------------------------------------------------------------------------


class Diary(Actor[Seen]):
    """Writes its own life down; sync hooks."""

    def create_state(self, c: Context[Seen], input: int) -> Seen:
        return Seen([f"create_state {input}"])

    def on_create(self, c: Context[Seen]) -> None:
        c.state.events.append("on_create")

    def on_start(self, c: Context[Seen]) -> None:
        c.state.events.append("on_start")

    def on_stop(self, c: Context[Seen]) -> None:
        c.state.events.append("on_stop")

    @action
    def read(self, c: Context[Seen]) -> list[str]:
        return c.state.events


class AsyncDiary(Actor[Seen]):
    """The same with async hooks."""

    async def create_state(self, c: Context[Seen], input: int) -> Seen:
        return Seen([f"create_state {input}"])

    async def on_create(self) -> None:
        self.state.events.append("on_create")

    async def on_start(self) -> None:
        self.state.events.append("on_start")

    async def on_stop(self) -> None:
        self.state.events.append("on_stop")

    @action
    async def read(self, c: Context[Seen]) -> list[str]:
        return c.state.events


@pytest.mark.parametrize("cls", [Diary, AsyncDiary])
async def test_hooks_run_in_order_and_on_create_once_in_a_life(cls: type[Actor[Seen]]) -> None:
    store = MemoryStore()
    address = Connect(cls.__name__, ("k",), input="7")
    async with running(cls, store=store) as router:
        assert await router.call(address, "read", []) == ["create_state 7", "on_create", "on_start"]
    async with running(cls, store=store) as router:
        seen = list(await router.call(address, "read", []))
    assert seen == ["create_state 7", "on_create", "on_start", "on_stop", "on_start"]


async def test_input_is_validated() -> None:
    async with running(Diary) as router:
        with pytest.raises(ValidationError, match="Diary input: input: "):
            await router.call(Connect("diary", input="seven"), "read", [])
        assert router.actors == 0


async def test_plain_attributes_are_unsaved_and_init_may_use_the_scope() -> None:
    class Room(Actor):
        def __init__(self) -> None:
            self.name = f"room {self.key[0]} {self.actor_id}"

        @action
        def read(self, c: Context) -> tuple[str, str]:
            return self.name, c.actor_id

    async with running(Room) as router:
        name, actor_id = await call(router, "room", "x", "read")
        assert name == f"room x {actor_id}"


async def test_a_start_that_fails_is_tried_again_from_the_beginning() -> None:
    attempts: list[str] = []

    class Shy(Actor[Seen]):
        def on_create(self, c: Context[Seen]) -> None:
            attempts.append(c.actor_id)
            if len(attempts) == 1:
                raise UserError("not yet")

        @action
        def read(self, c: Context[Seen]) -> str:
            return c.actor_id

    async with running(Shy) as router:
        with pytest.raises(UserError, match="not yet"):
            await call(router, "shy", "k", "read")
        assert router.actors == 0
        assert await call(router, "shy", "k", "read") == attempts[1]


async def test_an_unexpected_error_of_a_start_is_masked(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Actor):
        def on_start(self) -> None:
            raise RuntimeError("a secret")

    async with running(Broken) as router:
        with pytest.raises(InternalError, match=MASKED):
            await call(router, "broken", "k", "anything")
        assert "a secret" in caplog.text


async def test_a_start_that_takes_too_long_fails() -> None:
    class Slow(Actor):
        async def on_start(self) -> None:
            await asyncio.Event().wait()

    async with running(Slow, start_timeout_s=0.01) as router:
        with pytest.raises(ActionTimeout, match=r"Slow did not start within 0\.01 s"):
            await call(router, "slow", "k", "anything")
        assert router.actors == 0


async def test_a_stored_state_that_no_longer_fits_is_told_to_the_log_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    await store.create(StoredActor("id", "Diary", ("k",), b'{"events": 5}'))
    async with running(Diary, store=store) as router:
        with pytest.raises(InternalError, match=r"^internal error$"):
            await call(router, "diary", "k", "read")
    assert "Diary state: stored state" in caplog.text


# --- background ---------------------------------------------------------------------------------------------


@dataclass
class Count:
    value: int = 0


class Ticker(Actor[Count]):
    """Broadcasts from a background task."""

    def __init__(self) -> None:
        self.cancelled = False
        self.tick = asyncio.Event()

    def on_start(self) -> None:
        self.spawn(self.run(), name="run")

    async def run(self) -> None:
        try:
            while True:
                await self.tick.wait()
                self.tick.clear()
                self.state.value += 1
                self.broadcast("tick", self.state.value)
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    @action
    def let_tick(self, c: Context[Count]) -> None:
        self.tick.set()

    @action
    def fail_behind(self, c: Context[Count]) -> None:
        async def fail() -> None:
            raise RuntimeError("a secret")

        c.spawn(fail(), name="failing")


async def test_a_background_task_broadcasts_is_saved_and_ends_with_the_actor() -> None:
    store = MemoryStore()
    async with running(Ticker, store=store) as router:
        async with LinkedSocket(router) as client:
            await client.connect("ticker", "k", events=("tick",))
            client.send(Call(1, "let_tick", []))
            assert await client.receive(Reply) == (1, None)
            assert (await client.receive(Event)).args == [1]
        actor = instance_of(router).actor
    assert actor.cancelled
    (stored,) = store._by_id.values()
    assert stored.state == b'{"value":1}'


async def test_a_background_task_that_fails_is_logged_and_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(Ticker) as router:
        await call(router, "ticker", "k", "fail_behind")
        await eventually(lambda: "background task failing raised" in caplog.text)
        assert "a secret" in caplog.text
        await call(router, "ticker", "k", "let_tick")


async def test_the_log_names_the_actor_and_survives_any_key(caplog: pytest.LogCaptureFixture) -> None:
    class Room(Actor):
        @action
        def note(self, c: Context) -> None:
            c.log.info("it is %d", 5)

    with caplog.at_level(logging.INFO, "ringcast.actor"):
        async with running(Room) as router:
            await call(router, "room", "50%s\n", "note")
    record = next(record for record in caplog.records if record.name == "ringcast.actor.Room")
    assert record.getMessage() == "50_s_: it is 5"
    assert record.actor_key == ("50%s\n",)  # type: ignore[attr-defined]


# --- destroy and stop ---------------------------------------------------------------------------------------


class Mortal(Actor[Seen]):
    """Can end itself."""

    log_of_all: list[str] = []  # noqa: RUF012

    def on_disconnect(self, c: Context[Seen]) -> None:
        self.log_of_all.append("on_disconnect")

    async def on_stop(self) -> None:
        self.log_of_all.append("on_stop")
        self.broadcast("bye")

    def on_destroy(self) -> None:
        self.log_of_all.append("on_destroy")

    @action
    def end(self, c: Context[Seen]) -> str:
        c.destroy()
        c.destroy()
        return "ended"

    @action
    def use(self, c: Context[Seen]) -> str:
        return c.actor_id

    @action
    async def wait(self, c: Context[Seen]) -> None:
        await asyncio.Event().wait()


async def test_a_destroyed_actor_says_goodbye_and_is_gone() -> None:
    Mortal.log_of_all.clear()
    store = MemoryStore()
    async with running(Mortal, store=store) as router, LinkedSocket(router) as client:
        connected = await client.connect("mortal", "k", events=("bye",))
        client.send(Call(1, "end", []))
        assert await client.receive(Reply) == (1, "ended")
        assert (await client.receive(Event)).name == "bye"
        await client.closed_with(CloseCode.ACTOR_DESTROYED)
        assert Mortal.log_of_all == ["on_disconnect", "on_stop", "on_destroy"]
        assert not store._by_id
        assert await call(router, "mortal", "k", "use") != connected.actor_id
        assert router.connections == 0


async def test_calls_to_an_actor_that_is_being_destroyed_are_refused_and_a_new_one_follows() -> None:
    async with running(Mortal) as router, LinkedSocket(router) as client:
        connected = await client.connect("mortal", "k")
        client.send(Call(1, "end", []), Call(2, "use", []))
        assert await client.receive(Reply) == (1, "ended")
        refused = await client.next()
        assert refused[1]["code"] == ActorDestroyed.code  # type: ignore[index]
        assert await call(router, "mortal", "k", "use") != connected.actor_id


class ShortLived(Actor[Seen]):
    """Ends as soon as it has begun."""

    gone: ClassVar[list[str]] = []

    def on_start(self, c: Context[Seen]) -> None:
        if "short" in c.key:
            c.destroy()

    def on_destroy(self, c: Context[Seen]) -> None:
        self.gone.append(c.actor_id)

    @action
    def hello(self, c: Context[Seen]) -> str:
        return "hello"


async def test_an_actor_may_be_destroyed_while_it_starts() -> None:
    store = MemoryStore()
    ShortLived.gone.clear()
    async with running(ShortLived, store=store) as router:
        for _ in range(2):
            with pytest.raises(ActorDestroyed):
                await call(router, "shortLived", "short", "hello")
            await eventually(lambda: len(router._directory) == 0)
        assert len(ShortLived.gone) == 2
        assert await store.find("ShortLived", ("short",)) is None
        assert await call(router, "shortLived", "long", "hello") == "hello"


class Hasty(Actor[Seen]):
    """Saves as soon as it can, and before."""

    async def create_state(self, c: Context[Seen]) -> Seen:
        await c.save_state()
        return Seen(["made"])

    async def on_create(self, c: Context[Seen]) -> None:
        await c.save_state()
        c.state.events.append("created")
        await c.save_state()

    async def on_start(self, c: Context[Seen]) -> None:
        c.state.events.append("started")
        await c.save_state()

    @action
    async def read(self, c: Context[Seen]) -> bytes:
        stored = await store_of(c).find("Hasty", c.key)
        return b"" if stored is None else stored.state


def store_of(c: Context[Seen]) -> Any:
    return c._instance.node.store


async def test_saving_is_harmless_before_there_is_something_to_save() -> None:
    async with running(Hasty, save_interval_s=1000.0) as router:
        assert await call(router, "hasty", "k", "read") == b'{"events":["made","created","started"]}'


class Watched(Actor[Seen]):
    """Tells of changes, and takes its time."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self.telling = asyncio.Semaphore(0)
        self.working = asyncio.Event()

    async def on_state_change(self, c: Context[Seen]) -> None:
        self.told.append(list(c.state.events))
        await self.telling.acquire()

    async def on_connect(self, c: Context[Seen]) -> None:
        c.state.events.append("hook")
        await self.working.wait()

    @action
    def add(self, c: Context[Seen], text: str) -> None:
        c.state.events.append(text)

    @action
    async def work(self, c: Context[Seen]) -> None:
        c.state.events.append("action")
        await self.working.wait()


@pytest.mark.parametrize("other", ["action", "hook"])
async def test_what_changes_while_the_hook_for_changes_runs_is_told_as_well(other: str) -> None:
    async with running(Watched) as router, LinkedSocket(router) as client:
        assert await call(router, "watched", "k", "add", "first") is None
        watched = instance_of(router).actor
        await eventually(lambda: watched.told == [["first"]])
        if other == "action":
            working = asyncio.ensure_future(call(router, "watched", "k", "work"))
        else:
            working = asyncio.ensure_future(client.connect("watched", "k"))
        await eventually(lambda: watched.state.events == ["first", other])
        watched.telling.release()
        # The hook has ended before what changed the state has: only then is it known to be over.
        await eventually(lambda: len(instance_of(router).tasks) == 1)
        watched.working.set()
        await working
        await eventually(lambda: len(watched.told) == 2)
        assert watched.told[1] == ["first", other]
        watched.telling.release()


async def test_running_actions_are_waited_for_and_then_cancelled() -> None:
    async with running(Mortal, shutdown_timeout_s=0.01) as router:
        waiting = asyncio.ensure_future(call(router, "mortal", "k", "wait"))
        await eventually(lambda: router.actors and instance_of(router).tasks)
    with pytest.raises(OutcomeUnknown, match="cancelled"):
        await waiting


async def test_an_actor_that_has_stopped_cannot_be_used() -> None:
    async with running(Mortal) as router:
        await call(router, "mortal", "k", "use")
        actor = instance_of(router).actor
    with pytest.raises(ActorDestroyed, match="has stopped"):
        actor.broadcast("late")
    coroutine = asyncio.sleep(0)
    with pytest.raises(ActorDestroyed, match="has stopped"):
        actor.spawn(coroutine)


async def test_a_hook_that_raises_at_stop_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Actor[Count]):
        async def on_disconnect(self) -> None:
            raise RuntimeError("first secret")

        def on_stop(self) -> None:
            self.state.value = 5
            raise RuntimeError("second secret")

        @action
        def use(self, c: Context[Count]) -> None: ...

    store = MemoryStore()
    async with running(Broken, store=store) as router:
        client = LinkedSocket(router)
        await client.connect("broken", "k")
    await client.closed_with(CloseCode.SERVER_RESTART)
    client.lose()
    assert "first secret" in caplog.text and "second secret" in caplog.text
    (stored,) = store._by_id.values()
    assert stored.state == b'{"value":5}'
