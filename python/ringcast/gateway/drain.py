"""Waiting for the sweep: one reader on the loop for every `drain()` of the process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .wake import empty

if TYPE_CHECKING:
    from .._core import Core, Stream

__all__ = ["SweepWaiter"]


class SweepWaiter:
    """Wakes those who wait for a stream's sweep. Lives on one event loop."""

    def __init__(self, core: Core, loop: asyncio.AbstractEventLoop) -> None:
        self._descriptor = core.wake_fd
        self._loop = loop
        self._waiting: list[tuple[Stream, int, asyncio.Future[None]]] = []
        loop.add_reader(self._descriptor, self._wake)

    async def drain(self, stream: Stream) -> None:
        """Wait until every ready connection has been offered every event that the stream has now."""
        offset = stream.head
        if not stream.notify_when_swept(offset):
            return
        future = self._loop.create_future()
        self._waiting.append((stream, offset, future))
        await future

    def close(self) -> None:
        """Stop reading, and let everybody go."""
        self._loop.remove_reader(self._descriptor)
        for _, _, future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    def _wake(self) -> None:
        empty(self._descriptor)
        still_waiting = []
        for stream, offset, future in self._waiting:
            if future.done():
                continue
            # Asked again each time: a stream remembers only the lowest offset that somebody waits for.
            if stream.notify_when_swept(offset):
                still_waiting.append((stream, offset, future))
            else:
                future.set_result(None)
        self._waiting = still_waiting
