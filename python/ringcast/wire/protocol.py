"""The wire messages of both sides as data, and the arrays that stand for them on the wire: pure.

`docs/protocol.md` is the specification; `tests/wire/` holds golden messages for every kind. A message is an
array whose first element names its kind. Reading one is the work of `parsing.py`, bytes are that of
`encoding.py`. Event frames are built by the core, from the encoded arguments; everything else begins here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from ..errors import RingcastError
from .naming import MAX_NAME_CHARS
from .topics import MAX_FILTER_BYTES, MAX_TOPICS_BYTES, is_filtered, to_wire

__all__ = [
    "MAX_FILTER_BYTES",
    "MAX_KEY_PARTS",
    "MAX_NAME_CHARS",
    "MAX_NESTING",
    "MAX_SUBSCRIPTIONS",
    "MAX_TOPICS_BYTES",
    "Call",
    "ClientMessage",
    "Connect",
    "Connected",
    "Error",
    "Event",
    "Gap",
    "Heartbeat",
    "LaterMessage",
    "Lookup",
    "Received",
    "Reply",
    "Resume",
    "ServerMessage",
    "Subscribe",
    "Unreadable",
    "Unsubscribe",
]

MAX_KEY_PARTS: Final = 16
MAX_NESTING: Final = 254
"""Most arrays and objects within one another that are written, in both encodings; orjson sets it."""
MAX_SUBSCRIPTIONS: Final = 256
"""Most topics, event names by themselves or with a filter, that one connection may listen for."""

Lookup = Literal["get", "get_or_create", "create", "id"]


@dataclass(slots=True, frozen=True)
class Resume:
    """Where a client that comes back left off: its session's token, and the position of the last event
    seen.

    The rest is what it knows of its session, by which a server can tell that what it has of that is from an
    earlier moment; None of what it does not say.
    """

    session: str
    epoch: str
    offset: int
    unanswered: tuple[int, ...] | None = None
    """The requests whose answers it still wants."""
    answered: int | None = None
    """The highest id of a request that it has an answer to; 0 if there is none."""
    unconfirmed: tuple[str, ...] | None = None
    """Those of the topics that it listens for of which it does not know whether the session has them."""
    number: int | None = None
    """Counts its connect messages up, so that one which was held up on its way is known by that."""

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {"session": self.session, "epoch": self.epoch, "offset": self.offset}
        if self.unanswered is not None:
            wire["unanswered"] = list(self.unanswered)
        if self.answered is not None:
            wire["answered"] = self.answered
        if self.unconfirmed is not None:
            wire["unconfirmed"] = list(map(to_wire, self.unconfirmed))
        if self.number is not None:
            wire["number"] = self.number
        return wire


class Connect(NamedTuple):
    """The first message: which actor, with what parameters, listening for what, resuming from where.

    `subscriptions` are topics, as `topics.py` has them.

    `attempt` goes with lookup `create`: what this attempt to create has created is found when it is repeated.
    """

    actor: str
    key: tuple[str, ...] = ()
    lookup: Lookup = "get_or_create"
    actor_id: str | None = None
    attempt: str | None = None
    input: Any = None
    params: Any = None
    subscriptions: tuple[str, ...] = ()
    resume: Resume | None = None

    def to_wire(self) -> list[Any]:
        """Return the message as an array; absent options are left out."""
        body: dict[str, Any] = {"actor": self.actor, "lookup": self.lookup}
        if self.lookup == "id":
            body["actor_id"] = self.actor_id
        else:
            body["key"] = list(self.key)
        if self.attempt is not None:
            body["attempt"] = self.attempt
        if self.input is not None:
            body["input"] = self.input
        if self.params is not None:
            body["params"] = self.params
        if self.subscriptions:
            body["subscriptions"] = list(map(to_wire, self.subscriptions))
        if self.resume is not None:
            body["resume"] = self.resume.to_wire()
        return ["connect", body]


def existing_only(request: Connect) -> Connect:
    """Return the same address, for which nothing is created."""
    return request if request.lookup == "id" else Connect(request.actor, request.key, "get")


class Call(NamedTuple):
    """Run an action. `id` counts up by one within a session, over calls and subscriptions together."""

    id: int
    action: str
    args: list[Any]

    def to_wire(self) -> list[Any]:
        return ["call", self.id, self.action, self.args]


class Subscribe(NamedTuple):
    """Listen for a topic from now on. Answered with a reply (null) or an error."""

    id: int
    name: str
    """The topic, as `topics.py` has it."""

    def to_wire(self) -> list[Any]:
        return ["subscribe", self.id, to_wire(self.name)]


class Unsubscribe(NamedTuple):
    id: int
    name: str

    def to_wire(self) -> list[Any]:
        return ["unsubscribe", self.id, to_wire(self.name)]


class Received(NamedTuple):
    """The answers to these requests have arrived, and the server may forget them. Not answered itself."""

    ids: list[int]

    def to_wire(self) -> list[Any]:
        return ["received", self.ids]


ClientMessage = Connect | Call | Subscribe | Unsubscribe | Received


class Unreadable(NamedTuple):
    """A request in which text is no Unicode. It does not run, and is answered with the error."""

    id: int
    error: RingcastError


LaterMessage = Call | Subscribe | Unsubscribe | Received | Unreadable
"""What comes from a client behind its connect message."""


@dataclass(slots=True, frozen=True)
class Gap:
    """Events that this connection was entitled to are lost: offsets `first` to `last`, where known.

    Reasons: `session_expired` (the session is unknown or its window has passed), `ring_overflow` (the ring no
    longer holds them), `epoch_changed` (the actor started a new stream), `encoding_changed`,
    `permission_withdrawn` (it was not entitled to what was sent meanwhile, and has not been told).
    """

    reason: str
    first: int | None = None
    last: int | None = None

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {"reason": self.reason}
        if self.first is not None:
            wire["first"] = self.first
        if self.last is not None:
            wire["last"] = self.last
        return wire


@dataclass(slots=True, frozen=True)
class Connected:
    """The answer to a connect message.

    `offset` is the position that the connection starts from: the client stores it before it handles events.
    `replayed` counts the events that follow because they were missed; it is None on a first connect, with a
    snapshot, and with a gap that replaces the session. `gap` is set when events were lost. `snapshot` is what
    the actor's `snapshot()` returned at `offset`: it stands for every event up to there. `heartbeat_s` and
    `reconnect_within_s` are None where the server says nothing about them, and so is `max_message_bytes`, of
    the longest message that it takes. `refused_subscriptions` has the errors by topic.
    """

    stream: int
    epoch: str
    offset: int
    connection: str
    session: str
    actor_id: str
    window_s: float
    heartbeat_s: float | None = None
    reconnect_within_s: float | None = None
    max_message_bytes: int | None = None
    replayed: int | None = None
    gap: Gap | None = None
    snapshot: Any = None
    refused_subscriptions: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_wire(self) -> list[Any]:
        body: dict[str, Any] = {
            "stream": self.stream,
            "epoch": self.epoch,
            "offset": self.offset,
            "connection": self.connection,
            "session": self.session,
            "actor_id": self.actor_id,
            "window_s": self.window_s,
        }
        if self.heartbeat_s is not None:
            body["heartbeat_s"] = self.heartbeat_s
        if self.reconnect_within_s is not None:
            body["reconnect_within_s"] = self.reconnect_within_s
        if self.max_message_bytes is not None:
            body["max_message_bytes"] = self.max_message_bytes
        if self.replayed is not None:
            body["replayed"] = self.replayed
        if self.gap is not None:
            body["gap"] = self.gap.to_wire()
        if self.snapshot is not None:
            body["snapshot"] = self.snapshot
        body |= _refused(self.refused_subscriptions)
        return ["connected", body]


def _refused(errors: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the fields that tell of the errors of topics."""
    fields: dict[str, Any] = {}
    names = {name: error for name, error in errors.items() if not is_filtered(name)}
    if names:
        fields["refused_subscriptions"] = names
    if len(names) < len(errors):
        fields["refused_filters"] = [
            [*to_wire(topic), error] for topic, error in errors.items() if is_filtered(topic)
        ]
    return fields


class Heartbeat(NamedTuple):
    """The server is there, and has handed over everything up to `offset` that is for this connection.

    `reconnect_within_s` is over how many seconds clients spread their first tries if they lose the server.
    `refused_subscriptions` has the errors of names that this client listened for until now, and may not any
    more.
    """

    stream: int
    offset: int
    reconnect_within_s: float = 0.0
    refused_subscriptions: dict[str, dict[str, Any]] | None = None

    def to_wire(self) -> list[Any]:
        body: dict[str, Any] = {
            "stream": self.stream,
            "offset": self.offset,
            "reconnect_within_s": self.reconnect_within_s,
        }
        body |= _refused(self.refused_subscriptions or {})
        return ["heartbeat", body]


class Event(NamedTuple):
    """One event. `stream` is the number from the connect answer; `args` are what was broadcast."""

    stream: int
    offset: int
    name: str
    args: list[Any]

    def to_wire(self) -> list[Any]:
        return ["event", self.stream, self.offset, self.name, self.args]


class Reply(NamedTuple):
    id: int
    value: Any

    def to_wire(self) -> list[Any]:
        return ["reply", self.id, self.value]


class Error(NamedTuple):
    """A request failed (`id`), or the connection did (`id` is None: a close frame follows)."""

    id: int | None
    error: dict[str, Any]

    def to_wire(self) -> list[Any]:
        return ["error", self.id, self.error]


ServerMessage = Connected | Event | Reply | Error | Gap | Heartbeat
