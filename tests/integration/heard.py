"""What a connection's listeners are called with, and waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ringcast.client import Connection

TIMEOUT_S = 15.0
"""For anything that is waited for: reached only by a failing test."""


class Heard:
    """Listens for `names` on a connection, and keeps all of it in order."""

    def __init__(self, connection: Connection, *names: str) -> None:
        self.all: list[tuple[Any, ...]] = []
        """Name and arguments of each event."""
        self._changed = asyncio.Event()
        for name in names:
            connection.on(name, partial(self.add, name))

    def add(self, name: str, *args: Any) -> None:
        self.all.append((name, *args))
        self._changed.set()

    @property
    def names(self) -> list[str]:
        return [name for name, *_ in self.all]

    def of(self, name: str) -> list[Any]:
        """Return what came with each event `name`: its one argument, or the list of them."""
        found = [args for each, *args in self.all if each == name]
        return [args[0] if len(args) == 1 else args for args in found]

    async def until(self, name: str, count: int = 1) -> list[Any]:
        """Wait until `name` has been heard `count` times; return what came with them."""
        async with asyncio.timeout(TIMEOUT_S):
            while self.names.count(name) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.of(name)


async def eventually(ask: Callable[[], Awaitable[Any]], expected: Any) -> None:
    """Ask a server until it gives the expected answer: for what it announces to nobody."""
    answer: Any = None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while (answer := await ask()) != expected:
                pass
    except TimeoutError:
        raise AssertionError(f"expected {expected!r}, last answer {answer!r}") from None
