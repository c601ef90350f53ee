"""Every error that Ringcast raises or puts on the wire, and the one table of close codes.

The tree::

    RingcastError                      code
    ├── UserError                      chosen by the actor's author; reaches the client as it is
    ├── ActorError
    │   ├── ActorNotFound              actor_not_found
    │   ├── ActorAlreadyExists         actor_already_exists
    │   ├── ActorDestroyed             actor_destroyed
    │   ├── UnknownActor               unknown_actor
    │   ├── TooManyActors              too_many_actors
    │   └── StoreUnavailable           store_unavailable
    ├── ActionError
    │   ├── UnknownAction              unknown_action
    │   ├── CallRefused                call_refused
    │   ├── ValidationError            validation_error
    │   ├── ActionTimeout              action_timeout
    │   ├── InternalError              internal_error
    │   ├── MessageTooBig              message_too_big
    │   ├── ReplyTooLarge              reply_too_large
    │   ├── TooManyCalls               too_many_calls
    │   ├── RateLimited                rate_limited
    │   └── OutcomeUnknown             outcome_unknown
    ├── ConnectionFailure
    │   ├── ConnectionRefused          connection_refused
    │   ├── ConnectionClosed           connection_closed
    │   ├── ConnectionGone             connection_gone
    │   ├── NotConnected               not_connected
    │   ├── EncodingRefused            encoding_refused
    │   ├── OfflineQueueFull           offline_queue_full
    │   ├── ParamsTooLarge             params_too_large
    │   └── TryAgainLater              try_again_later
    ├── AccessDenied
    │   ├── Unauthorized               unauthorized
    │   └── Forbidden                  forbidden
    ├── ProtocolError                  invalid_message and the close code that goes with it
    ├── EventError
    │   ├── InvalidEventName           invalid_event_name
    │   ├── ReservedName               reserved_name
    │   ├── EventTooLarge              event_too_large
    │   ├── EventNotJson               event_not_json
    │   ├── UnknownEvent               unknown_event
    │   ├── InvalidEvent               invalid_event
    │   ├── EventsLost                 events_lost
    │   ├── SubscriptionRefused        subscription_refused
    │   └── TooManyFilters             too_many_filters
    ├── InvalidFilter                  invalid_filter
    └── DefinitionError                invalid_definition

An error crosses the wire as ``{"code": …, "message": …, "metadata": …}`` and is raised again on the
other side by :func:`from_wire` as the class that owns the code; an unknown code becomes a `UserError`,
because authors of actors choose their own.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

__all__ = [
    "AccessDenied",
    "ActionError",
    "ActionTimeout",
    "ActorAlreadyExists",
    "ActorDestroyed",
    "ActorError",
    "ActorNotFound",
    "CallRefused",
    "CloseCode",
    "ConnectionClosed",
    "ConnectionFailure",
    "ConnectionGone",
    "ConnectionRefused",
    "DefinitionError",
    "EncodingRefused",
    "EventError",
    "EventNotJson",
    "EventTooLarge",
    "EventsLost",
    "Forbidden",
    "InternalError",
    "InvalidEvent",
    "InvalidEventName",
    "InvalidFilter",
    "MessageTooBig",
    "NotConnected",
    "OfflineQueueFull",
    "OutcomeUnknown",
    "ParamsTooLarge",
    "ProtocolError",
    "RateLimited",
    "ReplyTooLarge",
    "ReservedName",
    "RingcastError",
    "StoreUnavailable",
    "SubscriptionRefused",
    "TooManyActors",
    "TooManyCalls",
    "TooManyFilters",
    "TryAgainLater",
    "Unauthorized",
    "UnknownAction",
    "UnknownActor",
    "UnknownEvent",
    "UserError",
    "ValidationError",
    "from_wire",
    "is_valid_close_code",
    "may_come_back",
]


class CloseCode(IntEnum):
    """Why a WebSocket was closed. The private ranges tell a client whether to come back.

    4000 to 4499: do not come back, the same attempt would fail again.
    4500 to 4999: come back, after the usual back-off.
    """

    NORMAL = 1000
    """The client is done: its session ends at once."""
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    """A frame breaks RFC 6455."""
    UNSUPPORTED_DATA = 1003
    """A binary frame on a JSON connection, or a text frame on a MessagePack one."""
    INVALID_TEXT = 1007
    """A text message is not UTF-8, or a compressed one is broken."""
    MESSAGE_TOO_BIG = 1009
    """A message exceeds the server's limit (64 KiB by default)."""
    INTERNAL_ERROR = 1011
    """A fault of the server's, or a connect that failed for a reason that may pass."""
    TRY_AGAIN_LATER = 1013
    """The server can take no more now; an error message may say when to try again."""

    CONNECT_REFUSED = 4000
    """The actor refused the connection or cannot be had; the error message before the close says why."""
    INVALID_MESSAGE = 4001
    """A message that does not decode, of unknown kind, or with fields missing or of a wrong type."""
    CONNECT_EXPECTED = 4002
    """The first message was not a connect message."""
    DISCONNECTED = 4003
    """The actor ended this connection by `conn.disconnect()`."""
    SESSION_REPLACED = 4004
    """The session was resumed on another socket."""
    ACTOR_DESTROYED = 4005

    SERVER_RESTART = 4500
    """The server shuts down."""
    CONNECT_TIMEOUT = 4501
    """No connect message came in time."""
    SLOW_READER = 4502
    """The client read too slowly: the ring no longer holds events for it, or too many replies wait."""


_COME_BACK_RANGE = range(4500, 5000)
_COME_BACK = frozenset(
    {CloseCode.GOING_AWAY, CloseCode.INTERNAL_ERROR, CloseCode.TRY_AGAIN_LATER, 1005, 1006, 1012, 1014}
)


def may_come_back(code: int | None) -> bool:
    """Tell whether a client whose socket was closed with `code` should reconnect (None: no close frame)."""
    return code is None or code in _COME_BACK or code in _COME_BACK_RANGE


# Codes with a meaning that may stand in a frame (RFC 6455, section 7.4.1, and IANA's registry): not 1004,
# which is reserved, nor 1005, 1006 and 1015, which only name what happened.
_REGISTERED_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


def is_valid_close_code(code: int) -> bool:
    """Tell whether a peer may send a close frame with `code` (RFC 6455, section 7.4)."""
    return code in _REGISTERED_CODES or 3000 <= code < 5000


class RingcastError(Exception):
    """The root of all errors of this package. `code` is stable; `message` is for people."""

    code: str = "error"

    def __init__(self, message: str, *, code: str | None = None, metadata: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata
        if code is not None:
            self.code = code

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON-safe form that goes to a client; `metadata` is left out when it is None."""
        wire: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.metadata is not None:
            wire["metadata"] = self.metadata
        return wire


class UserError(RingcastError):
    """Raise this in an action or a hook to tell the client why: all three arrive as given.

    Raises `TypeError` for a code that is no string, and `ValueError` for an empty one: no client could read
    such an error.
    """

    code = "user_error"

    def __init__(self, message: str, *, code: str | None = None, metadata: Any = None) -> None:
        if code is not None and not isinstance(code, str):
            raise TypeError(f"the code of a UserError is a str, not {code!r:.100}")
        if code == "":
            raise ValueError("the code of a UserError is not empty")
        super().__init__(message, code=code, metadata=metadata)


class ActorError(RingcastError):
    """An actor cannot be had."""


class ActorNotFound(ActorError):
    code = "actor_not_found"


class ActorAlreadyExists(ActorError):
    code = "actor_already_exists"


class ActorDestroyed(ActorError):
    code = "actor_destroyed"


class UnknownActor(ActorError):
    """No actor of this name is registered."""

    code = "unknown_actor"


class TooManyActors(ActorError):
    """There are as many actors as the server keeps: this one was not created."""

    code = "too_many_actors"


class StoreUnavailable(ActorError):
    """The store of a durable actor takes nothing now: this has not happened, and may go well later."""

    code = "store_unavailable"


class ActionError(RingcastError):
    """A call did not give a result."""


class UnknownAction(ActionError):
    code = "unknown_action"


class CallRefused(ActionError):
    """The actor does not allow this call; it did not run."""

    code = "call_refused"


class ValidationError(ActionError):
    """An argument, a parameter or an input does not fit its annotation; the message names it."""

    code = "validation_error"


class ActionTimeout(ActionError):
    code = "action_timeout"


class InternalError(ActionError):
    """The action raised something other than `UserError`. The text stays in the server's log."""

    code = "internal_error"


class MessageTooBig(ActionError):
    """The request is longer than a message that the server takes; it did not run."""

    code = "message_too_big"


class ReplyTooLarge(ActionError):
    """The action ran, and its result is larger than a client takes."""

    code = "reply_too_large"


class TooManyCalls(ActionError):
    """Too many calls of this connection run already; this one did not run."""

    code = "too_many_calls"


class RateLimited(ActionError):
    """This connection asks too much a second; this request did not run.

    `metadata` has `retry_after_ms`, when the next one may.
    """

    code = "rate_limited"


class OutcomeUnknown(ActionError):
    """The call was sent, and the session that would have its result is gone: it ran once or not at all."""

    code = "outcome_unknown"


class ConnectionFailure(RingcastError):
    """A connection cannot do what was asked of it."""


class ConnectionRefused(ConnectionFailure):
    """The server refused the connection for good; `code` says why when the actor gave one."""

    code = "connection_refused"


class ConnectionClosed(ConnectionFailure):
    """The connection was closed, by this side or for good by the other."""

    code = "connection_closed"


class ConnectionGone(ConnectionFailure):
    """The id names a connection that has ended (ids are never used twice)."""

    code = "connection_gone"


class NotConnected(ConnectionFailure):
    """Events need a connection: call `.connect()` on the handle first."""

    code = "not_connected"


class EncodingRefused(ConnectionFailure):
    """The actor sends what JSON cannot carry: connect with MessagePack."""

    code = "encoding_refused"


class OfflineQueueFull(ConnectionFailure):
    """Too many calls wait for the network to come back."""

    code = "offline_queue_full"


class ParamsTooLarge(ConnectionFailure):
    """The parameters of a connection are larger than the server takes."""

    code = "params_too_large"


class TryAgainLater(ConnectionFailure):
    """There are more clients, or actors, than the server takes; `metadata` says when to come back."""

    code = "try_again_later"


class AccessDenied(RingcastError):
    """Who asks may not have this. A connection that is refused with it ends for good."""


class Unauthorized(AccessDenied):
    """The server does not know who asks: a token is missing, wrong or no longer valid. Over HTTP, 401."""

    code = "unauthorized"


class Forbidden(AccessDenied):
    """The server knows who asks, or from where, and does not allow it. Over HTTP, 403."""

    code = "forbidden"


class ProtocolError(RingcastError):
    """The peer broke the protocol; the socket is closed with `close_code`."""

    code = "invalid_message"

    def __init__(
        self, message: str, *, close_code: CloseCode = CloseCode.INVALID_MESSAGE, code: str | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.close_code = close_code


class EventError(RingcastError):
    """An event cannot be sent or subscribed to."""


class InvalidEventName(EventError):
    """Nobody could subscribe to this name: it is empty, too long or no text."""

    code = "invalid_event_name"


class ReservedName(EventError):
    """The name belongs to a lifecycle event."""

    code = "reserved_name"


class EventTooLarge(EventError):
    """One event exceeds what the actor's ring may hold."""

    code = "event_too_large"


class EventNotJson(EventError):
    """An event holds what JSON cannot carry: bytes that are no text, where a client of its actor may use it;
    an int of more than 64 bits, a cycle, or an object that nothing is known of, in any case."""

    code = "event_not_json"


class UnknownEvent(EventError):
    """The actor declares its events, and none of this name."""

    code = "unknown_event"


class InvalidEvent(EventError):
    """The arguments of an event are not those that its actor declares; the message names what is wrong."""

    code = "invalid_event"


class EventsLost(EventError):
    """A stream of events has a gap; `metadata` has `reason`, and `first` and `last` offset where known."""

    code = "events_lost"


class SubscriptionRefused(EventError):
    code = "subscription_refused"


class TooManyFilters(EventError):
    """An actor's clients listen with as many different filters as it takes; listen without one, or later."""

    code = "too_many_filters"


class InvalidFilter(RingcastError):
    """A filter cannot be built, or does not fit the connection state or the event that it is for.

    The message says why.
    """

    code = "invalid_filter"


class DefinitionError(RingcastError):
    """A class, an action or a registry is not well formed; raised where it is defined."""

    code = "invalid_definition"


# What only a client finds out by itself, or nobody on the wire: an author who chose such a code for a
# `UserError` must not be taken for the client's own machinery.
_NEVER_SENT = frozenset(
    {
        RingcastError,
        ProtocolError,
        ConnectionRefused,
        OfflineQueueFull,
        EventsLost,
        DefinitionError,
    }
)


def _by_code() -> dict[str, type[RingcastError]]:
    found: dict[str, type[RingcastError]] = {}
    todo: list[type[RingcastError]] = [RingcastError]
    while todo:
        cls = todo.pop()
        todo.extend(cls.__subclasses__())
        # A base class shares the inherited code "error"; only classes that name their own are looked up.
        if "code" in vars(cls) and cls not in _NEVER_SENT:
            found[cls.code] = cls
    return found


_CLASSES: dict[str, type[RingcastError]] = _by_code()


def from_wire(error: Any, default: type[RingcastError] = UserError) -> RingcastError:
    """Build the exception for an error that came over the wire.

    `error` is the object ``{"code", "message", "metadata"?}``. A code that this package does not know,
    or that no server sends of itself, becomes `default` with that code. Anything that is no such object
    becomes an `InternalError`.
    """
    if not isinstance(error, dict) or not isinstance(error.get("code"), str) or not error["code"]:
        return InternalError("the server sent an error without a code")
    code = error["code"]
    cls = _CLASSES.get(code, default)
    return cls(str(error.get("message", "")), code=code, metadata=error.get("metadata"))


MASKED = "internal error"
"""What a client reads instead of the text of an unexpected exception."""
