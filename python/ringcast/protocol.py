"""The wire messages of both sides, written and read: pure functions, no sockets.

`docs/protocol.md` is the specification; `tests/wire/` holds golden messages for every kind. A message is an
array whose first element names its kind. Event frames are built by the core, from the payload that
`Encoding.encode` (`encoding.py`) gives for the event's arguments; everything else is built here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, cast

from .encoding import Encoding
from .errors import MASKED, CloseCode, InternalError, ProtocolError, RingcastError

__all__ = [
    "MAX_KEY_PARTS",
    "MAX_NAME_CHARS",
    "MAX_NESTING",
    "MAX_SUBSCRIPTIONS",
    "Call",
    "ClientMessage",
    "Connect",
    "Connected",
    "Encoding",
    "Error",
    "Event",
    "Gap",
    "Heartbeat",
    "Lookup",
    "Received",
    "Reply",
    "Resume",
    "ServerMessage",
    "Subscribe",
    "Unsubscribe",
    "parse_address",
    "parse_client_message",
    "parse_server_message",
    "writable",
]

_log: Final = logging.getLogger("ringcast.protocol")

MAX_NAME_CHARS: Final = 128
"""Longest name of an actor, an action or an event, and longest part of a key, in characters."""
MAX_KEY_PARTS: Final = 16
MAX_NESTING: Final = 254
"""Most arrays and objects within one another that are written, in both encodings; orjson sets it."""
MAX_SUBSCRIPTIONS: Final = 256
"""Most event names that one connection may listen for."""

Lookup = Literal["get", "get_or_create", "create", "id"]
_ADDRESS: Final = ("key", "lookup", "actor_id", "input", "attempt")
_LOOKUPS: Final = frozenset({"get", "get_or_create", "create", "id"})


@dataclass(slots=True, frozen=True)
class Resume:
    """Where a client that comes back left off: its session's token, and the position of the last event
    seen.

    `unanswered` are the requests whose answers it still wants; None if it does not say.
    """

    session: str
    epoch: str
    offset: int
    unanswered: tuple[int, ...] | None = None

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {"session": self.session, "epoch": self.epoch, "offset": self.offset}
        if self.unanswered is not None:
            wire["unanswered"] = list(self.unanswered)
        return wire


@dataclass(slots=True, frozen=True)
class Connect:
    """The first message: which actor, with what parameters, listening for what, resuming from where.

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
            body["subscriptions"] = list(self.subscriptions)
        if self.resume is not None:
            body["resume"] = self.resume.to_wire()
        return ["connect", body]


class Call(NamedTuple):
    """Run an action. `id` counts up by one within a session, over calls and subscriptions together."""

    id: int
    action: str
    args: list[Any]

    def to_wire(self) -> list[Any]:
        return ["call", self.id, self.action, self.args]


class Subscribe(NamedTuple):
    """Listen for an event name from now on. Answered with a reply (null) or an error."""

    id: int
    name: str

    def to_wire(self) -> list[Any]:
        return ["subscribe", self.id, self.name]


class Unsubscribe(NamedTuple):
    id: int
    name: str

    def to_wire(self) -> list[Any]:
        return ["unsubscribe", self.id, self.name]


class Received(NamedTuple):
    """The answers to these requests have arrived, and the server may forget them. Not answered itself."""

    ids: list[int]

    def to_wire(self) -> list[Any]:
        return ["received", self.ids]


ClientMessage = Connect | Call | Subscribe | Unsubscribe | Received


@dataclass(slots=True, frozen=True)
class Gap:
    """Events that this connection was entitled to are lost: offsets `first` to `last`, where known.

    Reasons: `session_expired` (the session is unknown or its window has passed), `ring_overflow` (the ring no
    longer holds them), `epoch_changed` (the actor started a new stream), `encoding_changed`.
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
    `reconnect_within_s` are None where the server says nothing about them.
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
        if self.replayed is not None:
            body["replayed"] = self.replayed
        if self.gap is not None:
            body["gap"] = self.gap.to_wire()
        if self.snapshot is not None:
            body["snapshot"] = self.snapshot
        if self.refused_subscriptions:
            body["refused_subscriptions"] = self.refused_subscriptions
        return ["connected", body]


class Heartbeat(NamedTuple):
    """The server is there, and has handed over everything up to `offset` that is for this connection.

    `reconnect_within_s` is over how many seconds clients spread their first tries if they lose the server.
    """

    stream: int
    offset: int
    reconnect_within_s: float = 0.0

    def to_wire(self) -> list[Any]:
        body = {"stream": self.stream, "offset": self.offset, "reconnect_within_s": self.reconnect_within_s}
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


def writable(encoding: Encoding, error: RingcastError) -> dict[str, Any]:
    """Return the object for `error` that `encoding` can write, inside any message; never raises.

    Authors give a `UserError` what they like. What cannot be written goes to the log: metadata is left out,
    and characters that are not Unicode (lone surrogates) become question marks.
    """
    try:
        wire = error.to_wire()
        # Wrapped: nesting is bounded, and a message adds to it.
        encoding.encode([[[[wire]]]])
    except Exception:
        _log.exception("an error cannot be written as %s", encoding.name)
    else:
        return wire
    try:
        return {"code": _unicode(error.code), "message": _unicode(error.message)}
    except Exception:
        return InternalError(MASKED).to_wire()


def _unicode(text: Any) -> str:
    return str(text).encode("utf-8", "replace").decode()


ServerMessage = Connected | Event | Reply | Error | Gap | Heartbeat


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProtocolError(message)


def _decode(encoding: Encoding, payload: bytes) -> list[Any]:
    try:
        message = encoding.decode(payload)
    except Exception as error:  # each decoder has its own tree of errors, and MessagePack several
        raise ProtocolError(f"the message is not valid {encoding.name}") from error
    _require(
        isinstance(message, list) and bool(message) and isinstance(message[0], str),
        "a message is an array that starts with its kind",
    )
    return cast(list[Any], message)


def _is_int(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value < 2**63


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARS


def _parse_connect(message: list[Any]) -> Connect:
    _require(len(message) == 2 and isinstance(message[1], dict), "connect takes one object")
    return _connect_from(message[1])


def parse_address(actor: str, body: dict[Any, Any]) -> Connect:
    """Take an actor's address from an HTTP request: the fields of `body` that name one.

    Raises `ProtocolError` by the rules of a connect message.
    """
    return _connect_from({**{name: body[name] for name in _ADDRESS if name in body}, "actor": actor})


def _connect_from(body: dict[Any, Any]) -> Connect:
    _require(_is_name(body.get("actor")), "connect.actor is a name")
    lookup = body.get("lookup", "get_or_create")
    _require(
        isinstance(lookup, str) and lookup in _LOOKUPS, "connect.lookup is get, get_or_create, create or id"
    )
    key = body.get("key", [])
    _require(
        isinstance(key, list)
        and len(key) <= MAX_KEY_PARTS
        and all(isinstance(part, str) for part in key)
        and all(len(part) <= MAX_NAME_CHARS for part in key),
        f"connect.key is an array of at most {MAX_KEY_PARTS} strings of at most {MAX_NAME_CHARS} characters",
    )
    actor_id = body.get("actor_id")
    _require(
        _is_name(actor_id) if lookup == "id" else actor_id is None,
        "connect.actor_id goes with lookup id, and only with it",
    )
    attempt = body.get("attempt")
    _require(
        attempt is None or (lookup == "create" and _is_name(attempt)),
        "connect.attempt is a name, and goes with lookup create",
    )
    subscriptions = body.get("subscriptions", [])
    _require(
        isinstance(subscriptions, list)
        and len(subscriptions) <= MAX_SUBSCRIPTIONS
        and all(_is_name(name) for name in subscriptions),
        f"connect.subscriptions is an array of at most {MAX_SUBSCRIPTIONS} names",
    )
    return Connect(
        actor=body["actor"],
        key=tuple(key),
        lookup=cast(Lookup, lookup),
        actor_id=actor_id,
        attempt=attempt,
        input=body.get("input"),
        params=body.get("params"),
        subscriptions=tuple(dict.fromkeys(subscriptions)),
        resume=_parse_resume(body.get("resume")),
    )


def _parse_resume(resume: Any) -> Resume | None:
    if resume is None:
        return None
    _require(
        isinstance(resume, dict)
        and isinstance(resume.get("session"), str)
        and isinstance(resume.get("epoch"), str)
        and _is_int(resume.get("offset")),
        "connect.resume has session, epoch and offset",
    )
    unanswered = resume.get("unanswered")
    _require(unanswered is None or _are_ids(unanswered), "connect.resume.unanswered is an array of ids")
    return Resume(
        resume["session"],
        resume["epoch"],
        resume["offset"],
        None if unanswered is None else tuple(unanswered),
    )


def _are_ids(ids: Any) -> bool:
    return isinstance(ids, list) and all(_is_int(id, 1) for id in ids)


def _parse_received(message: list[Any]) -> Received:
    match message:
        case [_, ids] if _are_ids(ids):
            return Received(ids)
    raise ProtocolError("received takes an array of ids")


def _parse_call(message: list[Any]) -> Call:
    match message:
        case [_, id, action, args] if _is_int(id, 1) and _is_name(action) and isinstance(args, list):
            return Call(id, action, args)
    raise ProtocolError("call takes an id, an action and an array of arguments")


def _parse_subscription(message: list[Any]) -> Subscribe | Unsubscribe:
    match message:
        case [kind, id, name] if _is_int(id, 1) and _is_name(name):
            return Subscribe(id, name) if kind == "subscribe" else Unsubscribe(id, name)
    raise ProtocolError(f"{message[0]} takes an id and an event name")


_CLIENT_KINDS: Final[dict[str, Callable[[list[Any]], ClientMessage]]] = {
    "connect": _parse_connect,
    "call": _parse_call,
    "subscribe": _parse_subscription,
    "unsubscribe": _parse_subscription,
    "received": _parse_received,
}


def parse_client_message(encoding: Encoding, payload: bytes) -> ClientMessage:
    """Decode a message that a client sent.

    Raises `ProtocolError`, with the code to close with, for anything that is not exactly one known message.
    Unknown keys of an object are ignored, so that a newer client can talk to an older server.
    """
    message = _decode(encoding, payload)
    parse = _CLIENT_KINDS.get(message[0])
    if parse is None:
        raise ProtocolError(f"unknown message kind {message[0][:MAX_NAME_CHARS]!r}", code="unknown_message")
    return parse(message)


def _parse_gap(gap: Any) -> Gap:
    match gap:
        case {"reason": str(reason)} if all(_is_int_or_none(gap.get(name)) for name in ("first", "last")):
            return Gap(reason, gap.get("first"), gap.get("last"))
    raise ProtocolError("a gap has a reason, and offsets where they are known")


def _is_int_or_none(value: Any) -> bool:
    return value is None or _is_int(value)


def _is_seconds(value: Any) -> bool:
    # Neither negative, nor NaN, nor infinite: somebody is going to wait for it.
    return type(value) in (int, float) and 0 <= value < float("inf")


def _parse_heartbeat(body: dict[Any, Any]) -> Heartbeat:
    stream, offset, within_s = body.get("stream"), body.get("offset"), body.get("reconnect_within_s", 0.0)
    _require(
        _is_int(stream) and _is_int(offset) and _is_seconds(within_s),
        "a heartbeat has a stream, an offset and seconds",
    )
    return Heartbeat(cast(int, stream), cast(int, offset), within_s)


def _parse_connected(body: dict[Any, Any]) -> Connected:
    match body:
        case {
            "stream": int(stream),
            "epoch": str(epoch),
            "offset": int(offset),
            "connection": str(connection),
            "session": str(session),
            "actor_id": str(actor_id),
            "window_s": int() | float() as window_s,
        }:
            gap, refused = body.get("gap"), body.get("refused_subscriptions", {})
            heartbeat_s, within_s = body.get("heartbeat_s"), body.get("reconnect_within_s")
            _require(
                heartbeat_s is None or (_is_seconds(heartbeat_s) and heartbeat_s > 0),
                "connected.heartbeat_s is a number of seconds",
            )
            _require(
                within_s is None or _is_seconds(within_s),
                "connected.reconnect_within_s is a number of seconds",
            )
            _require(_is_int_or_none(body.get("replayed")), "connected.replayed is a count")
            _require(isinstance(refused, dict), "connected.refused_subscriptions is an object")
            return Connected(
                stream=stream,
                epoch=epoch,
                offset=offset,
                connection=connection,
                session=session,
                actor_id=actor_id,
                window_s=window_s,
                heartbeat_s=heartbeat_s,
                reconnect_within_s=within_s,
                replayed=body.get("replayed"),
                gap=None if gap is None else _parse_gap(gap),
                snapshot=body.get("snapshot"),
                refused_subscriptions=refused,
            )
    raise ProtocolError("connected lacks a field, or one has a wrong type")


_SERVER_OBJECTS: Final[dict[str, Callable[[dict[Any, Any]], ServerMessage]]] = {
    "connected": _parse_connected,
    "gap": _parse_gap,
    "heartbeat": _parse_heartbeat,
}
"""Kinds that hold one object."""


def parse_server_message(encoding: Encoding, payload: bytes) -> ServerMessage | None:
    """Decode a message that a server sent.

    Returns None for a kind that this version does not know: a newer server may send more.
    Raises `ProtocolError` for a message that is malformed.
    """
    message = _decode(encoding, payload)
    match message:
        case ["event", int(stream), int(offset), str(name), list(args)]:
            return Event(stream, offset, name, args)
        case ["reply", int(id), value]:
            return Reply(id, value)
        case ["error", (int() | None) as request, dict(error)]:
            return Error(request, error)
        case [str(kind), dict(body)] if kind in _SERVER_OBJECTS:
            return _SERVER_OBJECTS[kind](body)
        case ["event" | "reply" | "error" | "connected" | "gap" | "heartbeat", *_]:
            raise ProtocolError(f"malformed {message[0]} message", close_code=CloseCode.INVALID_MESSAGE)
    return None
