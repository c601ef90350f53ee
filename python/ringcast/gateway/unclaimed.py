"""Sessions from before a restart that no client comes back to: they end all the same.

A session's window begins when its actor runs. So once clients have had one window to come back in, the actors
that have sessions, and that nobody has used, are started.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ..clock import Clock, Timer
from ..errors import ConnectionClosed

__all__ = ["Unclaimed"]

_log: Final = logging.getLogger("ringcast.router")

_MAX_STARTS: Final = 32
"""Actors that are started at a time: one that takes long must not hold up all others."""
_MAX_DELAY_S: Final = 3600.0


class Unclaimed:
    """Starts the actors whose sessions are left over; `wake` starts one, unless it runs."""

    def __init__(self, clock: Clock, window_s: float, wake: Callable[[str], Awaitable[object]]) -> None:
        self._clock = clock
        self._delay_s = window_s
        self._wake = wake
        self._starts = asyncio.Semaphore(_MAX_STARTS)
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, actor_ids: Sequence[str]) -> None:
        """Start these actors when a window has passed, and those that then cannot start again and again."""
        if actor_ids:
            self._timer = self._clock.call_later(self._delay_s, self._begin, actor_ids)
            self._delay_s = min(2 * self._delay_s, _MAX_DELAY_S)

    async def stop(self) -> None:
        """Start no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _begin(self, actor_ids: Sequence[str]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._start_all(actor_ids), name="unclaimed")

    async def _start_all(self, actor_ids: Sequence[str]) -> None:
        has_started = await asyncio.gather(*map(self._has_started, actor_ids))
        self.start([each for each, started in zip(actor_ids, has_started, strict=True) if not started])

    async def _has_started(self, actor_id: str) -> bool:
        """Start one actor; tell whether that need not be tried again."""
        async with self._starts:
            try:
                await self._wake(actor_id)
            except ConnectionClosed:
                pass  # the server stops
            except Exception:
                _log.exception(
                    "actor %s has sessions that nobody came back to, and cannot start; it is tried again",
                    actor_id,
                )
                return False
            return True
