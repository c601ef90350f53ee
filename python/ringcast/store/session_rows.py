"""What is written about the sessions of a stream: a row for each subscription, request record and reply.

Each row that is written or goes is counted in the stream's digest.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from .records import (
    ConnStateChanged,
    Replied,
    RequestBegun,
    SessionChange,
    StoredSession,
    Subscribed,
    Unsubscribed,
)
from .schema import checksum
from .stream_row import StreamRow

__all__ = ["SessionRows"]


class SessionRows:
    """Writes about the sessions of one stream, within one transaction."""

    def __init__(self, database: sqlite3.Connection, stream: StreamRow) -> None:
        self._database = database
        self._stream = stream
        # By connection id; None for one that has no session.
        self._numbers: dict[str, int | None] = {}

    def number(self, connection_id: str) -> int | None:
        """Return which session a connection has."""
        if connection_id not in self._numbers:
            row = self._one(
                "select number from session where stream = ? and connection_id = ?", connection_id
            )
            self._numbers[connection_id] = None if row is None else row[0]
        return self._numbers[connection_id]

    def open(self, session: StoredSession) -> None:
        """Write a new session."""
        stream = self._stream
        stream.opened += 1
        number = self._numbers[session.connection_id] = stream.opened
        fixed = (session.connection_id, session.token, session.encoding, session.offset, session.params)
        row = (stream.number, number, *fixed)
        crcs = checksum(*row), checksum(stream.number, number, session.state)
        self._database.execute(
            "insert into session"
            " (stream, number, connection_id, token, encoding, offset, params, crc, state, state_crc)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, crcs[0], session.state, crcs[1]),
        )
        stream.add(*crcs)
        if session.newest_request:
            self._begin(number, session.newest_request)

    def end(self, connection_id: str) -> None:
        """Delete a session, if it is there, with what belongs to it."""
        number = self.number(connection_id)
        if number is None:
            return
        for table in ("reply", "record", "subscription"):
            self._delete(table, "session = ?", number)
        row = self._one("select crc, state_crc from session where stream = ? and number = ?", number)
        self._stream.remove(*_there(row))
        self._write("delete from session where stream = ? and number = ?", number)
        self._numbers[connection_id] = None

    def change(self, change: SessionChange) -> None:
        """Write what has changed of a session, if it is there."""
        number = self.number(change.connection_id)
        if number is None:
            return
        match change:
            case Subscribed(name=name, offset=offset):
                self._subscribe(number, name, offset)
            case Unsubscribed(name=name, offset=offset):
                self._unsubscribe(number, name, offset)
            case ConnStateChanged(state=state):
                self._set_state(number, state)
            case RequestBegun(id=id):
                self._begin(number, id)
            case Replied(id=id, reply=reply, keep=keep):
                self._begin(number, id)
                self._reply(number, id, reply, keep)

    def trim(self, first: int) -> None:
        """Delete the subscriptions that ended before the offset `first`."""
        self._delete("subscription", "until < ?", first)

    def _subscribe(self, session: int, name: str, offset: int) -> None:
        newest = self._newest_interval(session, name)
        if newest is None or (newest[1] is not None and newest[1] < offset):
            crc = checksum(self._stream.number, session, name, offset, None)
            self._write(
                "insert into subscription (stream, session, name, since, until, crc)"
                " values (?, ?, ?, ?, null, ?)",
                session,
                name,
                offset,
                crc,
            )
            self._stream.add(crc)
        elif newest[1] is not None:
            # Again from where it left off.
            self._set_until(session, name, newest, None)

    def _unsubscribe(self, session: int, name: str, offset: int) -> None:
        newest = self._newest_interval(session, name)
        if newest is None or newest[1] is not None:
            return
        if offset > newest[0] and offset >= self._stream.first:
            self._set_until(session, name, newest, offset)
        else:
            self._delete("subscription", "session = ? and name = ? and since = ?", session, name, newest[0])

    def _newest_interval(self, session: int, name: str) -> tuple[int, int | None, int] | None:
        row: tuple[int, int | None, int] | None = self._one(
            "select since, until, crc from subscription"
            " where stream = ? and session = ? and name = ? order by since desc limit 1",
            session,
            name,
        )
        return row

    def _set_until(
        self, session: int, name: str, interval: tuple[int, int | None, int], until: int | None
    ) -> None:
        since, _, old_crc = interval
        crc = checksum(self._stream.number, session, name, since, until)
        self._database.execute(
            "update subscription set until = ?, crc = ?"
            " where stream = ? and session = ? and name = ? and since = ?",
            (until, crc, self._stream.number, session, name, since),
        )
        self._stream.remove(old_crc)
        self._stream.add(crc)

    def _set_state(self, session: int, state: bytes) -> None:
        row = self._one("select state_crc from session where stream = ? and number = ?", session)
        crc = checksum(self._stream.number, session, state)
        self._database.execute(
            "update session set state = ?, state_crc = ? where stream = ? and number = ?",
            (state, crc, self._stream.number, session),
        )
        self._stream.remove(*_there(row))
        self._stream.add(crc)

    def _begin(self, session: int, id: int) -> None:
        row = self._one("select newest_request, crc from record where stream = ? and session = ?", session)
        if row is not None:
            if id <= row[0]:
                return
            self._stream.remove(row[1])
        crc = checksum(self._stream.number, session, id)
        self._write(
            "insert or replace into record (stream, session, newest_request, crc) values (?, ?, ?, ?)",
            session,
            id,
            crc,
        )
        self._stream.add(crc)

    def _reply(self, session: int, id: int, reply: bytes, keep: int) -> None:
        last = self._one(
            "select number from reply where stream = ? and session = ? order by number desc limit 1", session
        )
        number = 1 if last is None else last[0] + 1
        crc = checksum(self._stream.number, session, number, id, reply)
        self._write(
            "insert into reply (stream, session, number, request, reply, crc) values (?, ?, ?, ?, ?, ?)",
            session,
            number,
            id,
            reply,
            crc,
        )
        self._stream.add(crc)
        self._delete("reply", "session = ? and number <= ?", session, number - keep)

    def _delete(self, table: str, condition: str, *values: object) -> None:
        where = f"where stream = ? and {condition}"
        row = (self._stream.number, *values)
        crcs = [crc for (crc,) in self._database.execute(f"select crc from {table} {where}", row)]
        if crcs:
            self._database.execute(f"delete from {table} {where}", row)
            self._stream.remove(*crcs)

    def _write(self, statement: str, *values: object) -> None:
        self._database.execute(statement, (self._stream.number, *values))

    def _one(self, query: str, *values: object) -> Any:
        return self._database.execute(query, (self._stream.number, *values)).fetchone()


def _there(row: tuple[int, ...] | None) -> tuple[int, ...]:
    if row is None:
        raise sqlite3.DatabaseError("a row that an index has is not in its table")
    return row
