"""What `ringcast serve ledger:registry` runs for the crash test: a durable actor that writes down every call.

Its state is small, however much is written: how many lines there are, how many of each writer, and a digest
of all of them in their order. With each line goes an event that a filter keeps from some, and one connection
becomes another to the next filters; everybody is told which.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

from ringcast import Actor, Connection, Context, Registry, action, where
from ringcast.filters import Filter

__all__ = ["BADGES", "SHIFTS", "Book", "Ledger", "digest", "registry"]

SHIFTS = 3
BADGES = ("red", "green")


@dataclass
class Book:
    """All lines that were ever written."""

    lines: int = 0
    by_writer: dict[str, int] = field(default_factory=dict)
    digest: str = ""


@dataclass
class Writer:
    """One client, with how many receipts it was sent."""

    name: str
    receipts: int = 0
    shift: int = 0
    badges: set[str] = field(default_factory=set)

    def change(self, line: int) -> None:
        """Be somebody else from now on, by assignment and in place."""
        self.shift = line % SHIFTS
        self.badges ^= {BADGES[line % len(BADGES)]}


def wanted(line: int) -> Filter:
    """Return whom the event `chosen` of a line is for, but for its writer."""
    shift, badge = line // SHIFTS % SHIFTS, BADGES[line // SHIFTS % len(BADGES)]
    if line % 2:
        return where(shift=shift) | where(badges__has=badge)
    return where(shift__ne=shift) & ~where(badges__has=badge)


def digest(before: str, writer: str, number: int) -> str:
    """Return the digest of all lines up to this one."""
    return hashlib.sha256(f"{before}/{writer}/{number}".encode()).hexdigest()[:16]


class Ledger(Actor[Book, Writer], max_ring_events=200_000):
    """Writes down every call once, and tells everybody."""

    durable = True

    def create_conn_state(self, c: Context[Book, Writer], params: str) -> Writer:
        return Writer(params)

    @action
    def write(self, c: Context[Book, Writer], number: int) -> int:
        """Write the caller's line of this number; return how many lines there are."""
        book, writer = c.state, c.conn.state
        book.lines += 1
        book.by_writer[writer.name] = book.by_writer.get(writer.name, 0) + 1
        book.digest = digest(book.digest, writer.name, number)
        changed = self._one(book.lines)
        c.broadcast("written", book.lines, writer.name, number, changed.state.name)
        c.broadcast("chosen", book.lines, where=wanted(book.lines), exclude=c.conn)
        # What was sent to who it was before is still for it.
        changed.state.change(book.lines)
        writer.receipts += 1
        c.conn.send("receipt", writer.receipts, book.lines)
        return book.lines

    def _one(self, line: int) -> Connection[Writer]:
        conns = list(self.conns)
        return conns[line * 7 % len(conns)]

    @action
    async def write_slowly(self, c: Context[Book, Writer], number: int) -> int:
        """Write, with time to be killed in the middle."""
        c.state.lines += 1
        await asyncio.sleep(0.001)
        c.state.lines -= 1
        return self.write(c, number)

    @action
    def read(self, c: Context[Book, Writer]) -> tuple[Book, int]:
        """Return all of it, and how many receipts the caller was sent."""
        return c.state, c.conn.state.receipts


registry = Registry(Ledger)
