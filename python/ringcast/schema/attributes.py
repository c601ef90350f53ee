"""The attributes of a connection: what of its state filters can see, written as the core reads it. Pure.

Which fields of a type these are is the work of `filterable.py`; filters themselves are in `filters.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from enum import Enum
from operator import attrgetter
from types import NoneType
from typing import Any, Final, cast

import msgpack  # type: ignore[import-untyped]  # it ships no types

from .filterable import filterable_names

__all__ = [
    "LEFT_OUT",
    "MAX_FIELD_CHARS",
    "array",
    "attributes_of",
    "largest_field",
    "narrow",
    "pack",
    "plain",
]

MAX_FIELD_CHARS: Final = 128
"""How long the name of a field may be that can be filtered."""

LEFT_OUT: Final = object()
"""Stands for a value that cannot be filtered."""

_PLAIN: Final = frozenset({NoneType, bool, int, float, str})
_TEXT: Final = frozenset({str})
_SETS: Final = frozenset({set, frozenset})
_WIDE_INT: Final = 1
"""The extension type of an int that needs more than 64 bits."""

# Strings of Python may hold what is no Unicode (lone surrogates). The packer calls no code of anybody else.
_packer: Final = msgpack.Packer(unicode_errors="surrogatepass")


def pack(value: Any) -> bytes:
    """Return values as the core reads them. Raises `OverflowError` for one that has to be `narrow`ed."""
    return cast(bytes, _packer.pack(value))


def narrow(value: Any) -> Any:
    """Return what is packed instead of a value: that is another one for an int of more than 64 bits."""
    if type(value) is not int or -(2**63) <= value < 2**64:
        return value
    bits = (value if value >= 0 else ~value).bit_length() + 1  # and one for the sign
    return msgpack.ExtType(_WIDE_INT, value.to_bytes((bits + 7) // 8, "big", signed=True))


def array(parts: list[bytes]) -> bytes:
    """Return an array of what is packed already."""
    return cast(bytes, _packer.pack_array_header(len(parts))) + b"".join(parts)


def plain(value: Any) -> Any:
    """Return a value as filters compare it: None, bool, int, float, str, or a list of str for a set of them.

    An enum's member is its value, and one of a subclass is one of the class. `LEFT_OUT` for anything else.
    """
    cls = type(value)
    if cls in _PLAIN:
        return value
    if cls in _SETS:
        return _texts(value)
    if isinstance(value, Enum):
        return plain(value.value)
    for base, exact in _EXACT:
        if isinstance(value, base):
            return exact(value)
    return LEFT_OUT


def attributes_of(state: Any) -> bytes:
    """Return the attributes of a connection with this state, in the form that the core reads.

    What cannot be filtered is left out. A state that has not changed gives the same bytes again.
    """
    plan = _plans.get(type(state)) or _plan(type(state))
    values = plan(state)
    if not _PLAIN.issuperset(map(type, values.values())):
        known = {name: plain(value) for name, value in values.items()}
        values = {name: value for name, value in known.items() if value is not LEFT_OUT}
    try:
        return pack(values)
    except OverflowError:
        return pack({name: narrow(value) for name, value in values.items()})


def largest_field(attributes: bytes) -> str:
    """Return the name of the field that takes most of what `attributes_of` has written."""
    values = msgpack.unpackb(attributes, unicode_errors="surrogatepass", strict_map_key=False)
    return max(values, key=lambda name: len(pack(values[name])), default="")


Plan = Callable[[Any], Mapping[str, Any]]
"""Returns the fields of a state that may be filtered, by name."""

_plans: Final[dict[type, Plan]] = {}
"""By the class of a state; there are as many as there are such classes in a program."""


def _plan(cls: type) -> Plan:
    if issubclass(cls, Mapping):
        plan: Plan = _items
    else:
        names = filterable_names(cls)
        plan = _variables if names is None else _getter([each for each in names if _is_name(each)])
    _plans[cls] = plan
    return plan


def _getter(names: list[str]) -> Plan:
    if len(names) < 2:
        # attrgetter returns a tuple for several names only.
        return lambda state: _present(state, names)
    get = attrgetter(*names)

    def plan(state: Any) -> Mapping[str, Any]:
        try:
            return dict(zip(names, get(state), strict=True))
        except AttributeError:
            return _present(state, names)

    return plan


def _present(state: Any, names: Iterable[str]) -> Mapping[str, Any]:
    return {name: value for name in names if (value := getattr(state, name, LEFT_OUT)) is not LEFT_OUT}


def _variables(state: Any) -> Mapping[str, Any]:
    # Of an object by itself: its variables, or those and its slots.
    found = object.__getstate__(state)
    variables, slots = found if isinstance(found, tuple) else (found, None)
    return _items({**(variables or {}), **(slots or {})})


def _items(state: Mapping[Any, Any]) -> Mapping[str, Any]:
    return {
        str.__str__(name): value for name, value in state.items() if isinstance(name, str) and _is_name(name)
    }


def _is_name(name: str) -> bool:
    return 0 < len(name) <= MAX_FIELD_CHARS


def _texts(values: Set[Any]) -> Any:
    """Return a set of str in order; `LEFT_OUT` for a set with anything else in it."""
    texts = list(values)
    if not _TEXT.issuperset(map(type, texts)):
        texts = [text if isinstance(text := plain(each), str) else LEFT_OUT for each in texts]
        if LEFT_OUT in texts:
            return LEFT_OUT
        # Of an enum and a str, two may have become one.
        texts = list(set(texts))
    texts.sort()
    return texts


_EXACT: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (Set, _texts),
)
"""How an instance of a subclass becomes one of the class itself."""
