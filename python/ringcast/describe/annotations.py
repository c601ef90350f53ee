"""What an actor class says in its source besides types: docstrings, and type arguments of its bases."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["described", "substituted", "type_arguments"]


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
