"""Tables about streams whose pages are broken, replaced by new ones with all that can still be read.

Only then can a damaged stream begin anew: SQLite also writes to pages beside the one that it needs. What can
be read no longer belongs to streams that are known to be damaged from then on; their actors have to go on.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from secrets import token_hex
from typing import Any

from .rows import insert_all
from .schema import STREAM_TABLES, make_table

__all__ = ["repair"]

_log = logging.getLogger("ringcast.store")


def repair(database: sqlite3.Connection) -> bool:
    """Replace the tables that are broken, in the transaction that is under way; tell whether there were any.

    Raises `sqlite3.DatabaseError` when the file is beyond that.
    """
    _, _, path = database.execute("pragma database_list").fetchone()
    # A connection of its own: one that has met a broken page in a transaction may no longer write in it.
    with closing(sqlite3.connect(path)) as reader:
        broken = [table for table in ("stream", *STREAM_TABLES) if not _is_whole(reader, table)]
        if "stream" in broken:
            # An actor of which nothing is found has no stream any more.
            _replace(database, reader, "stream", "actor_id", _column(database, "actor_id", "actor"))
        for table in broken:
            if table == "stream":
                continue
            lost = _replace(database, reader, table, "stream", _column(database, "number", "stream"))
            # A checksum that is none: nobody takes what is left for the whole.
            marks = [(number,) for number in lost]
            database.executemany("update stream set crc = -1 where number = ?", marks)
    return bool(broken)


def _is_whole(database: sqlite3.Connection, table: str) -> bool:
    try:
        [first, *_] = database.execute(f"pragma integrity_check({table})").fetchone()
    except sqlite3.DatabaseError:
        return False
    return bool(first == "ok")


def _column(database: sqlite3.Connection, column: str, table: str) -> list[Any]:
    return [value for (value,) in database.execute(f"select {column} from {table}")]


def _replace(
    database: sqlite3.Connection, reader: sqlite3.Connection, table: str, column: str, keys: Iterable[Any]
) -> list[Any]:
    """Make a table anew with what is found under these keys; return those that have lost something."""
    suffix = f"_{token_hex(4)}"
    database.execute(f"alter table {table} rename to {table}_broken{suffix}")
    make_table(database, table, suffix)
    lost = []
    for key in keys:
        try:
            # In the file as the reader sees it, nothing has been renamed yet.
            found = reader.execute(f"select * from {table} where {column} = ?", (key,)).fetchall()
        except sqlite3.DatabaseError:
            lost.append(key)
        else:
            insert_all(database, table, found)
    _log.error("the table %r had broken pages and was made anew; %d streams have lost rows", table, len(lost))
    return lost
