"""Whose connection state may have changed: those that were accessed, and those that somebody still holds.

An access through `Connection.state` is seen. A change by a reference that was kept from an earlier one
(``me = c.conn.state``, an `await`, ``me.owned += 1``) is not, nor is one of a list or a set inside it. So a
connection counts as touched for as long as there is such a reference.

Why references are counted: a look at a state costs about as much as writing it down, and one action may read
thousands of them, which must not slow down every later commit. To remember whom an action has touched until
its tasks have ended would be no bound, since they may go on for ever, and would miss what is kept on `self`.

A state that leads to what is no data (a task, a logger, a connection), or to too much, is not walked through:
it counts as held, and is not looked at again before the next access.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import datetime as dt
import gc
import inspect
import logging
import threading
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from dataclasses import fields
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from sys import getrefcount
from types import (
    BuiltinFunctionType,
    FrameType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    NoneType,
    TracebackType,
)
from typing import Any, Final, Generic, Protocol, TypeVar

import pydantic

__all__ = ["Touched", "is_fixed", "is_held", "is_read_plainly"]

_MOST_REFERENCES: Final = 10_000
"""A state of more references than these counts as held: to numbers and text, for the most part."""
_MOST_PARTS: Final = 500
"""So does one with more objects inside that can be changed: it may well lead to all that the process has."""

_FIXED: Final = frozenset(
    {type, NoneType, bool, int, float, complex, str, bytes, Decimal, uuid.UUID}
    | {dt.date, dt.time, dt.datetime, dt.timedelta, dt.timezone}
)
"""Types of what nobody can change, and that has nothing in it that could be."""
_NO_DATA: Final = (Enum, type, FunctionType, BuiltinFunctionType, ModuleType)
"""Types of what is shared by all: it is not the state's."""
_UNBOUNDED: Final = (
    *(asyncio.AbstractEventLoop, asyncio.Future, asyncio.Handle, concurrent.futures.Future, threading.Thread),
    *(Coroutine, Generator, AsyncGenerator, FrameType, TracebackType, MethodType, contextvars.Context),
    *(logging.Logger, logging.LoggerAdapter, logging.Handler),
)
"""Types of what is no data and leads to all that runs."""

_CHANGEABLE: Final = frozenset({list, dict, set})


class _Owner(Protocol):
    _state: Any


OwnerT = TypeVar("OwnerT", bound=_Owner)


class Touched(Generic[OwnerT]):
    """The connections whose state may have changed since they were last taken. Lives on one event loop."""

    __slots__ = ("_first", "_fresh", "_held", "_unbounded")

    def __init__(self, first: Callable[[], object]) -> None:
        """`first` is called for the first access after each `take`, so that somebody comes to take them."""
        self._first = first
        # Accessed since the last `take`.
        self._fresh: set[OwnerT] = set()
        # Held by somebody at the last `take`, or to be looked at again.
        self._held: set[OwnerT] = set()
        # Those of them of which no look will tell, until they are accessed again.
        self._unbounded: set[OwnerT] = set()

    def add(self, connection: OwnerT) -> None:
        """Its state was accessed: whoever has it may change it."""
        if not self._fresh:
            self._first()
        self._fresh.add(connection)

    def take(self) -> set[OwnerT]:
        """Return those whose state may have changed since this was last asked.

        Thousands whose state was only read are returned once; who is held, each time, until he is let go.
        """
        taken = self._fresh | self._held
        self._unbounded &= self._held - self._fresh
        self._fresh = set()
        held = set(self._unbounded)
        for connection in taken - held:
            found = _look(connection)
            if found is not False:
                held.add(connection)
                if found is None:
                    self._unbounded.add(connection)
        self._held = held
        return taken

    def again_if_held(self, connection: OwnerT) -> None:
        """Its state was accessed by somebody who changes nothing, but may have kept it."""
        if connection not in self._held and is_held(connection):
            self._held.add(connection)

    def again(self, connection: OwnerT) -> None:
        """Return it the next time, accessed or not."""
        self._held.add(connection)

    def discard(self, connection: OwnerT) -> None:
        """Its state is of no interest, unless it is accessed again: nothing is kept of one that has ended."""
        self._fresh.discard(connection)
        self._held.discard(connection)
        self._unbounded.discard(connection)


def is_held(owner: _Owner) -> bool:
    """Tell whether anybody but its owner has a reference to a state, or to anything changeable inside it.

    Sooner true than false: a reference that nobody will use counts, and so does an object that states share.
    Weak references do not count, nor does what an extension type hides from the garbage collector.

    It reckons as that does: the references that the objects have of one another are taken from those that
    there are in all. The objects themselves tell which those are, so it works for any class.
    """
    return _look(owner) is not False


def _look(owner: _Owner) -> bool | None:
    """Return what `is_held` does, and None where the state leads too far to tell."""
    state = owner._state
    if is_fixed(state):
        return False
    kind = type(owner)
    inner = None
    parts = [state]
    # The first one is its owner's; every other one is of the object around it.
    inside = {id(state): 1}
    room = _MOST_REFERENCES
    for part in parts:  # which grows meanwhile
        if type(part) in _CHANGEABLE and len(part) > room:
            return None
        found = gc.get_referents(part)
        room -= len(found)
        if room < 0:
            return None
        for inner in found:
            if type(inner) in _FIXED:
                continue
            key = id(inner)
            if key in inside:
                inside[key] += 1
            elif isinstance(inner, kind) or _leads_away(type(inner)):  # type: ignore[arg-type]  # types are hashable
                # Also the owner itself, whose reference to the state would be counted twice.
                return None
            elif not is_fixed(inner):
                if len(parts) == _MOST_PARTS:
                    return None
                inside[key] = 1
                parts.append(inner)
    # All of these would be references too.
    del state, part, inner, found
    # Nobody else has this one: it shows how many of its references are those of this very look.
    parts.append([])
    inside[id(parts[-1])] = 0
    counts = [getrefcount(part) - inside[id(part)] for part in parts]
    return max(counts) > counts[-1]


def is_fixed(value: Any, depth: int = 4) -> bool:
    """Tell whether a value, and all that is in it, cannot be changed."""
    kind = type(value)
    if kind in _FIXED:
        return True
    if kind in _CHANGEABLE or not depth:
        return False
    if kind is tuple or kind is frozenset:
        return all(is_fixed(item, depth - 1) for item in value)
    names = _fixed_fields(kind)  # type: ignore[arg-type]  # types are hashable
    try:
        return names is not None and all(is_fixed(getattr(value, name, None), depth - 1) for name in names)
    except Exception:  # an attribute may be the user's code
        return False


@lru_cache(maxsize=1024)
def is_read_plainly(kind: type, name: str) -> bool:
    """Tell whether no code of its author runs when an attribute of this name is read of such an object.

    Of a dict, when it is asked for what it has by this name. Sooner false than true.
    """
    if kind is dict:
        return True
    if inspect.getattr_static(kind, "__getattribute__") is not object.__getattribute__:
        return False
    if issubclass(kind, pydantic.BaseModel):
        # Any other may be found by `__getattr__`.
        is_there = name in kind.model_fields
    else:
        is_there = not hasattr(kind, "__getattr__")
    # What the class itself has is a slot, or what its objects have until they have their own.
    found = inspect.getattr_static(kind, name, None)
    return is_there and (isinstance(found, MemberDescriptorType) or not hasattr(type(found), "__get__"))


@lru_cache(maxsize=256)
def _leads_away(kind: type) -> bool:
    """Tell whether objects of this type are no data, and lead to all that runs."""
    return issubclass(kind, _UNBOUNDED)


@lru_cache(maxsize=256)
def _fixed_fields(kind: type) -> tuple[str, ...] | None:
    """Return what to look at to know whether an object of this type is fixed; None if it is not anyway."""
    if issubclass(kind, _NO_DATA):
        return ()
    # A class that only derives from a frozen one lets through what is no field.
    if "__dataclass_params__" in vars(kind) and kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return tuple(field.name for field in fields(kind))  # type: ignore[arg-type]
    return None
