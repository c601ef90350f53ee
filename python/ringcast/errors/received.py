"""An error that came over the wire, as an exception again."""

from __future__ import annotations

from typing import Any, Final

from . import actions, actors, base, connections, events
from .actions import InternalError
from .base import DefinitionError, RingcastError, UserError
from .connections import ConnectionRefused, OfflineQueueFull, ProtocolError
from .events import EventsLost

__all__ = ["from_wire", "is_wire_error"]

# What only a client finds out by itself, or nobody on the wire: an author who chose such a code for a
# `UserError` must not be taken for the client's own machinery.
_NEVER_SENT: Final = frozenset(
    {
        RingcastError,
        ProtocolError,
        ConnectionRefused,
        OfflineQueueFull,
        EventsLost,
        DefinitionError,
    }
)

_CLASSES: Final = {
    cls.code: cls
    for group in (base, actors, actions, connections, events)
    for cls in vars(group).values()
    # A base class shares the inherited code "error"; only classes that name their own are looked up.
    if isinstance(cls, type) and issubclass(cls, RingcastError) and "code" in vars(cls)
    if cls not in _NEVER_SENT
}


def is_wire_error(error: Any) -> bool:
    """Tell whether this is the object that stands for an error on the wire."""
    return isinstance(error, dict) and isinstance(error.get("code"), str) and error["code"] != ""


def from_wire(error: Any, default: type[RingcastError] = UserError) -> RingcastError:
    """Build the exception for an error that came over the wire.

    `error` is the object ``{"code", "message", "metadata"?}``. A code that this package does not know,
    or that no server sends of itself, becomes `default` with that code. Anything that is no such object
    becomes an `InternalError`.
    """
    if not is_wire_error(error):
        return InternalError("the server sent an error without a code")
    code = error["code"]
    cls = _CLASSES.get(code, default)
    return cls(str(error.get("message", "")), code=code, metadata=error.get("metadata"))
