"""What a connection listens for: an event name, or an event name with a filter over the event's fields. Pure.

On the wire the two are a string and an array, ``["playerMoved", {"zone": 3}]``. In here both are a `str`,
the *topic*, so that what keeps track of names keeps track of filters as well. A topic with a filter is longer
than any name, so that neither is taken for the other. It has three lines: the filter as its client wrote it,
which tells two apart; its compiled form in hexadecimal digits, for the core (`Topic` in
`subscription/topic.rs` reads it), empty if it is no filter; and the name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from functools import lru_cache
from typing import Any, Final

import orjson

from ..errors import InvalidFilter, SubscriptionRefused
from ..filters import Filter, where
from .naming import MAX_NAME_CHARS

__all__ = [
    "MAX_FILTER_BYTES", "MAX_TOPICS_BYTES", "by_name", "bytes_of", "compiled_of", "filter_of", "from_wire",
    "is_filtered", "name_of", "refusal", "to_wire", "topic_of",
]  # fmt: skip

MAX_FILTER_BYTES: Final = 4096
"""Longest filter of a subscription, as JSON in UTF-8 without spaces."""

MAX_TOPICS_BYTES: Final = 12_288
"""Most bytes of all topics of a connection, as the array in JSON that a connect message has of them.

It may have them twice, and MessagePack takes nine bytes for a number that is three in JSON: also then they
fit into a message, with 10 KiB beside them for what else it says.
"""

_KEPT: Final = 1024
"""How many are remembered as they were read: many connections listen with the same few."""


def topic_of(name: str, wanted: Mapping[str, Any] | None = None) -> str:
    """Return the topic of an event name, with a filter if there is one.

    `wanted` is what `where` takes as keywords: ``{"zone": 3, "level__ge": 2}``. Raises `InvalidFilter`.
    """
    if wanted is None:
        return name
    if not isinstance(wanted, Mapping) or not all(isinstance(key, str) for key in wanted):
        raise InvalidFilter(f"where is a mapping of fields to values, not {wanted!r:.80}")
    if not wanted:
        return name
    topic = _read(name, _written(wanted))
    filter_of(topic)
    return topic


def from_wire(value: Any) -> str | None:
    """Return the topic that came over the wire, None for what is none.

    A filter that is none makes a topic that cannot be listened for: `filter_of` says why.
    """
    if isinstance(value, list):
        if len(value) != 2 or not isinstance(value[1], dict) or not all(type(key) is str for key in value[1]):
            return None
        name, wanted = value
    else:
        name, wanted = value, None
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS:
        return None
    if wanted is None:
        return name
    try:
        return _read(name, _written(wanted))
    except InvalidFilter:
        return _text(b"{}", "", name)


def to_wire(topic: str) -> str | list[Any]:
    """Return what stands for a topic in messages."""
    return [name_of(topic), orjson.loads(topic.partition("\n")[0])] if is_filtered(topic) else topic


def is_filtered(topic: str) -> bool:
    """Tell whether a topic has a filter."""
    return len(topic) > MAX_NAME_CHARS


def name_of(topic: str) -> str:
    """Return the event name of a topic."""
    return topic.split("\n", 2)[2] if is_filtered(topic) else topic


def by_name(topics: Iterable[str]) -> dict[str, list[str]]:
    """Return topics by the name of their event, about which an actor is asked once."""
    found: dict[str, list[str]] = {}
    for topic in topics:
        found.setdefault(name_of(topic), []).append(topic)
    return found


def bytes_of(topic: str) -> int:
    """Return how many bytes a topic takes of `MAX_TOPICS_BYTES`."""
    return _bytes_once(topic) if len(topic) <= MAX_FILTER_BYTES else _bytes(topic)


def filter_of(topic: str) -> Filter:
    """Return the filter of a topic that has one. Raises `InvalidFilter` for one that says no filter."""
    text = topic.partition("\n")[0].rstrip().encode()
    if len(text) > MAX_FILTER_BYTES:
        raise InvalidFilter(f"a filter has at most {MAX_FILTER_BYTES} bytes, this one {len(text)}")
    wanted = orjson.loads(text)
    if not wanted:
        raise InvalidFilter("a filter compares at least one field, with values that JSON can carry")
    return where(**wanted)


def compiled_of(topic: str) -> bytes:
    """Return the compiled form of its filter."""
    return bytes.fromhex(topic.split("\n", 2)[1])


def _bytes(topic: str) -> int:
    # And the comma behind it.
    return len(orjson.dumps(to_wire(topic))) + 1


_bytes_once = lru_cache(_KEPT)(_bytes)


def _read(name: str, written: bytes) -> str:
    # A longer one is refused, and not worth remembering.
    return _read_once(name, written) if len(written) <= MAX_FILTER_BYTES else _text(written, "", name)


@lru_cache(_KEPT)
def _read_once(name: str, written: bytes) -> str:
    topic = _text(written, "", name)
    try:
        compiled = filter_of(topic).compiled
    except InvalidFilter:
        return topic
    return _text(written, compiled.hex(), name)


def _text(written: bytes, digits: str, name: str) -> str:
    return f"{written.decode().ljust(MAX_NAME_CHARS)}\n{digits}\n{name}"


def _written(wanted: Mapping[str, Any]) -> bytes:
    """Return a filter as text. Its keys stay in their order: the other side does not know another one."""
    try:
        written = orjson.dumps(dict(wanted), default=_values)
    except TypeError as error:
        raise InvalidFilter(f"a filter has values that JSON can carry: {error}") from None
    for value in wanted.values():
        for each in value if isinstance(value, Set | list | tuple) else (value,):
            if isinstance(each, float) and not math.isfinite(each):
                raise InvalidFilter(f"a filter compares with numbers that are finite, not {each}")
    return written


def _values(values: Any) -> Any:
    if isinstance(values, Set):
        return sorted(values, key=repr)
    raise TypeError(f"{values!r:.80} is none")


def refusal(topic: str) -> SubscriptionRefused:
    """Return the error for a topic whose name `can_subscribe` does not allow."""
    return SubscriptionRefused(f"this connection may not listen for {name_of(topic)!r}")
