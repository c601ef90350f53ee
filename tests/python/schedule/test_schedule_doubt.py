"""A schedule whose actor ended badly: what is to come is what the store has, without a restart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from linked import TIMEOUT_S, call, eventually, running
from scheduling import Notes, Planner, fall_asleep, idle

from ringcast import Actor, Context, MemoryStore, SqliteStore, action
from ringcast.errors import ActionTimeout, InternalError, OutcomeUnknown, UserError
from ringcast.router import Router
from ringcast.store import Change, JournalCorrupt, ScheduledCall, StoredActor
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Connect


async def run_all(router: Router, clock: ManualClock) -> None:
    """Let time pass until nothing is to come."""
    timetable = router.timetable
    async with asyncio.timeout(TIMEOUT_S):
        while len(timetable) or timetable._lanes:
            await clock.advance(1)
            await asyncio.sleep(0)


async def put_off(router: Router, clock: ManualClock, caplog: pytest.LogCaptureFixture, *delays: int) -> None:
    """Check that attempts fail and are made again after these delays; return before the last is made."""
    for attempt, delay_s in enumerate(delays, start=1):
        await eventually(lambda n=attempt: caplog.text.count("it is tried again in") == n)
        assert f"it is tried again in {delay_s} s" in caplog.text
        await clock.advance(delay_s - 0.5)
        # Every occasion to try too early.
        for _ in range(20):
            await asyncio.sleep(0)
        assert caplog.text.count("it is tried again in") == attempt
        if attempt < len(delays):
            await clock.advance(0.5)


# --- a damaged journal --------------------------------------------------------------------------------------


class Spoilt(MemoryStore):
    """Says that the journal is damaged, as often as it is told to."""

    spoilt = 0

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        if self.spoilt:
            self.spoilt -= 1
            raise JournalCorrupt("an index is broken")
        await super().commit(actor_id, changes)


class Lasting(Planner):
    durable = True


async def gone(router: Router) -> None:
    await eventually(lambda: router.actors == 0 and not router._directory._stopping)
    await idle(router)


async def test_what_could_not_be_kept_is_not_to_come(clock: ManualClock) -> None:
    store = Spoilt()
    async with running(Lasting, store=store, clock=clock) as router:
        await call(router, "lasting", "k", "plan", 5, "note", "kept")
        store.spoilt = 1
        with pytest.raises(OutcomeUnknown):
            await call(router, "lasting", "k", "plan", 5, "note", "lost")
        await gone(router)
        assert len(router.timetable) == 1
        assert await call(router, "lasting", "k", "planned") == [("note", ["kept"])]
        await clock.advance(5)
        await idle(router)
        assert await call(router, "lasting", "k", "lines") == ["kept"]


async def test_what_could_not_be_cancelled_is_still_to_come(clock: ManualClock) -> None:
    store = Spoilt()
    async with running(Lasting, store=store, clock=clock) as router:
        id = await call(router, "lasting", "k", "plan", 5, "note", "it")
        store.spoilt = 1
        with pytest.raises(OutcomeUnknown):
            await call(router, "lasting", "k", "cancel", id)
        await gone(router)
        await clock.advance(5)
        await idle(router)
        assert await call(router, "lasting", "k", "lines") == ["it"]


@pytest.mark.parametrize("name", ["note", "count_down_slowly"])
async def test_what_has_run_and_could_not_be_kept_runs_again_after_a_growing_delay(
    clock: ManualClock, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    argument, expected = {
        "note": ("it", ["it"]),
        "count_down_slowly": (0, ["0 begun", "0 ended"]),
    }[name]
    store = Spoilt()
    async with running(Lasting, store=store, clock=clock) as router:
        await call(router, "lasting", "k", "plan", 5, name, argument)
        # As often as it is started and runs that.
        store.spoilt = 3
        await clock.advance(5)
        # Nobody asks for the actor: it starts by itself, for this.
        await put_off(router, clock, caplog, 1, 2, 4)
        await run_all(router, clock)
        assert Planner.starts == 4
        assert await call(router, "lasting", "k", "lines") == expected
        assert await store.schedule() == []


# --- starts that fail ---------------------------------------------------------------------------------------


class Born(Actor[Notes]):
    """Schedules its first action."""

    def on_create(self, c: Context[Notes]) -> None:
        c.schedule.after(100, self.note)

    @action
    def note(self, c: Context[Notes]) -> None:
        c.state.lines.append("noted")


async def give_up_start(router: Router, asked: asyncio.Event, name: str) -> None:
    """Have starts take too long, until one of them has come as far as that the store is asked."""
    while not asked.is_set():
        with pytest.raises(ActionTimeout):
            await router.resolve(Connect(name, ("k",)))


class LateMemory(MemoryStore):
    """Keeps an actor, and does not say so before it may."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.may_answer = threading.Event()

    async def create(self, actor: StoredActor, changes: Sequence[Change] = ()) -> None:
        self.asked.set()
        await super().create(actor, changes)
        if not self.may_answer.is_set():
            await asyncio.Event().wait()


class LateSqlite(SqliteStore):
    """Has its thread busy with something else, and so keeps an actor when nobody waits for it any more."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / "test.db", synchronous="normal")
        self.asked = asyncio.Event()
        self.may_answer = threading.Event()

    async def create(self, actor: StoredActor, changes: Sequence[Change] = ()) -> None:
        if not self.may_answer.is_set():
            busy = asyncio.ensure_future(self._opened.read(lambda _: self.may_answer.wait(TIMEOUT_S)))
            await asyncio.sleep(0)
            assert not busy.done()
        self.asked.set()
        await super().create(actor, changes)


@pytest.mark.parametrize("durable", [False, True], ids=["ordinary", "durable"])
@pytest.mark.parametrize("kind", [LateMemory, LateSqlite], ids=["memory", "sqlite"])
async def test_an_actor_that_is_created_after_its_start_was_given_up_has_its_schedule(
    clock: ManualClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: Callable[[Path], LateMemory | LateSqlite],
    durable: bool,
) -> None:
    monkeypatch.setattr(Born, "durable", durable)
    store = kind(tmp_path)
    async with running(Born, store=store, clock=clock, start_timeout_s=0.02) as router:
        await give_up_start(router, store.asked, "born")
        store.may_answer.set()
        await eventually(lambda: len(router.timetable) == 1)
        (kept,) = await store.schedule()
        assert [item.call for item in router.timetable.items(kept.actor_id)] == [kept]
        router.config = replace(router.config, start_timeout_s=TIMEOUT_S)
        # It starts by itself.
        await run_all(router, clock)
        assert await store.schedule() == []
    await store.open()
    found = await store.find("Born", ("k",))
    await store.close()
    assert found is not None and found.state == b'{"lines":["noted"]}'


async def test_what_on_start_was_scheduling_when_it_was_given_up_is_there_if_the_store_has_it(
    clock: ManualClock,
) -> None:
    class Late(MemoryStore):
        """Commits, and does not say so."""

        asked = asyncio.Event()

        async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
            self.asked.set()
            await super().commit(actor_id, changes)
            await asyncio.Event().wait()

    class Early(Actor[Notes]):
        """Schedules as it starts."""

        def on_start(self, c: Context[Notes]) -> None:
            if not c.schedule.entries():
                c.schedule.after(100, self.note)

        @action
        def note(self, c: Context[Notes]) -> None: ...

    store = Late()
    async with running(Early, store=store, clock=clock, start_timeout_s=0.02) as router:
        await give_up_start(router, store.asked, "early")
        await eventually(lambda: len(router.timetable) == 1)
        (kept,) = await store.schedule()
        assert [item.call for item in router.timetable.items(kept.actor_id)] == [kept]


class Rearranging(Planner):
    """Puts another entry in the place of those that there are, as it starts, which may fail."""

    failing = False

    def on_start(self, c: Context[Notes]) -> None:  # type: ignore[override]
        super().on_start()
        for entry in c.schedule:
            c.schedule.cancel(entry.id)
            c.schedule.after(0, self.note, f"instead of {entry.args[0]}")
        if Rearranging.failing:
            raise UserError("not now")


@pytest.mark.parametrize("durable", [False, True], ids=["ordinary", "durable"])
async def test_what_a_failed_start_has_cancelled_is_still_to_come_and_what_it_scheduled_is_not(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, durable: bool
) -> None:
    monkeypatch.setattr(Rearranging, "durable", durable)
    async with running(Rearranging, clock=clock) as router:
        await call(router, "rearranging", "k", "plan", 100, "note", "it")
        await fall_asleep(router, clock)
        Rearranging.failing, Planner.starts = True, 0
        try:
            await clock.advance(70)
            # Whatever a start has rearranged.
            await put_off(router, clock, caplog, 1, 2, 4)
            assert Planner.starts == 3
        finally:
            Rearranging.failing = False
        await run_all(router, clock)
        assert await call(router, "rearranging", "k", "lines") == ["instead of it"]
        assert await router.store.schedule() == []


async def test_an_actor_does_not_start_before_the_store_has_said_what_is_to_come(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Away(MemoryStore):
        """Does not tell what is to come, when told to."""

        is_away = False

        async def schedule_of(self, actor_id: str) -> list[ScheduledCall]:
            if self.is_away:
                raise OSError("the disk is away")
            return await super().schedule_of(actor_id)

    store = Away()
    async with running(Rearranging, store=store, clock=clock) as router:
        await call(router, "rearranging", "k", "plan", 100, "note", "it")
        await fall_asleep(router, clock)
        Rearranging.failing, store.is_away = True, True
        try:
            with pytest.raises(UserError):
                await call(router, "rearranging", "k", "lines")
        finally:
            Rearranging.failing = False
        await eventually(lambda: "it is tried again in 1 s" in caplog.text)
        with pytest.raises(InternalError):
            await call(router, "rearranging", "k", "lines")
        store.is_away = False
        # Whoever comes first finds out: the next attempt, or the next one who wants the actor.
        await asyncio.gather(clock.advance(1), *(call(router, "rearranging", "k", "lines") for _ in range(3)))
        await run_all(router, clock)
        assert await call(router, "rearranging", "k", "lines") == ["instead of it"]
        assert len(router.timetable) == len(await store.schedule()) == 0


# --- actors that could not be deleted -----------------------------------------------------------------------


async def test_an_actor_that_could_not_be_deleted_on_schedule_is_deleted_by_the_next_attempt(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Holding(MemoryStore):
        """Does not let go, when told so."""

        holding = 0

        async def delete(self, actor_id: str) -> None:
            if self.holding:
                self.holding -= 1
                raise OSError("the disk is full")
            await super().delete(actor_id)

    store = Holding()
    async with running(Planner, store=store, clock=clock) as router:
        await call(router, "planner", "k", "plan", 1, "end")
        store.holding = 3
        await clock.advance(1)
        await put_off(router, clock, caplog, 1, 2, 4)
        await run_all(router, clock)
        await gone(router)
        assert Planner.starts == 4
        assert store._by_id == {}
