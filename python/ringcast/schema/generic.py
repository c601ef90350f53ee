"""Type parameters: what stands for those of the classes that an actor derives from. Pure."""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["Scope", "substituted"]

Given = Mapping[Any, Any]
"""By type parameter, what stands for it; those are missing of which no class says it."""


class Scope(dict[str, Any]):
    """What the annotations of a class may name beyond its module, by name; and what its type parameters
    are."""

    __slots__ = ("_given",)

    def __init__(self, cls: type, names: Mapping[str, Any]) -> None:
        super().__init__(names)
        self._given: dict[type, Given] = {}
        self._follow(cls, {})
        for base in cls.__mro__:
            events = vars(base).get("Events")
            if isinstance(events, type):
                # It may use those of the class that it is in.
                self._follow(events, self._given.get(base, {}))

    def given_in(self, cls: type) -> Given:
        """Return what stands for the type parameters in the body of one of these classes."""
        return self._given.get(cls, {})

    def given_to(self, function: Callable[..., Any]) -> Given:
        """Return what stands for them in the annotations of one of their methods."""
        for cls, given in self._given.items():
            if any(value is function for value in vars(cls).values()):
                return given
        return {}

    def _follow(self, cls: type, given: Given) -> None:
        self._given.setdefault(cls, given)
        for base in vars(cls).get("__orig_bases__", cls.__bases__):
            origin = typing.get_origin(base) or base
            if isinstance(origin, type) and origin not in (object, typing.Generic, typing.Protocol):
                self._follow(origin, dict(self._arguments(cls, origin, base, given)))

    def _arguments(self, cls: type, origin: type, base: Any, given: Given) -> Iterator[tuple[Any, Any]]:
        parameters = getattr(origin, "__parameters__", ())
        for parameter, argument in zip(parameters, typing.get_args(base), strict=False):
            filled = substituted(self._resolved(argument, cls), given)
            if filled is not parameter and not isinstance(filled, typing.TypeVar):
                yield parameter, filled

    def _resolved(self, argument: Any, cls: type) -> Any:
        """Return a type that is written as text; `Any` for one that is not found, which is said elsewhere."""
        if not isinstance(argument, str | typing.ForwardRef):
            return argument
        text = argument if isinstance(argument, str) else argument.__forward_arg__
        module = sys.modules.get(cls.__module__)
        try:
            return eval(text, dict(vars(module)) if module else {}, dict(self))
        except Exception:  # evaluating an annotation can raise anything
            return Any


def substituted(annotation: Any, given: Given) -> Any:
    """Return `annotation` with types in place of the type parameters that they are given for."""
    if not given:
        return annotation
    if isinstance(annotation, typing.TypeVar):
        return given.get(annotation, annotation)
    model = getattr(annotation, "__pydantic_generic_metadata__", None)
    parameters = model["parameters"] if model and model["args"] else getattr(annotation, "__parameters__", ())
    # A generic class by itself has parameters too, but nothing is to be put into it.
    is_bare = isinstance(annotation, type) and not (model and model["args"])
    if is_bare or not any(each in given for each in parameters):
        return annotation
    return annotation[tuple(given.get(each, each) for each in parameters)]
