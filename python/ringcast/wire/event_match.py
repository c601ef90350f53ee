"""Whether an event matches the filter of a topic: the core is asked, which everywhere gives the same answer.

The core asks by itself for the connections of a stream. This is for what it does not see: a durable actor's
subscriptions that wait for a commit, and a client's handlers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types

from .._core import Filter, Listened
from .topics import compiled_of

__all__ = ["Listened", "matches", "matches_received"]


def matches(topic: str, json: bytes | None, msgpack: bytes | None) -> bool:
    """Tell whether an event with these encoded arguments matches the filter of a topic of its name."""
    return _filter(topic).matches(json, msgpack)


def matches_received(topic: str, args: Sequence[Any]) -> bool:
    """Tell the same of an event that came with these arguments."""
    # Of the others only their number would count, which does not.
    first = args[:1]
    try:
        packed = msgpack.packb(first)
    except ValueError:  # nested deeper than this writes, as no server of ours sends it
        packed = msgpack.packb([_shallow(each) for each in first])
    return _filter(topic).matches(None, packed)


def _shallow(first: Any) -> Any:
    """Return an argument as filters see it: of what is inside its fields they see text in arrays alone."""
    if not isinstance(first, dict):
        return None
    return {name: _seen(value) for name, value in first.items()}


def _seen(value: Any) -> Any:
    if isinstance(value, dict):
        return None
    if isinstance(value, list):
        return [None if isinstance(item, list | dict) else item for item in value]
    return value


@lru_cache(1024)
def _filter(topic: str) -> Filter:
    return Filter(compiled_of(topic))
