"""What an actor class says in its source: docstrings, declared events, and type arguments of its bases."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

from ..arguments import resolve_hints

__all__ = ["DeclaredEvent", "declared_events", "described", "substituted", "type_arguments"]


def described(documented: type | Callable[..., Any]) -> str | None:
    """Return its own docstring, not that of a class that it derives from."""
    written = vars(documented).get("__doc__") if isinstance(documented, type) else documented.__doc__
    return inspect.cleandoc(written) if written else None


def type_arguments(cls: type) -> dict[Any, Any]:
    """Return what stands for each type parameter of the classes that `cls` derives from."""
    found: dict[Any, Any] = {}
    for base in cls.__mro__:
        for generic in vars(base).get("__orig_bases__", ()):
            origin = typing.get_origin(generic)
            parameters = getattr(origin, "__parameters__", ())
            for parameter, argument in zip(parameters, typing.get_args(generic), strict=False):
                found.setdefault(parameter, substituted(argument, found))
    return found


def substituted(annotation: Any, given: Mapping[Any, Any]) -> Any:
    """Return `annotation` with types in place of the type parameters that they are given for."""
    if isinstance(annotation, typing.TypeVar):
        return given.get(annotation, annotation)
    parameters = getattr(annotation, "__parameters__", ())
    # A generic class by itself has parameters too, but nothing is to be put into it.
    if not parameters or isinstance(annotation, type) or not any(each in given for each in parameters):
        return annotation
    return annotation[tuple(given.get(each, each) for each in parameters)]


@dataclass(slots=True, frozen=True)
class DeclaredEvent:
    """An event as the class `Events` of an actor declares it."""

    name: str
    description: str | None
    parameters: tuple[tuple[str, Any], ...]
    """The name of each argument, and its type."""


def declared_events(cls: type, names: Mapping[str, Any]) -> list[DeclaredEvent] | None:
    """Return the declared events of an actor class, None if it declares none.

    ``newArticle: Article`` is one argument, ``gameStarted: None`` is none, and a method has its parameters:
    ``def moved(self, x: int, y: int) -> None: ...``. Raises `DefinitionError` for types that cannot be
    resolved.
    """
    declared = getattr(cls, "Events", None)
    if declared is None:
        return None
    given = type_arguments(cls)
    found: dict[str, DeclaredEvent] = {}
    for base in reversed(declared.__mro__[:-1]):
        written = list(inspect.get_annotations(base))
        scope = {**vars(sys.modules[base.__module__]), **names}
        hints = resolve_hints(base, written, scope)
        for name in written:
            hint = substituted(hints[name], given)
            found[name] = DeclaredEvent(name, None, () if hint is NoneType else (("data", hint),))
        for name, function in vars(base).items():
            if inspect.isfunction(function):
                parameters = list(inspect.signature(function).parameters.values())[1:]
                types = resolve_hints(function, [parameter.name for parameter in parameters], names)
                found[name] = DeclaredEvent(
                    name,
                    described(function),
                    tuple((each.name, substituted(types.get(each.name, Any), given)) for each in parameters),
                )
    return list(found.values())
