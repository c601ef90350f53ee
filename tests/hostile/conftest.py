"""A server that is attacked, honest clients of it, and what it holds before and afterwards."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

import programs
from ringcast import Client
from ringcast.client import fallback

from .attackers import Attackers
from .honest import Honest
from .vitals import Measured, Vitals

HERE = Path(__file__).parent
OPTIONS = ("--log-level", "error")
CARRIED = (("websocket", "json"), ("websocket", "msgpack"), ("sse", "json"))

Attack = Callable[[Attackers], None]


class Siege:
    """A server with honest clients, and whatever else comes to it."""

    def __init__(self, url: str, honest: list[Honest], vitals: Vitals) -> None:
        self.url = url
        self.vitals = vitals
        self._honest = honest
        self.before: Measured
        """What the server held before the attack that counted."""

    async def withstand(self, attack: Attack, *, lets_go: bool = False) -> Counter[str]:
        """Attack twice, the first time to warm up; the second one must leave nothing behind.

        With `lets_go` the server has to end it, while the attackers stay. Returns the limits that it has run
        into.
        """
        await self.during(attack, lets_go)
        self.before = await self.until_alone()
        await self.during(attack, lets_go)
        after = await self.vitals.until_back(self.before)
        return after.limits_hit - self.before.limits_hit

    async def during(self, attack: Attack, lets_go: bool = False) -> None:
        """Attack once, while the honest clients get all that is theirs."""
        await self.check()
        with Attackers(self.url) as attackers:
            await asyncio.to_thread(attack, attackers)
            await self.check()
            if lets_go:
                await self.until_alone()
        await self.check()

    async def until_alone(self) -> Measured:
        """Wait until nobody is there but the honest clients."""
        return await self.vitals.until_alone(len(self._honest) + 1)

    async def check(self) -> None:
        for each in self._honest:
            await each.check()


@asynccontextmanager
async def besieged(url: str) -> AsyncIterator[Siege]:
    """Connect the honest clients."""
    async with AsyncExitStack() as stack:
        # A socket that they keep for their next request would count as somebody who is there.
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(fallback, "KEPT_SOCKETS", httpx.Limits(max_keepalive_connections=0))
        clients = [
            await stack.enter_async_context(Client(url, encoding=encoding, transport=carrier))
            for carrier, encoding in CARRIED
        ]
        honest = [Honest(client) for client in clients]
        for each in honest:
            await each.ready()
        siege = Siege(url, honest, Vitals(clients[0]))
        # With what it takes to call.
        await siege.check()
        await siege.until_alone()
        yield siege


@pytest.fixture(scope="package")
def target() -> Iterator[programs.Server]:
    """Run the server; it must end in order, without having logged an error."""
    with programs.serve("target:registry", *OPTIONS, cwd=HERE) as server:
        yield server


@pytest.fixture(scope="package")
def hasty_target() -> Iterator[programs.Server]:
    """The same, which soon gives up clients that do not come to the point."""
    with programs.serve("target:hasty", *OPTIONS, cwd=HERE) as server:
        yield server


@pytest.fixture
async def hasty_siege(hasty_target: programs.Server) -> AsyncIterator[Siege]:
    async with besieged(hasty_target.url) as siege:
        yield siege


@pytest.fixture
async def impatient_siege() -> AsyncIterator[Siege]:
    """One that soon gives up clients of which nothing is heard."""
    with programs.serve("target:impatient", *OPTIONS, cwd=HERE) as server:
        async with besieged(server.url) as siege:
            yield siege


@pytest.fixture
async def siege(target: programs.Server) -> AsyncIterator[Siege]:
    async with besieged(target.url) as siege:
        yield siege
