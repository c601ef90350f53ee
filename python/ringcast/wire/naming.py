"""How Python names look on the wire: pure functions, and the names that clients keep for themselves.

An action answers to its Python name and to its camelCase form, an actor to its class name, its camelCase and
its snake_case form. Whether two of them collide is checked in `schema/definition.py` and `registry.py`.
"""

from __future__ import annotations

import re
from typing import Final

from ..errors import InvalidEventName, ReservedName

__all__ = [
    "MAX_NAME_CHARS",
    "RESERVED_EVENTS",
    "action_wire_names",
    "actor_wire_names",
    "camel_case",
    "check_event_name",
    "snake_case",
]

MAX_NAME_CHARS: Final = 128
"""Longest name of an actor, an action or an event, and longest part of a key, in characters."""

RESERVED_EVENTS: Final = frozenset(
    {"connected", "disconnected", "reconnected", "error", "replayed", "gap", "resynced"}
)
"""What clients call the events of a connection's own life: no actor may send events of these names."""

# Before a capital that follows a small letter or digit (`chatRoom`), or ends a run of capitals (`HTTPRoom`).
_WORD_START: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SNAKE_JOINT: Final = re.compile(r"(?<=[^_])_+([^_])")


def snake_case(name: str) -> str:
    """Return `name` in snake_case: `ChatRoom` becomes `chat_room`, `HTTPRoom` becomes `http_room`."""
    return _WORD_START.sub("_", name).lower()


def camel_case(name: str) -> str:
    """Return `name` in camelCase: `send_message` becomes `sendMessage`. Leading underscores stay."""
    return _SNAKE_JOINT.sub(lambda joint: joint[1].upper(), name)


def action_wire_names(name: str) -> tuple[str, ...]:
    """Return the names that the action method `name` answers to, its own first, each once."""
    return tuple(dict.fromkeys((name, camel_case(name))))


def actor_wire_names(name: str) -> tuple[str, ...]:
    """Return the names that the actor class `name` answers to, its own first, each once."""
    snake = snake_case(name)
    return tuple(dict.fromkeys((name, camel_case(snake), snake)))


def check_event_name(name: str) -> None:
    """Raise `InvalidEventName` for what is no name, `ReservedName` for the name of a lifecycle event."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS:
        shown = f"{name!r:.40}" if isinstance(name, str) else f"a {type(name).__name__}"
        raise InvalidEventName(
            f"the name of an event is a str of 1 to {MAX_NAME_CHARS} characters, not {shown}"
        )
    if name in RESERVED_EVENTS:
        raise ReservedName(f"{name!r} is the name of a connection's own event; choose another for yours")
