"""The stream of a durable actor: events are numbered at once, and fanned out when the journal has them.

It stands in front of the gateway's stream with the same interface. What is kept, and in which commit, is the
work of `journal.py`; what is kept of events that are gone, of `ledger.py`; how all of it comes back after a
restart is in `restore.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from ..connection import KeptConnection
from ..errors import EventTooLarge
from ..faults import ActorLog, StoreFault
from ..running.touched import Touched
from ..schema.definition import ActorDefinition
from ..seam import CoreStream
from ..store import (
    Change,
    ConnStateChanged,
    EventAppended,
    EventReaddressed,
    SessionEnded,
    SessionOpened,
    StoredEvent,
    StoredSession,
    StoredStream,
    Subscribed,
    Unsubscribed,
)
from ..wire.encoding import Encoding
from .journal import Journal
from .ledger import Ledger, Member

__all__ = ["DurableStream", "most_bytes"]

_EVENT_OVERHEAD_BYTES: Final = 256
"""More than the ring takes for one event besides its arguments, its name and its list of connections."""

_TRIM_PART: Final = 8
"""The store is asked to forget once this part of what the ring retains is there in excess."""


def most_bytes(name: str, json: bytes | None, msgpack: bytes | None, targets: int) -> int:
    """Return at least as many bytes as the ring takes for an event that names so many connections."""
    args = len(json or b"") + len(msgpack or b"")
    return args + 4 * len(name.encode()) + 8 * targets + _EVENT_OVERHEAD_BYTES


class DurableStream:
    """A stream whose events reach nobody before they are committed."""

    def __init__(
        self,
        stream: CoreStream,
        journal: Journal,
        definition: ActorDefinition,
        kept: StoredStream | None = None,
        touched: Callable[[], object] = bool,
    ) -> None:
        """`kept` is what the store has of it: `stream` begins where that does, in an epoch of its own.

        `touched` is called when connection states may have changed, for the first of those since a commit.
        """
        self._stream = stream
        self._journal = journal
        self._max_bytes = definition.stream.max_bytes
        self._conn_state = definition.conn_state
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        # Held by another thread while it looks which encodings an event needs, and hands it over: in between,
        # none may be added.
        self._handing_over = threading.Lock()
        self._members: dict[int, Member] = {}
        self._ledger = Ledger(self._members, stream.first, () if kept is None else kept.let_go)
        # The offset at which each earlier epoch ended.
        self._ended = {} if kept is None else dict([*kept.lineage, (kept.epoch, kept.head)])
        # Encodings that events are written in although nobody may use them, and those of them that every
        # event that is still to be fanned out has.
        self._prepared = stream.encodings
        self._usable = self._prepared
        # Those that somebody is about to open a connection in.
        self._asked_for: list[int] = []
        self.touched: Touched[KeptConnection[Any]] = Touched(touched)
        """Connections whose state may have changed since the last commit."""
        # Those whose state could not be written then.
        self._unwritten: set[KeptConnection[Any]] = set()
        self.appended = stream.head
        """Offset of the newest event, fanned out or not."""

    # --- what has been fanned out -----------------------------------------------------------------------

    @property
    def core(self) -> Any:
        """The stream behind this one."""
        return self._stream

    @property
    def id(self) -> int:
        return self._stream.id

    @property
    def epoch(self) -> str:
        return self._stream.epoch

    def continues(self, epoch: str, offset: int) -> bool:
        """Tell whether what a client has that is at this position is what this stream has up to there."""
        return epoch == self.epoch or offset <= self._ended.get(epoch, -1)

    @property
    def head(self) -> int:
        return self._stream.head

    @property
    def first(self) -> int:
        return self._stream.first

    @property
    def retained_bytes(self) -> int:
        return self._stream.retained_bytes

    @property
    def lag(self) -> int:
        return self._stream.lag

    @property
    def encodings(self) -> int:
        return self._stream.encodings | self._prepared

    @property
    def filters(self) -> int:
        return len(self._ledger.filtered)

    def has_filter(self, topic: str) -> bool:
        return topic in self._ledger.filtered

    def attach(self, connection: int, sink: Any, offset: int, message: bytes) -> None:
        self._stream.attach(connection, sink, offset, message)

    def detach(self, connection: int, sink: Any) -> bool:
        return self._stream.detach(connection, sink)

    def resume(self, connection: int, offset: int) -> tuple[int, int, int]:
        """Take it up again. Raises `StoreFault` once the session has ended with its actor, and for good."""
        member = self._members.get(connection)
        if self._journal.closed and (member is None or not member.kept):
            raise StoreFault("the actor is being destroyed")
        return self._stream.resume(connection, offset)

    def unsubscribe_all(self, connection: int) -> bool:
        return self._stream.unsubscribe_all(connection)

    def shut(self) -> None:
        self._stream.shut()

    # --- what waits for a commit ------------------------------------------------------------------------

    def publish(
        self,
        name: str,
        json: bytes | None,
        msgpack: bytes | None,
        *,
        only: Sequence[int] | None = None,
        exclude: Sequence[int] | None = None,
        matching: bytes | None = None,
    ) -> bool:
        """Take an event: it gets the next number, and is fanned out after its commit.

        Who matches is decided now, and kept by id. Raises `EventTooLarge`, and `StoreUnavailable` where there
        is no room for it. From another thread than the loop's it is handed over, and gets its number there.
        False, and nothing is done, if an encoding is missing by now, as in `EventStream.publish`.
        """
        undecided: list[tuple[Member, str]] = []
        if matching is not None:
            left_out = frozenset(exclude or ())
            matched = [number for number in self._stream.select(matching) if number not in left_out]
            heard_as = {name, *self._ledger.filtered.matching(name, json, msgpack)}
            only = self._listening(heard_as, matched)
            undecided = [
                (self._members[number], topic)
                for number in matched
                if number in self._members
                for topic in self._members[number].asked
                if topic in heard_as
            ]
        size = most_bytes(name, json, msgpack, len(only or ()) + len(exclude or ()))
        if size > self._max_bytes:
            raise EventTooLarge(f"the event takes about {size} bytes, the ring holds {self._max_bytes}")
        self._journal.room.require()
        append = partial(self._append, name, json, msgpack, only, exclude)
        if threading.get_ident() == self._thread:
            append()
            for member, topic in undecided:
                member.matched.append((topic, self.appended))
            return True
        given = (json is not None) << Encoding.JSON.index | (msgpack is not None) << Encoding.MSGPACK.index
        with self._handing_over:
            if self.encodings & ~given:
                return False
            self._loop.call_soon_threadsafe(append)
        return True

    def _listening(self, topics: set[str], matching: Sequence[int]) -> list[int]:
        """Return who of these is subscribed to one of the topics now."""
        members = self._members
        return [
            number
            for number in matching
            if number in members and not topics.isdisjoint(members[number].names)
        ]

    def set_attributes(self, connection: int, attributes: bytes | None) -> bool:
        return self._stream.set_attributes(connection, attributes)

    def select(self, matching: bytes) -> Sequence[int]:
        return self._stream.select(matching)

    async def prepare(self, encoding: int) -> None:
        """Wait until every event that is still to be fanned out has `encoding`; do so before `open`.

        Open in the same turn of the loop: events are not written for long in what nobody uses.
        """
        bit = 1 << encoding
        if self._usable & bit:
            return
        self._asked_for.append(bit)
        try:
            with self._handing_over:
                self._prepared |= bit
            # What was handed over without it gets its number in this turn of the loop.
            await asyncio.sleep(0)
            await self._journal.committed()
            self._usable |= bit
        finally:
            # Not before the caller has had its turn, which may be to open one.
            self._loop.call_soon(self._give_up, bit)

    def open(self, encoding: int, subscriptions: Sequence[str] = ()) -> int:
        number = self._stream.open(encoding)
        self._members[number] = Member()
        for name in subscriptions:
            self.subscribe(number, name)
        return number

    def subscribe(self, connection: int, name: str) -> bool:
        """Listen for what is emitted from now on; False if it listened already."""
        member = self._members[connection]
        if name in member.names:
            return False
        member.names[name] = self.appended
        self._ledger.listens(name)
        if member.kept:
            self._journal.add(Subscribed(member.id, name, self.appended))
        self._journal.then(partial(self._stream.subscribe, connection, name))
        return True

    def unsubscribe(self, connection: int, name: str) -> bool:
        """Listen no more for what is emitted from now on; False if it did not listen."""
        if not self._end(connection, name):
            return False
        self._journal.then(partial(self._stream.unsubscribe, connection, name))
        return True

    def _end(self, connection: int, name: str) -> bool:
        """End a subscription here and in the store."""
        member = self._members[connection]
        if member.names.pop(name, None) is None:
            return False
        member.left_at = self.appended
        self._ledger.leaves(name)
        self._ledger.single_out(connection)
        if member.kept:
            self._journal.add(Unsubscribed(member.id, name, self.appended))
        return True

    def hold(self, connection: int, names: Sequence[str]) -> None:
        """Fan out nothing more for the connection until it is decided whether it may listen for `names`.

        The store has it until then that it does not.
        """
        member = self._members[connection]
        if member.asked and member.again is None:
            member.again = self.appended
        for name in names:
            if self._end(connection, name):
                if name not in member.asked:
                    self._ledger.doubts(name)
                member.asked[name] = self.appended
        self._journal.then(partial(self._stream.hold, connection, tuple(names)))

    def answer(self, connection: int, allowed: Sequence[str]) -> bool:
        """Decide what `hold` has asked; True if it was called again, and another answer is due."""
        member = self._members[connection]
        again, member.again = member.again, None
        chosen = self._decide(connection, allowed, again)
        if again is None:
            for name in member.asked:
                self._ledger.decides(name)
            member.asked, member.matched = {}, []
        else:
            member.matched = [each for each in member.matched if each[1] > again]
        self._journal.then(partial(self._stream.answer, connection, tuple(allowed), chosen))
        return again is not None

    def _decide(self, connection: int, allowed: Sequence[str], again: int | None) -> list[int]:
        """Have the store know the answer, good up to `again`; return filtered events that it lets through."""
        member, chosen = self._members[connection], []
        for name, since in list(member.asked.items()):
            if again is not None and since >= again:
                continue  # it came with the next question
            if name not in allowed:
                del member.asked[name]
                self._ledger.decides(name)
                continue
            if member.kept:
                self._journal.add(Subscribed(member.id, name, since))
            chosen += [
                offset
                for each, offset in member.matched
                if each == name and (again is None or offset <= again)
            ]
            if again is None:
                member.names[name] = since
                self._ledger.listens(name)
                continue
            member.asked[name] = again
            if member.kept:
                self._journal.add(Unsubscribed(member.id, name, again))
        if member.kept:
            for offset in chosen:
                self._journal.add(EventReaddressed(offset, member.id))
        return chosen

    def close(self, connection: int) -> bool:
        """Let go of the connection, after what was emitted for it so far, and of its session."""
        ended = self.ended(connection)
        if ended is not None:
            self._journal.add(ended)
        member = self._members.pop(connection, None)
        if member is None:
            return False
        for name in member.names:
            self._ledger.leaves(name)
        for name in member.asked:
            self._ledger.decides(name)
        self._journal.then(partial(self._let_go, connection))
        return True

    # --- sessions -----------------------------------------------------------------------------------------

    def introduce(self, connection: int, id: str) -> None:
        """Learn the id that the store knows an open connection by."""
        self._members[connection].id = id

    def keep(self, connection: KeptConnection[Any], token: str, encoding: Encoding) -> None:
        """Have the store keep the session of an open connection, with what it listens for."""
        member = self._members[connection._number]
        member.kept = True
        self.touched.add(connection)
        connection.kept_state = self._conn_state.dump_to_keep(connection._state)
        session = StoredSession(
            connection.id,
            token,
            encoding.name,
            Encoding.MSGPACK.encode(connection.params),
            connection.kept_state,
            self.appended,
            lost=self._ledger.keep(connection._number),
        )
        self._journal.add(SessionOpened(session), size_bytes=len(session.params))
        for name, since in member.names.items():
            self._journal.add(Subscribed(member.id, name, since))

    def taken_up(self, connection: int, session: StoredSession) -> None:
        """Learn of a connection that `restore.py` has opened in the stream behind this one."""
        member = Member(session.connection_id, True, lost=session.lost)
        self._members[connection] = member
        for interval in session.subscriptions:
            if interval.until is None:
                member.names[interval.name] = interval.since
                self._ledger.listens(interval.name)
            else:
                member.left_at = max(member.left_at, interval.until)
        if member.lost is not None or member.left_at >= 0:
            self._ledger.single_out(connection)
        self._prepared = self._usable = self._stream.encodings

    def ended(self, connection: int) -> Change | None:
        """The session is over, though its connection may be open: return what makes the store forget it."""
        member = self._members.get(connection)
        if member is None or not member.kept:
            return None
        member.kept = False
        return SessionEnded(member.id)

    def changed_states(self, log: ActorLog) -> list[Change]:
        """Return the changes of the kept connections' states since this was last asked.

        One that cannot be kept is told to the log, once, and tried again with each commit. Until then the
        store has that connection's state of before: one client's must not hold up all others.
        """
        changes: list[Change] = []
        failed: set[KeptConnection[Any]] = set()
        for connection in self.touched.take():
            member = self._members.get(connection._number)
            if member is None or not member.kept:
                self.touched.discard(connection)
                continue
            try:
                state = self._conn_state.dump_to_keep(connection._state, connection.kept_state)
            except Exception:
                failed.add(connection)
                self.touched.again(connection)
                if connection not in self._unwritten:
                    log.exception("the state of connection %s cannot be kept; it is as before", connection.id)
                continue
            if state != connection.kept_state:
                connection.kept_state = state
                changes.append(ConnStateChanged(connection.id, state))
        self._unwritten = failed
        return changes

    def trim(self) -> list[Change]:
        """Return what makes the store forget what the ring has forgotten, once that is worth a change."""
        first = self._stream.first
        retained = self._stream.head + 1 - first
        if first - self._ledger.first <= retained // _TRIM_PART:
            return []
        return [self._ledger.trim(self._stream)]

    # --- inner ------------------------------------------------------------------------------------------

    def _let_go(self, connection: int) -> None:
        self._stream.close(connection)
        self._forget_unused()

    def _give_up(self, bit: int) -> None:
        self._asked_for.remove(bit)
        self._forget_unused()

    def _forget_unused(self) -> None:
        """Write events no longer in an encoding that nobody uses; the next who asks for it waits again."""
        used = self._stream.encodings
        for bit in self._asked_for:
            used |= bit
        if self._prepared & ~used:
            with self._handing_over:
                self._prepared &= used
            self._usable &= used

    def _append(
        self,
        name: str,
        json: bytes | None,
        msgpack: bytes | None,
        only: Sequence[int] | None,
        exclude: Sequence[int] | None,
    ) -> None:
        self.appended += 1
        event = StoredEvent(
            self.appended,
            name,
            json,
            msgpack,
            None if only is None else self._ids(only),
            self._ids(exclude or ()),
        )
        fan_out = partial(self._stream.publish, name, json, msgpack, only=only, exclude=exclude)
        size = most_bytes(name, json, msgpack, len(only or ()) + len(exclude or ()))
        self._journal.add(EventAppended(event), fan_out, size)

    def _ids(self, connections: Sequence[int]) -> tuple[str, ...]:
        found = (self._members.get(connection) for connection in connections)
        return tuple(member.id for member in found if member is not None)
