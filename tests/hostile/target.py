"""The server under attack, and what it tells of itself: `ringcast serve target:registry` runs it.

`target:churned` is the same without limits to how many come, `target:impatient` one that soon gives up
clients of which nothing is heard, and `target:hasty` those that do not come to the point.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.bench.resident import forget_peak, resident
from ringcast.server.events import _Names
from ringcast.server.guard import Guard

TICK_S = 0.02
MOST_PER_ADDRESS = 100
OURS = ("ringcast.", "picows.", "uvicorn.", "starlette.")


class Ticker(Actor, sleep_after_s=None):
    """Sends a number many times a second, for as long as somebody is there."""

    def on_start(self, c: Context) -> None:
        self.last = 0
        c.spawn(self.tick(c))

    async def tick(self, c: Context) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.last += 1
            c.broadcast("tick", self.last)

    @action
    def told(self, c: Context) -> int:
        """Return the latest number: every event up to it comes before this answer."""
        return self.last


class Room(Actor, max_ring_events=64, slow_reader="disconnect"):
    """What attackers connect to."""

    class Events:
        said: Any
        placed: Place

    @action
    def echo(self, c: Context, value: Any) -> Any:
        return value

    @action
    def take(self, c: Context, value: Any) -> None:
        """Take anything."""

    @action
    def say(self, c: Context, kilobytes: int, times: int) -> None:
        """Tell everybody here more than sockets take."""
        for _ in range(times):
            c.broadcast("said", "x" * (kilobytes << 10))


class Hall(Actor):
    """Declares no events, so that there is no end of names to listen for."""


@dataclass
class Place:
    x: int
    y: int


class Vitals(Actor, sleep_after_s=None):
    """Counts what the process holds."""

    @action
    def measure(self, c: Context) -> dict[str, Any]:
        gc.collect()
        [router] = [each.router for each in (registry, churned, hasty, impatient) if each.router.has_started]
        gateway = router.gateway
        everything = gc.get_objects()
        guards = [each for each in everything if type(each) is Guard]
        names = [each for each in everything if type(each) is _Names]
        now, peak = resident(os.getpid())
        return {
            "tables": {
                "sessions": len(gateway.sessions),
                "links": len(gateway.links),
                "farewells": len(gateway.farewells),
                "joining": len(gateway.tasks),
                "places": sum(each.places.taken for each in guards),
                "addresses": sum(len(each.places._by_network) for each in guards),
                "turned_away": sum(each.turned_away for each in guards),
                "descriptors": len(os.listdir("/dev/fd")),
                "tasks": len(asyncio.all_tasks()),
            },
            "named_sessions": sum(len(each._tokens) for each in names),
            "objects": Counter(
                {
                    name: count
                    for kind, count in Counter(map(type, everything)).items()
                    if (name := f"{kind.__module__!s}.{kind.__qualname__}").startswith(OURS)
                }
            ),
            "limits_hit": router.limits_hit,
            "resident": now,
            "peak": peak,
        }

    @action
    def forget_peak(self, c: Context) -> None:
        forget_peak(os.getpid())


TIGHT = ServerConfig(
    # Attackers shall be caught at what they do, and not for being slow.
    connect_timeout_s=60.0,
    idle_timeout_s=1.0,
    close_timeout_s=1.0,
    session_window_s=0.25,
    max_connections_per_address=MOST_PER_ADDRESS,
    uncounted_networks=(),
    max_connects_per_s=0,
    compression=True,
)
ACTORS = (Ticker, Room, Hall, Vitals)
registry = Registry(*ACTORS, store=MemoryStore(), config=TIGHT)
churned = Registry(
    *ACTORS,
    store=MemoryStore(),
    # A third of its clients come back to their sessions, and a machine may be busy.
    config=replace(TIGHT, max_connections_per_address=0, session_window_s=2.0),
)
hasty = Registry(*ACTORS, store=MemoryStore(), config=replace(TIGHT, connect_timeout_s=3.0))
impatient = Registry(
    *ACTORS,
    store=MemoryStore(),
    config=replace(TIGHT, heartbeat_s=3.0, dead_peer_timeout_s=7.0),
)
