"""The server under test: actors that send events which can be checked, run by `ringcast.server` itself.

It says where it listens on its first line. Who is connected, and what is asked of it, is the load's business.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import time
from collections.abc import Sequence
from typing import Any, Final

from ringcast import Actor, Context, Registry, ServerConfig, action
from ringcast.server.serve import run
from ringcast.store import Change, MemoryStore, SqliteStore, Store

STORES: Final = ("memory", "normal", "full")
"""In memory, or SQLite with this `synchronous`."""

_PAYLOAD_BYTES: Final = 128
# `[1234567,1234567890123,"…"]`: counters begin with `FIRST`, so that they have as many digits all along.
FIRST: Final = 1_000_000
_PADDING: Final = "x" * (_PAYLOAD_BYTES - len(f'[{FIRST},{time.monotonic_ns()},""]'))


class Feed(Actor):
    """Sends events of 128 bytes: a counter of the name, counted from `FIRST`, the time, and padding."""

    def __init__(self) -> None:
        self.sent = {"tick": FIRST - 1, "pace": FIRST - 1}
        self.pacing: asyncio.Task[None] | None = None

    def send(self, name: str, at_ns: int) -> None:
        self.sent[name] = counter = self.sent[name] + 1
        self.broadcast(name, counter, at_ns, _PADDING)

    @action
    async def flood(self, c: Context, events: int, per_turn: int) -> None:
        """Send so many ticks, `per_turn` of them in each turn of the event loop."""
        for number in range(1, events + 1):
            self.send("tick", time.monotonic_ns())
            if number % per_turn == 0:
                await asyncio.sleep(0)
        await c.drain()

    @action
    def say(self, c: Context, events: int) -> None:
        """Send so many ticks in one action."""
        for _ in range(events):
            self.send("tick", time.monotonic_ns())

    @action
    def pace(self, c: Context, per_s: float) -> None:
        """Send so many paces a second from now on, with the time at which each is due; 0 stops it."""
        if self.pacing is not None:
            self.pacing.cancel()
        self.pacing = asyncio.create_task(self._pace(1 / per_s)) if per_s else None

    async def _pace(self, every_s: float) -> None:
        due_s = time.monotonic()
        while True:
            due_s += every_s
            await asyncio.sleep(due_s - time.monotonic())
            self.send("pace", int(due_s * 1e9))

    @action
    def status(self, c: Context) -> dict[str, Any]:
        """Return how far the actor and its connections are, and what the process has used."""
        stream = self._instance.stream
        # A durable actor's stands in front of it.
        core: Any = getattr(stream, "core", stream)
        return {
            "sent": self.sent,
            "head": stream.head,
            "first": stream.first,
            "retained_bytes": core.retained_bytes,
            "ring_bytes": self._instance.definition.stream.max_bytes,
            "connected": sum(conn.connected for conn in self.conns),
            "cpu_s": time.process_time(),
            "commits": commits.take(),
        }


class SkippingFeed(Feed, slow_reader="skip"):
    """Tells slow readers what they lost instead of closing their sockets."""


class DurableFeed(Feed):
    """Sends events once the store has them."""

    durable = True


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


def config_of(window_s: float) -> ServerConfig:
    """Return limits that let everybody in at once: these benchmarks ask how fast that can be."""
    return ServerConfig(session_window_s=window_s, max_connects_per_s=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=STORES, default="memory")
    parser.add_argument("--path", default="", help="file of a SQLite store")
    parser.add_argument("--window", type=float, default=120.0, help="seconds that a session is kept")
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    registry = Registry(
        Feed,
        SkippingFeed,
        DurableFeed,
        store=store_of(options.store, options.path),
        config=config_of(options.window),
    )
    run(registry, port=0, on_listening=lambda address: print(address, os.getpid(), flush=True))


if __name__ == "__main__":
    main()
