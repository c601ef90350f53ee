"""A real client that only listens, and what it was told in its order."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final

from ringcast.client import Connection

__all__ = ["Listener"]

TIMEOUT_S: Final = 30.0
"""For anything that is waited for: reached only by a failing test."""
HEARD: Final = ("written", "replayed", "gap", "disconnected")


class Listener:
    """Listens on a connection for lines, and for what the connection tells of itself."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._heard: list[tuple[str, Any]] = []
        self._changed = asyncio.Event()
        for name in HEARD:
            self.listen(name)

    @property
    def told(self) -> list[tuple[str, Any]]:
        """Everything but that the network was lost, and that nothing was missed."""
        return [each for each in self._heard if each[0] != "disconnected" and each != ("replayed", 0)]

    def listen(self, name: str) -> None:
        """Listen for one more name."""
        self.connection.on(name, partial(self._take, name))

    async def until(self, name: str, count: int = 1) -> None:
        """Wait until something has been told so many times."""
        await self._until(lambda: [each for each, _ in self._heard].count(name) >= count)

    async def until_line(self, number: int) -> None:
        """Wait until a line has come."""
        await self._until(lambda: ("written", number) in self._heard)

    def _take(self, name: str, value: Any = None) -> None:
        self._heard.append((name, value))
        self._changed.set()

    async def _until(self, is_told: Any) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while not is_told():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"only this was told: {self._heard}") from None
