"""Each scheduled call once, whatever comes between: a crash, a store that fails, a sleep or a stop."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from linked import TIMEOUT_S, call, eventually, running
from scheduling import Planner, Recording, Stubborn, idle, lines

from ringcast.router import Router
from ringcast.testing import ManualClock

# --- crashes ------------------------------------------------------------------------------------------------


async def play(router: Router, clock: ManualClock) -> None:
    """Let everything run that is to come, an interval of saving at a time."""
    async with asyncio.timeout(TIMEOUT_S):
        for _ in range(200):
            await clock.advance(0.1)
            await idle(router)


SIMPLE = [str(n) for n in range(5)]


EXPECTED: dict[str, list[str]] = {
    "note": SIMPLE,
    "count_down": [*SIMPLE[::-1]],
    "count_down_slowly": list(itertools.chain(*([f"{n} begun", f"{n} ended"] for n in reversed(SIMPLE)))),
}


async def begin_notes(router: Router) -> None:
    for n, line in enumerate(SIMPLE, start=1):
        await call(router, "planner", "k", "plan", n, "note", line)


async def begin_count_down(router: Router) -> None:
    await call(router, "planner", "k", "plan", 0, "count_down", 4)


async def begin_count_down_slowly(router: Router) -> None:
    await call(router, "planner", "k", "plan", 0, "count_down_slowly", 4)


@pytest.mark.parametrize("durable", [False, True], ids=["ordinary", "durable"])
@pytest.mark.parametrize(
    "begin, expected",
    [
        (begin_notes, EXPECTED["note"]),
        (begin_count_down, EXPECTED["count_down"]),
        (begin_count_down_slowly, EXPECTED["count_down_slowly"]),
    ],
)
async def test_a_crash_between_any_two_commits_leaves_each_done_once(
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    begin: Callable[[Router], Any],
    expected: list[str],
    durable: bool,
) -> None:
    monkeypatch.setattr(Planner, "durable", durable)
    store = Recording()
    async with running(Planner, store=store, clock=clock, save_interval_s=0.1) as router:
        await begin(router)
        acknowledged = len(store.copies)
        await play(router, clock)
        assert await lines(router) == expected
    assert len(store.copies) - acknowledged >= 5
    for copy in store.copies[acknowledged - 1 :]:
        async with running(Planner, store=copy, clock=clock) as router:
            await play(router, clock)
            assert await lines(router) == expected
            assert await copy.schedule() == []
        if durable:
            # Each event is there once as well.
            (stream,) = copy._streams.values()
            assert [event.name for event in stream.events] == ["written"] * len(expected)


async def test_a_crash_leaves_no_actor_that_was_to_end(clock: ManualClock) -> None:
    store = Recording()
    async with running(Planner, store=store, clock=clock) as router:
        await call(router, "planner", "k", "plan", 1, "end")
        acknowledged = len(store.copies)
        await clock.advance(1)
        await eventually(lambda: router.actors == 0)
    for copy in store.copies[acknowledged - 1 :]:
        async with running(Planner, store=copy, clock=clock) as router:
            await play(router, clock)
            # The actor goes behind the action.
            await eventually(lambda left=copy: not left._by_id)
            assert len(router.timetable) == 0


# --- a store that fails -------------------------------------------------------------------------------------


async def test_a_store_that_fails_when_it_has_run_is_tried_again_and_it_does_not_run_again(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "planner", "k", "plan", 1, "note", "first")
        await call(router, "planner", "k", "plan", 1, "note", "second")
        store.failing = True
        await clock.advance(1)
        await eventually(lambda: "it is tried again in 1 s" in caplog.text)
        # The first has run; the next one waits until that is kept.
        assert await lines(router) == ["first"]
        await clock.advance(1)
        await eventually(lambda: "it is tried again in 2 s" in caplog.text)
        assert await lines(router) == ["first"]
        store.failing = False
        await clock.advance(2)
        await eventually(lambda: len(router.timetable) == 0)
        await idle(router)
        assert await lines(router) == ["first", "second"]
        assert await store.schedule() == []


async def test_one_that_waits_for_the_store_as_the_server_stops_is_left_for_the_next(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "planner", "k", "plan", 1, "note", "first")
        await call(router, "planner", "k", "plan", 1, "note", "second")
        store.failing = True
        await clock.advance(1)
        await eventually(lambda: "it is tried again in 1 s" in caplog.text)
        store.failing = False
        store.may_write.clear()
        store.writing.clear()
        await clock.advance(1)
        # Before the second one runs, the store has to take that the first one has.
        await store.writing.wait()
        (instance,) = router._directory
        stopping = asyncio.ensure_future(router.stop())
        await eventually(lambda: not instance.is_running)
        store.may_write.set()
        await stopping
        assert len(await store.schedule()) == 1
    async with running(Planner, store=store, clock=clock) as router:
        await idle(router)
        assert await lines(router) == ["first", "second"]


# --- a sleep and a stop -------------------------------------------------------------------------------------


async def test_one_that_is_due_during_the_last_save_before_a_sleep_keeps_its_actor_awake(
    clock: ManualClock,
) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "planner", "k", "plan", 30, "note_slowly", "it")
        (instance,) = router._directory
        await eventually(lambda: not instance.tasks)
        instance.actor.state.lines.append("to be saved")
        store.may_write.clear()
        store.writing.clear()
        # Both at the same time: it goes to sleep, and the action is due.
        await clock.advance(30)
        await store.writing.wait()
        store.may_write.set()
        await Planner.begun.wait()
        Planner.gate.set()
        await idle(router)
        assert await lines(router) == ["to be saved", "it begun", "it ended"]
        assert Planner.starts == 1


async def test_one_that_is_due_while_its_actor_goes_to_sleep_wakes_it_again(clock: ManualClock) -> None:
    class Slow(Planner):
        """Takes its time to go."""

        leaving, may_go = asyncio.Event(), asyncio.Event()

        async def on_stop(self) -> None:
            Slow.leaving.set()
            await Slow.may_go.wait()

    async with running(Slow, clock=clock) as router:
        await call(router, "slow", "k", "plan", 31, "note", "it")
        await eventually(lambda: not any(instance.tasks for instance in router._directory))
        await clock.advance(30)
        await Slow.leaving.wait()
        await clock.advance(1)
        assert len(router.timetable._lanes) == 1
        Slow.may_go.set()
        await idle(router)
        assert await call(router, "slow", "k", "lines") == ["it"]
        assert Planner.starts == 2


async def test_one_that_waits_for_its_turn_as_the_server_stops_is_left_for_the_next(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Planner, "durable", True)
    store = Stubborn()
    async with running(Planner, store=store, clock=clock) as router:
        await call(router, "planner", "k", "plan", 1, "note", "it")
        other = asyncio.ensure_future(call(router, "planner", "k", "note_slowly", "other"))
        await Planner.begun.wait()
        await clock.advance(1)
        (instance,) = router._directory
        # The call and the scheduled action, which waits.
        assert len(instance.tasks) == 2
        stopping = asyncio.ensure_future(router.stop())
        await eventually(lambda: not instance.is_running)
        Planner.gate.set()
        await asyncio.gather(stopping, other)
        assert len(await store.schedule()) == 1
    async with running(Planner, store=store, clock=clock) as router:
        await idle(router)
        assert await lines(router) == ["other begun", "other ended", "it"]
