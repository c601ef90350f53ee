"""The actors under test: they send events that the load can check, as many and as fast as they are told.

How they are served is `server.py`'s business.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ..action import action
from ..actor import Actor, StreamOptions
from ..connection import Connection
from ..context import Context
from ..filters import where
from .stores import commits

__all__ = [
    "EVENT_BYTES",
    "FIRST",
    "LATE_S",
    "RING",
    "ChangingFeed",
    "DurableFeed",
    "Feed",
    "FilteredFeed",
    "SkippingFeed",
    "paced",
    "padding",
]

FIRST: Final = 1_000_000
"""The first counter, so that all of them have as many digits."""

LATE_S: Final = 60.0
"""A sender that is so late behind its pace gives up: it is no match for the rate."""

RING: Final = StreamOptions()
"""What the ring of an actor holds that says nothing of it."""

EVENT_BYTES: Final = 512
"""What an event takes in the ring beside its arguments, generously."""

_PACE_TIMEOUT_S: Final = 86_400.0
"""As long as a pace may take that keeps up: a day."""


def padding(payload_bytes: int) -> str:
    """Return what fills an event's arguments up to so many bytes of JSON: `[1234567,1234567890123,"…"]`."""
    return "x" * max(0, payload_bytes - len(f'[{FIRST},{time.monotonic_ns()},""]'))


async def paced(
    send: Callable[[int], None], per_s: float, count: int | None = None, late_s: float = LATE_S
) -> None:
    """Send so many events at a pace, or without a `count` until cancelled; each with the time when it is due.

    What is due is sent late rather than left out. With a `count`, nothing more is sent once an event is so
    late that `late_s` have passed since it was due: whoever asked has to look at how many were sent.
    """
    began_s, number = time.monotonic(), 0
    while count is None or number < count:
        number += 1
        due_s = began_s + number / per_s
        await asyncio.sleep(due_s - time.monotonic())
        if count is not None and time.monotonic() - due_s > late_s:
            return
        send(int(due_s * 1e9))


class Feed(Actor):
    """Sends events: a counter of the name, counted from `FIRST`, the time, and padding."""

    padding: ClassVar[str] = padding(128)
    running: ClassVar[dict[str, Feed]] = {}
    """By the first part of their keys."""

    def __init__(self) -> None:
        self.sent = {"tick": FIRST - 1, "pace": FIRST - 1}
        self.pacing: asyncio.Task[None] | None = None
        self.flood_began_cpu_s = 0.0
        """The processor time that the process had used when the last flood began."""

    def on_start(self) -> None:
        self.running[self.key[0]] = self

    def send(self, name: str, at_ns: int) -> None:
        self.sent[name] = counter = self.sent[name] + 1
        self.broadcast(name, counter, at_ns, self.padding)

    @action
    async def flood(self, c: Context, events: int, per_turn: int, drain: bool = False) -> int:
        """Send so many ticks, `per_turn` of them in each turn of the event loop; return when it was begun.

        With `drain` a turn ends when the events were offered to every connection.
        """
        began_ns, self.flood_began_cpu_s = time.monotonic_ns(), time.process_time()
        for number in range(1, events + 1):
            self.send("tick", time.monotonic_ns())
            if number % per_turn == 0:
                await (c.drain() if drain else asyncio.sleep(0))
        await c.drain()
        return began_ns

    @action
    async def flood_all(self, c: Context, keys: list[str], events: int, per_turn: int) -> int:
        """Send so many ticks from each of these actors, `per_turn` from each in a turn of the event loop."""
        feeds = [self.running[key] for key in keys]
        began_ns, self.flood_began_cpu_s = time.monotonic_ns(), time.process_time()
        for first in range(0, events, per_turn):
            for feed in feeds:
                for _ in range(min(per_turn, events - first)):
                    feed.send("tick", time.monotonic_ns())
            await asyncio.sleep(0)
        for feed in feeds:
            await feed.drain()
        return began_ns

    @action
    def say(self, c: Context, events: int) -> None:
        """Send so many ticks in one action."""
        for _ in range(events):
            self.send("tick", time.monotonic_ns())

    @action
    def echo(self, c: Context, value: Any) -> Any:
        """Return what came."""
        return value

    @action(timeout_s=_PACE_TIMEOUT_S)
    async def pace(self, c: Context, per_s: float, count: int = 0) -> int:
        """Send paces, so many a second, with the time at which each is due; return when it was begun.

        With a `count` it sends exactly so many, unless it falls behind by more than `LATE_S`, and returns
        after the last. Without one it sends them from now on; a pace of 0 stops that.
        """
        if self.pacing is not None:
            self.pacing.cancel()
            self.pacing = None
        began_ns = time.monotonic_ns()
        if count:
            await paced(self._send_pace, per_s, count)
        elif per_s:
            self.pacing = asyncio.create_task(paced(self._send_pace, per_s))
        return began_ns

    def _send_pace(self, due_ns: int) -> None:
        self.send("pace", due_ns)

    @action
    def collect(self, c: Context) -> None:
        """Let go of what nobody refers to any more, before memory is looked at."""
        gc.collect()

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
            "at_ns": time.monotonic_ns(),
            "flood_began_cpu_s": self.flood_began_cpu_s,
            "commits": commits.take(),
        }


@dataclass(slots=True)
class Listener:
    """The state of a filtered feed's connection."""

    wanted: bool = False


class FilteredFeed(Feed):
    """Sends its events to those connections whose state says that they want them."""

    def create_conn_state(self, c: Context, params: Listener) -> Listener:
        return params

    def send(self, name: str, at_ns: int) -> None:
        self.sent[name] = counter = self.sent[name] + 1
        self.broadcast(name, counter, at_ns, self.padding, where=_WANTED)


_WANTED: Final = where(wanted=True)


@dataclass(slots=True)
class ChangingListener(Listener):
    """The state of a connection that changes."""

    turn: int = 0


class ChangingFeed(Feed):
    """The same, with a change of one connection's state before each event: who matches is found anew."""

    def __init__(self) -> None:
        super().__init__()
        self._listeners: list[Connection[Any]] = []

    def create_conn_state(self, c: Context, params: ChangingListener) -> ChangingListener:
        return params

    def send(self, name: str, at_ns: int) -> None:
        if len(self._listeners) != len(self.conns):
            self._listeners = list(self.conns)
        self._listeners[self.sent[name] % len(self._listeners)].state.turn += 1
        self.sent[name] = counter = self.sent[name] + 1
        self.broadcast(name, counter, at_ns, self.padding, where=_WANTED)


class SkippingFeed(Feed, slow_reader="skip"):
    """Tells slow readers what they lost instead of closing their sockets."""


class DurableFeed(Feed):
    """Sends events once the store has them."""

    durable = True
