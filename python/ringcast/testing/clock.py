"""Time for tests: it stands still until the test moves it on, and whatever is due then happens in order.

It takes the place of `ringcast.clock.SystemClock` in a registry. The event loop's own time (`asyncio.sleep`,
`asyncio.timeout`, the time limits of actions) goes on as ever.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
from collections.abc import Callable
from typing import Any, Final

__all__ = ["ManualClock"]

_TICKS: Final = 1_000_000
"""In a second. Whole ticks, so that ten steps of 0.1 s make one second."""
_FOREVER_S: Final = 1e9
"""Longer delays, infinite ones among them, are as long as this one."""
_QUIET_TURNS: Final = 8
"""So many turns of the loop in a row in which no task could run: callbacks that wake other callbacks, such as
those of `asyncio.gather`, take a turn each."""
_MOST_TURNS: Final = 500
"""After so many, a task that never rests is left to itself."""


class ManualClock:
    """Tell the time that the test says, and call back when the test moves it on.

    `start_s` is the first time of day, in seconds since 1970 UTC; by default the beginning of 2026. Give it
    to a registry as `clock=`, or let `LocalServer` do that::

        clock = ManualClock()
        registry = Registry(ChatRoom, store=MemoryStore(), clock=clock)
        ...
        await clock.advance(30)
    """

    def __init__(self, start_s: float = 1_767_225_600.0) -> None:
        self._now = round(start_s * _TICKS)
        self._timers: list[_Timer] = []
        """A heap; those that were cancelled are still in it."""
        self._numbers = itertools.count()
        self._moving = asyncio.Lock()

    def now(self) -> float:
        """Return the time of day, in seconds since 1970 UTC."""
        return self._now / _TICKS

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> _Timer:
        """Call `callback` on the running event loop, once the test has let `delay_s` seconds pass.

        What is due at once waits for no test: it is called in the next turn of the loop.
        """
        due = self._now + round(min(delay_s, _FOREVER_S) * _TICKS)
        timer = _Timer(due, next(self._numbers), lambda: callback(*args))
        if delay_s <= 0:
            asyncio.get_running_loop().call_soon(timer.run, context=timer.context)
        else:
            heapq.heappush(self._timers, timer)
        return timer

    @property
    def waiting(self) -> int:
        """How many calls are still to come."""
        return sum(timer.call is not None for timer in self._timers)

    async def advance(self, seconds: float) -> None:
        """Let so much time pass: call what is due meanwhile, in the order of time, nested timers included.

        Before the first call and after each, the loop runs until no task has anything to do but wait: for
        another timer, for the network, for a thread. So what a call starts in this process has happened
        before the next call; what a thread or the other end of a socket does, is only waited for where the
        test waits for it.

        Raises `ValueError` for a negative number, and what a call raises.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back by {-seconds} s")
        async with self._moving:
            await _settle()
            end = self._now + round(min(seconds, _FOREVER_S) * _TICKS)
            while self._timers and self._timers[0].due <= end:
                timer = heapq.heappop(self._timers)
                if timer.call is None:
                    continue
                self._now = timer.due
                await timer.run_alone()
                await _settle()
            self._now = end

    async def sleep(self, delay_s: float) -> None:
        """Wait until the test has moved the time on by `delay_s` seconds: stands in for `asyncio.sleep`."""
        passed = asyncio.get_running_loop().create_future()
        timer = self.call_later(delay_s, passed.set_result, None)
        try:
            await passed
        finally:
            timer.cancel()


class _Timer:
    """One call that is to come."""

    __slots__ = ("call", "context", "due", "number")

    def __init__(self, due: int, number: int, call: Callable[[], object]) -> None:
        self.due = due
        """In ticks."""
        self.number = number
        """In the order of making: of two that are due together, the earlier one is called first."""
        self.context = contextvars.copy_context()
        self.call: Callable[[], object] | None = call
        """None once it was called or cancelled."""

    def __lt__(self, other: _Timer) -> bool:
        return (self.due, self.number) < (other.due, other.number)

    def cancel(self) -> None:
        """See to it that it does not happen. Idempotent."""
        self.call = None

    def run(self) -> None:
        call, self.call = self.call, None
        if call is not None:
            call()

    async def run_alone(self) -> None:
        """Run it as the loop runs a timer: outside of any task. Raises what it raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def run() -> None:
            try:
                self.run()
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        loop.call_soon(run, context=self.context)
        await done


async def _settle() -> None:
    """Run the loop until no other task can run without waiting for something."""
    quiet = 0
    for _ in range(_MOST_TURNS):
        await asyncio.sleep(0)
        quiet = 0 if _anything_can_run() else quiet + 1
        if quiet == _QUIET_TURNS:
            return


def _anything_can_run() -> bool:
    current = asyncio.current_task()
    return any(_can_run(task) for task in asyncio.all_tasks() if task is not current)


def _can_run(task: asyncio.Task[Any]) -> bool:
    # What a task waits for has no public name, in any version of Python; other test kits read it as well.
    waits_for: asyncio.Future[Any] | None = getattr(task, "_fut_waiter", None)
    return waits_for is None or waits_for.done()
