"""Turns: in a durable actor one action or hook runs at a time, from its start to its end.

So a commit, which is made between two turns, has an action's changes whole or not at all. What is committed
is the work of `durable/journal.py`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

__all__ = ["Turns"]

_Work = Callable[[], bool]
"""Begins a turn; tells whether the turn lasts beyond it, until `_release`."""


class Turns:
    """Who has the turn, and who waits for it, first come first served.

    As an async context manager it is one turn: enter it around a hook. `on_free` is called whenever a turn is
    over, before the next one begins. Not reentrant: who waits for a turn inside a turn waits for ever.
    """

    __slots__ = ("_busy", "_last", "_on_free", "_waiting")

    def __init__(self, on_free: Callable[[], None]) -> None:
        self._on_free = on_free
        self._busy = False
        # What the present turn lasts for besides.
        self._last: set[asyncio.Task[Any]] = set()
        # Empty while nobody has the turn.
        self._waiting: deque[_Work] = deque()

    @property
    def busy(self) -> bool:
        """Whether somebody has the turn now."""
        return self._busy

    def extend(self, task: asyncio.Task[Any]) -> None:
        """Let the present turn last until this task is done as well; without one, it is its own."""
        if self._busy:
            self._last.add(task)
        else:
            self.run(lambda: task)

    def run(self, begin: Callable[[], asyncio.Task[Any] | None]) -> None:
        """Call `begin` as a turn, now or later; if it returns a task, the turn lasts until that is done."""
        work = partial(self._with_task, begin)
        if self._busy:
            self._waiting.append(work)
            return
        try:
            self._next(work)
        finally:
            self._go_on()

    async def __aenter__(self) -> None:
        if not self._busy:
            self._busy = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(partial(_give, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # given at the same moment
                self._release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _with_task(self, begin: Callable[[], asyncio.Task[Any] | None]) -> bool:
        task = begin()
        if task is None:
            return False
        task.add_done_callback(lambda _: self._release())
        return True

    def _release(self) -> None:
        if not self._is_extended():
            self._busy = False
            self._on_free()
            self._go_on()

    def _is_extended(self) -> bool:
        """Tell whether the turn goes on; `_release` is called again then."""
        while self._last:
            task = self._last.pop()
            if not task.done():
                task.add_done_callback(lambda _: self._release())
                return True
        return False

    def _go_on(self) -> None:
        """Begin what waits, as far as it does not last."""
        while self._waiting and not self._busy:
            self._next(self._waiting.popleft())

    def _next(self, work: _Work) -> None:
        self._busy = True
        lasts = False
        try:
            lasts = work()
        finally:
            if not lasts and not self._is_extended():
                self._busy = False
                self._on_free()


def _give(turn: asyncio.Future[None]) -> bool:
    if turn.done():  # who waited has gone
        return False
    turn.set_result(None)
    return True
