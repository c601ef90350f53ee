"""What a server holds, asked of itself, and that it is back to what it was."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ringcast.client import Client, Connection

__all__ = ["MOST_LEFT_BYTES", "TIMEOUT_S", "Measured", "Vitals"]

TIMEOUT_S: Final = 60.0
"""For anything that is waited for: reached only by a failing test."""
LOOK_AGAIN_S: Final = 0.05
MOST_LEFT_BYTES: Final = 4 << 20
"""Resident memory that an attack may leave, after the same attack has been run before: what allocators keep.
What is kept of each client shows as objects as well."""
_MAY_STAY: Final = frozenset(
    {
        # Made when first asked for: as many as there are kinds of frames, declared events, and answers to
        # what clients offer for compression.
        "picows.picows.WSMsgType",
        "ringcast.schema.filterable.FieldType",
        "ringcast.schema.filterable.StateFields",
        "ringcast.server.handshake.Accepted",
        # What the store has of each actor that was ever asked for: damage may name another key.
        "ringcast.store.records.StoredActor",
    }
)


@dataclass(frozen=True)
class Measured:
    """What a server holds at one moment."""

    tables: dict[str, int]
    """Sessions, sockets, places, tasks and descriptors."""
    named_sessions: int
    objects: Counter[str]
    """Objects of the server's own classes and of those that it builds on, by class."""
    limits_hit: Counter[str]
    resident: int
    peak: int

    def differs_from(self, tables: dict[str, int]) -> dict[str, Any]:
        """Return which of these tables are not so."""
        return {
            name: (count, self.tables[name]) for name, count in tables.items() if self.tables[name] != count
        }

    def more_than(self, before: Measured) -> dict[str, Any]:
        """Return what is there that was not there `before`, as pairs of then and now, and what of objects."""
        more: dict[str, Any] = {
            name: (before.tables[name], count)
            for name, count in self.tables.items()
            if count > before.tables[name]
        }
        objects = self.objects - before.objects
        more |= {name: count for name, count in objects.items() if name not in _MAY_STAY}
        if sys.platform == "linux" and self.resident - before.resident > MOST_LEFT_BYTES:
            more["resident"] = (before.resident, self.resident)
        return more


class Vitals:
    """Asks a server over a connection that is there all the time, and so counts with everything else."""

    def __init__(self, client: Client) -> None:
        self._connection: Connection = client.vitals.get_or_create().connect()

    async def measure(self) -> Measured:
        async with asyncio.timeout(TIMEOUT_S):
            told = await self._connection.call("measure")
        told["objects"], told["limits_hit"] = Counter(told["objects"]), Counter(told["limits_hit"])
        return Measured(**told)

    async def forget_peak(self) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await self._connection.call("forgetPeak")

    async def until_alone(self, clients: int) -> Measured:
        """Wait until nobody is there but so many clients with one connection each."""
        alone = {"sessions": clients, "links": clients, "places": clients}
        gone = {"farewells": 0, "joining": 0, "turned_away": 0}
        return await self._until("not there", lambda found: found.differs_from(alone | gone))

    async def until_back(self, before: Measured) -> Measured:
        """Wait until nothing is there that was not there `before`."""
        return await self._until("left behind", lambda found: found.more_than(before))

    async def _until(self, what: str, wrong: Callable[[Measured], dict[str, Any]]) -> Measured:
        found = await self.measure()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while wrong(found):  # nobody says when it is over, and to ask costs the server time
                    await asyncio.sleep(LOOK_AGAIN_S)
                    found = await self.measure()
        except TimeoutError:
            raise AssertionError(f"{what}: {wrong(found)}") from None
        return found
