"""Replies of actions that schedule: they come when the store has what was scheduled and cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from linked import LinkedSocket, call, eventually, running
from scheduling import Notes, Planner, Stubborn, idle, lines

from ringcast import Actor, Context, action
from ringcast.errors import InternalError, OutcomeUnknown, UserError
from ringcast.router import Router
from ringcast.store import Scheduled, Unscheduled
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Call, Connect, Error


async def test_a_reply_comes_when_the_store_has_what_was_scheduled_and_cancelled(clock: ManualClock) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock) as router:
        await lines(router)
        store.may_write.clear()
        plan = ("plan", 5, "note", "x")
        await answered_when_kept(router, store, *plan)
        (kept,) = await store.schedule()
        await answered_when_kept(router, store, "cancel", kept.id)
        assert await store.schedule() == []
        store.may_write.set()


async def answered_when_kept(router: Router, store: Stubborn, *request: Any) -> None:
    store.writing.clear()
    answer = asyncio.ensure_future(call(router, "planner", "k", *request))
    await store.writing.wait()
    # What schedules nothing is answered meanwhile.
    assert await lines(router) == []
    assert not answer.done()
    store.may_write.set()
    await answer
    store.may_write.clear()


async def test_a_sync_action_that_schedules_nothing_is_answered_before_it_returns(clock: ManualClock) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock) as router:
        await lines(router)
        store.may_write.clear()
        waiting = asyncio.ensure_future(call(router, "planner", "k", "plan", 5, "note", "x"))
        await store.writing.wait()
        (instance,) = router._directory
        answers: list[Any] = []
        # Also while the store is busy with what another one has scheduled.
        instance.call(None, Call(1, "note", ["y"]), lambda *answer: answers.append(answer))
        assert answers == [(1, None, None)]
        store.may_write.set()
        await waiting


class Careless(Actor[Notes]):
    """Schedules, and then something goes wrong."""

    @action
    def raise_after(self, c: Context[Notes]) -> None:
        c.schedule.after(1, self.note, "all the same")
        raise UserError("after all")

    @action
    async def raise_later(self, c: Context[Notes]) -> None:
        c.schedule.after(1, self.note, "all the same")
        await asyncio.sleep(0)
        raise UserError("after all")

    @action
    def note(self, c: Context[Notes], line: str) -> None:
        c.state.lines.append(line)


@pytest.mark.parametrize("name", ["raise_after", "raise_later"])
async def test_an_error_too_comes_when_the_store_has_it(clock: ManualClock, name: str) -> None:
    store = Stubborn()
    async with running(Careless, store=store, clock=clock) as router:
        await router.resolve(Connect("careless", ("k",)))
        store.may_write.clear()
        answer = asyncio.ensure_future(call(router, "careless", "k", name))
        await store.writing.wait()
        assert not answer.done()
        store.may_write.set()
        with pytest.raises(UserError, match="after all"):
            await answer
        assert len(await store.schedule()) == 1


async def test_a_store_that_fails_is_told_to_the_caller_and_tried_again(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock, save_interval_s=1) as router:
        await lines(router)
        store.failing = True
        with pytest.raises(OutcomeUnknown, match="could not keep what the action has scheduled"):
            await call(router, "planner", "k", "plan", 5, "note", "x")
        assert "the disk is full" in caplog.text
        # It does not run before the store has it.
        await clock.advance(5)
        await idle(router)
        assert await lines(router) == []
        store.failing = False
        await clock.advance(1)
        await eventually(lambda: store._calls or not len(router.timetable))
        await clock.advance(0)
        await eventually(lambda: len(router.timetable) == 0)
        assert await lines(router) == ["x"]


async def test_what_is_cancelled_on_its_way_to_the_store_never_gets_there(clock: ManualClock) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock, save_interval_s=1) as router:
        await lines(router)
        store.may_write.clear()
        store.failing = True
        planning = asyncio.ensure_future(call(router, "planner", "k", "plan", 5, "note", "x"))
        await store.writing.wait()
        (item,) = router.timetable.items(next(iter(router._directory)).actor_id)
        cancelling = asyncio.ensure_future(call(router, "planner", "k", "cancel", item.call.id))
        store.may_write.set()
        for outcome in await asyncio.gather(planning, cancelling, return_exceptions=True):
            assert isinstance(outcome, OutcomeUnknown)
        store.failing = False
        await clock.advance(1)
        await eventually(lambda: store.commits)
        # It might have got there: it is taken out, and not written again.
        assert store.with_change(Scheduled) == []
        assert store.with_change(Unscheduled) == [["StateChanged", "Unscheduled"]]
        await clock.advance(5)
        await idle(router)
        assert await lines(router) == []


async def test_one_that_ends_for_good_waits_for_nothing(clock: ManualClock) -> None:
    class Last(Actor[Notes]):
        """Schedules, and ends."""

        @action
        def plan_and_end(self, c: Context[Notes]) -> str:
            c.schedule.after(1, self.plan_and_end)
            c.destroy()
            return "ended"

    store = Stubborn()
    store.failing = True
    async with running(Last, store=store, clock=clock) as router:
        assert await call(router, "last", "k", "plan_and_end") == "ended"
        await eventually(lambda: router.actors == 0)
        assert len(router.timetable) == 0


async def test_a_start_ends_when_the_store_has_what_on_start_schedules(clock: ManualClock) -> None:
    class Early(Actor[Notes]):
        """Schedules as it starts."""

        def on_start(self) -> None:
            self.schedule.after(1, self.note)

        @action
        def note(self, c: Context[Notes]) -> None: ...

    store = Stubborn()
    store.failing = True
    async with running(Early, store=store, clock=clock) as router:
        with pytest.raises(InternalError):
            await router.resolve(Connect("early", ("k",)))
        assert len(router.timetable) == 0
        store.failing = False
        await router.resolve(Connect("early", ("k",)))
        assert len(await store.schedule()) == len(router.timetable) == 1


async def test_a_server_that_stops_first_says_that_it_does_not_know(clock: ManualClock) -> None:
    store = Stubborn()
    async with (
        running(Planner, store=store, clock=clock, shutdown_timeout_s=0.01) as router,
        LinkedSocket(router) as client,
    ):
        await client.connect("planner", "k")
        store.may_write.clear()
        client.send(Call(1, "plan", [5, "note", "x"]))
        await store.writing.wait()
        stopping = asyncio.ensure_future(router.stop())
        try:
            answer = await client.receive(Error)
        finally:
            store.may_write.set()
            await stopping
        assert (answer.id, answer.error["code"]) == (1, "outcome_unknown")
