"""What a store keeps, and the changes that a commit is made of: pure data.

What the bytes in it mean is for those who gave them. Which changes fit together is in `rules.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = [
    "ANSWERS_KEPT",
    "EPOCHS_KEPT",
    "REPLIES_KEPT",
    "CallAnswered",
    "Change",
    "ConnStateChanged",
    "DestroyBegun",
    "EventAppended",
    "EventReaddressed",
    "Replied",
    "Scheduled",
    "ScheduledCall",
    "SessionEnded",
    "SessionOpened",
    "StateChanged",
    "StoredActor",
    "StoredEvent",
    "StoredSession",
    "StoredStream",
    "StreamBegun",
    "StreamContinued",
    "Subscribed",
    "Subscription",
    "Trimmed",
    "Unscheduled",
    "Unsubscribed",
]

ANSWERS_KEPT: Final = 1024
"""How many of the latest answers to calls with a key are kept of an actor, at least; some more may be."""

EPOCHS_KEPT: Final = 64
"""How many earlier epochs of a stream are kept, besides those of which there are events."""

REPLIES_KEPT: Final = 256
"""How many replies of a session are kept where a change does not say."""


@dataclass(slots=True, frozen=True)
class StoredActor:
    """One actor as it is kept: `name` is its class's, `state` is serialised.

    `ends_for_good`: it has begun to be destroyed (`DestroyBegun`), which is to be finished.
    """

    actor_id: str
    name: str
    key: tuple[str, ...]
    state: bytes
    ends_for_good: bool = False


@dataclass(slots=True, frozen=True)
class StoredEvent:
    """One event of a durable actor, encoded as it went out. An encoding that nobody used is None."""

    offset: int
    name: str
    json: bytes | None
    msgpack: bytes | None
    only: tuple[str, ...] | None = None
    """Ids of the connections that it is for; None for all that are subscribed."""
    exclude: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class Subscription:
    """From when to when a session listened for a name: for events after `since`, and up to `until`."""

    name: str
    since: int
    until: int | None = None


@dataclass(slots=True, frozen=True)
class StoredSession:
    """One client's session with a durable actor."""

    connection_id: str
    token: str
    encoding: str
    """The name of an `encoding.Encoding`."""
    params: bytes
    state: bytes
    """The connection's, as `StateType.dump_to_keep` writes it."""
    offset: int
    """The stream's newest offset when the session was opened."""
    subscriptions: tuple[Subscription, ...] = ()
    """By name, and of one name the oldest first. What ended before the oldest event that is kept is gone."""
    replies: tuple[tuple[int, bytes], ...] = ()
    """Ids of answered requests with their replies, in the order in which they were answered."""
    lost: int | None = None
    """Of the events that are not kept, the newest that was for this session, 0 if none was. None where that
    follows from its subscriptions and the stream's `let_go`."""


@dataclass(slots=True, frozen=True)
class StoredStream:
    """What is left of a durable actor's stream: consecutive events up to `head`, and the open sessions."""

    epoch: str
    head: int
    events: tuple[StoredEvent, ...]
    sessions: tuple[StoredSession, ...]
    """In the order in which they were opened."""
    let_go: tuple[tuple[str, int], ...] = ()
    """By name, the newest event to subscribers that is not kept; only where a session may have lost it."""
    lineage: tuple[tuple[str, int], ...] = ()
    """The epochs before this one, the oldest first, each with the offset at which it ended."""


@dataclass(slots=True, frozen=True)
class ScheduledCall:
    """An action that an actor will run."""

    id: str
    """Unique within the actor."""
    actor_id: str
    due: float
    """Seconds since 1970, UTC."""
    action: str
    args: bytes
    """A JSON array."""


@dataclass(slots=True, frozen=True)
class StateChanged:
    """The actor's state is another one."""

    state: bytes


@dataclass(slots=True, frozen=True)
class StreamBegun:
    """A new epoch begins with offset 1: forget every event and session that the actor's stream had."""

    epoch: str


@dataclass(slots=True, frozen=True)
class StreamContinued:
    """Another epoch begins at the head, where the one until now ends; everything else stays."""

    epoch: str


@dataclass(slots=True, frozen=True)
class EventAppended:
    """The stream has a new event; its offset is the head's plus one."""

    event: StoredEvent


@dataclass(slots=True, frozen=True)
class EventReaddressed:
    """An event of the present epoch, with `only`, is for this connection as well.

    Nothing happens when it is not kept any more.
    """

    offset: int
    connection_id: str


@dataclass(slots=True, frozen=True)
class Trimmed:
    """Events below `first` are wanted no more, nor are subscriptions that ended before it.

    What is to be known of those events goes with it, where it is another than what was said before.
    """

    first: int
    let_go: tuple[tuple[str, int], ...] = ()
    """Names with the newest event of each that went to subscribers; 0 where that is of no more use."""
    lost: tuple[tuple[str, int | None], ...] = ()
    """Ids of connections with what `StoredSession.lost` is to be."""


@dataclass(slots=True, frozen=True)
class SessionOpened:
    """A new session, which comes without subscriptions and replies. Its connection's id is not in use."""

    session: StoredSession


@dataclass(slots=True, frozen=True)
class SessionEnded:
    """The session is over: everything that was kept for it goes.

    Nothing happens when it is not there, neither here nor with the changes below: a session may end while a
    request of it runs.
    """

    connection_id: str


@dataclass(slots=True, frozen=True)
class Subscribed:
    """The session listens for what comes after `offset`. One that listens already goes on."""

    connection_id: str
    name: str
    offset: int


@dataclass(slots=True, frozen=True)
class Unsubscribed:
    """The session listens no more for what comes after `offset`."""

    connection_id: str
    name: str
    offset: int


@dataclass(slots=True, frozen=True)
class ConnStateChanged:
    """The state of the session's connection is another one."""

    connection_id: str
    state: bytes


@dataclass(slots=True, frozen=True)
class Replied:
    """A request has been answered. Older replies go until the session has `keep`."""

    connection_id: str
    id: int
    reply: bytes
    keep: int = REPLIES_KEPT


@dataclass(slots=True, frozen=True)
class Scheduled:
    """An action of the committing actor is to run. A call with the same id is replaced."""

    call: ScheduledCall


@dataclass(slots=True, frozen=True)
class Unscheduled:
    """The call has run or is cancelled. Nothing happens when there is none."""

    id: str


@dataclass(slots=True, frozen=True)
class CallAnswered:
    """A call that came with a key has this answer. Those from before `wanted_since` are wanted no more."""

    key: str
    at: float
    """Seconds since 1970, UTC."""
    answer: bytes
    wanted_since: float


@dataclass(slots=True, frozen=True)
class DestroyBegun:
    """The actor is to be destroyed: it does nothing any more but end, also when it is found after a crash."""


ActorChange: TypeAlias = StateChanged | Scheduled | Unscheduled | CallAnswered | DestroyBegun
"""What any actor can commit."""
SessionChange: TypeAlias = Subscribed | Unsubscribed | ConnStateChanged | Replied
StreamChange: TypeAlias = (
    StreamBegun
    | StreamContinued
    | EventAppended
    | EventReaddressed
    | Trimmed
    | SessionOpened
    | SessionEnded
    | SessionChange
)
"""What only an actor with a stream can commit."""
Change: TypeAlias = ActorChange | StreamChange
"""One part of a commit."""
