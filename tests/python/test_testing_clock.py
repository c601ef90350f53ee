"""`ManualClock`: when its calls come, in which order, and what has happened before the next one."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from ringcast.clock import Clock, Timer
from ringcast.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000.0)


def test_it_is_a_clock() -> None:
    clock: Clock = ManualClock()
    assert clock.now() == 1_767_225_600.0


async def test_time_stands_still_until_it_is_advanced(clock: ManualClock) -> None:
    called: list[float] = []
    clock.call_later(10, lambda: called.append(clock.now()))
    await clock.advance(9.5)
    assert (clock.now(), called, clock.waiting) == (1009.5, [], 1)
    await clock.advance(0.5)
    assert (clock.now(), called, clock.waiting) == (1010.0, [1010.0], 0)


async def test_calls_come_in_the_order_of_time_and_then_of_making(clock: ManualClock) -> None:
    called: list[tuple[str, float]] = []
    for name, delay_s in (("c", 3), ("a", 1), ("b1", 2), ("b2", 2), ("late", 99)):
        clock.call_later(delay_s, lambda name: called.append((name, clock.now())), name)
    await clock.advance(50)
    assert called == [("a", 1001.0), ("b1", 1002.0), ("b2", 1002.0), ("c", 1003.0)]
    assert clock.now() == 1050.0


async def test_a_cancelled_call_does_not_come(clock: ManualClock) -> None:
    called: list[str] = []
    first: Timer = clock.call_later(1, called.append, "first")

    def cancel_victim() -> None:
        victim.cancel()

    killer = clock.call_later(2, cancel_victim)
    victim = clock.call_later(2, called.append, "cancelled by the one before")
    first.cancel()
    first.cancel()
    assert clock.waiting == 2
    await clock.advance(10)
    assert called == []
    killer.cancel()  # called already


async def test_nested_calls_come_within_the_same_advance(clock: ManualClock) -> None:
    called: list[float] = []

    def again() -> None:
        called.append(clock.now())
        clock.call_later(10, again)

    clock.call_later(10, again)
    await clock.advance(35)
    assert called == [1010.0, 1020.0, 1030.0]


async def test_ten_tenths_are_one(clock: ManualClock) -> None:
    called: list[str] = []
    clock.call_later(1, called.append, "x")
    for _ in range(10):
        await clock.advance(0.1)
    assert called == ["x"]


async def test_what_is_due_at_once_waits_for_no_advance(clock: ManualClock) -> None:
    called: list[str] = []
    clock.call_later(0, called.append, "now")
    clock.call_later(-1, called.append, "before")
    clock.call_later(0, called.append, "never").cancel()
    assert called == []
    await asyncio.sleep(0)
    assert called == ["now", "before"]


async def test_a_delay_without_end_never_comes(clock: ManualClock) -> None:
    clock.call_later(math.inf, pytest.fail)
    await clock.advance(1e6)
    assert clock.waiting == 1


async def test_time_does_not_go_back(clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="does not go back"):
        await clock.advance(-1)


async def test_what_a_call_raises_is_raised_and_the_rest_is_still_to_come(clock: ManualClock) -> None:
    called: list[str] = []
    clock.call_later(1, lambda: 1 / 0)
    clock.call_later(2, called.append, "x")
    with pytest.raises(ZeroDivisionError):
        await clock.advance(5)
    assert (clock.now(), called) == (1001.0, [])
    await clock.advance(1)
    assert called == ["x"]


async def test_a_call_runs_as_a_timer_of_the_loop_does(clock: ManualClock) -> None:
    """Outside of any task, in the context of the one who asked for it."""
    colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")
    seen: list[Any] = []

    async def ask() -> None:
        colour.set("green")
        clock.call_later(1, lambda: seen.append((asyncio.current_task(), colour.get())))

    await asyncio.create_task(ask())
    await clock.advance(1)
    assert seen == [(None, "green")]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_what_a_call_starts_has_run_before_the_next_call(
    run: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    async def scenario() -> None:
        clock, order, tasks = ManualClock(), [], []

        async def step(name: str, depth: int) -> None:
            if depth:
                await asyncio.gather(*(asyncio.create_task(step(name, depth - 1)) for _ in range(2)))
                await asyncio.wait_for(asyncio.shield(asyncio.sleep(0)), 10)
            order.append(name)

        for name in ("a", "b"):
            clock.call_later(1, lambda name: tasks.append(asyncio.create_task(step(name, 3))), name)
        await clock.advance(1)
        assert order == ["a"] * 15 + ["b"] * 15

    run(scenario())


async def test_what_the_test_has_started_runs_before_the_first_call(clock: ManualClock) -> None:
    called: list[float] = []

    async def ask() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        clock.call_later(1, lambda: called.append(clock.now()))

    task = asyncio.create_task(ask())
    await clock.advance(1)
    assert task.done() and called == [1001.0]


async def test_a_task_that_never_rests_does_not_hold_time_up(clock: ManualClock) -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110  # not waiting for anything is the point
            await asyncio.sleep(0)

    spinning = asyncio.create_task(spin())
    called: list[str] = []
    clock.call_later(1, called.append, "x")
    await clock.advance(1)
    assert called == ["x"]
    spinning.cancel()


async def test_advances_that_overlap_add_up(clock: ManualClock) -> None:
    called: list[float] = []
    for delay_s in (5, 15):
        clock.call_later(delay_s, lambda: called.append(clock.now()))
    await asyncio.gather(clock.advance(10), clock.advance(10))
    assert (clock.now(), called) == (1020.0, [1005.0, 1015.0])


async def test_sleeping_takes_as_long_as_the_test_says(clock: ManualClock) -> None:
    async def nap() -> float:
        await clock.sleep(60)
        return clock.now()

    sleeping, disturbed = asyncio.create_task(nap()), asyncio.create_task(nap())
    await clock.advance(59)
    assert not sleeping.done()
    disturbed.cancel()
    await clock.advance(2)
    assert sleeping.done() and sleeping.result() == 1060.0
    assert disturbed.cancelled() and clock.waiting == 0
