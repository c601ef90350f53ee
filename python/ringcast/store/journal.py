"""Commits written to SQLite as rows, each with its checksum.

Reading them back is `recovery.py`'s; when a transaction begins and ends is `transactions.py`'s.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import orjson

from ..errors import ActorNotFound
from .interface import JournalCorrupt
from .records import (
    ActorChange,
    Change,
    EventAppended,
    Scheduled,
    SessionEnded,
    SessionOpened,
    StateChanged,
    StoredEvent,
    StreamBegun,
    StreamChange,
    Trimmed,
    Unscheduled,
)
from .rules import check
from .schema import checksum
from .session_rows import SessionRows
from .stream_row import StreamRow, forget_rows

__all__ = ["commit", "delete"]


def commit(database: sqlite3.Connection, actor_id: str, changes: Sequence[Change]) -> None:
    """Write the changes of one actor. What was written when this raises is the caller's to undo.

    Raises what `Store.commit` does, and `JournalCorrupt` when the stream that they change is damaged.
    """
    if database.execute("select 1 from actor where actor_id = ?", (actor_id,)).fetchone() is None:
        raise ActorNotFound(f"the store has no actor with the id {actor_id!r}")
    writer = _Writer(database, actor_id, _stream_before(database, actor_id, changes))
    check(actor_id, changes, writer.head, writer.is_open)
    for change in changes:
        writer.apply(change)
    writer.finish()


def delete(database: sqlite3.Connection, actor_id: str) -> None:
    """Delete an actor with all that belongs to it, as far as the file is in order."""
    try:
        stream = StreamRow.read(database, actor_id)
    except JournalCorrupt:
        stream = None
    if stream is not None:
        forget_rows(database, stream)
    for table in ("stream", "scheduled_call", "actor"):
        database.execute(f"delete from {table} where actor_id = ?", (actor_id,))


def _stream_before(
    database: sqlite3.Connection, actor_id: str, changes: Sequence[Change]
) -> StreamRow | None:
    """Return the stream that the changes are about, if they are about one."""
    first = next((change for change in changes if isinstance(change, StreamChange)), None)
    if first is None:
        return None
    try:
        return StreamRow.read(database, actor_id)
    except JournalCorrupt:
        if isinstance(first, StreamBegun):
            return None
        raise


class _Writer:
    """Writes one commit; its changes have passed `check`."""

    def __init__(self, database: sqlite3.Connection, actor_id: str, stream: StreamRow | None) -> None:
        self._database = database
        self._actor_id = actor_id
        self._stream = stream
        self._sessions = None if stream is None else SessionRows(database, stream)

    @property
    def head(self) -> int | None:
        return None if self._stream is None else self._stream.head

    def is_open(self, connection_id: str) -> bool:
        return self._sessions is not None and self._sessions.number(connection_id) is not None

    def apply(self, change: Change) -> None:
        if isinstance(change, ActorChange):
            self._change_actor(change)
        elif isinstance(change, StreamBegun):
            if self._stream is not None:
                forget_rows(self._database, self._stream)
            self._stream = StreamRow.new(self._actor_id, change.epoch)
            self._sessions = SessionRows(self._database, self._stream)
        elif self._stream is not None and self._sessions is not None:
            self._change_stream(self._stream, self._sessions, change)

    def finish(self) -> None:
        if self._stream is not None:
            self._stream.write(self._database)

    def _change_actor(self, change: ActorChange) -> None:
        match change:
            case StateChanged(state=state):
                self._database.execute(
                    "update actor set state = ?, crc = ? where actor_id = ?",
                    (state, checksum(self._actor_id, state), self._actor_id),
                )
            case Scheduled(call=call):
                row = (call.actor_id, call.id, float(call.due), call.action, call.args)
                self._database.execute(
                    "insert or replace into scheduled_call (actor_id, id, due, action, args, crc)"
                    " values (?, ?, ?, ?, ?, ?)",
                    (*row, checksum(*row)),
                )
            case Unscheduled(id=id):
                self._database.execute(
                    "delete from scheduled_call where actor_id = ? and id = ?", (self._actor_id, id)
                )

    def _change_stream(self, stream: StreamRow, sessions: SessionRows, change: StreamChange) -> None:
        match change:
            case EventAppended(event=event):
                self._append(stream, event)
            case Trimmed(first=first):
                first = min(first, stream.head + 1)
                if first > stream.first:
                    stream.first = first
                    place = (stream.number, first)
                    self._database.execute("delete from event where stream = ? and offset < ?", place)
                    sessions.trim(first)
            case SessionOpened(session=session):
                sessions.open(session)
            case SessionEnded(connection_id=connection_id):
                sessions.end(connection_id)
            case StreamBegun():
                raise AssertionError("a stream does not begin twice")
            case _:
                sessions.change(change)

    def _append(self, stream: StreamRow, event: StoredEvent) -> None:
        audience = _names_text(event.only), _names_text(event.exclude or None)
        row = (stream.number, event.offset, event.name, event.json, event.msgpack, *audience)
        self._database.execute(
            "insert into event (stream, offset, name, json, msgpack, only, exclude, crc)"
            " values (?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, checksum(stream.epoch, *row)),
        )
        stream.head = event.offset


def _names_text(names: tuple[str, ...] | None) -> str | None:
    return None if names is None else orjson.dumps(names).decode()
