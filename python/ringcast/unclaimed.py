"""Sessions from before a restart that no client comes back to: they end all the same.

A session's window begins when its actor runs. So once clients have had one window to come back in, the actors
that have sessions, and that nobody has used, are started.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from .clock import Clock, Timer
from .errors import ConnectionClosed

__all__ = ["Unclaimed"]

_log: Final = logging.getLogger("ringcast.router")


class Unclaimed:
    """Starts the actors whose sessions are left over; `wake` starts one, unless it runs."""

    def __init__(self, clock: Clock, window_s: float, wake: Callable[[str], Awaitable[object]]) -> None:
        self._clock = clock
        self._window_s = window_s
        self._wake = wake
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, actor_ids: Sequence[str]) -> None:
        """Start these actors, one after the other, when a window has passed."""
        if actor_ids:
            self._timer = self._clock.call_later(self._window_s, self._begin, actor_ids)

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
        for actor_id in actor_ids:
            try:
                await self._wake(actor_id)
            except ConnectionClosed:
                return  # the server stops
            except Exception:
                # Its sessions wait until it is used.
                _log.exception("actor %s has sessions that nobody came back to, and cannot start", actor_id)
