"""What an actor class says, read once when it is registered: its types, actions, hooks and stream.

Everything that can be wrong with a class is found here, as a `DefinitionError`. Running it is the work of
`running/instance.py`.
"""

from __future__ import annotations

import inspect
import sys
import typing
from dataclasses import dataclass, fields
from difflib import get_close_matches
from types import FunctionType
from typing import Any, Final

import pydantic

from ..action import ActionSpec, describe_action, marker_of
from ..actor import Actor, SleepAfter, StreamOptions
from ..errors import DefinitionError, EncodingRefused
from ..faults import Hook, is_needed
from ..wire.encoding import Encoding
from ..wire.naming import actor_wire_names, snake_case
from ..wire.protocol import MAX_NAME_CHARS
from .arguments import Check, check_for, invalid, resolve_hints
from .declared import DeclaredEvents, EventChecks, declared_events
from .filterable import StateFields, fields_of
from .generic import Scope
from .state_type import StateType

__all__ = ["ActorDefinition", "Hooks", "define", "names_in_scope"]


@dataclass(slots=True, frozen=True)
class Hooks:
    """The hooks that a class defines, None for those that it does not."""

    create_state: Hook | None
    on_create: Hook | None
    on_start: Hook | None
    on_stop: Hook | None
    on_destroy: Hook | None
    on_before_connect: Hook | None
    create_conn_state: Hook | None
    on_connect: Hook | None
    on_disconnect: Hook | None
    on_state_change: Hook | None
    on_before_action_response: Hook | None
    can_subscribe: Hook | None
    can_call: Hook | None
    snapshot: Hook | None


# How many arguments after self each hook is offered. Those with a value from outside have it second.
_OFFERED: Final = {
    "create_state": 2,
    "on_before_connect": 2,
    "create_conn_state": 2,
    "can_subscribe": 2,
    "can_call": 2,
    "on_before_action_response": 4,
}
_NEAR: Final = 0.87
"""How alike a name and a hook's are, from 0 to 1, for one to be taken for the other: a letter or two."""
_TAKES_OUTSIDE_VALUE: Final = ("create_state", "on_before_connect", "create_conn_state")


_OPTIONS: Final = frozenset({"durable"})
"""Class attributes that are meant to be set."""


@dataclass(slots=True, frozen=True)
class ActorDefinition:
    """One registered actor class."""

    cls: type[Actor[Any, Any]]
    name: str
    wire_names: tuple[str, ...]
    state: StateType
    conn_state: StateType
    state_fields: StateFields
    """The fields of a connection's state that filters may use."""
    actions: dict[str, ActionSpec]
    """By every wire name."""
    hooks: Hooks
    hook_values: dict[str, tuple[str, Check]]
    """By hook: the name of the parameter that takes a value from outside, and its check."""
    events: DeclaredEvents | None
    """None where the class declares none: it may send any."""
    validate_events: bool | None
    """None stands for the server's setting."""
    stream: StreamOptions
    durable: bool
    sleep_after_s: SleepAfter

    def require_encoding(self, encoding: Encoding) -> None:
        """Raise `EncodingRefused` if clients may not use it."""
        if self.stream.msgpack_only and encoding is not Encoding.MSGPACK:
            raise EncodingRefused(f"{self.name} takes clients with MessagePack only")

    def event_checks(self, by_default: bool) -> EventChecks | None:
        """Return what its events have to pass, if the server's setting is `by_default`; None for nothing."""
        if self.events is None:
            return None
        validates = by_default if self.validate_events is None else self.validate_events
        return self.events.checks(arguments=validates)

    def checked(self, hook: str, what: str, value: Any) -> Any:
        """Return `value` as `hook` annotates it. Raises `ValidationError` that begins with `what`."""
        named = self.hook_values.get(hook)
        if named is None:
            return value
        try:
            return named[1](value)
        except pydantic.ValidationError as error:
            raise invalid(what, named[0], error) from None


def define(cls: type[Actor[Any, Any]]) -> ActorDefinition:
    """Read an actor class. Raises `DefinitionError`, or that of an event's name, which says what is wrong."""
    if not (isinstance(cls, type) and issubclass(cls, Actor)) or cls is Actor:
        raise DefinitionError(f"{cls!r} is no subclass of Actor")
    name = cls.__name__
    if len(name) > MAX_NAME_CHARS:
        raise DefinitionError(
            f"the name of an actor has at most {MAX_NAME_CHARS} characters, {name} has more"
        )
    if any(is_needed(parameter) for parameter in list(inspect.signature(cls).parameters.values())):
        raise DefinitionError(f"{name}: __init__ takes no arguments but self")
    _require_nothing_hidden(cls)
    _require_no_typing_error(cls)
    names = names_in_scope(cls)
    state_type, conn_state_type = _type_parameters(cls, names)
    hooks = _hooks(cls)
    if state_type is None and hooks.create_state is not None:
        state_type = _returned_type(name, hooks.create_state, names)
    state = StateType(state_type, f"{name} state")
    state.require_keepable()
    if hooks.create_state is None:
        _require_constructible(name, state)
    conn_state = StateType(conn_state_type, name)
    durable = _durable(cls)
    if durable:
        conn_state.require_keepable()
    return ActorDefinition(
        cls=cls,
        name=name,
        wire_names=actor_wire_names(name),
        state=state,
        conn_state=conn_state,
        state_fields=fields_of(conn_state.annotation),
        actions=_actions(cls, names),
        hooks=hooks,
        hook_values=_hook_values(name, hooks, names),
        events=declared_events(cls, names, msgpack_only=cls.__ringcast_stream__.msgpack_only),
        validate_events=cls.__ringcast_validate_events__,
        stream=cls.__ringcast_stream__,
        durable=durable,
        sleep_after_s=cls.__ringcast_sleep__,
    )


def _own_attributes(cls: type) -> dict[str, Any]:
    """Return what the class and those between it and `Actor` define; the nearest one counts."""
    own: dict[str, Any] = {}
    for base in reversed(cls.__mro__[: cls.__mro__.index(Actor)]):
        own.update(vars(base))
    return own


def _require_nothing_hidden(cls: type) -> None:
    """Methods may be overridden; anything else of the actor's name would break it, somewhere later."""
    for name, value in _own_attributes(cls).items():
        inherited = inspect.getattr_static(Actor, name, None)
        if name.startswith("_") or name in _OPTIONS:
            continue
        if inherited is None or marker_of(value) is not None:
            continue
        kind = property if isinstance(inherited, property) else FunctionType
        if not isinstance(value, kind):
            raise DefinitionError(f"{cls.__name__}.{name} hides what every actor has as {name!r}: rename it")


def _require_no_typing_error(cls: type) -> None:
    """A hook with a letter wrong would never be called, and nobody would be told."""
    hooks = Hooks.__dataclass_fields__
    for name, value in _own_attributes(cls).items():
        if name.startswith("_") or name in hooks or not inspect.isfunction(value) or marker_of(value):
            continue
        near = get_close_matches(snake_case(name), hooks, n=1, cutoff=_NEAR)
        if near:
            raise DefinitionError(
                f"{cls.__name__}.{name} is no hook; did you mean {near[0]}? "
                "(A method of your own needs a name that is less like it.)"
            )


def names_in_scope(cls: type) -> Scope:
    """Return what annotations inside the class may name beyond its module: local types, and its own."""
    names: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        names.update(vars(base).get("__ringcast_scope__", {}))
        names.update((key, value) for key, value in vars(base).items() if isinstance(value, type))
    return Scope(cls, names)


def _type_parameters(cls: type, names: Scope) -> tuple[Any, Any]:
    """Return the two types of ``Actor[State, ConnState]``, followed through generic classes between."""

    def follow(current: type, given: dict[Any, Any]) -> tuple[Any, ...] | None:
        for base in vars(current).get("__orig_bases__", current.__bases__):
            origin = typing.get_origin(base) or base
            if not (isinstance(origin, type) and issubclass(origin, Actor)):
                continue
            arguments = tuple(given.get(argument, argument) for argument in typing.get_args(base))
            if origin is Actor:
                return arguments
            return follow(origin, dict(zip(getattr(origin, "__parameters__", ()), arguments, strict=False)))
        return None

    found = [_resolved(argument, cls, names) for argument in follow(cls, {}) or ()]
    return tuple([*found, None, None][:2])


def _resolved(argument: Any, cls: type, names: Scope) -> Any:
    if isinstance(argument, typing.TypeVar):
        return None
    if isinstance(argument, str | typing.ForwardRef):
        text = argument if isinstance(argument, str) else argument.__forward_arg__
        module = sys.modules.get(cls.__module__)
        try:
            return eval(text, dict(vars(module)) if module else {}, dict(names))
        except Exception as error:  # evaluating an annotation can raise anything
            raise DefinitionError(f"{cls.__name__}: the type {text!r} cannot be resolved: {error}") from error
    return argument


def _returned_type(name: str, create_state: Hook, names: Scope) -> Any:
    """Return the type of a state that only its hook tells: what has none could not be read back."""
    hints = resolve_hints(create_state.function, ["return"], names)
    if "return" not in hints:
        raise DefinitionError(
            f"{name}: create_state has to say what it returns, or the class: class {name}(Actor[State])"
        )
    return hints["return"]


def _require_constructible(name: str, state: StateType) -> None:
    try:
        state.construct()
    except Exception as error:  # a state's constructor is user code
        raise DefinitionError(
            f"{name}: a state cannot be made without arguments ({error}); "
            "give its fields defaults or define create_state(self, c, input)"
        ) from error


def _actions(cls: type[Actor[Any, Any]], names: Scope) -> dict[str, ActionSpec]:
    actions: dict[str, ActionSpec] = {}
    for name in dir(cls):
        # An override of an action stays one, decorated or not: the nearest mark counts.
        marks = (marker_of(vars(base)[name]) for base in cls.__mro__ if name in vars(base))
        marker = next((mark for mark in marks if mark is not None), None)
        if marker is None:
            continue
        if hasattr(Actor, name) or name in Hooks.__dataclass_fields__:
            raise DefinitionError(
                f"{cls.__name__}.{name}: an action may not take the name of a hook or of a method of Actor"
            )
        function = inspect.getattr_static(cls, name)
        if not inspect.isfunction(function):
            raise DefinitionError(f"{cls.__name__}.{name}: an action is a plain method")
        spec = describe_action(cls.__name__, name, function, marker, names)
        for wire_name in spec.wire_names:
            other = actions.setdefault(wire_name, spec)
            if other is not spec:
                raise DefinitionError(
                    f"{cls.__name__}: the actions {other.name} and {name} both answer to {wire_name!r}"
                )
    return actions


def _durable(cls: type[Actor[Any, Any]]) -> bool:
    if not isinstance(cls.durable, bool):
        raise DefinitionError(f"{cls.__name__}.durable is True or False, not {cls.durable!r}")
    return cls.durable


def _hooks(cls: type[Actor[Any, Any]]) -> Hooks:
    found: dict[str, Hook | None] = {}
    for field in fields(Hooks):
        function = inspect.getattr_static(cls, field.name, None)
        if function is not None and not inspect.isfunction(function):
            raise DefinitionError(f"{cls.__name__}.{field.name} is a hook and has to be a plain method")
        found[field.name] = function and Hook.of(field.name, function, _OFFERED.get(field.name, 1))
    snapshot = found["snapshot"]
    if snapshot is not None and snapshot.is_async:
        raise DefinitionError(
            f"{cls.__name__}.snapshot cannot be async: while it waited, events would change what it tells of"
        )
    return Hooks(**found)


def _hook_values(name: str, hooks: Hooks, names: Scope) -> dict[str, tuple[str, Check]]:
    values: dict[str, tuple[str, Check]] = {}
    for hook_name in _TAKES_OUTSIDE_VALUE:
        hook: Hook | None = getattr(hooks, hook_name)
        if hook is None or hook.takes < 2:
            continue
        parameter = list(inspect.signature(hook.function).parameters)[2]
        hints = resolve_hints(hook.function, [parameter], names)
        check = check_for(hints.get(parameter, Any), f"{name}.{hook_name}: {parameter}")
        if check is not None:
            values[hook_name] = parameter, check
    return values
