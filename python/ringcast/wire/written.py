"""What objects become for clients, the same in both encodings: values that an encoder writes by itself. Pure.

A plain dataclass is its public fields, by their own names. Whatever pydantic serializes, its models and its
own dataclasses, is what it makes of it: aliases count, and a field that is excluded reaches nobody.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from types import NoneType
from typing import Any, Final

import pydantic
from pydantic_core import to_jsonable_python

__all__ = ["dataclass_writer", "is_serialized_by_pydantic", "jsonable"]

_KNOWN: Final = (str, int, float, bytes, list, dict, NoneType)
"""What the encoders write by themselves."""
_ARRAYS: Final = (set, frozenset, deque, tuple)
_MOST_CLASSES: Final = 4096
"""Classes that are remembered; one that is not is looked at again."""


def jsonable(value: Any) -> Any:
    """Return what is written for an object that an encoder does not know by itself.

    What is inside it may be of that kind again. Raises `PydanticSerializationError`, a `ValueError`, for an
    object that has no form in JSON.
    """
    write = dataclass_writer(type(value))  # type: ignore[arg-type]  # a class is hashable
    if write is not None:
        return write(value)
    if isinstance(value, _ARRAYS):
        # Not pydantic's, which gives plain dataclasses inside another form.
        return list(value)
    if isinstance(value, Enum):
        inside = value.value
        # MessagePack's encoder does not ask twice for one object.
        return inside if isinstance(inside, _KNOWN) else jsonable(inside)
    return to_jsonable_python(value)


def is_serialized_by_pydantic(cls: type) -> bool:
    """Tell whether instances are written as pydantic says: of a model, or of a dataclass of pydantic's.

    A class that derives from one is written as it is, decorated or not: what it excludes, it excludes there.
    """
    return hasattr(cls, "__pydantic_serializer__")


@lru_cache(_MOST_CLASSES)
def dataclass_writer(cls: type) -> Callable[[Any], Any] | None:
    """Return a function that returns what is written for an instance; None for a class that is none."""
    if not dataclasses.is_dataclass(cls) or issubclass(cls, Enum):
        return None
    if is_serialized_by_pydantic(cls):
        return _pydantic_writer(cls)
    names = [field.name for field in dataclasses.fields(cls) if not field.name.startswith("_")]
    # Written out, as dataclasses themselves do with their methods: twice as fast as a loop over the names,
    # and this runs for every dataclass in every message.
    fields = ", ".join(f"{name!r}: value.{name}" for name in names)
    source = f"""
def write(value):
    try:
        return {{{fields}}}
    except AttributeError:  # a field that is no parameter, and has not been set
        return {{name: getattr(value, name) for name in {names!r} if hasattr(value, name)}}
"""
    namespace: dict[str, Callable[[Any], Any]] = {}
    exec(source, namespace)
    return namespace["write"]


def _pydantic_writer(cls: type) -> Callable[[Any], Any]:
    own = vars(cls)
    if "__dataclass_fields__" not in own or "__pydantic_serializer__" in own:
        return to_jsonable_python
    # A plain dataclass that derives from one of pydantic's: what it inherits does not know its own fields.
    serializer = pydantic.TypeAdapter(cls).serializer
    return lambda value: serializer.to_python(value, mode="json", by_alias=True)
