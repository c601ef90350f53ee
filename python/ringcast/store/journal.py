"""Commits written to SQLite as rows, each with its checksum; those of one transaction together.

Reading them back is `recovery.py`'s; when a transaction begins and ends is `transactions.py`'s.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from ..errors import ActorAlreadyExists, ActorNotFound
from .interface import JournalCorrupt
from .records import (
    ANSWERS_KEPT,
    ActorChange,
    CallAnswered,
    Change,
    DestroyBegun,
    EventAppended,
    EventReaddressed,
    Scheduled,
    SessionEnded,
    SessionOpened,
    StateChanged,
    StoredActor,
    StoredEvent,
    StreamBegun,
    StreamChange,
    StreamContinued,
    Trimmed,
    Unscheduled,
)
from .recovery import is_damage
from .rows import WaitingRows, checksum, insert_all, strings_in, text_of, verified
from .rules import check
from .session_rows import SessionRows
from .stream import Stream

__all__ = ["Journal"]

_ACTORS_KNOWN: Final = 10_000
"""How many actors are remembered, so that a commit need not look them up."""

_ANSWERS_AT_ONCE: Final = 64
"""Once in so many answers, those that are wanted no more are deleted."""


@dataclass(slots=True, eq=False)
class _Actor:
    """What is known of an actor that has committed something."""

    actor_id: str
    stream: Stream | None = None
    sessions: SessionRows | None = None
    """Of the stream, if there is one."""
    is_stream_read: bool = False
    state: bytes | None = None
    """What waits to be written."""
    is_trimmed: bool = False
    """Whether events wait to be deleted."""

    @property
    def head(self) -> int | None:
        return None if self.stream is None else self.stream.head

    def is_open(self, connection_id: str) -> bool:
        return self.sessions is not None and self.sessions.is_open(connection_id)


class Journal:
    """Writes to one database, on one thread, in transactions of many commits.

    What changes again and again (states, heads) is written once, at the end; what is new waits to be written
    with other rows of its kind. So before anything is read, `flush`.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        self.is_torn = False
        """Whether a change has failed half-way: only `rollback` helps."""
        # Those used last are last.
        self._actors: dict[str, _Actor] = {}
        self._changed: dict[str, _Actor] = {}
        self._waiting = WaitingRows(database)

    # --- transactions -------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a transaction."""
        self.database.execute("begin immediate")

    def flush(self) -> None:
        """Write what waits."""
        changed, self._changed = list(self._changed.values()), {}
        streams = [actor for actor in changed if actor.stream is not None]
        with _told_as_corrupt():
            self._waiting.write()
            for actor in streams:
                self._trim(actor)
            rows = [actor.stream.row() for actor in streams if actor.stream is not None]
            insert_all(self.database, "stream", rows, replace=True)
        states = [
            (actor.state, checksum(actor.actor_id, actor.state), actor.actor_id)
            for actor in changed
            if actor.state is not None
        ]
        self.database.executemany("update actor set state = ?, crc = ? where actor_id = ?", states)
        for actor in changed:
            actor.state = None

    def commit(self) -> None:
        """End the transaction: what is in it is on the disk when this returns."""
        self.flush()
        self.database.execute("commit")
        while len(self._actors) > _ACTORS_KNOWN:
            del self._actors[next(iter(self._actors))]

    def rollback(self) -> None:
        """Undo the transaction, as far as SQLite has not done so already."""
        self._actors, self._changed = {}, {}
        self._waiting.clear()
        self.is_torn = False
        if self.database.in_transaction:
            self.database.execute("rollback")

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()

    # --- in a transaction ---------------------------------------------------------------------------------

    def create(self, actor: StoredActor, changes: Sequence[Change] = ()) -> None:
        """Insert an actor, and make its first changes. Raises what `Store.create` does."""
        row = (actor.actor_id, actor.name, text_of(actor.key), actor.state)
        try:
            insert_all(self.database, "actor", [(*row, checksum(actor.actor_id, actor.state))])
        except sqlite3.IntegrityError:
            raise ActorAlreadyExists(
                f"a {actor.name} with the key {list(actor.key)!r} or this id exists already"
            ) from None
        if changes:
            # It goes as well, if they do not fit.
            self.is_torn = True
            self.change(actor.actor_id, changes)

    def change(self, actor_id: str, changes: Sequence[Change]) -> None:
        """Make the changes of one actor, or none of them unless `is_torn`. Raises what `Store.commit` does.

        Raises `JournalCorrupt` when the stream is damaged, but for one that begins anew.
        """
        actor = self._find(actor_id)
        of_stream = [change for change in changes if isinstance(change, StreamChange)]
        with _told_as_corrupt():
            if of_stream and not actor.is_stream_read:
                is_over = isinstance(of_stream[0], StreamBegun)
                read = self._readable_stream if is_over else partial(Stream.read, self.database)
                self._set_stream(actor, read(actor_id))
            check(actor_id, changes, actor.head, actor.is_open)
            self.is_torn = True
            self._changed[actor_id] = actor
            for stream_change in of_stream:
                self._change_stream(actor, stream_change)
        for change in changes:
            if isinstance(change, ActorChange):
                self._change_actor(actor, change)
        self.is_torn = False

    def delete(self, actor_id: str) -> None:
        """Delete an actor with all that belongs to it, as far as the file is in order."""
        self.is_torn = True
        self.flush()
        self._actors.pop(actor_id, None)
        with _told_as_corrupt():
            stream = self._readable_stream(actor_id)
            if stream is not None:
                stream.forget_rows(self.database)
        for table in ("stream", "scheduled_call", "keyed_answer", "ending", "actor"):
            self.database.execute(f"delete from {table} where actor_id = ?", (actor_id,))
        self.is_torn = False

    def _find(self, actor_id: str) -> _Actor:
        actor = self._actors.pop(actor_id, None)
        if actor is None:
            found = self.database.execute("select 1 from actor where actor_id = ?", (actor_id,)).fetchone()
            if found is None:
                raise ActorNotFound(f"the store has no actor with the id {actor_id!r}")
            actor = _Actor(actor_id)
        self._actors[actor_id] = actor
        return actor

    def _readable_stream(self, actor_id: str) -> Stream | None:
        try:
            return Stream.read(self.database, actor_id)
        except JournalCorrupt:
            return None

    def _set_stream(self, actor: _Actor, stream: Stream | None) -> None:
        actor.is_stream_read = True
        actor.stream = stream
        actor.sessions = None if stream is None else SessionRows(self.database, stream, self._waiting)

    def _change_actor(self, actor: _Actor, change: ActorChange) -> None:
        match change:
            case StateChanged(state=state):
                actor.state = state
            case Scheduled(call=call):
                row = (call.actor_id, call.id, float(call.due), call.action, call.args)
                insert_all(self.database, "scheduled_call", [(None, *row, checksum(*row))], replace=True)
            case Unscheduled(id=id):
                self.database.execute(
                    "delete from scheduled_call where actor_id = ? and id = ?", (actor.actor_id, id)
                )
            case CallAnswered():
                self._keep_answer(actor.actor_id, change)
            case DestroyBegun():
                insert_all(self.database, "ending", [(actor.actor_id,)], replace=True)

    def _keep_answer(self, actor_id: str, answered: CallAnswered) -> None:
        row = (actor_id, answered.key, float(answered.at), answered.answer)
        insert_all(self.database, "keyed_answer", [(None, *row, checksum(*row))], replace=True)
        [number] = self.database.execute("select last_insert_rowid()").fetchone()
        if number % _ANSWERS_AT_ONCE == 0:
            self.database.execute(
                "delete from keyed_answer where actor_id = ? and number <= (select number from keyed_answer"
                " where actor_id = ? order by number desc limit 1 offset ?)",
                (actor_id, actor_id, ANSWERS_KEPT),
            )
            self.database.execute(
                "delete from keyed_answer where actor_id = ? and at < ?", (actor_id, answered.wanted_since)
            )

    def _change_stream(self, actor: _Actor, change: StreamChange) -> None:
        stream, sessions = actor.stream, actor.sessions
        if isinstance(change, StreamBegun):
            if stream is not None:
                self._waiting.write()
                stream.forget_rows(self.database)
            self._set_stream(actor, Stream.new(actor.actor_id, change.epoch))
            return
        if stream is None or sessions is None:
            # What is left is about sessions, and there are none.
            return
        match change:
            case StreamContinued(epoch=epoch):
                stream.go_on(self.database, epoch)
            case EventAppended(event=event):
                self._append(stream, event)
            case EventReaddressed(offset=offset, connection_id=connection_id):
                self._readdress(stream, offset, connection_id)
            case Trimmed(first=first):
                first = min(first, stream.head + 1)
                if first > stream.first:
                    stream.first, actor.is_trimmed = first, True
                sessions.trim(change)
            case SessionOpened(session=session):
                sessions.open(session)
            case SessionEnded(connection_id=connection_id):
                sessions.end(connection_id)
            case _:
                sessions.change(change)

    def _append(self, stream: Stream, event: StoredEvent) -> None:
        only = None if event.only is None else text_of(event.only)
        exclude = text_of(event.exclude) if event.exclude else None
        row = (stream.number, event.offset, event.name, event.json, event.msgpack, only, exclude)
        self._waiting.add("event", (*row, checksum(stream.epoch, *row)))
        stream.head = event.offset

    def _readdress(self, stream: Stream, offset: int, connection_id: str) -> None:
        self._waiting.write()
        found = self.database.execute(
            "select * from event where stream = ? and offset = ?", (stream.number, offset)
        ).fetchone()
        if found is None or offset < stream.first:
            return
        *row, only, exclude = verified(found, "event", stream.epoch)
        only = text_of([*(() if only is None else strings_in(only)), connection_id])
        self.database.execute(
            "update event set only = ?, crc = ? where stream = ? and offset = ?",
            (only, checksum(stream.epoch, *row, only, exclude), stream.number, offset),
        )

    def _trim(self, actor: _Actor) -> None:
        if actor.is_trimmed and actor.stream is not None:
            place = (actor.stream.number, actor.stream.first)
            self.database.execute("delete from event where stream = ? and offset < ?", place)
            actor.is_trimmed = False


@contextlib.contextmanager
def _told_as_corrupt() -> Iterator[None]:
    """Raise `JournalCorrupt` where SQLite finds that the file is damaged."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        raise JournalCorrupt(f"the journal cannot be written: {error}") from error
