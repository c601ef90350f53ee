"""The timer by which the time is counted in which nothing comes from a server.

What a tick means is `liveness.py`'s; who has the socket does what is to be done at one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Ticks"]


class Ticks:
    """Call `on_tick` every `tick_s` seconds until `stop`, on the running event loop.

    It is told how many ticks would have been by then, did this one not come too late.
    """

    def __init__(self, tick_s: float, on_tick: Callable[[int], None]) -> None:
        self._tick_s = tick_s
        self._on_tick = on_tick
        self._loop = asyncio.get_running_loop()
        self._timer = self._next()

    def stop(self) -> None:
        """Call it no more. Idempotent."""
        self._timer.cancel()

    def _next(self) -> asyncio.TimerHandle:
        due_s = self._loop.time() + self._tick_s
        return self._loop.call_at(due_s, self._run, due_s)

    def _run(self, due_s: float) -> None:
        self._timer = self._next()
        self._on_tick(int((self._loop.time() - due_s) / self._tick_s))
