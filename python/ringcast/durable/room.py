"""How much of a durable actor may wait for a store that takes nothing: nobody's memory is without end.

What waits, and when it is committed, is the work of `journal.py`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ..errors import StoreUnavailable

if TYPE_CHECKING:
    from ..actor import StreamOptions

__all__ = ["LEAST_BYTES", "LEAST_COUNT", "Room"]

LEAST_COUNT: Final = 1024
LEAST_BYTES: Final = 1_048_576
"""So much may wait where the ring holds less."""


class Room:
    """What there is room for while commits fail: as much as the actor's ring may hold.

    While commits go well, nothing is refused: what waits for the next one is gone with it. Whoever would add
    something of his own accord asks first. What follows from what was let in, as the answer to a call and the
    end of a session do, is added all the same. An actor that is not durable has a room that is never full.
    """

    __slots__ = ("_closed", "_count", "_freed", "_most", "_most_bytes", "_size_bytes", "failing")

    def __init__(self) -> None:
        self.failing = False
        """Whether the latest attempt to commit has failed, or takes so long that it may."""
        self._most = LEAST_COUNT
        self._most_bytes = LEAST_BYTES
        # How many things wait, and of those that may be large how large they are.
        self._count = 0
        self._size_bytes = 0
        self._freed = asyncio.Event()
        self._closed = False

    def allow(self, ring: StreamOptions) -> None:
        """Let as much wait as `ring` may hold."""
        self._most = max(ring.max_events, LEAST_COUNT)
        self._most_bytes = max(ring.max_bytes, LEAST_BYTES)

    @property
    def is_full(self) -> bool:
        """Whether nothing more may come at the moment; never once the actor stops. From any thread."""
        much = self._count >= self._most or self._size_bytes >= self._most_bytes
        return much and self.failing and not self._closed

    def require(self) -> None:
        """Raise `StoreUnavailable` if it is full."""
        if self.is_full:
            raise StoreUnavailable("the store takes nothing at the moment, and too much waits for it")

    async def wait(self) -> None:
        """Wait until it is not full, or its actor stops."""
        while self.is_full:
            self._freed.clear()
            await self._freed.wait()

    # --- for the journal ----------------------------------------------------------------------------------

    def take(self, size_bytes: int = 0) -> None:
        """One thing more waits."""
        self._count += 1
        self._size_bytes += size_bytes

    def give_back(self, count: int) -> None:
        """So many things do not wait any more."""
        self._count -= count

    def committed(self, count: int, size_bytes: int) -> None:
        """Commits go well; so much waits for the next one."""
        self.failing = False
        self._count, self._size_bytes = count, size_bytes
        self._freed.set()

    def close(self) -> None:
        """Let nobody wait any more."""
        self._closed = True
        self._freed.set()
