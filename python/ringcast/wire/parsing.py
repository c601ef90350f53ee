"""Bytes that came from the other side read as messages, and nothing let in that is none: pure.

What the messages are is in `protocol.py`, which writes them as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast, get_args

from ..errors import (
    CloseCode,
    InvalidEventName,
    InvalidFilter,
    ProtocolError,
    RingcastError,
    UnknownAction,
    ValidationError,
)
from .encoding import Encoding, is_unicode
from .protocol import (
    MAX_KEY_PARTS,
    MAX_NAME_CHARS,
    MAX_SUBSCRIPTIONS,
    Call,
    ClientMessage,
    Connect,
    Connected,
    Error,
    Event,
    Gap,
    Heartbeat,
    LaterMessage,
    Lookup,
    Received,
    Reply,
    Resume,
    ServerMessage,
    Subscribe,
    Unreadable,
    Unsubscribe,
)
from .topics import from_wire, name_of

__all__ = ["parse_address", "parse_client_message", "parse_connect", "parse_server_message"]

_ADDRESS: Final = ("key", "lookup", "actor_id", "input", "attempt")
_TOO_LARGE: Final = 2**63
"""Integers are below this."""
# What a named tuple's own constructor calls, for half the time.
_new: Final = tuple.__new__
_LOOKUPS: Final = frozenset(get_args(Lookup))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProtocolError(message)


def _decode(encoding: Encoding, payload: bytes) -> list[Any]:
    try:
        message = encoding.decode(payload)
    except Exception as error:  # each decoder has its own tree of errors, and MessagePack several
        raise _undecodable(encoding, error) from error
    return _array(message)


def _undecodable(encoding: Encoding, error: Exception) -> ProtocolError:
    return ProtocolError(f"the message is not valid {encoding.name}: {error}")


def _array(message: Any) -> list[Any]:
    if type(message) is not list or not message or type(message[0]) is not str:
        raise ProtocolError("a message is an array that starts with its kind")
    return message


def _is_int(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value < _TOO_LARGE


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


def parse_connect(actor: str, body: dict[Any, Any]) -> Connect:
    """Take what a connect message says from an HTTP request, whose path names the actor.

    Raises `ProtocolError` as for such a message.
    """
    return _connect_from({**body, "actor": actor})


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
    subscriptions = _topics(body.get("subscriptions", []), "connect.subscriptions")
    return Connect(
        body["actor"],
        tuple(key),
        cast(Lookup, lookup),
        actor_id,
        attempt,
        body.get("input"),
        body.get("params"),
        tuple(dict.fromkeys(subscriptions)),
        _parse_resume(body.get("resume")),
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
    answered = resume.get("answered")
    _require(answered is None or _is_int(answered), "connect.resume.answered is an id, or 0")
    unconfirmed, number = resume.get("unconfirmed"), resume.get("number")
    _require(number is None or _is_int(number), "connect.resume.number is a number that counts up")
    return Resume(
        *(resume["session"], resume["epoch"], resume["offset"]),
        unanswered=None if unanswered is None else tuple(unanswered),
        answered=answered,
        unconfirmed=None if unconfirmed is None else _topics(unconfirmed, "connect.resume.unconfirmed"),
        number=number,
    )


def _topics(topics: Any, what: str) -> tuple[str, ...]:
    few = isinstance(topics, list) and len(topics) <= MAX_SUBSCRIPTIONS
    found = list(map(from_wire, topics)) if few else [None]
    _require(
        None not in found,
        f"{what} is an array of at most {MAX_SUBSCRIPTIONS} event names, each by itself or with a filter",
    )
    return tuple(cast(list[str], found))


def _are_ids(ids: Any) -> bool:
    return type(ids) is list and all(type(id) is int and 0 < id < _TOO_LARGE for id in ids)


def _parse_received(message: list[Any]) -> Received:
    match message:
        case [_, ids] if _are_ids(ids):
            return Received(ids)
    raise ProtocolError("received takes an array of ids")


def _parse_call(message: list[Any]) -> Call:
    # Written out: this runs for every call.
    if len(message) == 4:
        _, id, action, args = message
        if (
            type(id) is int
            and 0 < id < _TOO_LARGE
            and type(action) is str
            and 0 < len(action) <= MAX_NAME_CHARS
            and type(args) is list
        ):
            return _new(Call, (id, action, args))
    raise ProtocolError("call takes an id, an action and an array of arguments")


def _parse_subscription(message: list[Any]) -> Subscribe | Unsubscribe:
    match message:
        case [kind, id, value] if _is_int(id, 1) and (topic := from_wire(value)) is not None:
            return Subscribe(id, topic) if kind == "subscribe" else Unsubscribe(id, topic)
    raise ProtocolError(f"{message[0]} takes an id and an event name, by itself or with a filter")


_CLIENT_KINDS: Final[dict[str, Callable[[list[Any]], ClientMessage]]] = {
    "connect": _parse_connect,
    "call": _parse_call,
    "subscribe": _parse_subscription,
    "unsubscribe": _parse_subscription,
    "received": _parse_received,
}


def parse_client_message(encoding: Encoding, payload: bytes) -> Connect | LaterMessage:
    """Decode a message that a client sent.

    Raises `ProtocolError`, with the code to close with, for anything that is not exactly one known message,
    or one but for some text in a request, which is `Unreadable` then.
    Unknown keys of an object are ignored, so that a newer client can talk to an older server.
    """
    try:
        message = encoding.decode(payload)
    except Exception as error:  # as in `_decode`
        unreadable = _parse_unreadable(encoding, payload)
        if unreadable is None:
            raise _undecodable(encoding, error) from error
        return unreadable
    # Looked up here, for every call: what is not found there is no message, and is told why.
    kind = message[0] if type(message) is list and message else None
    parse = _CLIENT_KINDS.get(kind) if type(kind) is str else None
    return _parse_client_array(_array(message)) if parse is None else parse(message)


def _parse_client_array(message: list[Any]) -> ClientMessage:
    parse = _CLIENT_KINDS.get(message[0])
    if parse is None:
        raise ProtocolError(f"unknown message kind {message[0][:MAX_NAME_CHARS]!r}", code="unknown_message")
    return parse(message)


_BAD_TEXT: Final = {
    Encoding.JSON: "text with half a character (an unpaired surrogate)",
    Encoding.MSGPACK: "text that is not UTF-8",
}


def _parse_unreadable(encoding: Encoding, payload: bytes) -> Unreadable | None:
    """Return the request that could not be decoded for text in it that is no Unicode; None if it is another.
    Raises `ProtocolError` for a connect message, with where that text is.

    Scripts easily cut text in the middle of a character, as `"😀"[0]` does. That request has to fail, and not
    all that its client does.
    """
    try:
        request = _parse_client_array(_array(encoding.decode_any_text(payload)))
    except Exception:  # as in `_decode`; or it is malformed as well
        return None
    text = _BAD_TEXT[encoding]
    match request:
        case Connect():
            for name, value in request.to_wire()[1].items():
                if not is_unicode(value):
                    raise ProtocolError(f"connect.{name} has {text}")
        case Subscribe(id, topic) | Unsubscribe(id, topic):
            return Unreadable(id, _fault_of_topic(topic, text))
        case Call(id) if (fault := _fault_of_call(request, text)) is not None:
            return Unreadable(id, fault)
    return None


def _fault_of_call(call: Call, text: str) -> RingcastError | None:
    if not is_unicode(call.action):
        return UnknownAction(f"no action is called {call.action!r}")
    for position, arg in enumerate(call.args, 1):
        if not is_unicode(arg):
            return ValidationError(f"{call.action}: argument {position} has {text}")
    return None


def _fault_of_topic(topic: str, text: str) -> RingcastError:
    if not is_unicode(name_of(topic)):
        return InvalidEventName(f"no event is called {name_of(topic)!r}")
    return InvalidFilter(f"a filter of {name_of(topic)!r} has {text}")


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
    refused = body.get("refused_subscriptions")
    _require(refused is None or isinstance(refused, dict), "heartbeat.refused_subscriptions is an object")
    _require(
        _is_int(stream) and _is_int(offset) and _is_seconds(within_s),
        "a heartbeat has a stream, an offset and seconds",
    )
    if body.get("refused_filters"):
        refused = {**(refused or {}), **_refused_filters(body["refused_filters"])}
    return Heartbeat(cast(int, stream), cast(int, offset), within_s, refused)


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
            _require(_is_int_or_none(body.get("max_message_bytes")), "connected.max_message_bytes is a count")
            _require(_is_int_or_none(body.get("replayed")), "connected.replayed is a count")
            _require(isinstance(refused, dict), "connected.refused_subscriptions is an object")
            refused = {**refused, **_refused_filters(body.get("refused_filters") or [])}
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
                max_message_bytes=body.get("max_message_bytes"),
                replayed=body.get("replayed"),
                gap=None if gap is None else _parse_gap(gap),
                snapshot=body.get("snapshot"),
                refused_subscriptions=refused,
            )
    raise ProtocolError("connected lacks a field, or one has a wrong type")


def _refused_filters(refused: Any) -> dict[str, dict[str, Any]]:
    """Return the errors by topic."""
    found = {}
    for each in refused if isinstance(refused, list) else [None]:
        match each:
            case [str(name), dict(wanted), dict(error)] if (topic := from_wire([name, wanted])) is not None:
                found[topic] = error
            case _:
                raise ProtocolError("connected.refused_filters has names, filters and errors")
    return found


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
