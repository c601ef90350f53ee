"""Rows of a SQLite store read back, and nothing given out that is not exactly what was committed.

Writing them is the business of `journal.py`.
"""

from __future__ import annotations

import logging
import sqlite3
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

from .interface import JournalCorrupt, StateCorrupt
from .records import ScheduledCall, StoredActor, StoredEvent, StoredSession, StoredStream, Subscription
from .rows import checksum, strings_in, text_of, verified
from .stream import Stream

__all__ = [
    "find_actor",
    "is_damage",
    "load_actor",
    "load_answer",
    "load_schedule",
    "load_stream",
    "load_with_sessions",
]

_log = logging.getLogger("ringcast.store")

_PRIMARY_CODE: Final = 0xFF


def load_actor(database: sqlite3.Connection, actor_id: str) -> StoredActor | None:
    """Return the actor with this id. Raises `StateCorrupt`."""
    return _actor(database, "actor_id = ?", actor_id)


def find_actor(database: sqlite3.Connection, name: str, key: tuple[str, ...]) -> StoredActor | None:
    """Return the actor with this name and key. Raises `StateCorrupt`."""
    return _actor(database, "name = ? and key = ?", name, text_of(key))


def count_actors(database: sqlite3.Connection) -> int:
    """Return how many actors there are."""
    (count,) = database.execute("select count(*) from actor").fetchone()
    return int(count)


def load_with_sessions(database: sqlite3.Connection) -> list[str]:
    """Return the ids of the actors whose streams have sessions, and of those that are to be destroyed."""
    found = database.execute(
        "select actor_id from stream where exists (select 1 from session where stream = stream.number)"
        " union select actor_id from ending"
    )
    return [actor_id for (actor_id,) in found]


def load_answer(database: sqlite3.Connection, actor_id: str, key: str) -> bytes | None:
    """Return the answer to a call that came with this key. Raises `StateCorrupt`."""
    columns = "actor_id, key, at, answer, crc"
    found = database.execute(
        f"select {columns} from keyed_answer where actor_id = ? and key = ?", (actor_id, key)
    ).fetchone()
    if found is None:
        return None
    *row, crc = found
    if checksum(*row) != crc:
        raise StateCorrupt(f"an answer of {actor_id} has a bad checksum")
    answer: bytes = row[-1]
    return answer


def load_schedule(database: sqlite3.Connection, actor_id: str | None = None) -> list[ScheduledCall]:
    """Return all scheduled calls, or those of one actor.

    One that is damaged is logged and left out: it must not run.
    """
    calls = []
    columns = "actor_id, id, due, action, args, crc"
    if actor_id is None:
        rows = database.execute(f"select {columns} from scheduled_call order by due, number")
    else:
        rows = database.execute(
            f"select {columns} from scheduled_call where actor_id = ? order by due, number", (actor_id,)
        )
    for *row, crc in rows:
        of_actor, id, due, action, args = row
        if checksum(*row) == crc:
            calls.append(ScheduledCall(id, of_actor, due, action, args))
        else:
            _log.error("the scheduled call %r of %r has a bad checksum and is not run", id, of_actor)
    return calls


def load_stream(database: sqlite3.Connection, actor_id: str) -> StoredStream | None:
    """Return the stream of an actor. Raises `JournalCorrupt`, also where the file is damaged there."""
    try:
        stream = Stream.read(database, actor_id)
        if stream is None:
            return None
        rows = _Rows(database, stream)
        lineage = rows.lineage()
        events = tuple(_events(database, stream, lineage))
        sessions, let_go = rows.sessions(), rows.let_go()
        rows.require_all()
        return StoredStream(stream.epoch, stream.head, events, sessions, let_go, lineage)
    except JournalCorrupt as error:
        raise JournalCorrupt(f"the stream of {actor_id}: {error}") from error
    except (sqlite3.DatabaseError, ValueError, TypeError, LookupError) as error:
        # Of the latter, rows that have the right checksum give none; but who knows who wrote them.
        if isinstance(error, sqlite3.DatabaseError) and not is_damage(error):
            raise
        raise JournalCorrupt(f"the stream of {actor_id} cannot be read: {error}") from error


def _actor(database: sqlite3.Connection, where: str, *values: str) -> StoredActor | None:
    ends = "exists (select 1 from ending where ending.actor_id = actor.actor_id)"
    found = database.execute(
        f"select actor_id, name, key, state, crc, {ends} from actor where {where}", values
    )
    row = found.fetchone()
    if row is None:
        return None
    actor_id, name, key, state, crc, ends_for_good = row
    if checksum(actor_id, state) != crc:
        raise StateCorrupt(f"the state of {actor_id} has a bad checksum")
    return StoredActor(actor_id, name, strings_in(key), state, bool(ends_for_good))


def _events(
    database: sqlite3.Connection, stream: Stream, lineage: Sequence[tuple[str, int]]
) -> Iterator[StoredEvent]:
    due = stream.first
    epochs, ends = [*(epoch for epoch, _ in lineage), stream.epoch], [end for _, end in lineage]
    for row in database.execute("select * from event where stream = ? order by offset", (stream.number,)):
        # In the epoch that it belongs to: one that another history had at this offset is none of ours.
        epoch = epochs[bisect_left(ends, row[1])]
        _, offset, name, json, msgpack, only, exclude = verified(row, "event", epoch)
        if offset != due:
            raise JournalCorrupt(f"there is the event {offset} where {due} should be")
        if offset > stream.head:
            raise JournalCorrupt(f"there is the event {offset}, and the head is {stream.head}")
        yield StoredEvent(offset, name, json, msgpack, _names(only), _names(exclude) or ())
        due += 1
    if due != stream.head + 1:
        raise JournalCorrupt(f"the event {due} is missing, and the head is {stream.head}")


class _Rows:
    """Reads what is kept of one stream besides events, and adds up the checksums of the rows."""

    def __init__(self, database: sqlite3.Connection, stream: Stream) -> None:
        self._database = database
        self._stream = stream
        # Counts again what the stream counts in its digest.
        self._sum = Stream.new(stream.actor_id, stream.epoch)

    def lineage(self) -> tuple[tuple[str, int], ...]:
        rows = self._rows("past_epoch", "number, epoch, ended", "number")
        return tuple((epoch, ended) for _, epoch, ended in rows)

    def let_go(self) -> tuple[tuple[str, int], ...]:
        # Sorted here: the names in an order of their own may be those of SQLite, which compares bytes.
        return tuple(sorted(self._rows("let_go", "name, offset", "name")))

    def require_all(self) -> None:
        """Raise `JournalCorrupt` unless all there is has been read."""
        if self._sum.digest != self._stream.digest:
            raise JournalCorrupt("rows besides events are missing, or older than the others")

    def sessions(self) -> tuple[StoredSession, ...]:
        subscriptions: defaultdict[int, list[Subscription]] = defaultdict(list)
        for session, name, since, until in self._rows(
            "subscription", "session, name, since, until", "session, name, since"
        ):
            subscriptions[session].append(Subscription(name, since, until))
        replies: defaultdict[int, list[tuple[int, bytes]]] = defaultdict(list)
        firsts: dict[int, int] = {}
        # The newest reply knows best which of the others are wanted, so it comes first.
        for session, number, request, first, reply in self._rows(
            "reply", "session, number, request, first, reply", "session, number desc"
        ):
            if number >= firsts.setdefault(session, first):
                replies[session].append((request, reply))
        states = dict(self._rows("session", "number, state", "number", crc="state_crc"))
        lost = dict(self._rows("lost", "session, offset", "session"))
        return tuple(
            StoredSession(
                *(connection_id, token, encoding, params, states[number], offset),
                subscriptions=tuple(subscriptions[number]),
                replies=tuple(reversed(replies[number])),
                lost=lost.get(number),
            )
            for number, connection_id, token, encoding, offset, params in self._rows(
                "session", "number, connection_id, token, encoding, offset, params", "number"
            )
        )

    def _rows(self, table: str, columns: str, order: str, crc: str = "crc") -> list[Any]:
        rows = []
        for row in self._database.execute(
            f"select stream, {columns}, {crc} from {table} where stream = ? order by {order}",
            (self._stream.number,),
        ):
            rows.append(verified(row, table)[1:])
            self._sum.add(row[-1])
        return rows


def is_damage(error: BaseException | None) -> bool:
    """Tell whether SQLite finds that the file is damaged, and not merely out of reach for the moment."""
    if isinstance(error, JournalCorrupt):
        error = error.__cause__
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        # Python's own: a text that is not UTF-8.
        return isinstance(error, sqlite3.OperationalError)
    return code & _PRIMARY_CODE in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else strings_in(text)
