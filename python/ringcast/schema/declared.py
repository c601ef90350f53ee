"""What a class declares of its events: their names, and the types of their arguments.

Emitting them is the work of `running/event.py`; whether a value is of a type, that of `exact.py`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass
from difflib import get_close_matches
from types import FunctionType
from typing import Any, Final

import pydantic

from ..errors import DefinitionError, InvalidEvent, InvalidEventName, ReservedName, UnknownEvent
from ..wire.naming import MAX_NAME_CHARS, RESERVED_EVENTS, check_event_name
from .arguments import check_for, resolve_hints
from .exact import exact_check, path_in
from .filterable import as_written
from .generic import Scope, substituted

__all__ = [
    "DeclaredEvents",
    "EventChecks",
    "EventSpec",
    "Parameter",
    "declared_events",
    "refuse_reserved",
]

Check = Callable[[Sequence[Any]], None]
"""Takes the arguments of an event. Raises `InvalidEvent`."""

_ONLY_ARGUMENT: Final = "data"
"""What the argument of an event is called that is declared by an annotation."""

_MOST_PROBLEMS: Final = 3
_MOST_SHOWN_CHARS: Final = 200
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(slots=True, frozen=True)
class Parameter:
    """One argument of an event."""

    name: str
    annotation: Any
    """The type, resolved; `Any` where none was given."""


class EventSpec:
    """One declared event."""

    __slots__ = ("_count", "_exact", "_title", "name", "parameters")

    def __init__(
        self, actor: str, name: str, parameters: tuple[Parameter, ...], *, msgpack_only: bool = False
    ) -> None:
        """Raises what pydantic raises for a type that it does not know."""
        self.name = name
        self.parameters = parameters
        self._title = f"{name!r} of {actor}"
        self._count = len(parameters)
        annotations = [each.annotation for each in parameters]
        is_typed = any(annotation is not Any for annotation in annotations)
        self._exact = exact_check(annotations, finite=not msgpack_only) if is_typed else None

    def check(self, data: Sequence[Any]) -> None:
        """Raise `InvalidEvent` unless these are its arguments. They are sent as they are, not converted."""
        if len(data) != self._count:
            raise self._wrong_count(len(data))
        if self._exact is not None:
            try:
                self._exact(data)
            except pydantic.ValidationError as error:
                raise self._misfit(error) from None

    @property
    def _signature(self) -> str:
        if not self.parameters:
            return "no arguments"
        return f"({', '.join(f'{each.name}: {as_written(each.annotation)}' for each in self.parameters)})"

    def _wrong_count(self, given: int) -> InvalidEvent:
        verb = "was" if given == 1 else "were"
        return InvalidEvent(f"{self._title} takes {self._signature}, and {given or 'none'} {verb} given")

    def _misfit(self, error: pydantic.ValidationError) -> InvalidEvent:
        """Return the error for arguments of a wrong type.

        Its text goes to whoever called the action, so it says of which type the values are, and not what they
        are: that is in a note, which is shown with a traceback.
        """
        problems = error.errors(include_url=False, include_context=False)[:_MOST_PROBLEMS]
        told, given = [], []
        for problem in problems:
            first, *rest = problem["loc"]
            path = ".".join((self.parameters[int(first)].name, *path_in(rest)))
            told.append(f"{path}: {problem['msg']} ({type(problem['input']).__name__} was given)")
            given.append(f"{path} was {_shown(problem['input'])}")
        invalid = InvalidEvent(f"{self._title} takes {self._signature}; {'; '.join(told)}")
        invalid.add_note("\n".join(given))
        return invalid


class EventChecks(dict[str, Check | None]):
    """By the name of an event, what its arguments have to pass: None for nothing.

    Looking up a name that is not declared raises `UnknownEvent`, or what `check_event_name` raises.
    """

    def __init__(self, actor: str, checks: Mapping[str, Check | None]) -> None:
        super().__init__(checks)
        self._actor = actor

    def __missing__(self, name: str) -> None:
        check_event_name(name)
        near = get_close_matches(name, self, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UnknownEvent(f"{self._actor} has no event {name!r}{hint}")


class DeclaredEvents(Mapping[str, EventSpec]):
    """The events that an actor class declares, by name: it has no others."""

    def __init__(self, actor: str, specs: Iterable[EventSpec]) -> None:
        self._specs = {spec.name: spec for spec in specs}
        # Both are made once, and shared by all actors of the class.
        self._checks = EventChecks(actor, {name: spec.check for name, spec in self._specs.items()})
        self._names = EventChecks(actor, dict.fromkeys(self._specs))

    def __getitem__(self, name: str) -> EventSpec:
        return self._specs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def require(self, name: str) -> None:
        """Raise `UnknownEvent` for the name of none of these."""
        self._names[name]

    def checks(self, *, arguments: bool) -> EventChecks:
        """Return what events have to pass: their name alone, or with their arguments."""
        return self._checks if arguments else self._names


def refuse_reserved(cls: type) -> None:
    """Raise `ReservedName` if a class body declares an event of such a name, whatever else is wrong with it.

    It looks at names only, since the types may not be there yet, and so at no annotation that is still to be
    evaluated: `declared_events` does.
    """
    declaration = vars(cls).get("Events")
    if isinstance(declaration, type):
        for base in declaration.__mro__:
            for name in RESERVED_EVENTS.intersection((*vars(base), *vars(base).get("__annotations__", ()))):
                _require_name(f"{cls.__name__}.Events.{name}", name)


def declared_events(cls: type, names: Scope, *, msgpack_only: bool = False) -> DeclaredEvents | None:
    """Read what an actor class, and those that it derives from, declare as ``class Events``.

    `names` are further names that annotations may use; `msgpack_only` says that JSON has to carry none. None
    where nothing is declared, so that an event may be anything. Raises `DefinitionError`, `InvalidEventName`
    and `ReservedName`.
    """
    declarations = [vars(base)["Events"] for base in reversed(cls.__mro__) if "Events" in vars(base)]
    if not declarations:
        return None
    found: dict[str, tuple[Parameter, ...]] = {}
    for declaration in declarations:
        if not isinstance(declaration, type):
            raise DefinitionError(
                f"{cls.__name__}.Events is a class that declares events, not {declaration!r}"
            )
        for base in reversed(declaration.__mro__):
            if base is not dict:  # as of a `TypedDict`
                found.update(_read(base, f"{cls.__name__}.Events", names))
    specs = [EventSpec(cls.__name__, *each, msgpack_only=msgpack_only) for each in found.items()]
    return DeclaredEvents(cls.__name__, specs)


def _read(body: type, where: str, names: Scope) -> Iterator[tuple[str, tuple[Parameter, ...]]]:
    """Yield what one class body declares: by annotations, and by methods."""
    annotations = inspect.get_annotations(body)
    for name, annotation in annotations.items():
        _require_name(f"{where}.{name}", name)
        if name in vars(body):
            raise DefinitionError(f"{where}.{name}: an event has no value, only the type of its argument")
        yield name, _of_annotation(body, f"{where}.{name}", annotation, names)
    for name, value in vars(body).items():
        if name in annotations or name.startswith("_"):  # the latter are Python's, or of no meaning here
            continue
        _require_name(f"{where}.{name}", name)
        yield name, _of_method(f"{where}.{name}", name, value, names)


def _require_name(where: str, name: str) -> None:
    if name.startswith("_"):
        raise DefinitionError(f"{where}: the name of an event does not start with an underscore")
    if len(name) > MAX_NAME_CHARS:
        raise InvalidEventName(f"{where}: the name of an event has at most {MAX_NAME_CHARS} characters")
    if name in RESERVED_EVENTS:
        raise ReservedName(f"{where}: clients use this name for the life of a connection")


def _of_annotation(body: type, where: str, annotation: Any, names: Scope) -> tuple[Parameter, ...]:
    # Each by itself, so that the error names the one that cannot be resolved.
    holder = type(body.__name__, (), {"__annotations__": {"it": annotation}, "__module__": body.__module__})
    try:
        resolved = typing.get_type_hints(holder, localns=dict(names), include_extras=True)["it"]
    except Exception as error:  # evaluating an annotation can raise anything
        raise DefinitionError(f"the annotation of {where} cannot be resolved: {error}") from error
    if resolved is type(None):
        return ()
    return (_parameter(where, _ONLY_ARGUMENT, substituted(resolved, names.given_in(body))),)


def _of_method(where: str, name: str, function: Any, names: Scope) -> tuple[Parameter, ...]:
    if not isinstance(function, FunctionType):
        raise DefinitionError(
            f"{where}: an event is an annotation ({name}: Type) or a plain method (def {name}(self, …)), "
            f"not a {type(function).__name__}"
        )
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if any(is_kind(function) for is_kind in kinds):
        raise DefinitionError(f"{where}: the method only declares arguments: it is neither async nor yields")
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].name != "self":
        raise DefinitionError(f"{where} takes self first: def {name}(self, …)")
    for parameter in parameters:
        if parameter.kind not in _POSITIONAL or parameter.default is not parameter.empty:
            raise DefinitionError(
                f"{where}: {parameter.name}: the arguments of an event are positional and have no defaults"
            )
    wanted = [parameter.name for parameter in parameters[1:]]
    hints = resolve_hints(function, [*wanted, "return"], names)
    if hints.get("return", type(None)) is not type(None):
        raise DefinitionError(f"{where}: an event returns None")
    return tuple(_parameter(where, each, hints.get(each, Any)) for each in wanted)


def _parameter(where: str, name: str, annotation: Any) -> Parameter:
    bare = typing.get_origin(annotation) or annotation
    if bare in (typing.ClassVar, typing.Final) or isinstance(annotation, InitVar):
        raise DefinitionError(f"{where}: {annotation} is not the type of an argument")
    if check_for(annotation, f"{where}: {name}") is None:
        annotation = Any
    return Parameter(name, annotation)


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.{_MOST_SHOWN_CHARS}}"
    except Exception as error:  # of the author's types, which may raise anything
        return f"a {type(value).__name__} whose repr raises {type(error).__name__}"
