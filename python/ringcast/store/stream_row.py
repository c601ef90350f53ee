"""The one row that stands for a stream: what belongs to it in the other tables, and what that adds up to."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from secrets import randbits
from typing import Final

from .interface import JournalCorrupt
from .schema import STREAM_TABLES, checksum

__all__ = ["StreamRow", "digest_of", "forget_rows"]

_log = logging.getLogger("ringcast.store")

_DIGEST_MASK: Final = (1 << 63) - 1


def digest_of(crc: int) -> int:
    """Return what one row adds to its stream's digest.

    Squared, because checksums by themselves are linear: two rows that are both of yesterday in the same place
    could make up for each other.
    """
    return crc * crc


@dataclass(slots=True)
class StreamRow:
    """One stream, as it is in the transaction that holds this."""

    actor_id: str
    number: int
    """Names the stream in the other tables; never given again."""
    epoch: str
    first: int
    """The oldest offset that is kept; the head's plus one if none is."""
    head: int
    opened: int
    """How many sessions it ever had."""
    digest: int
    """Over the checksums of all rows about sessions: each that is missing or of yesterday shows."""

    @classmethod
    def new(cls, actor_id: str, epoch: str) -> StreamRow:
        """Return a stream without events and sessions."""
        # At random, so that a damaged counter cannot name the rows of another stream.
        return cls(actor_id, randbits(62), epoch, first=1, head=0, opened=0, digest=0)

    @classmethod
    def read(cls, database: sqlite3.Connection, actor_id: str) -> StreamRow | None:
        """Return the actor's stream. Raises `JournalCorrupt`."""
        found = database.execute(
            "select actor_id, number, epoch, first, head, opened, digest, crc from stream where actor_id = ?",
            (actor_id,),
        ).fetchone()
        if found is None:
            return None
        *columns, crc = found
        if columns[0] != actor_id or checksum(*columns) != crc:
            raise JournalCorrupt(f"the row of the stream of {actor_id} has a bad checksum")
        return cls(*columns)

    def write(self, database: sqlite3.Connection) -> None:
        """Replace the row."""
        row = (self.actor_id, self.number, self.epoch, self.first, self.head, self.opened, self.digest)
        database.execute(
            "insert or replace into stream (actor_id, number, epoch, first, head, opened, digest, crc)"
            " values (?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, checksum(*row)),
        )

    def add(self, *crcs: int) -> None:
        """Count rows about sessions that have been written."""
        self.digest = (self.digest + sum(map(digest_of, crcs))) & _DIGEST_MASK

    def remove(self, *crcs: int) -> None:
        """Count rows about sessions that are gone."""
        self.digest = (self.digest - sum(map(digest_of, crcs))) & _DIGEST_MASK


def forget_rows(database: sqlite3.Connection, stream: StreamRow) -> None:
    """Delete what belongs to a stream, but for its own row.

    What is on a damaged page stays, which harms nobody: the number is never given again.
    """
    for table in STREAM_TABLES:
        database.execute("savepoint forgetting")
        try:
            database.execute(f"delete from {table} where stream = ?", (stream.number,))
        except sqlite3.DatabaseError as error:
            if not database.in_transaction:
                raise
            database.execute("rollback to forgetting")
            _log.warning("rows of %s stay in the table %s: %s", stream.actor_id, table, error)
        database.execute("release forgetting")
