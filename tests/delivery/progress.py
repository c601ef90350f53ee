"""Telling a run that goes on slowly from one that is stuck."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

__all__ = ["making_progress"]


@asynccontextmanager
async def making_progress(count: Callable[[], int], stuck_after_s: float) -> AsyncIterator[None]:
    """Raise `TimeoutError` from the block once `count` has stood still for so long, if not twice as long."""
    async with asyncio.timeout(None) as limit:

        async def watch() -> None:
            before = -1
            while (now := count()) != before:
                before = now
                await asyncio.sleep(stuck_after_s)
            limit.reschedule(0)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
