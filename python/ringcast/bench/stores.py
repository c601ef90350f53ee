"""Stores that count what they are asked to commit, and how long it takes them.

Who chooses one is `server.py`; who reads the figures is `Feed.status`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from ..store import Change, MemoryStore, SqliteStore, Store

__all__ = ["STORES", "commits", "store_of"]

STORES: Final = ("memory", "normal", "full")
"""In memory, or SQLite with this `synchronous`."""


class Commits:
    """What the store was asked to commit, and how long it took."""

    def __init__(self) -> None:
        self.times_ns: list[int] = []
        self.changes = 0

    def take(self) -> dict[str, Any]:
        """Return the figures since the last time."""
        times_ns, changes = sorted(self.times_ns), self.changes
        self.times_ns, self.changes = [], 0
        if not times_ns:
            return {"count": 0, "changes": 0, "p50_ms": None, "p99_ms": None}
        return {
            "count": len(times_ns),
            "changes": changes,
            "p50_ms": times_ns[len(times_ns) // 2] / 1e6,
            "p99_ms": times_ns[len(times_ns) * 99 // 100] / 1e6,
        }


commits = Commits()


class _Timed(Store):
    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        began_ns = time.perf_counter_ns()
        await super().commit(actor_id, changes)  # type: ignore[safe-super]  # it stands before a store
        commits.times_ns.append(time.perf_counter_ns() - began_ns)
        commits.changes += len(changes)


class TimedMemoryStore(_Timed, MemoryStore):
    pass


class TimedSqliteStore(_Timed, SqliteStore):
    pass


def store_of(kind: str, path: str) -> Store:
    """Return one of `STORES`."""
    if kind == "memory":
        return TimedMemoryStore()
    return TimedSqliteStore(path, synchronous="full" if kind == "full" else "normal")
