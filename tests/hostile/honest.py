"""A client that does nothing wrong, and must never notice what others do."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from ringcast.client import Client, Connection

from .vitals import TIMEOUT_S

__all__ = ["Honest"]


class Honest:
    """Listens to an actor that never stops counting."""

    def __init__(self, client: Client) -> None:
        self._connection: Connection = client.ticker.get_or_create().connect()
        self._ticks: list[int] = []
        self._others: list[tuple[str, *tuple[Any, ...]]] = []
        self._ticked = asyncio.Event()
        self._connection.on("tick", self._tick)
        for name in ("disconnected", "gap", "error", "closed"):
            self._connection.on(name, partial(self._note, name))

    async def ready(self) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await self._connection.ready()

    def _note(self, name: str, *said: Any) -> None:
        self._others.append((name, *said))

    def _tick(self, number: int) -> None:
        self._ticks.append(number)
        self._ticked.set()

    async def check(self) -> None:
        """See that the stream still goes on, and that it had every event in order."""
        async with asyncio.timeout(TIMEOUT_S):
            await self._until(self._ticks[-1] + 1 if self._ticks else 1)
            await self._until(await self._connection.call("told"))
        assert self._others == []
        first = self._ticks[0]
        assert self._ticks == list(range(first, first + len(self._ticks)))

    async def _until(self, number: int) -> None:
        """Wait for a number, or one behind it."""
        while not self._ticks or self._ticks[-1] < number:
            self._ticked.clear()
            await self._ticked.wait()
