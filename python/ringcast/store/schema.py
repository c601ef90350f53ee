"""The tables of a SQLite store, made new or brought up to date from those of an earlier version.

What is in the rows is the business of `journal.py` and `recovery.py`.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final

from .rows import checksum

__all__ = ["SCHEMA_VERSION", "STREAM_TABLES", "make_table", "prepare"]

SCHEMA_VERSION: Final = 2

_ACTOR: Final = """
create table actor (
    actor_id text primary key,
    name text not null,
    key text not null,
    state blob not null,
    unique (name, key)
) without rowid
"""

# One row for each part of what is kept, so that a commit writes what it changes and nothing else. Each row
# has the checksum of its other columns. Streams are named by a number that is never given again: what is left
# of a damaged one belongs to nobody.
_TABLES: Final = {
    "stream": """
        actor_id text primary key,
        number integer not null,
        epoch text not null,
        first integer not null, -- the oldest offset that is kept
        head integer not null, -- the newest
        opened integer not null, -- how many sessions it ever had
        epochs integer not null, -- how many there were before this one
        digest integer not null, -- of the checksums of all rows but events
        crc integer not null
    """,
    "past_epoch": """
        stream integer not null,
        number integer not null, -- in the order in which they began
        epoch text not null,
        ended integer not null, -- the newest offset by then
        crc integer not null,
        primary key (stream, number)
    """,
    "event": """
        stream integer not null,
        offset integer not null,
        name text not null,
        json blob,
        msgpack blob,
        only text,
        exclude text,
        crc integer not null,
        primary key (stream, offset)
    """,
    "session": """
        stream integer not null,
        number integer not null, -- in the order in which they were opened
        connection_id text not null,
        token text not null,
        encoding text not null,
        offset integer not null,
        params blob not null,
        crc integer not null,
        state blob not null,
        state_crc integer not null,
        primary key (stream, number),
        unique (stream, connection_id)
    """,
    "subscription": """
        stream integer not null,
        session integer not null,
        name text not null,
        since integer not null,
        until integer,
        crc integer not null,
        primary key (stream, session, name, since)
    """,
    "reply": """
        stream integer not null,
        session integer not null,
        number integer not null, -- in the order in which they were given
        request integer not null,
        first integer not null, -- the oldest reply that was to be kept from then on
        reply blob not null,
        crc integer not null,
        primary key (stream, session, number)
    """,
    # What is to be known of events that are kept no more. By name, the newest that went to subscribers.
    "let_go": """
        stream integer not null,
        name text not null,
        offset integer not null,
        crc integer not null,
        primary key (stream, name)
    """,
    # The newest that was for a session, where names and its subscriptions do not say.
    "lost": """
        stream integer not null,
        session integer not null,
        offset integer not null, -- 0 if none was
        crc integer not null,
        primary key (stream, session)
    """,
}

STREAM_TABLES: Final = tuple(table for table in _TABLES if table != "stream")
"""The tables that have a column `stream`: all that belongs to one, but the stream itself."""

_SCHEDULED_CALL: Final = """
create table scheduled_call (
    number integer primary key, -- in the order in which they were made
    actor_id text not null,
    id text not null,
    due real not null,
    action text not null,
    args blob not null,
    crc integer not null,
    unique (actor_id, id)
)
"""

# Answers to calls with a key. The number is that of the row itself, which grows.
_KEYED_ANSWER: Final = """
create table if not exists keyed_answer (
    number integer primary key autoincrement, -- in the order in which they were given
    actor_id text not null,
    key text not null,
    at real not null,
    answer blob not null,
    crc integer not null,
    unique (actor_id, key)
)
"""
_KEYED_ANSWER_BY_AGE: Final = (
    "create index if not exists keyed_answer_by_age on keyed_answer (actor_id, number)"
)

# Actors that have begun to be destroyed.
_ENDING: Final = "create table if not exists ending (actor_id text primary key) without rowid"


def make_table(database: sqlite3.Connection, table: str, suffix: str = "") -> None:
    """Make one of the tables about streams; its index has a name that ends in `suffix`."""
    database.execute(f"create table {table} ({_TABLES[table]}) without rowid")
    if table == "subscription":
        database.execute(
            f"create index subscription_ended{suffix} on subscription (stream, until) where until is not null"
        )


def prepare(database: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or bring them up to date. Raises `RuntimeError` if a newer version made them."""
    database.create_function("checksum", -1, checksum, deterministic=True)
    database.execute("begin immediate")
    try:
        _bring_up_to_date(database, path)
        database.execute("commit")
    except BaseException:
        if database.in_transaction:
            database.execute("rollback")
        raise


def _bring_up_to_date(database: sqlite3.Connection, path: Path) -> None:
    version = _version(database)
    if version > SCHEMA_VERSION:
        raise RuntimeError(f"{path} has schema version {version}; this Ringcast reads up to {SCHEMA_VERSION}")
    if version < 1:
        database.execute(_ACTOR)
    if version < 2:
        database.execute("alter table actor add column crc integer not null default 0")
        database.execute("update actor set crc = checksum(actor_id, state)")
        for table in _TABLES:
            make_table(database, table)
        database.execute(_SCHEDULED_CALL)
    database.execute(_ENDING)
    database.execute(_KEYED_ANSWER)
    database.execute(_KEYED_ANSWER_BY_AGE)
    if version < SCHEMA_VERSION:
        database.execute("delete from ringcast_schema")
        database.execute("insert into ringcast_schema (version) values (?)", (SCHEMA_VERSION,))


def _version(database: sqlite3.Connection) -> int:
    database.execute("create table if not exists ringcast_schema (version integer not null)")
    row: tuple[Any] | None = database.execute("select version from ringcast_schema").fetchone()
    if row is not None and isinstance(row[0], int):
        return row[0]
    if row is not None:
        raise sqlite3.DatabaseError(f"{row[0]!r} is no schema version")
    # The first version wrote its number last: without one, it may have been killed before.
    made = database.execute("select 1 from sqlite_master where type = 'table' and name = 'actor'").fetchone()
    return 0 if made is None else 1
