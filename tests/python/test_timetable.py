"""When scheduled calls run: one timer for thousands, clocks that are set, and what cannot run (yet)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from linked import call, eventually, running
from scheduling import (
    Notes,
    Planner,
    StoreMaker,
    Stubborn,
    WallClock,
    fall_asleep,
    idle,
    lines,
    memory,
    reset_planner,
    sqlite,
)

from ringcast import Actor, Context, MemoryStore, Registry, UserError, action
from ringcast.errors import ActorNotFound
from ringcast.store import ScheduledCall, Store, StoredActor
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Connect

Open = Callable[[], Store]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=[memory, sqlite], ids=["memory", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    make: StoreMaker = request.param
    return make(tmp_path)


@pytest.fixture(autouse=True)
def planner() -> None:
    reset_planner()


# --- many, and clocks ---------------------------------------------------------------------------------------


async def test_thousands_wait_on_one_timer_and_run_once_in_order(opened: Open, clock: ManualClock) -> None:
    class Batch(Actor[Notes], sleep_after_s=None):
        """Schedules many at a time."""

        @action
        def plan(self, c: Context[Notes], dues: list[int]) -> None:
            for due in dues:
                c.schedule.after(due, self.note, due)

        @action
        def note(self, c: Context[Notes], due: int) -> None:
            c.state.lines.append(str(due))

        @action
        def lines(self, c: Context[Notes]) -> list[str]:
            return c.state.lines

    random = Random(3)
    dues = {str(key): [random.randrange(1, 100) for _ in range(100)] for key in range(20)}
    async with running(Batch, store=opened(), clock=clock, save_interval_s=1000) as router:
        for key, planned in dues.items():
            await call(router, "batch", key, "plan", planned)
        assert len(router.timetable) == 2000
        # One for the timetable, and one of each state for its saving.
        assert clock.waiting == 1 + len(dues)
        await clock.advance(49)
        await idle(router)
        assert clock.waiting == 1 + len(dues)
    await clock.advance(1000)
    async with running(Batch, store=opened(), clock=clock) as router:
        await idle(router)
        for key, planned in dues.items():
            assert await call(router, "batch", key, "lines") == [str(due) for due in sorted(planned)]
        assert await router.store.schedule() == []


async def test_what_is_cancelled_does_not_pile_up(clock: ManualClock) -> None:
    class Fickle(Actor):
        """Schedules and thinks again."""

        @action
        def plan(self, c: Context, times: int) -> None:
            for _ in range(times):
                c.schedule.after(1e6, self.plan, 1)

        @action
        def think_again(self, c: Context) -> None:
            for entry in c.schedule.entries()[1:]:
                c.schedule.cancel(entry.id)

    async with running(Fickle, clock=clock) as router:
        for _ in range(30):
            await call(router, "fickle", "k", "plan", 200)
            await call(router, "fickle", "k", "think_again")
        assert len(router.timetable) == 1
        assert len(router.timetable._heap) < 3000


async def test_a_clock_that_is_set_forward_is_noticed_within_a_minute() -> None:
    clock = WallClock()
    async with running(Planner, clock=clock) as router:
        await call(router, "planner", "k", "plan", 3600, "note", "in an hour")
        clock.set(clock.now() + 3600)
        await clock.advance(60)
        await idle(router)
        assert await lines(router) == ["in an hour"]


async def test_a_clock_that_is_set_back_is_followed() -> None:
    clock = WallClock()
    async with running(Planner, clock=clock) as router:
        await call(router, "planner", "k", "plan", 100, "note", "first")
        clock.set(clock.now() - 1000)
        await call(router, "planner", "k", "plan", 10, "note", "second")
        await clock.advance(10)
        await idle(router)
        assert await lines(router) == ["second"]
        await clock.advance(1089)
        await idle(router)
        assert await lines(router) == ["second"]
        await clock.advance(1)
        await idle(router)
        assert await lines(router) == ["second", "first"]


@pytest.mark.parametrize("seconds", [1e10, 1e300])
async def test_the_far_future_is_waited_for(clock: ManualClock, seconds: float) -> None:
    async with running(Planner, clock=clock) as router:
        await call(router, "planner", "k", "plan", seconds, "note", "some day")
        await call(router, "planner", "k", "plan", 120, "note", "soon")
        await clock.advance(120)
        await idle(router)
        assert await lines(router) == ["soon"]
        assert await call(router, "planner", "k", "planned") == [("note", ["some day"])]


async def test_the_machines_own_clock_runs_it() -> None:
    async with running(Planner, sleep_after_s=0.001) as router:
        await call(router, "planner", "k", "plan", 0.02, "note", "soon")
        await call(router, "planner", "k", "plan", 0.01, "note", "sooner")
        await eventually(lambda: len(router.timetable) == 0)
        assert await lines(router) == ["sooner", "soon"]


# --- actions that fail --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, said",
    [
        ("fail", "the scheduled action fail raised UserError('it does not work')"),
        ("break_down", "RuntimeError: a secret"),
        ("hang", "the scheduled action hang raised ActionTimeout"),
    ],
)
async def test_what_raises_is_logged_and_not_run_again(
    opened: Open, clock: ManualClock, caplog: pytest.LogCaptureFixture, name: str, said: str
) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        await call(router, "planner", "k", "plan", 1, name, "once")
        await call(router, "planner", "k", "plan", 2, "note", "next")
        await clock.advance(2)
        await idle(router)
        assert await lines(router) == ["once", "next"]
        assert caplog.text.count(said) == 1
        assert await router.store.schedule() == []


# --- code that has changed ----------------------------------------------------------------------------------


class Before(Actor[Notes]):
    """As it was."""

    @action
    def plan(self, c: Context[Notes], seconds: float, name: str, line: str) -> str:
        return c.schedule.after(seconds, name, line)

    @action
    def gone(self, c: Context[Notes], line: str) -> None:
        c.state.lines.append(line)

    @action
    def note(self, c: Context[Notes], line: str) -> None:
        c.state.lines.append(line)

    @action
    def changed(self, c: Context[Notes], line: str) -> None:
        c.state.lines.append(line)


class After(Actor[Notes]):
    """As it is now."""

    @action
    def note(self, c: Context[Notes], line: str) -> None:
        c.state.lines.append(line)

    @action
    def changed(self, c: Context[Notes], number: int) -> None:
        c.state.lines.append(str(number))

    @action
    def lines(self, c: Context[Notes]) -> list[str]:
        return c.state.lines

    @action
    def cancel_all(self, c: Context[Notes]) -> list[bool]:
        return [c.schedule.cancel(entry.id) for entry in c.schedule]


Before.__name__ = After.__name__ = "Thing"


@pytest.mark.parametrize("name", ["gone", "changed"])
async def test_what_the_code_no_longer_knows_is_kept_for_code_that_does(
    opened: Open, clock: ManualClock, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    async with running(Before, store=opened(), clock=clock) as router:
        await call(router, "thing", "k", "plan", 1, name, "old")
        await call(router, "thing", "k", "plan", 2, "note", "new")
    async with running(After, store=opened(), clock=clock) as router:
        await clock.advance(2)
        await idle(router)
        # It holds nothing up.
        assert await call(router, "thing", "k", "lines") == ["new"]
        assert f"the scheduled action {name} is kept and not run" in caplog.text
        assert len(await router.store.schedule()) == 1
    async with running(Before, After_(), store=opened(), clock=clock) as router:
        await idle(router)
        assert await router.store.schedule() == []
    async with running(After, store=opened(), clock=clock) as router:
        assert await call(router, "thing", "k", "lines") == ["new", "old"]


def After_() -> type[Actor]:  # noqa: N802
    class Unrelated(Actor):
        """Stands by."""

    return Unrelated


async def test_what_the_code_no_longer_knows_can_be_cancelled(opened: Open, clock: ManualClock) -> None:
    async with running(Before, store=opened(), clock=clock) as router:
        await call(router, "thing", "k", "plan", 1, "gone", "old")
    async with running(After, store=opened(), clock=clock) as router:
        await clock.advance(1)
        await idle(router)
        assert await call(router, "thing", "k", "cancel_all") == [True]
        assert await router.store.schedule() == []


async def test_an_actor_whose_class_is_not_served_keeps_its_schedule(
    opened: Open, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        await call(router, "planner", "k", "plan", 1, "note", "it")
    await clock.advance(1)
    async with running(After, store=opened(), clock=clock) as router:
        await idle(router)
        assert "are kept and not run: its class is not served here" in caplog.text
        assert len(await router.store.schedule()) == 1
    async with running(Planner, store=opened(), clock=clock) as router:
        await idle(router)
        assert await lines(router) == ["it"]


# --- actors that cannot be had ------------------------------------------------------------------------------


class Moody(Planner):
    """Does not always start."""

    failing: Exception | None = None

    def on_start(self) -> None:
        super().on_start()
        if Moody.failing is not None:
            # Each attempt has a traceback of its own.
            raise Moody.failing.with_traceback(None)


def put_off(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log says of actors that are to be tried again."""
    return [line for record in caplog.records if "it is tried again in" in (line := record.getMessage())]


@pytest.mark.parametrize(
    "error",
    # Also one that looks as if the store had no such actor.
    [RuntimeError("a secret"), UserError("not now"), ActorNotFound("another one is missing")],
    ids=lambda error: type(error).__name__,
)
async def test_an_actor_that_does_not_start_is_tried_again_after_a_growing_delay(
    opened: Open, clock: ManualClock, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    async with running(Moody, store=opened(), clock=clock) as router:
        await call(router, "moody", "k", "plan", 100, "note", "first")
        # Due while the first one waits for the next attempt.
        await call(router, "moody", "k", "plan", 100.5, "note", "second")
        await fall_asleep(router, clock)
        Moody.failing, Planner.starts = error, 0
        try:
            await clock.advance(70)
            for attempt, delay_s in enumerate((1, 2, 4, 8, 16, 32, 60, 60), start=1):
                await eventually(lambda n=attempt: len(put_off(caplog)) == n)
                assert f"it is tried again in {delay_s} s" in put_off(caplog)[-1]
                assert Planner.starts == attempt
                await clock.advance(delay_s - 0.5)
                # Every occasion to try too early.
                for _ in range(20):
                    await asyncio.sleep(0)
                assert Planner.starts == attempt
                if attempt == 8:
                    Moody.failing = None
                await clock.advance(0.5)
        finally:
            Moody.failing = None
        await eventually(lambda: len(router.timetable) == 0)
        assert await call(router, "moody", "k", "lines") == ["first", "second"]


async def test_a_store_that_cannot_be_read_is_tried_again(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Away(MemoryStore):
        failing = False

        async def load(self, actor_id: str) -> StoredActor | None:
            if self.failing:
                raise OSError("the disk is away")
            return await super().load(actor_id)

    store = Away()
    async with running(Planner, store=store, clock=clock) as router:
        await call(router, "planner", "k", "plan", 100, "note", "it")
        await fall_asleep(router, clock)
        store.failing = True
        await clock.advance(70)
        await eventually(lambda: "it is tried again in 1 s" in caplog.text)
        store.failing = False
        await clock.advance(1)
        await idle(router)
        assert await lines(router) == ["it"]


async def test_a_server_does_not_start_without_its_schedule(clock: ManualClock) -> None:
    class Away(MemoryStore):
        failing = True

        async def schedule(self) -> list[ScheduledCall]:
            if self.failing:
                raise OSError("the disk is away")
            return await super().schedule()

    store = Away()
    registry = Registry(Planner, store=store, clock=clock)
    with pytest.raises(OSError, match="the disk is away"):
        await registry.start()
    assert not registry.router.started
    store.failing = False
    async with registry:
        assert await lines(registry.router) == []


async def test_one_that_hangs_holds_up_nobody_else(clock: ManualClock) -> None:
    class Slow(Planner):
        """Does not start before it may."""

        gate_of_start: asyncio.Event

        async def on_start(self) -> None:  # type: ignore[override]
            if self.key == ("slow",):
                await Slow.gate_of_start.wait()

    Slow.gate_of_start = asyncio.Event()
    Slow.gate_of_start.set()
    async with running(Slow, clock=clock) as router:
        for key in ("slow", "quick"):
            await call(router, "slow", key, "plan", 100, "note", "it")
        await fall_asleep(router, clock)
        Slow.gate_of_start.clear()
        await clock.advance(70)
        await eventually(lambda: len(router.timetable) == 1)
        assert await call(router, "slow", "quick", "lines") == ["it"]
        Slow.gate_of_start.set()
        await idle(router)
        assert await call(router, "slow", "slow", "lines") == ["it"]


async def test_no_more_than_some_are_started_at_a_time(clock: ManualClock) -> None:
    class Crowd(Planner, sleep_after_s=1):
        """Counts those that start."""

        starting = most = 0

        async def on_start(self) -> None:  # type: ignore[override]
            Crowd.starting += 1
            Crowd.most = max(Crowd.most, Crowd.starting)
            for _ in range(3):
                await asyncio.sleep(0)
            Crowd.starting -= 1

    async with running(Crowd, clock=clock) as router:
        for key in range(200):
            await call(router, "crowd", str(key), "plan", 100, "note", "it")
        await fall_asleep(router, clock)
        Crowd.most = 0
        await clock.advance(100)
        await eventually(lambda: len(router.timetable) == 0)
        assert 1 < Crowd.most <= 32


# --- actors that end ----------------------------------------------------------------------------------------


async def test_destroying_an_actor_ends_its_schedule(opened: Open, clock: ManualClock) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        await call(router, "planner", "k", "plan", 10, "note", "never")
        await call(router, "planner", "other", "plan", 10, "note", "it")
        await call(router, "planner", "k", "end")
        await eventually(lambda: len(router.timetable) == 1)
        assert len(await router.store.schedule()) == 1
        await clock.advance(10)
        await idle(router)
        # The key's next actor has nothing to do with it.
        assert await lines(router) == []
        assert await lines(router, "other") == ["it"]


async def test_an_actor_may_end_itself_on_schedule(opened: Open, clock: ManualClock) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        actor_id, _ = await router.resolve(Connect("planner", ("k",)))
        await call(router, "planner", "k", "plan", 1, "end")
        await call(router, "planner", "k", "plan", 1, "note", "never")
        await clock.advance(1)
        await idle(router)
        await eventually(lambda: router.actors == 0)
        assert await router.store.load(actor_id) is None
        assert await router.store.schedule() == []
        assert len(router.timetable) == 0


async def test_one_that_is_destroyed_while_another_server_had_its_calls_is_let_go(clock: ManualClock) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock) as router:
        await call(router, "planner", "k", "plan", 100, "note", "never")
        await fall_asleep(router, clock)
        await store.delete((await store.schedule())[0].actor_id)
        await clock.advance(70)
        await idle(router)
        assert len(router.timetable) == 0


async def test_an_actor_that_ends_for_good_as_it_starts_is_gone(clock: ManualClock) -> None:
    class Brief(Actor[Notes]):
        """Ends when it wakes."""

        def on_start(self, c: Context[Notes]) -> None:
            if c.schedule.entries():
                c.destroy()

        @action
        def plan(self, c: Context[Notes]) -> None:
            c.schedule.after(100, self.plan)

    async with running(Brief, clock=clock) as router:
        await call(router, "brief", "k", "plan")
        await fall_asleep(router, clock)
        await clock.advance(70)
        await eventually(lambda: len(router.timetable) == 0 and router.actors == 0)
        assert await router.store.find("Brief", ("k",)) is None
