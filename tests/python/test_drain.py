"""`drain()` returns once the sweep has caught up, however many wait for however different offsets."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from linked import LinkedSocket, call, running

from ringcast import Actor, Context, action

CONNECTIONS = 150
"""Enough for a sweep to take longer than a turn of the loop, so that a wait begins while one is under way."""

ROUNDS = 300


class Feed(Actor):
    @action
    async def emit(self, c: Context) -> None:
        """Broadcast and begin to wait, a second time while the first sweep goes on."""
        async with asyncio.timeout(5), asyncio.TaskGroup() as waits:
            for _ in range(2):
                c.broadcast("tick")
                waits.create_task(c.drain())
                await asyncio.sleep(0)

    @action
    async def idle(self, c: Context) -> bool:
        await c.drain()
        return True


async def test_waits_for_different_offsets_all_end() -> None:
    async with running(Feed) as router, AsyncExitStack() as sockets:
        for _ in range(CONNECTIONS):
            client = await sockets.enter_async_context(LinkedSocket(router))
            await client.connect("feed", "k", events=("tick",))
        for _ in range(ROUNDS):
            assert await call(router, "feed", "k", "emit") is None


async def test_nothing_to_wait_for_ends_at_once() -> None:
    async with running(Feed) as router:
        assert await call(router, "feed", "k", "idle")
