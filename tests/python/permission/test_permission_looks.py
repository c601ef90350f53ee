"""What `can_subscribe` itself looks at, and what it leaves behind: who is asked about because of it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from linked import LinkedSocket, call, running
from vaults import SECRET, Guest, refused, until

from ringcast import Actor, Context, action
from ringcast.connection import Connection


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


class Watchful(Actor[None, Guest]):
    """Looks at everybody else's state for each answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.kept: list[Guest] = []

    def can_subscribe(self, c: Context[None, Guest], event: str) -> bool:
        self.asked.append(c.conn.state.name)
        self.look(c.conn.state.name, [conn for conn in c.conns if conn is not c.conn])
        return c.conn.state.role == "admin"

    def look(self, about: str, others: list[Connection[Guest]]) -> None:
        assert all(conn.state.role for conn in others)

    @action
    def tell(self, c: Context[None, Guest]) -> list[list[str]]:
        """Look at Ann's state; return who is asked about before each of three events."""
        found = []
        assert c.conns.find(lambda conn: conn.params["name"] == "ann" and conn.state)
        for _ in range(3):
            self.asked.clear()
            c.broadcast("secret", "told")
            found.append(sorted(self.asked))
        return found


class Keeping(Watchful):
    """Keeps what it has looked at."""

    def look(self, about: str, others: list[Connection[Guest]]) -> None:
        self.kept += [conn.state for conn in others]


class Demoting(Watchful):
    """Changes all others when it is asked about Ann."""

    def look(self, about: str, others: list[Connection[Guest]]) -> None:
        if about == "ann":
            for conn in others:
                conn.state.role = "guest"


class Reminding(Watchful):
    """Has all others asked about then, though their states are as before."""

    def look(self, about: str, others: list[Connection[Guest]]) -> None:
        if about == "ann":
            for conn in others:
                conn.state = conn.state


@pytest.mark.parametrize(
    ("actor", "asked"),
    [
        (Watchful, [["ann"], [], []]),
        # Nobody has looked at Cat before, who came last.
        (Keeping, [["ann", "bob"], ["ann", "bob", "cat"], ["ann", "bob", "cat"]]),
        (Demoting, [["ann"], ["bob", "cat"], []]),
        (Reminding, [["ann"], ["bob", "cat"], []]),
    ],
)
async def test_of_whom_the_hook_looks_at_those_are_asked_about_who_may_have_changed(
    actor: type[Watchful], asked: list[list[str]]
) -> None:
    async with running(actor) as router, contextlib.AsyncExitStack() as clients:
        for name in ("ann", "bob", "cat"):
            client = await clients.enter_async_context(LinkedSocket(router))
            await client.connect(actor.__name__, "a", params={"name": name}, events=SECRET)
        assert await call(router, actor.__name__, "a", "tell") == asked
