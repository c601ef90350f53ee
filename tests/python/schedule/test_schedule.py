"""Schedules: what an actor asks for runs when it is due, over sleep and restarts, each once and in order."""

from __future__ import annotations

import asyncio

import pytest
from linked import call, eventually, running
from scheduling import Notes, Open, Planner, fall_asleep, idle, lines

from ringcast import Actor, Context, action
from ringcast.testing import ManualClock

pytestmark = pytest.mark.usefixtures("durable")

ORDINARY = pytest.mark.parametrize("durable", [False], indirect=True, ids=["ordinary"])
"""For what calls an actor in the middle of an action: a durable one answers when its turn comes."""


# --- running ------------------------------------------------------------------------------------------------


async def test_it_runs_when_it_is_due_and_once(opened: Open, clock: ManualClock) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        await call(router, "planner", "k", "plan", 5, "note", "five")
        await call(router, "planner", "k", "plan", 3, "note", "three")
        assert await call(router, "planner", "k", "planned") == [("note", ["three"]), ("note", ["five"])]
        await clock.advance(2.9)
        await idle(router)
        assert await lines(router) == []
        await clock.advance(0.1)
        await idle(router)
        assert await lines(router) == ["three"]
        assert await call(router, "planner", "k", "planned") == [("note", ["five"])]
        await clock.advance(1000)
        await idle(router)
        assert await lines(router) == ["three", "five"]
        assert await call(router, "planner", "k", "planned") == []
        assert len(router.timetable) == 0
        assert await router.store.schedule() == []


async def test_it_wakes_an_actor_that_sleeps(opened: Open, clock: ManualClock) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        await call(router, "planner", "k", "plan", 1000, "note", "good morning")
        await fall_asleep(router, clock)
        await clock.advance(1000)
        await idle(router)
        assert Planner.starts == 2
        assert await lines(router) == ["good morning"]
        # And it sleeps again.
        await fall_asleep(router, clock)


async def test_it_outlives_the_server(opened: Open, clock: ManualClock) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        id = await call(router, "planner", "k", "plan", 10, "note", "later")
        await call(router, "planner", "k", "plan", 20, "note", "latest")
    async with running(Planner, store=opened(), clock=clock) as router:
        await clock.advance(10)
        await idle(router)
        assert await lines(router) == ["later"]
        assert await call(router, "planner", "k", "cancel", id) is False
    async with running(Planner, store=opened(), clock=clock) as router:
        await clock.advance(10)
        await idle(router)
        assert await lines(router) == ["later", "latest"]
    async with running(Planner, store=opened(), clock=clock) as router:
        await clock.advance(1000)
        await idle(router)
        assert await lines(router) == ["later", "latest"]


async def test_what_came_due_while_no_server_ran_runs_at_the_start_late_and_in_order(
    opened: Open, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ringcast.timetable")
    async with running(Planner, store=opened(), clock=clock) as router:
        for due in (30, 10, 20, 1000):
            await call(router, "planner", "k", "plan", due, "note", str(due))
    await clock.advance(100)
    async with running(Planner, store=opened(), clock=clock) as router:
        await idle(router)
        assert await lines(router) == ["10", "20", "30"]
        assert Planner.late == [90, 80, 70]
        assert await call(router, "planner", "k", "planned") == [("note", ["1000"])]
    assert "3 scheduled calls came due while no server ran" in caplog.text


async def test_those_of_one_moment_run_in_the_order_in_which_they_were_made(
    opened: Open, clock: ManualClock
) -> None:
    expected = [str(n) for n in range(20)]
    async with running(Planner, store=opened(), clock=clock) as router:
        due = clock.now() + 10
        for line in expected:
            await call(router, "planner", "k", "plan_at", due, "note", line)
        await call(router, "planner", "k", "plan_at", due - 1, "note", "before")
    async with running(Planner, store=opened(), clock=clock) as router:
        await clock.advance(10)
        await idle(router)
        assert await lines(router) == ["before", *expected]


@ORDINARY
async def test_an_actor_runs_one_after_the_other(clock: ManualClock) -> None:
    async with running(Planner, clock=clock) as router:
        await call(router, "planner", "k", "plan", 1, "note_slowly", "first")
        await call(router, "planner", "k", "plan", 2, "note", "second")
        await call(router, "planner", "other", "plan", 2, "note", "elsewhere")
        await clock.advance(2)
        await Planner.begun.wait()
        await eventually(lambda: len(router.timetable) == 2)
        # Calls are answered meanwhile, and other actors run theirs.
        assert await lines(router) == ["first begun"]
        assert await lines(router, "other") == ["elsewhere"]
        Planner.gate.set()
        await idle(router)
        assert await lines(router) == ["first begun", "first ended", "second"]


async def test_an_action_may_schedule_itself_again(opened: Open, clock: ManualClock) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        await call(router, "planner", "k", "plan", 1, "count_down", 3)
        for _ in range(10):
            await clock.advance(1)
            await idle(router)
        assert await lines(router) == ["3", "2", "1", "0"]


async def test_what_is_past_runs_at_once(clock: ManualClock) -> None:
    async with running(Planner, clock=clock) as router:
        await call(router, "planner", "k", "plan_at", clock.now() - 5, "note", "past")
        await call(router, "planner", "k", "plan", 0, "note", "now")
        await clock.advance(0)
        await eventually(lambda: len(router.timetable) == 0)
        assert await lines(router) == ["past", "now"]
        assert Planner.late == [5, 0]


async def test_a_shutdown_waits_for_what_runs_and_begins_nothing_more(
    opened: Open, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        await call(router, "planner", "k", "plan", 1, "note_slowly", "first")
        await call(router, "planner", "k", "plan", 1, "note", "second")
        await clock.advance(1)
        await Planner.begun.wait()
        stopping = asyncio.ensure_future(router.stop())
        await asyncio.sleep(0)
        Planner.gate.set()
        await stopping
    assert caplog.text == ""
    async with running(Planner, store=opened(), clock=clock) as router:
        await idle(router)
        assert await lines(router) == ["first begun", "first ended", "second"]


async def test_what_a_shutdown_cancels_has_run(
    opened: Open, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Planner, store=opened(), clock=clock, shutdown_timeout_s=0.01) as router:
        await call(router, "planner", "k", "plan", 1, "note_slowly", "first")
        await clock.advance(1)
        await Planner.begun.wait()
    assert "the scheduled action note_slowly raised OutcomeUnknown" in caplog.text
    async with running(Planner, store=opened(), clock=clock) as router:
        await clock.advance(1)
        await idle(router)
        assert await lines(router) == ["first begun"]


async def test_what_a_shutdown_cancels_may_schedule_itself_again(opened: Open, clock: ManualClock) -> None:
    class Stubborn(Actor[Notes]):
        """Does not give up."""

        begun: asyncio.Event

        @action
        def plan(self, c: Context[Notes]) -> None:
            c.schedule.after(1, self.work)

        @action
        async def work(self, c: Context[Notes]) -> None:
            c.state.lines.append("begun")
            try:
                Stubborn.begun.set()
                if len(c.state.lines) == 1:
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                c.schedule.after(0, self.work)
                raise

        @action
        def lines(self, c: Context[Notes]) -> list[str]:
            return c.state.lines

    Stubborn.begun = asyncio.Event()
    async with running(Stubborn, store=opened(), clock=clock, shutdown_timeout_s=0.05) as router:
        await call(router, "stubborn", "k", "plan")
        await clock.advance(1)
        await Stubborn.begun.wait()
    async with running(Stubborn, store=opened(), clock=clock) as router:
        await idle(router)
        assert await call(router, "stubborn", "k", "lines") == ["begun", "begun"]
        assert await router.store.schedule() == []


# --- cancelling ---------------------------------------------------------------------------------------------


async def test_what_is_cancelled_does_not_run(opened: Open, clock: ManualClock) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        first = await call(router, "planner", "k", "plan", 10, "note", "first")
        second = await call(router, "planner", "k", "plan", 10, "note", "second")
        assert await call(router, "planner", "k", "cancel", first) is True
        assert await call(router, "planner", "k", "cancel", first) is False
        assert await call(router, "planner", "k", "cancel", "unknown") is False
        # Ids belong to an actor.
        assert await call(router, "planner", "other", "cancel", second) is False
    async with running(Planner, store=opened(), clock=clock) as router:
        await clock.advance(5)
        assert await call(router, "planner", "k", "planned") == [("note", ["second"])]
        await clock.advance(5)
        await idle(router)
        assert await lines(router) == ["second"]


@ORDINARY
async def test_what_runs_can_no_longer_be_cancelled(opened: Open, clock: ManualClock) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        id = await call(router, "planner", "k", "plan", 1, "note_slowly", "it")
        await clock.advance(1)
        await Planner.begun.wait()
        assert await call(router, "planner", "k", "cancel", id) is False
        assert await call(router, "planner", "k", "planned") == []
        Planner.gate.set()
        await idle(router)
        assert await call(router, "planner", "k", "cancel", id) is False
        assert await lines(router) == ["it begun", "it ended"]
        assert await router.store.schedule() == []


class Waking(Actor[Notes]):
    """Cancels what has woken it."""

    def on_start(self, c: Context[Notes]) -> None:
        for entry in c.schedule:
            c.state.lines.append(f"cancelled {entry.args[0]}: {c.schedule.cancel(entry.id)}")

    @action
    def plan(self, c: Context[Notes]) -> None:
        c.schedule.after(100, self.note, "it")

    @action
    def plan_and_think_again(self, c: Context[Notes]) -> bool:
        return c.schedule.cancel(c.schedule.after(1, self.note, "it"))

    @action
    def note(self, c: Context[Notes], line: str) -> None:
        c.state.lines.append(line)

    @action
    def lines(self, c: Context[Notes]) -> list[str]:
        return c.state.lines


async def test_what_is_due_can_be_cancelled_until_it_begins(opened: Open, clock: ManualClock) -> None:
    async with running(Waking, store=opened(), clock=clock) as router:
        await call(router, "waking", "k", "plan")
        await fall_asleep(router, clock)
        await clock.advance(100)
        await idle(router)
        assert await call(router, "waking", "k", "lines") == ["cancelled it: True"]
        assert await router.store.schedule() == []


async def test_what_is_cancelled_as_it_is_made_never_was(opened: Open, clock: ManualClock) -> None:
    async with running(Waking, store=opened(), clock=clock) as router:
        assert await call(router, "waking", "k", "plan_and_think_again") is True
        assert await router.store.schedule() == []
        await clock.advance(1)
        await idle(router)
        assert await call(router, "waking", "k", "lines") == []
