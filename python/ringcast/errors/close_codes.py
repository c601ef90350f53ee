"""The one table of close codes of WebSockets, and what they tell a client."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["CloseCode", "is_valid_close_code", "may_come_back"]


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
