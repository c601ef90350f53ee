"""An action that is given up when its actor stops, and goes on: nothing that it does later is kept, or
reaches the one that runs in its place by then."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from linked import TIMEOUT_S, LinkedSocket, call, eventually

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, SqliteStore, action
from ringcast.errors import ActorDestroyed, InternalError, OutcomeUnknown
from ringcast.running.instance import ActorInstance
from ringcast.running.status import Status
from ringcast.store import Change, Store
from ringcast.wire.protocol import Call, Event

# An action has a second to end after its cancellation: there is no need for more.
CONFIG = ServerConfig(shutdown_timeout_s=0.1, close_timeout_s=0.5)


@dataclass
class Pages:
    lines: list[str] = field(default_factory=list)


class Diary(Actor[Pages]):
    begun: ClassVar[asyncio.Event]
    go_on: ClassVar[asyncio.Event]
    late: ClassVar[Callable[[Any, Context[Pages]], Any]]
    """What an action does that has been given up."""
    outcomes: ClassVar[list[Any]]
    """What came of that."""
    saving: ClassVar[list[asyncio.Task[None]]]

    @action
    def write(self, c: Context[Pages], line: str) -> None:
        c.state.lines.append(line)
        c.broadcast("written", line)

    @action
    async def write_saved(self, c: Context[Pages], line: str) -> None:
        self.write(c, line)
        await c.save_state()

    @action
    async def linger(self, c: Context[Pages], schedules: bool = False) -> None:
        """Go on until the test says so, whoever cancels it, and do something then."""
        if schedules:
            # Its answer waits for the store, which has to have that.
            c.schedule.after(3600, self.write, "scheduled")
        self.begun.set()
        while not self.go_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.go_on.wait()
        c.state.lines.append("late")
        try:
            result = self.late(c)
            self.outcomes.append(await result if inspect.isawaitable(result) else result)
        except Exception as error:
            self.outcomes.append(error)

    @action
    def save_twice(self, c: Context[Pages]) -> None:
        """Save in tasks that no actor ends."""
        c.state.lines.append("first")
        self.saving.extend(asyncio.create_task(self.save_state()) for _ in range(2))


class DurableDiary(Diary):
    durable = True

    async def on_destroy(self) -> None:
        try:
            self.outcomes.append(await self.save_state())
        except Exception as error:
            self.outcomes.append(error)


class Lasting(Diary):
    """Stops when the test lets it, by its key, whoever cancels that."""

    may_stop: ClassVar[dict[str, asyncio.Event]]
    stopping: ClassVar[set[str]]

    async def on_stop(self) -> None:
        [key] = self.key
        self.stopping.add(key)
        while not self.may_stop[key].is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.may_stop[key].wait()


KINDS = pytest.mark.parametrize("kind", [Diary, DurableDiary], ids=["ordinary", "durable"])


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    Diary.begun, Diary.go_on = asyncio.Event(), asyncio.Event()
    Diary.outcomes, Diary.saving = [], []
    Lasting.may_stop, Lasting.stopping = {"k": asyncio.Event(), "other": asyncio.Event()}, set()
    yield


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(str(tmp_path / "diary.db"))


class HeldStore(MemoryStore):
    """Commits when the test lets it, or fails to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_held = asyncio.Event()
        self.fails = False

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        if not self.gate.is_set():
            self.is_held.set()
            await self.gate.wait()
            if self.fails:
                raise OSError("the disk has gone")
        await super().commit(actor_id, changes)


async def begun(registry: Registry, kind: type[Diary], *args: Any) -> ActorInstance:
    """Start the registry and an action that will not end; return its actor."""
    await registry.start()
    async with LinkedSocket(registry.router) as client:
        await client.connect(kind.__name__, "k")
        client.send(Call(1, "linger", list(args)))
        await Diary.begun.wait()
    [instance] = registry.router.running
    return instance


@contextlib.asynccontextmanager
async def lingering(
    registry: Registry, *args: Any, held: HeldStore | None = None
) -> AsyncIterator[tuple[asyncio.Task[Any], ActorInstance]]:
    """Call an action that will not end, and stop the registry, which another actor holds up; give the call,
    and the actor that it is of. The store commits nothing meanwhile if it is `held`."""
    await registry.start()
    await call(registry.router, "lasting", "other", "write_saved", "first")
    if held is not None:
        held.gate.clear()
    asking = asyncio.create_task(call(registry.router, "lasting", "k", "linger", *args))
    await Diary.begun.wait()
    [instance] = [each for each in registry.router.running if each.key == ("k",)]
    stopping = asyncio.create_task(registry.stop())
    try:
        await eventually(lambda: Lasting.stopping == {"k", "other"})
        yield asking, instance
    finally:
        for event in (Diary.go_on, *Lasting.may_stop.values()):
            event.set()
        await stopping


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log has of an actor's faults."""
    return [
        record.message
        for record in caplog.records
        if record.name.startswith("ringcast.actor") and record.levelno >= logging.ERROR
    ]


async def end(stopped: ActorInstance) -> None:
    """Have the action that was given up go on to its end."""
    assert stopped.tasks.foreground, "it has not been given up"
    Diary.go_on.set()
    await eventually(lambda: not stopped.tasks.foreground)


async def kept(registry: Registry, kind: type[Diary]) -> list[str]:
    """Stop the registry and return what its store has then."""
    await registry.stop()
    await registry.store.open()
    stored = await registry.store.find(kind.__name__, ("k",))
    await registry.store.close()
    assert stored is not None
    lines: list[str] = json.loads(stored.state)["lines"]
    return lines


@KINDS
async def test_it_cannot_save_its_state_any_more(
    monkeypatch: pytest.MonkeyPatch, kind: type[Diary], store: Store
) -> None:
    monkeypatch.setattr(Diary, "late", lambda self, c: c.save_state(), raising=False)
    registry = Registry(kind, store=store, config=CONFIG)
    stopped = await begun(registry, kind)
    await registry.stop()
    async with registry:
        await call(registry.router, kind.__name__, "k", "write_saved", "second")
        await end(stopped)
        [error] = Diary.outcomes
        assert isinstance(error, ActorDestroyed)
        assert error.code == "actor_destroyed" and stopped.actor_id in error.message
        assert await kept(registry, kind) == ["second"]


@KINDS
async def test_its_end_saves_nothing_though_its_answer_waits_for_the_store(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: type[Diary], store: Store
) -> None:
    monkeypatch.setattr(Diary, "late", lambda self, c: None, raising=False)
    registry = Registry(kind, store=store, config=CONFIG)
    stopped = await begun(registry, kind, True)
    await registry.stop()
    caplog.clear()
    async with registry:
        await call(registry.router, kind.__name__, "k", "write_saved", "second")
        await end(stopped)
        assert Diary.outcomes == [None]
        assert await kept(registry, kind) == ["second"]
    assert "tried again" not in caplog.text


Effect = Callable[[Any, Context[Pages]], Any]

REFUSED: dict[str, Effect] = {
    "broadcast": lambda self, c: c.broadcast("written", "late"),
    "broadcast_threadsafe": lambda self, c: self.broadcast_threadsafe("written", "late"),
    "after": lambda self, c: c.schedule.after(0, self.write, "late"),
    "cancel": lambda self, c: c.schedule.cancel("any"),
    "entries": lambda self, c: c.schedule.entries(),
    "spawn": lambda self, c: c.spawn(self.write_saved(c, "late")),
    "destroy": lambda self, c: c.destroy(),
}
# The connections of an ordinary actor have ended with it, and to send to one that has ended does nothing.
REFUSED_IF_DURABLE: dict[str, Effect] = {
    "conn.send": lambda self, c: c.conn.send("written", "late"),
    "conns.send": lambda self, c: c.conns.send("written", "late"),
}
WITHOUT_EFFECT: dict[str, Effect] = {
    "conn.disconnect": lambda self, c: c.conn.disconnect("late"),
    "conns.disconnect": lambda self, c: c.conns.disconnect("late"),
    "drain": lambda self, c: c.drain(),
}


@KINDS
async def test_nothing_that_it_does_reaches_the_one_that_runs_in_its_place(
    monkeypatch: pytest.MonkeyPatch, kind: type[Diary]
) -> None:
    became: dict[str, Any] = {}

    async def late(self: Diary, c: Context[Pages]) -> None:
        for name, effect in (REFUSED | REFUSED_IF_DURABLE | WITHOUT_EFFECT).items():
            try:
                done = effect(self, c)
                became[name] = await done if inspect.isawaitable(done) else done
            except ActorDestroyed:
                became[name] = ActorDestroyed

    monkeypatch.setattr(Diary, "late", late, raising=False)
    registry = Registry(kind, store=MemoryStore(), config=CONFIG)
    stopped = await begun(registry, kind)
    await registry.stop()
    async with registry, LinkedSocket(registry.router) as client:
        await client.connect(kind.__name__, "k", events=("written",))
        await call(registry.router, kind.__name__, "k", "write", "second")
        await end(stopped)
        assert Diary.outcomes == [None]
        refused = REFUSED | REFUSED_IF_DURABLE if kind.durable else REFUSED
        assert {name for name, outcome in became.items() if outcome is ActorDestroyed} == set(refused)
        assert all(became[name] is None for name in became.keys() - refused.keys())
        await call(registry.router, kind.__name__, "k", "write_saved", "end")
        assert [(await client.receive(Event)).args for _ in range(2)] == [["second"], ["end"]]
        assert await registry.store.schedule() == []
        assert await kept(registry, kind) == ["second", "end"]


async def test_what_it_had_scheduled_is_not_kept_later_with_its_state(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Diary, "late", lambda self, c: None, raising=False)
    store = HeldStore()
    registry = Registry(Diary, store=store, config=CONFIG)
    store.gate.clear()
    stopped = await begun(registry, Diary, True)
    await store.is_held.wait()
    # This is to be kept by itself as well, behind that one.
    stopped.context.schedule.after(3600, stopped.actor.write, "scheduled")
    await registry.stop()
    caplog.clear()
    held, store.gate, store.fails = store.gate, asyncio.Event(), True
    store.gate.set()
    async with registry:
        await call(registry.router, "diary", "k", "write_saved", "second")
        # The store has not taken it, and says so only now.
        held.set()
        await end(stopped)
        assert Diary.outcomes == [None]
        assert await registry.store.schedule() == []
        assert await kept(registry, Diary) == ["second"]
    assert errors(caplog) == ["k: saving the state failed, and the actor has stopped: it is not tried again"]


async def test_its_caller_is_not_told_that_it_went_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Diary, "late", lambda self, c: None, raising=False)
    registry = Registry(Lasting, store=MemoryStore(), config=CONFIG)
    async with lingering(registry) as (asking, stopped):
        Lasting.may_stop["k"].set()
        await eventually(lambda: stopped.status is Status.STOPPED)
        Diary.go_on.set()
        with pytest.raises(OutcomeUnknown, match="has gone on although its actor has stopped"):
            await asking
    assert Diary.outcomes == [None]
    assert await kept(registry, Lasting) == []


@pytest.mark.parametrize("when", ["before", "as it goes on"])
async def test_what_it_has_scheduled_is_not_tried_again_when_its_actor_has_stopped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, when: str
) -> None:
    def late(self: Lasting, c: Context[Pages]) -> None:
        if when == "as it goes on":
            c.schedule.after(3600, self.write, "scheduled")

    monkeypatch.setattr(Diary, "late", late, raising=False)
    store = HeldStore()
    registry = Registry(Lasting, store=store, config=CONFIG)
    async with lingering(registry, when == "before", held=store) as (asking, stopped):
        # Its answer waits for the store: for an attempt of its own, or behind another one.
        Diary.go_on.set()
        await store.is_held.wait()
        await eventually(lambda: Diary.outcomes)
        Lasting.may_stop["k"].set()
        await eventually(lambda: stopped.status is Status.STOPPED)
        caplog.clear()
        store.fails = True
        store.gate.set()
        with pytest.raises(OutcomeUnknown, match="before its store had what the action scheduled"):
            await asking
    assert Diary.outcomes == [None]
    assert errors(caplog) == [
        "k: saving the state failed, and the actor has stopped: it is not tried again"
        if when == "before"
        else "k: what an action has scheduled could not be kept before the actor has stopped"
    ]


async def test_a_save_that_waits_for_another_until_its_actor_has_stopped_is_refused() -> None:
    store = HeldStore()
    registry = Registry(Diary, store=store, config=CONFIG)
    await registry.start()
    await call(registry.router, "diary", "k", "write_saved", "before")
    store.gate.clear()
    await call(registry.router, "diary", "k", "save_twice")
    await store.is_held.wait()
    await registry.stop()
    held, store.gate, store.fails = store.gate, asyncio.Event(), True
    store.gate.set()
    async with registry:
        await call(registry.router, "diary", "k", "write_saved", "second")
        held.set()
        first, second = await asyncio.gather(*Diary.saving, return_exceptions=True)
        assert isinstance(first, OSError) and isinstance(second, ActorDestroyed)
        assert await kept(registry, Diary) == ["before", "second"]


async def test_a_save_that_waits_behind_one_that_is_given_up_is_told_so() -> None:
    store = HeldStore()
    registry = Registry(DurableDiary, store=store, config=CONFIG)
    await registry.start()
    await call(registry.router, "durableDiary", "k", "write_saved", "before")
    store.gate.clear()
    [instance] = registry.router.running
    instance.actor.state.lines.append("first")
    first = asyncio.create_task(instance.context.save_state())
    await store.is_held.wait()
    second = asyncio.create_task(instance.context.save_state())
    await registry.stop()
    async with asyncio.timeout(TIMEOUT_S):
        with pytest.raises(OutcomeUnknown):
            await second
    store.gate.set()
    await asyncio.gather(first, return_exceptions=True)


async def test_what_is_saved_behind_the_last_commit_is_refused() -> None:
    registry = Registry(DurableDiary, store=MemoryStore(), config=CONFIG)
    async with registry:
        await call(registry.router, "durableDiary", "k", "write", "first")
        [destroyed] = registry.router.running
        destroyed.destroy()
        await eventually(lambda: Diary.outcomes)
        [error] = Diary.outcomes
        assert isinstance(error, ActorDestroyed)


async def test_a_turn_that_ends_when_its_actor_has_stopped_commits_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Diary, "late", lambda self, c: None, raising=False)
    store = HeldStore()
    registry = Registry(DurableDiary, store=store, config=CONFIG)
    stopped = await begun(registry, DurableDiary, True)
    # The last commit comes while another one is written, and is given up.
    store.gate.clear()
    saving = asyncio.create_task(stopped.context.save_state())
    await store.is_held.wait()
    await registry.stop()
    store.gate.set()
    await asyncio.wait({saving})
    async with registry:
        await call(registry.router, "durableDiary", "k", "write_saved", "second")
        await end(stopped)
        assert Diary.outcomes == [None]
        assert await kept(registry, DurableDiary) == ["second"]


class Hesitant(Diary):
    begins: ClassVar[list[Hesitant]] = []

    def on_start(self) -> None:
        self.begins.append(self)
        if len(self.begins) == 2:
            raise RuntimeError("not this time")


@pytest.mark.parametrize("durable", [False, True], ids=["ordinary", "durable"])
async def test_one_whose_start_has_failed_cannot_save_its_state_either(
    monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    monkeypatch.setattr(Hesitant, "durable", durable)
    monkeypatch.setattr(Hesitant, "begins", [])
    registry = Registry(Hesitant, store=MemoryStore(), config=CONFIG)
    for line in ("first", None, "second"):
        async with registry:
            if line is None:
                with pytest.raises(InternalError):
                    await call(registry.router, "hesitant", "k", "write", "never")
            else:
                await call(registry.router, "hesitant", "k", "write_saved", line)
    _, failed, _ = Hesitant.begins
    async with registry:
        await call(registry.router, "hesitant", "k", "write_saved", "third")
        failed.state.lines.append("late")
        with pytest.raises(ActorDestroyed):
            await failed.save_state()
        assert await kept(registry, Hesitant) == ["first", "second", "third"]
