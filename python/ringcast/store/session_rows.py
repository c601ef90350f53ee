"""What is written about the sessions of a stream: a row for each session, subscription and reply, and of each
name and session what it has lost.

Each row that is written or deleted is counted in the stream's digest.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from .interface import JournalCorrupt
from .records import (
    ConnStateChanged,
    Replied,
    SessionChange,
    StoredSession,
    Subscribed,
    Trimmed,
    Unsubscribed,
)
from .rows import Row, WaitingRows, checksum, insert_all, verified
from .stream import Stream

__all__ = ["SessionRows"]

_STALE_REPLIES: Final = 32
"""How many replies that are wanted no more may stay for a while, to be deleted together."""
_STALE_BYTES: Final = 64 * 1024
"""And how many bytes they may have together."""


@dataclass(slots=True, eq=False)
class _Session:
    """What has to be known of a session to write the next change of it."""

    number: int
    state_crc: int
    first_reply: int = 1
    """The number of the oldest reply that is wanted."""
    oldest_reply: int = 1
    """The number of the oldest reply that is there."""
    next_reply: int = 1
    stale_bytes: int = 0
    """Of the replies that are wanted no more, from `oldest_reply` on and before `counted_reply`."""
    counted_reply: int = 1
    sizes: list[int] = field(default_factory=list)
    """Bytes of the newest replies, as far as they are known and not counted as stale."""


class _Interval(NamedTuple):
    """From when to when a session listened for a name, as one row has it."""

    since: int
    until: int | None
    crc: int


class SessionRows:
    """Writes about the sessions of one stream; new replies wait with other rows."""

    def __init__(self, database: sqlite3.Connection, stream: Stream, waiting: WaitingRows) -> None:
        self._database = database
        self._stream = stream
        self._waiting = waiting
        # By connection id.
        self._known: dict[str, _Session] = {}

    def is_open(self, connection_id: str) -> bool:
        """Tell whether a connection has a session."""
        return self._find(connection_id) is not None

    def open(self, session: StoredSession) -> None:
        """Write a new session."""
        stream = self._stream
        stream.opened += 1
        fixed = (session.connection_id, session.token, session.encoding, session.offset, session.params)
        row = (stream.number, stream.opened, *fixed)
        crcs = checksum(*row), checksum(stream.number, stream.opened, session.state)
        insert_all(self._database, "session", [(*row, crcs[0], session.state, crcs[1])])
        stream.add(*crcs)
        self._known[session.connection_id] = _Session(stream.opened, crcs[1])
        if session.lost is not None:
            self._insert("lost", [(stream.number, stream.opened, session.lost)])

    def end(self, connection_id: str) -> None:
        """Delete a session, if it is there, with what belongs to it."""
        session = self._find(connection_id)
        if session is None:
            return
        self._waiting.write()
        for table in ("reply", "subscription", "lost"):
            self._delete(table, "session = ?", session.number)
        self._delete("session", "number = ?", session.number)
        self._stream.remove(session.state_crc)
        del self._known[connection_id]

    def change(self, change: SessionChange) -> None:
        """Write what has changed of a session, if it is there."""
        session = self._find(change.connection_id)
        if session is None:
            return
        match change:
            case Subscribed(name=name, offset=offset):
                self._subscribe(session.number, name, offset)
            case Unsubscribed(name=name, offset=offset):
                self._unsubscribe(session.number, name, offset)
            case ConnStateChanged(state=state):
                self._set_state(session, state)
            case Replied():
                self._reply(session, change)

    def trim(self, change: Trimmed) -> None:
        """Delete the subscriptions that ended before the stream's first offset; write what has been lost."""
        self._delete("subscription", "until < ?", self._stream.first)
        number = self._stream.number
        for name in (let_go := dict(change.let_go)):
            self._delete("let_go", "name = ?", name)
        self._insert("let_go", [(number, name, offset) for name, offset in let_go.items() if offset])
        lost: dict[int, int | None] = {}
        for connection_id, offset in change.lost:
            session = self._find(connection_id)
            if session is not None:
                lost[session.number] = offset
        for session_number in lost:
            self._delete("lost", "session = ?", session_number)
        self._insert("lost", [(number, *row) for row in lost.items() if row[1] is not None])

    def _find(self, connection_id: str) -> _Session | None:
        session = self._known.get(connection_id)
        if session is None and (session := self._read(connection_id)) is not None:
            self._known[connection_id] = session
        return session

    def _read(self, connection_id: str) -> _Session | None:
        row = self._one("session", "connection_id = ?", connection_id)
        if row is None:
            return None
        _, number, found_id, *_, state_crc = row
        if found_id != connection_id:
            raise JournalCorrupt(f"the session of {found_id!r} is taken for that of {connection_id!r}")
        session = _Session(number, state_crc)
        last = self._one("reply", "session = ? order by number desc limit 1", number)
        if last is not None:
            _, _, last_number, _, session.first_reply, _, _ = last
            session.next_reply = last_number + 1
            first = self._one("reply", "session = ? order by number limit 1", number)
            session.oldest_reply = session.counted_reply = last_number if first is None else first[2]
        return session

    def _subscribe(self, session: int, name: str, offset: int) -> None:
        interval = self._newest_interval(session, name)
        if interval is None or (interval.until is not None and interval.until <= offset):
            self._set_interval(session, name, offset, None)
        elif interval.until is not None:
            self._stream.remove(interval.crc)
            self._set_interval(session, name, interval.since, None)

    def _unsubscribe(self, session: int, name: str, offset: int) -> None:
        interval = self._newest_interval(session, name)
        if interval is None or interval.until is not None:
            return
        since = interval.since
        if offset > since and offset >= self._stream.first:
            self._stream.remove(interval.crc)
            self._set_interval(session, name, since, offset)
        else:
            self._delete("subscription", "session = ? and name = ? and since = ?", session, name, since)

    def _newest_interval(self, session: int, name: str) -> _Interval | None:
        row = self._one("subscription", "session = ? and name = ? order by since desc limit 1", session, name)
        return None if row is None else _Interval(*row[-3:])

    def _set_interval(self, session: int, name: str, since: int, until: int | None) -> None:
        row = (self._stream.number, session, name, since, until)
        crc = checksum(*row)
        insert_all(self._database, "subscription", [(*row, crc)], replace=True)
        self._stream.add(crc)

    def _set_state(self, session: _Session, state: bytes) -> None:
        crc = checksum(self._stream.number, session.number, state)
        self._database.execute(
            "update session set state = ?, state_crc = ? where stream = ? and number = ?",
            (state, crc, self._stream.number, session.number),
        )
        self._stream.remove(session.state_crc)
        self._stream.add(crc)
        session.state_crc = crc

    def _reply(self, session: _Session, change: Replied) -> None:
        number = session.next_reply
        session.next_reply += 1
        session.first_reply = max(session.first_reply, session.next_reply - change.keep)
        row = (self._stream.number, session.number, number, change.id, session.first_reply, change.reply)
        crc = checksum(*row)
        self._waiting.add("reply", (*row, crc))
        self._stream.add(crc)
        session.sizes.append(len(change.reply))
        self._count_stale(session)
        stale_replies = session.first_reply - session.oldest_reply
        if stale_replies >= _STALE_REPLIES or session.stale_bytes >= _STALE_BYTES:
            self._waiting.write()
            self._delete("reply", "session = ? and number < ?", session.number, session.first_reply)
            session.oldest_reply, session.stale_bytes = session.first_reply, 0

    def _count_stale(self, session: _Session) -> None:
        """Add the bytes of the replies that have become stale since this was last done."""
        start, end = session.counted_reply, session.first_reply
        # Those before have been in the table since the session was read. Their sizes are asked for as they
        # become stale, since to ask for all that are kept would cost more with a long history.
        known_from = max(start, min(session.next_reply - len(session.sizes), end))
        if start < known_from:
            [(unknown_bytes,)] = self._database.execute(
                "select coalesce(sum(length(reply)), 0) from reply"
                " where stream = ? and session = ? and number >= ? and number < ?",
                (self._stream.number, session.number, start, known_from),
            )
            session.stale_bytes += unknown_bytes
        session.stale_bytes += sum(session.sizes[: end - known_from])
        del session.sizes[: end - known_from]
        session.counted_reply = end

    def _insert(self, table: str, rows: Sequence[Row]) -> None:
        crcs = [checksum(*row) for row in rows]
        insert_all(self._database, table, [(*row, crc) for row, crc in zip(rows, crcs, strict=True)])
        self._stream.add(*crcs)

    def _delete(self, table: str, condition: str, *values: object) -> None:
        where = f"where stream = ? and {condition}"
        row = (self._stream.number, *values)
        crcs = [crc for (crc,) in self._database.execute(f"select crc from {table} {where}", row)]
        if crcs:
            self._database.execute(f"delete from {table} {where}", row)
            self._stream.remove(*crcs)

    def _one(self, table: str, condition: str, *values: object) -> Any:
        row = self._database.execute(
            f"select * from {table} where stream = ? and {condition}", (self._stream.number, *values)
        ).fetchone()
        if row is not None:
            verified(row[:-2] if table == "session" else row, table)
        return row
