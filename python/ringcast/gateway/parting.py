"""Ending the sessions of a server that shuts down: a batch at a time.

Otherwise the clients of all its actors would come back in one instant, to the next server or to this one
started anew. Which sessions end, and behind what, is their actor's to say (`running/instance.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from ..config import ServerConfig

__all__ = ["Parting"]

_PAUSE_WITHOUT_LIMIT_S: Final = 0.1


class Parting:
    """Lets those who end sessions take turns: `drain_batch` of them, then a pause.

    The pause is as long as it takes to let that many clients in again, and shorter where there would not be
    time for all of them before `due_s`, a time of `now_s`.
    """

    def __init__(
        self,
        config: ServerConfig,
        due_s: float,
        sockets_left: Callable[[], int],
        now_s: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._batch = config.drain_batch
        rate = config.max_connects_per_s
        self._pause_s = config.drain_batch / rate if rate else _PAUSE_WITHOUT_LIMIT_S
        self._due_s = due_s
        self._sockets_left = sockets_left
        self._now_s = now_s
        self._sleep = sleep
        self._room = config.drain_batch
        # Many actors stop at the same time; they share the batches.
        self._turns = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until one more socket may be closed."""
        async with self._turns:
            if self._room == 0:
                batches_left = max(1.0, self._sockets_left() / self._batch)
                time_left_s = max(0.0, self._due_s - self._now_s())
                await self._sleep(min(self._pause_s, time_left_s / batches_left))
                self._room = self._batch
            self._room -= 1
