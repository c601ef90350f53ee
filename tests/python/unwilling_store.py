"""A store that takes what it is given when the test lets it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ringcast import MemoryStore
from ringcast.store import Change

__all__ = ["UnwillingStore"]


class UnwillingStore(MemoryStore):
    """Takes no changes while it is `full`, and hangs while the gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.refused = 0
        """Commits, while it was full."""
        self.gate = asyncio.Event()
        self.gate.set()

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        await self.gate.wait()
        if self.full:
            self.refused += 1
            raise OSError("the disk is full")
        await super().commit(actor_id, changes)
