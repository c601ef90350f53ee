"""What `can_subscribe` itself looks at, and what it leaves behind: who is asked about because of it."""

from __future__ import annotations

import asyncio

import pytest
from linked import LinkedSocket, call, running
from vaults import SECRET, Guest, refused, until

from ringcast import Actor, Context, action


class Delayed(Actor[None, Guest]):
    """The first question begins a task that goes on when the answer is there."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.gate = asyncio.Event()

    def can_subscribe(self, c: Context[None, Guest], event: str) -> bool:
        self.begin(c)
        return event == "news" or c.conn.state.role == "admin"

    def begin(self, c: Context[None, Guest]) -> None:
        if not self.tasks:
            self.tasks.append(asyncio.create_task(self.demote(c)))

    async def demote(self, c: Context[None, Guest]) -> None:
        await self.gate.wait()
        c.conn.state.role = "guest"

    @action
    async def tell(self, c: Context[None, Guest]) -> None:
        c.broadcast("secret", "before")
        c.broadcast("secret", "still")
        self.gate.set()
        await asyncio.gather(*self.tasks)
        c.broadcast("secret", "after")
        c.broadcast("news", "told")


class DelayedAsync(Delayed):
    async def can_subscribe(self, c: Context[None, Guest], event: str) -> bool:
        await asyncio.sleep(0)
        return super().can_subscribe(c, event)


@pytest.mark.parametrize("actor", [Delayed, DelayedAsync])
async def test_a_task_that_the_hook_has_begun_changes_the_state_as_any_other(actor: type[Delayed]) -> None:
    async with running(actor) as router, LinkedSocket(router) as client:
        await client.connect(actor.__name__, "a", events=(*SECRET, "news"))
        await call(router, actor.__name__, "a", "tell")
        assert await until(client, "told") == ["before", "still", "told"]
        assert [*await refused(client)] == [*SECRET]
