"""Rows on their way into SQLite: how values are written, checksums, and many rows in one statement.

Which rows there are is the business of `journal.py` and `session_rows.py`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, TypeAlias
from zlib import crc32

import msgpack  # type: ignore[import-untyped]  # it ships no types
import orjson

from .interface import JournalCorrupt

__all__ = ["Row", "WaitingRows", "checksum", "insert_all", "strings_in", "text_of", "verified"]

Row: TypeAlias = tuple[str | bytes | int | float | None, ...]

# A few sizes only, so that the statements stay prepared.
_ROWS_AT_ONCE: Final = (64, 8, 1)


def checksum(*columns: str | bytes | int | float | None) -> int:
    """Return the CRC-32 of a row's columns, each with its type and length."""
    packed: bytes = msgpack.packb(columns)
    return crc32(packed)


def verified(row: Sequence[Any], table: str, *prefix: str) -> Sequence[Any]:
    """Return a row without its checksum, which is its last column. Raises `JournalCorrupt` if it is wrong.

    `prefix` is what the checksum is over besides.
    """
    columns = row[:-1]
    if checksum(*prefix, *columns) != row[-1]:
        raise JournalCorrupt(f"a row of the table {table!r} has a bad checksum")
    return columns


def text_of(strings: Sequence[str]) -> str:
    """Return strings as the text that a column has for them."""
    return orjson.dumps(strings).decode()


def strings_in(text: str) -> tuple[str, ...]:
    """Return what `text_of` was given."""
    return tuple(orjson.loads(text))


def insert_all(
    database: sqlite3.Connection, table: str, rows: Sequence[Row], *, replace: bool = False
) -> None:
    """Insert rows, each of all columns in their order; with `replace` in the place of those that are there.

    Each run of a statement lets go of the interpreter's lock and has to get it back, for which a thread waits
    longer on a busy server than for SQLite: so many rows go into one.
    """
    verb = "insert or replace" if replace else "insert"
    done = 0
    for size in _ROWS_AT_ONCE:
        while len(rows) - done >= size:
            values = [value for row in rows[done : done + size] for value in row]
            marks = f"({', '.join('?' * len(rows[done]))})"
            database.execute(f"{verb} into {table} values {', '.join([marks] * size)}", values)
            done += size


class WaitingRows:
    """New rows of a transaction, which are written together."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._rows: dict[str, list[Row]] = {}

    def add(self, table: str, row: Row) -> None:
        """Have a row written with the next `write`."""
        self._rows.setdefault(table, []).append(row)

    def write(self) -> None:
        """Insert what waits."""
        waiting, self._rows = self._rows, {}
        for table, rows in waiting.items():
            insert_all(self._database, table, rows)

    def clear(self) -> None:
        """Forget what waits."""
        self._rows.clear()
