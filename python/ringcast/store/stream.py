"""A stream as the journal writes it: the row that stands for it, and what the rows of others add up to."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from secrets import randbits
from typing import Final

from .interface import JournalCorrupt
from .rows import Row, checksum, insert_all, verified
from .rules import surplus_epochs
from .schema import STREAM_TABLES

__all__ = ["Stream"]

_DIGEST_MASK: Final = (1 << 63) - 1


@dataclass(slots=True, eq=False)
class Stream:
    """The columns of a stream's row."""

    actor_id: str
    number: int
    """Names the stream in the other tables; never given again."""
    epoch: str
    first: int
    """The oldest offset that is kept; the head's plus one if none is."""
    head: int
    opened: int
    """How many sessions it ever had."""
    epochs: int
    """How many epochs there were before this one."""
    digest: int
    """Of the checksums of all rows but events, so that one that is missing or of yesterday shows."""

    @classmethod
    def new(cls, actor_id: str, epoch: str) -> Stream:
        """Return a stream without events and sessions."""
        # The number is drawn, so that no damaged counter can give out that of another stream.
        return cls(actor_id, randbits(62), epoch, first=1, head=0, opened=0, epochs=0, digest=0)

    @classmethod
    def read(cls, database: sqlite3.Connection, actor_id: str) -> Stream | None:
        """Return the actor's stream. Raises `JournalCorrupt`."""
        found = database.execute("select * from stream where actor_id = ?", (actor_id,)).fetchone()
        if found is None:
            return None
        stream = cls(*verified(found, "stream"))
        if stream.actor_id != actor_id:
            raise JournalCorrupt(f"the stream of {stream.actor_id!r} is taken for that of {actor_id!r}")
        return stream

    def row(self) -> Row:
        """Return the row as it is to be written."""
        columns = (
            *(self.actor_id, self.number, self.epoch, self.first, self.head),
            *(self.opened, self.epochs, self.digest),
        )
        return (*columns, checksum(*columns))

    def go_on(self, database: sqlite3.Connection, epoch: str) -> None:
        """Let another epoch begin at the head, and forget earlier ones of which nothing has to be known."""
        self.epochs += 1
        row = (self.number, self.epochs, self.epoch, self.head)
        crc = checksum(*row)
        insert_all(database, "past_epoch", [(*row, crc)])
        self.add(crc)
        self.epoch = epoch
        past = database.execute(
            "select number, ended, crc from past_epoch where stream = ? order by number", (self.number,)
        ).fetchall()
        for place in surplus_epochs([ended for _, ended, _ in past], self.first):
            number, _, crc = past[place]
            database.execute("delete from past_epoch where stream = ? and number = ?", (self.number, number))
            self.remove(crc)

    def add(self, *crcs: int) -> None:
        """Count rows that are written, events apart."""
        self.digest = (self.digest + sum(map(_weight, crcs))) & _DIGEST_MASK

    def remove(self, *crcs: int) -> None:
        """Count rows that are gone, events apart."""
        self.digest = (self.digest - sum(map(_weight, crcs))) & _DIGEST_MASK

    def forget_rows(self, database: sqlite3.Connection) -> None:
        """Delete all rows of the stream but its own."""
        for table in STREAM_TABLES:
            database.execute(f"delete from {table} where stream = ?", (self.number,))


def _weight(crc: int) -> int:
    # Squared, because checksums by themselves are linear: two rows that are both of yesterday, and differ
    # from today's in the same place, could make up for each other.
    return crc * crc
