"""Every error that Ringcast raises or puts on the wire, and the one table of close codes.

The tree, and where to find its branches; what names no file is in `base.py`::

    RingcastError                      code
    ├── UserError                      chosen by the actor's author; reaches the client as it is
    ├── ActorError                     (in `actors.py`)
    │   ├── ActorNotFound              actor_not_found
    │   ├── ActorAlreadyExists         actor_already_exists
    │   ├── ActorDestroyed             actor_destroyed
    │   ├── UnknownActor               unknown_actor
    │   ├── TooManyActors              too_many_actors
    │   └── StoreUnavailable           store_unavailable
    ├── ActionError                    (in `actions.py`)
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
    ├── ConnectionFailure              (in `connections.py`)
    │   ├── ConnectionRefused          connection_refused
    │   ├── ConnectionClosed           connection_closed
    │   ├── ConnectionGone             connection_gone
    │   ├── NotConnected               not_connected
    │   ├── EncodingRefused            encoding_refused
    │   ├── OfflineQueueFull           offline_queue_full
    │   ├── ParamsTooLarge             params_too_large
    │   └── TryAgainLater              try_again_later
    ├── AccessDenied                   (in `connections.py`)
    │   ├── Unauthorized               unauthorized
    │   └── Forbidden                  forbidden
    ├── ProtocolError                  invalid_message, with a close code (in `connections.py`)
    ├── EventError                     (in `events.py`)
    │   ├── InvalidEventName           invalid_event_name
    │   ├── ReservedName               reserved_name
    │   ├── EventTooLarge              event_too_large
    │   ├── EventNotJson               event_not_json
    │   ├── UnknownEvent               unknown_event
    │   ├── InvalidEvent               invalid_event
    │   ├── EventsLost                 events_lost
    │   ├── SubscriptionRefused        subscription_refused
    │   └── TooManyFilters             too_many_filters
    ├── InvalidFilter                  invalid_filter (in `events.py`)
    └── DefinitionError                invalid_definition

An error crosses the wire as ``{"code": …, "message": …, "metadata": …}`` and is raised again on the
other side by :func:`from_wire` as the class that owns the code; an unknown code becomes a `UserError`,
because authors of actors choose their own.
"""

from __future__ import annotations

from .actions import MASKED as MASKED
from .actions import (
    ActionError,
    ActionTimeout,
    CallRefused,
    InternalError,
    MessageTooBig,
    OutcomeUnknown,
    RateLimited,
    ReplyTooLarge,
    TooManyCalls,
    UnknownAction,
    ValidationError,
)
from .actors import (
    ActorAlreadyExists,
    ActorDestroyed,
    ActorError,
    ActorNotFound,
    StoreUnavailable,
    TooManyActors,
    UnknownActor,
)
from .base import (
    DefinitionError,
    RingcastError,
    UserError,
)
from .close_codes import (
    CloseCode,
    is_valid_close_code,
    may_come_back,
)
from .connections import (
    AccessDenied,
    ConnectionClosed,
    ConnectionFailure,
    ConnectionGone,
    ConnectionRefused,
    EncodingRefused,
    Forbidden,
    NotConnected,
    OfflineQueueFull,
    ParamsTooLarge,
    ProtocolError,
    TryAgainLater,
    Unauthorized,
)
from .events import (
    EventError,
    EventNotJson,
    EventsLost,
    EventTooLarge,
    InvalidEvent,
    InvalidEventName,
    InvalidFilter,
    ReservedName,
    SubscriptionRefused,
    TooManyFilters,
    UnknownEvent,
)
from .received import (
    from_wire,
)

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

for _name in __all__:
    # Tracebacks name an error as it is imported: `ringcast.errors.Forbidden`.
    globals()[_name].__module__ = __name__
