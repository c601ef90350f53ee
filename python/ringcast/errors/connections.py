"""Why a connection cannot be had or used: it is refused, ended or broken, or who asks may not have it."""

from __future__ import annotations

from .base import RingcastError
from .close_codes import CloseCode

__all__ = [
    "AccessDenied",
    "ConnectionClosed",
    "ConnectionFailure",
    "ConnectionGone",
    "ConnectionRefused",
    "EncodingRefused",
    "Forbidden",
    "NotConnected",
    "OfflineQueueFull",
    "ParamsTooLarge",
    "ProtocolError",
    "TryAgainLater",
    "Unauthorized",
]


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
