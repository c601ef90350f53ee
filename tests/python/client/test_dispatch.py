"""Handlers one at a time, in order, whatever they do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ringcast.client.dispatch import Backlog, Dispatch
from ringcast.client.listeners import Listeners

from .scripted import until


class Harness:
    """A dispatch with its listeners and a backlog of three."""

    def __init__(self) -> None:
        self.changes: list[bool] = []
        self.listeners = Listeners(lambda _name: None, lambda _name: None)
        self.backlog = Backlog(3, lambda: self.changes.append(self.backlog.full))
        self.dispatch = Dispatch(self.listeners, self.backlog)
        self.log: list[Any] = []


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_functions_run_before_deliver_returns_without_a_loop(harness: Harness) -> None:
    harness.listeners.add("a", harness.log.append)
    harness.dispatch.deliver("a", (1,))
    assert harness.log == [1]


def test_what_a_handler_delivers_comes_after_it(harness: Harness) -> None:
    def handler(number: int) -> None:
        if number < 3:
            harness.dispatch.deliver("a", (number + 1,))
        harness.log.append(number)

    harness.listeners.add("a", handler)
    harness.dispatch.deliver("a", (1,))
    assert harness.log == [1, 2, 3]


def test_failures_are_told_in_order_and_before_what_comes_later(harness: Harness) -> None:
    def fail(number: int) -> None:
        harness.dispatch.deliver("a", ("later",)) if number == 1 else None
        raise ValueError(number)

    harness.listeners.add("b", fail)
    harness.listeners.add("b", lambda _number: 1 / 0)
    harness.listeners.add("error", lambda error: harness.log.append(type(error)))
    harness.listeners.add("a", harness.log.append)
    harness.dispatch.deliver("b", (1,))
    assert harness.log == [ValueError, ZeroDivisionError, "later"]


def test_a_failing_error_listener_is_logged_and_does_not_go_round(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        harness.log.append("error")
        raise ValueError("again")

    harness.listeners.add("a", lambda: 1 / 0)
    harness.listeners.add("error", fail)
    harness.listeners.add("error", lambda error: harness.log.append(type(error)))
    harness.dispatch.deliver("a", ())
    assert harness.log == ["error", ZeroDivisionError]
    assert "a handler of 'error' failed" in caplog.text


def test_an_interrupt_passes_and_leaves_it_usable(harness: Harness) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    harness.listeners.add("a", interrupt)
    harness.listeners.add("b", lambda: harness.log.append("b"))
    with pytest.raises(KeyboardInterrupt):
        harness.dispatch.deliver("a", ())
    harness.dispatch.deliver("b", ())
    assert harness.log == ["b"]


async def test_functions_and_coroutines_keep_their_order(harness: Harness) -> None:
    async def later(number: int) -> None:
        await asyncio.sleep(0)
        harness.log.append(f"async {number}")

    harness.listeners.add("a", lambda number: harness.log.append(f"first {number}"))
    harness.listeners.add("a", later)
    harness.listeners.add("a", lambda number: harness.log.append(f"last {number}"))
    for number in (1, 2):
        harness.dispatch.deliver("a", (number,))
    await until(lambda: len(harness.log) == 6)
    assert harness.log == ["first 1", "async 1", "last 1", "first 2", "async 2", "last 2"]


async def test_a_handler_whose_own_work_is_cancelled_has_failed(harness: Harness) -> None:
    async def awaits_cancelled() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    harness.listeners.add("a", awaits_cancelled)
    harness.listeners.add("error", lambda error: harness.log.append(type(error)))
    harness.listeners.add("b", lambda: harness.log.append("b"))
    harness.dispatch.deliver("a", ())
    harness.dispatch.deliver("b", ())
    await until(lambda: len(harness.log) == 2)
    assert harness.log == [asyncio.CancelledError, "b"]


async def test_a_function_that_awaits_nothing_and_raises_a_cancellation_has_failed(harness: Harness) -> None:
    def asks_a_cancelled_future() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        future.result()

    harness.listeners.add("a", asks_a_cancelled_future)
    harness.listeners.add("error", lambda error: harness.log.append(type(error)))
    harness.dispatch.deliver("a", ())
    assert harness.log == [asyncio.CancelledError]


async def test_the_backlog_fills_and_empties_with_hysteresis(harness: Harness) -> None:
    gate = asyncio.Semaphore(0)

    async def slow(number: int) -> None:
        await gate.acquire()
        harness.log.append(number)

    harness.listeners.add("a", slow)
    for number in range(5):
        harness.dispatch.deliver("a", (number,))
    # One runs, four wait.
    assert harness.changes == [True]
    for done in range(1, 6):
        gate.release()
        await until(lambda done=done: len(harness.log) == done)
    assert harness.changes == [True, False]
    assert harness.log == [0, 1, 2, 3, 4]


async def test_clear_forgets_what_waits_and_nothing_else(harness: Harness) -> None:
    release = asyncio.Event()

    async def slow(number: int) -> None:
        await release.wait()
        harness.log.append(number)

    harness.listeners.add("a", slow)
    for number in range(5):
        harness.dispatch.deliver("a", (number,))
    harness.dispatch.clear()
    assert harness.changes == [True, False]
    harness.dispatch.deliver("a", (9,))
    release.set()
    await until(lambda: len(harness.log) == 2)
    assert harness.log == [0, 9]
