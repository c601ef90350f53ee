"""A store in memory: for tests, and for actors that need not outlive the process."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..errors import ActorAlreadyExists, ActorNotFound
from .interface import Store
from .records import (
    ANSWERS_KEPT,
    ActorChange,
    CallAnswered,
    Change,
    ConnStateChanged,
    DestroyBegun,
    EventAppended,
    EventReaddressed,
    Replied,
    Scheduled,
    ScheduledCall,
    SessionChange,
    SessionEnded,
    SessionOpened,
    StateChanged,
    StoredActor,
    StoredEvent,
    StoredSession,
    StoredStream,
    StreamBegun,
    StreamChange,
    StreamContinued,
    Subscribed,
    Subscription,
    Trimmed,
    Unscheduled,
    Unsubscribed,
)
from .rules import check, surplus_epochs

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """Keep actors for as long as this object lives; `close` forgets nothing."""

    def __init__(self) -> None:
        self._by_id: dict[str, StoredActor] = {}
        self._ids: dict[tuple[str, tuple[str, ...]], str] = {}
        self._streams: dict[str, _Stream] = {}
        # By actor and id, in the order in which they were made.
        self._calls: dict[tuple[str, str], ScheduledCall] = {}
        # By actor and key, the oldest first.
        self._answers: dict[str, OrderedDict[str, CallAnswered]] = {}

    async def open(self) -> None:
        pass

    async def create(self, actor: StoredActor, changes: Sequence[Change] = ()) -> None:
        if actor.actor_id in self._by_id or (actor.name, actor.key) in self._ids:
            raise ActorAlreadyExists(
                f"a {actor.name} with the key {list(actor.key)!r} or this id exists already"
            )
        check(actor.actor_id, changes, None, lambda connection_id: False)
        self._by_id[actor.actor_id] = actor
        self._ids[actor.name, actor.key] = actor.actor_id
        self._apply(actor.actor_id, changes)

    async def load(self, actor_id: str) -> StoredActor | None:
        return self._by_id.get(actor_id)

    async def find(self, name: str, key: tuple[str, ...]) -> StoredActor | None:
        return self._by_id.get(self._ids.get((name, key), ""))

    async def count(self) -> int:
        return len(self._by_id)

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        if actor_id not in self._by_id:
            raise ActorNotFound(f"the store has no actor with the id {actor_id!r}")
        stream = self._streams.get(actor_id)
        if stream is None:
            check(actor_id, changes, None, lambda connection_id: False)
        else:
            check(actor_id, changes, stream.head, stream.sessions.__contains__)
        self._apply(actor_id, changes)

    async def load_stream(self, actor_id: str) -> StoredStream | None:
        stream = self._streams.get(actor_id)
        return None if stream is None else stream.stored()

    async def with_sessions(self) -> list[str]:
        return [
            actor_id
            for actor_id, actor in self._by_id.items()
            if actor.ends_for_good or ((stream := self._streams.get(actor_id)) and stream.sessions)
        ]

    async def schedule(self) -> list[ScheduledCall]:
        return sorted(self._calls.values(), key=lambda call: call.due)

    async def answer(self, actor_id: str, key: str) -> bytes | None:
        answers = self._answers.get(actor_id)
        found = None if answers is None else answers.get(key)
        return None if found is None else found.answer

    async def delete(self, actor_id: str) -> None:
        actor = self._by_id.pop(actor_id, None)
        if actor is not None:
            del self._ids[actor.name, actor.key]
            self._streams.pop(actor_id, None)
            self._answers.pop(actor_id, None)
            self._calls = {place: call for place, call in self._calls.items() if place[0] != actor_id}

    async def close(self) -> None:
        pass

    def _apply(self, actor_id: str, changes: Sequence[Change]) -> None:
        """Apply what has been checked: nothing fails from here on."""
        for change in changes:
            if isinstance(change, StreamBegun):
                self._streams[actor_id] = _Stream(change.epoch)
            elif isinstance(change, ActorChange):
                self._change_actor(actor_id, change)
            elif (stream := self._streams.get(actor_id)) is not None:
                stream.apply(change)

    def _change_actor(self, actor_id: str, change: ActorChange) -> None:
        match change:
            case StateChanged(state=state):
                self._by_id[actor_id] = replace(self._by_id[actor_id], state=state)
            case Scheduled(call=call):
                self._calls.pop((actor_id, call.id), None)
                self._calls[actor_id, call.id] = call
            case Unscheduled(id=id):
                self._calls.pop((actor_id, id), None)
            case CallAnswered():
                answers = self._answers.setdefault(actor_id, OrderedDict())
                answers.pop(change.key, None)
                answers[change.key] = change
                while len(answers) > ANSWERS_KEPT or next(iter(answers.values())).at < change.wanted_since:
                    answers.popitem(last=False)
            case DestroyBegun():
                self._by_id[actor_id] = replace(self._by_id[actor_id], ends_for_good=True)


@dataclass(slots=True)
class _Stream:
    """The stream of one durable actor."""

    epoch: str
    first: int = 1
    head: int = 0
    events: deque[StoredEvent] = field(default_factory=deque)
    let_go: dict[str, int] = field(default_factory=dict)
    lineage: list[tuple[str, int]] = field(default_factory=list)
    sessions: dict[str, StoredSession] = field(default_factory=dict)

    def stored(self) -> StoredStream:
        sessions = (
            replace(session, subscriptions=_in_order(self._wanted(session)))
            for session in self.sessions.values()
        )
        let_go = tuple(sorted(self.let_go.items()))
        fixed = (self.epoch, self.head, tuple(self.events), tuple(sessions))
        return StoredStream(*fixed, let_go, tuple(self.lineage))

    def apply(self, change: StreamChange) -> None:
        match change:
            case StreamContinued(epoch=epoch):
                self._go_on(epoch)
            case EventAppended(event=event):
                self.events.append(event)
                self.head = event.offset
            case EventReaddressed(offset=offset, connection_id=connection_id):
                place = offset - self.first
                if place >= 0:
                    event = self.events[place]
                    self.events[place] = replace(event, only=(*(event.only or ()), connection_id))
            case Trimmed():
                self._trim(change)
            case SessionOpened(session=session):
                self.sessions[session.connection_id] = session
            case SessionEnded(connection_id=connection_id):
                self.sessions.pop(connection_id, None)
            case StreamBegun():
                raise AssertionError("a stream does not begin twice")
            case _:
                if (session_now := self.sessions.get(change.connection_id)) is not None:
                    self.sessions[change.connection_id] = self._changed(session_now, change)

    def _go_on(self, epoch: str) -> None:
        self.lineage.append((self.epoch, self.head))
        self.epoch = epoch
        surplus = surplus_epochs([ended for _, ended in self.lineage], self.first)
        self.lineage = [past for place, past in enumerate(self.lineage) if place not in surplus]

    def _trim(self, change: Trimmed) -> None:
        self.first = max(self.first, min(change.first, self.head + 1))
        while self.events and self.events[0].offset < self.first:
            self.events.popleft()
        self.let_go.update(change.let_go)
        self.let_go = {name: offset for name, offset in self.let_go.items() if offset}
        for connection_id, lost in change.lost:
            if (session := self.sessions.get(connection_id)) is not None:
                self.sessions[connection_id] = replace(session, lost=lost)

    def _changed(self, session: StoredSession, change: SessionChange) -> StoredSession:
        match change:
            case Subscribed(name=name, offset=offset):
                return replace(session, subscriptions=self._listening(session, name, offset))
            case Unsubscribed(name=name, offset=offset):
                intervals = (
                    replace(interval, until=offset)
                    if interval.name == name and interval.until is None
                    else interval
                    for interval in session.subscriptions
                )
                return replace(session, subscriptions=tuple(intervals))
            case ConnStateChanged(state=state):
                return replace(session, state=state)
            case Replied(id=id, reply=reply, keep=keep):
                return replace(session, replies=(*session.replies, (id, reply))[-keep:])

    def _listening(self, session: StoredSession, name: str, offset: int) -> tuple[Subscription, ...]:
        intervals = self._wanted(session)
        newest = max((interval for interval in intervals if interval.name == name), key=_since, default=None)
        if newest is None or (newest.until is not None and newest.until <= offset):
            return (*intervals, Subscription(name, offset))
        # It listens already.
        return tuple(
            replace(interval, until=None) if interval is newest else interval for interval in intervals
        )

    def _wanted(self, session: StoredSession) -> tuple[Subscription, ...]:
        """Return the intervals with an offset in them that is kept or to come."""
        return tuple(
            interval
            for interval in session.subscriptions
            if interval.until is None or interval.until >= max(interval.since + 1, self.first)
        )


def _since(interval: Subscription) -> int:
    return interval.since


def _in_order(intervals: tuple[Subscription, ...]) -> tuple[Subscription, ...]:
    return tuple(sorted(intervals, key=lambda interval: (interval.name, interval.since)))
