"""The actor of the model-based test: it sends what it is told to, to whom it is told to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from ringcast import Actor, Connection, Context, UserError, action, where

from .wants import fields

__all__ = ["FILTERED", "HOWS", "Count", "Declared", "Guest", "Hall", "How", "Order", "emit"]

How = Literal[
    "broadcast",
    "to others",
    "from a level",
    "to one",
    "to each of a level",
    "to the first of a level",
    "to a selection",
    "where a level",
    "where a level, but for some",
    "where a badge",
    "where a mixture",
    "to who matches",
    "to who matches, but for one",
]
HOWS: Final[tuple[How, ...]] = get_args(How)
FILTERED: Final = frozenset(how for how in HOWS if "where" in how or "matches" in how)
"""Those whose receivers are found by a filter."""


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to send."""

    how: How
    name: str
    number: int
    """Tells it from every other order."""
    size: int = 0
    """How many further characters it carries."""
    who: int = 0
    level: int = 0

    @property
    def args(self) -> list[Any]:
        first = fields(self.number) if self.name == "c" else self.number
        return [first, "x" * self.size]


class Declared:
    """The events, where clients are to filter those named `c`."""

    joined: int
    left: int
    welcome: int

    def a(self, number: int, more: str) -> None: ...

    def b(self, number: int, more: str) -> None: ...

    def c(self, what: dict[str, Any], more: str) -> None: ...


@dataclass
class Guest:
    """One connection's state, and what a client connects with."""

    who: int
    level: int = 0
    knocks: bool = False
    """Whether `on_connect` waits for `Hall.let_in`."""
    badges: set[str] = field(default_factory=set)
    """One for each level that it was given an odd number of times."""

    def move_to(self, level: int) -> None:
        """Change both kinds of attributes: by assignment, and in place."""
        self.level = level
        self.badges ^= {str(level)}


def emit(hall: Hall, order: Order, caller: Connection[Guest] | None) -> None:
    """Send it by the way of the API that the order names."""
    name, args, conns = order.name, order.args, hall.conns
    match order.how:
        case "broadcast":
            hall.broadcast(name, *args)
        case "to others":
            hall.broadcast(name, *args, exclude=caller)
        case "from a level":
            hall.broadcast(name, *args, exclude=[c for c in conns if c.state.level < order.level])
        case "to one":
            if (one := conns.find(who=order.who)) is not None:
                one.send(name, *args)
        case "to each of a level":
            for conn in conns:
                if conn.state.level == order.level:
                    conn.send(name, *args)
        case "to the first of a level":
            first = conns.find(lambda conn: conn.state.level == order.level)
            if first is not None:
                first.send(name, *args)
        case "to a selection":
            conns.exclude(*[c for c in conns if c.state.who == order.who]).send(name, *args)
        case _:
            emit_filtered(hall, order, caller)


def emit_filtered(hall: Hall, order: Order, caller: Connection[Guest] | None) -> None:
    """Send it to whom a filter finds."""
    name, args, level, badge = order.name, order.args, order.level, str(order.level)
    match order.how:
        case "where a level":
            hall.broadcast(name, *args, where=where(level__ge=level))
        case "where a level, but for some":
            some = [conn for conn in hall.conns if conn is caller or conn.state.who == order.who]
            hall.broadcast(name, *args, where=where(level=level), exclude=some)
        case "where a badge":
            hall.broadcast(name, *args, where=where(badges__has=badge))
        case "where a mixture":
            mixture = (where(badges__has=badge) | where(level__lt=level)) & ~where(who=order.who)
            hall.broadcast(name, *args, where=mixture)
        case "to who matches":
            hall.conns.where(level=level).send(name, *args)
        case "to who matches, but for one":
            one = [conn for conn in hall.conns if conn.state.who == order.who]
            hall.conns.where(level__le=level).exclude(*one).send(name, *args)


@dataclass
class Count:
    """How many actions have run."""

    runs: int = 0


class Hall(Actor[Count, Guest]):
    """Sends what it is told to, and counts the actions that ran."""

    def __init__(self) -> None:
        self.waiting: dict[tuple[int, str], asyncio.Event] = {}
        """What waits to be let go on: guests who knock, and actions that have begun."""

    async def on_connect(self, c: Context[Count, Guest]) -> None:
        guest = c.conn.state
        if guest.knocks:
            await self._wait(guest.who, "knock")
        c.broadcast("joined", guest.who)
        c.conn.send("welcome", guest.who)

    def on_disconnect(self, c: Context[Count, Guest]) -> None:
        c.broadcast("left", c.conn.state.who)

    def go_on(self, who: int, what: str) -> None:
        self.waiting.pop((who, what)).set()

    async def _wait(self, who: int, what: str) -> None:
        self.waiting[who, what] = event = asyncio.Event()
        await event.wait()

    @action
    def wake(self, c: Context[Count, Guest]) -> None:
        """Run, if it did not."""

    @action
    def publish(self, c: Context[Count, Guest], order: Order) -> int:
        emit(self, order, c.conn)
        c.state.runs += 1
        return c.state.runs

    @action
    def publish_and_fail(self, c: Context[Count, Guest], order: Order) -> None:
        emit(self, order, c.conn)
        c.state.runs += 1
        raise UserError("as it was told to", code=f"failed_{c.state.runs}")

    @action
    async def publish_twice(self, c: Context[Count, Guest], now: Order, later: Order) -> int:
        """Send, wait to be let go on, send, and answer."""
        emit(self, now, c.conn)
        await self._wait(c.conn.state.who, f"call {now.number}")
        emit(self, later, c.conn)
        c.state.runs += 1
        return c.state.runs

    @action
    def set_level(self, c: Context[Count, Guest], level: int) -> None:
        c.state.runs += 1
        c.conn.state.move_to(level)
