"""The `@action` decorator, and what an action is once its class is defined: names, arguments, timeout.

Running one is the work of `running/instance.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, overload

from .errors import DefinitionError
from .schema.arguments import Arguments
from .schema.generic import Scope
from .wire.naming import action_wire_names
from .wire.protocol import MAX_NAME_CHARS

__all__ = ["ActionSpec", "action", "describe_action", "marker_of"]

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_LONGEST_S: Final = 1e9
_MARK: Final = "__ringcast_action__"


@dataclass(slots=True, frozen=True)
class _Marker:
    timeout_s: float | None


@dataclass(slots=True, frozen=True)
class ActionSpec:
    """One action of an actor class."""

    name: str
    """The Python name of the method."""
    wire_names: tuple[str, ...]
    function: Callable[..., Any]
    """The plain function: called with the actor, the context and the bound arguments."""
    is_async: bool
    timeout_s: float | None
    """None stands for the server's `action_timeout_s`."""
    arguments: Arguments


@overload
def action(function: FunctionT, /) -> FunctionT: ...
@overload
def action(*, timeout_s: float | None = None) -> Callable[[FunctionT], FunctionT]: ...


def action(
    function: FunctionT | None = None, /, *, timeout_s: float | None = None
) -> FunctionT | Callable[[FunctionT], FunctionT]:
    """Let clients call this method: ``def name(self, c, *arguments)``, sync or async.

    Arguments are validated from their annotations; an unannotated one is taken as it comes. `timeout_s`
    limits an async action in seconds (the server's `action_timeout_s` otherwise). Raises `DefinitionError`
    for anything that is no plain function.
    """
    if timeout_s is not None and not 0 < timeout_s <= _LONGEST_S:  # written so that nan is refused
        raise DefinitionError(f"an action's timeout_s is above 0 and finite, not {timeout_s}")

    def mark(decorated: FunctionT) -> FunctionT:
        if isinstance(decorated, staticmethod | classmethod | property) or not callable(decorated):
            raise DefinitionError("@action goes on a plain method, below no other kind of decorator")
        setattr(decorated, _MARK, _Marker(timeout_s))
        return decorated

    return mark if function is None else mark(function)


def marker_of(candidate: Any) -> Any:
    """Return what `@action` left on a function, None when it was not decorated."""
    return getattr(candidate, _MARK, None)


def describe_action(
    actor: str, name: str, function: Callable[..., Any], marker: _Marker, names: Scope
) -> ActionSpec:
    """Read an action's signature. `names` are further names that its annotations may use.

    Raises `DefinitionError` for a signature that no client could call.
    """
    where = f"{actor}.{name}"
    if name.startswith("_"):
        raise DefinitionError(f"{where}: the name of an action does not start with an underscore")
    if len(name) > MAX_NAME_CHARS:
        raise DefinitionError(f"{where}: the name of an action has at most {MAX_NAME_CHARS} characters")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(f"{where} is a generator; an action returns its result at once")
    parameters = list(inspect.signature(function).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(parameters) < 2 or any(parameter.kind not in positional for parameter in parameters[:2]):
        raise DefinitionError(f"{where} takes the context after self: def {name}(self, c, …)")
    return ActionSpec(
        name=name,
        wire_names=action_wire_names(name),
        function=function,
        is_async=inspect.iscoroutinefunction(function),
        timeout_s=marker.timeout_s,
        arguments=Arguments(function, 2, name, names),
    )
