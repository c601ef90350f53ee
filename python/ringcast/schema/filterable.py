"""Which fields of a connection's state can be filtered, by its type; filters held against them. Pure."""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Iterable, Mapping, Set
from difflib import get_close_matches
from enum import Enum, Flag
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final

import pydantic
import typing_extensions

from ..errors import InvalidFilter
from ..wire.written import is_serialized_by_pydantic
from .serialized import serialized_fields

if TYPE_CHECKING:
    from ..filters import Comparison, Filter

__all__ = ["StateFields", "as_written", "fields_of", "filterable_names"]


class Family(Enum):
    """Values that may be equal to one another, and in order."""

    NONE = 1
    NUMBER = 2
    """bool, int and float."""
    TEXT = 3
    SET = 4
    """A set of str."""


Values = Mapping[Family, frozenset[Any] | None]
"""What a field may hold: values of these families, and of each any (None) or only those."""

_ANYTHING: Final[Values] = dict.fromkeys(Family)
_NOTHING: Final[Values] = {}
"""What a field may hold that cannot be filtered."""
_NONE: Final[Values] = {Family.NONE: None}
_OF_CLASSES: Final[Mapping[type, Values]] = {
    bool: {Family.NUMBER: frozenset({False, True})},
    int: {Family.NUMBER: None},
    float: {Family.NUMBER: None},
    str: {Family.TEXT: None},
    # Whose values are plain strings.
    pydantic.EmailStr: {Family.TEXT: None},
}
"""What an instance may be: the first class that fits counts."""
_NEEDS: Final = {"has": Family.SET, "prefix": Family.TEXT}
"""The family that an operator is for."""
_MOST_SHOWN: Final = 12

_UNIONS: Final = (typing.Union, UnionType)
_OF_TYPED_DICTS: Final = (typing.Required, typing.NotRequired, typing_extensions.ReadOnly)
_WRAPPERS: Final = (typing.Annotated, typing.Final, typing.ClassVar, *_OF_TYPED_DICTS)
_ALIASES: Final = tuple(
    {typing_extensions.TypeAliasType, getattr(typing, "TypeAliasType", typing_extensions.TypeAliasType)}
)


_Roots = frozenset[type]
"""Root models that are looked through, as clients see what they hold and not them."""


@dataclasses.dataclass(slots=True, frozen=True)
class FieldType:
    """What the type of a state says of one field."""

    written: str
    """The type, for people."""
    values: Values


@dataclasses.dataclass(slots=True, frozen=True)
class StateFields:
    """The fields of a state type."""

    state: str
    """What errors call it."""
    by_name: Mapping[str, FieldType]
    others: FieldType | None
    """What a field is that is not in `by_name`; None where there are no others."""

    @property
    def filterable(self) -> tuple[str, ...]:
        """The names of the fields that can be filtered, as far as the type tells them."""
        return tuple(name for name, field in self.by_name.items() if field.values)

    def require(self, wanted: Filter) -> None:
        """Raise `InvalidFilter` for a field that is unknown or cannot be filtered, or never has the value."""
        for comparison in wanted.comparisons():
            field = self.by_name.get(comparison.field, self.others)
            if field is None:
                raise self._unknown(comparison.field)
            if not field.values:
                raise InvalidFilter(
                    f"{self._type_of(comparison.field, field)}, which cannot be filtered; {self._choice()}"
                )
            for alternative in comparison.alternatives():
                self._require_possible(alternative, field)

    def _require_possible(self, comparison: Comparison, field: FieldType) -> None:
        operator, value = comparison.operator, comparison.value
        family = _NEEDS.get(operator) or _family(value)
        if family in field.values:
            known = field.values[family]
            if operator != "eq" or known is None or value in known:
                return
            reason = f", whose values are {_some(known)}"
        elif operator == "has":
            reason = ", which is no set of str"
        elif family is Family.TEXT and Family.SET in field.values:
            reason = "; for a str in it write .has()"
        else:
            reason = ""
        raise InvalidFilter(
            f"{comparison!r:.120} never matches: {self._type_of(comparison.field, field)}{reason}"
        )

    def _unknown(self, name: str) -> InvalidFilter:
        near = get_close_matches(name, self.filterable, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return InvalidFilter(f"{self.state} has no field {name!r}{hint}; {self._choice()}")

    def _type_of(self, name: str, field: FieldType) -> str:
        return f"{self.state}.{name} has the type {field.written}"

    def _choice(self) -> str:
        names = ", ".join(self.filterable)
        return f"these can be filtered: {names}" if names else "none of its fields can be filtered"


def filterable_names(cls: type) -> tuple[str, ...] | None:
    """Return the fields of a state of this class that can be filtered, None if the class does not tell."""
    fields = fields_of(cls)
    return fields.filterable if fields.others is None else None


def fields_of(annotation: Any, *, on_wire: bool = False) -> StateFields:
    """Return the fields of a state with this type; where there is none (None, Any), any field may be used.

    `on_wire` returns those that clients see of a value of this type, by the names that they see. Of a type
    that says nothing of fields there are none then.
    """
    return _fields(annotation, frozenset() if on_wire else None)


def _fields(annotation: Any, roots: _Roots | None) -> StateFields:
    """`roots` is None for a state, which is seen here and not on the wire."""
    on_wire = roots is not None
    annotation, roots = _unrooted(_seen_through(annotation, {}), roots)
    if typing.get_origin(annotation) in _UNIONS:
        members = [_fields(member, roots) for member in typing.get_args(annotation)]
        return _either(members, as_written(annotation))
    cls = typing.get_origin(annotation) or annotation
    arguments = typing.get_args(annotation)
    given = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
    name = as_written(cls)
    unknown = isinstance(annotation, str | typing.TypeVar | typing.ForwardRef)
    if annotation is Any or annotation is object or unknown:
        return StateFields("the event" if on_wire else "the state", {}, FieldType("Any", _ANYTHING))
    if not isinstance(cls, type):
        others = None if on_wire else FieldType("Any", _ANYTHING)
        return StateFields(name if on_wire else "the state", {}, others)
    hints = _hints(cls)
    if hints is not None:
        return _declared(cls, hints, given, roots)
    if issubclass(cls, Mapping):
        value = arguments[1] if len(arguments) == 2 else Any
        return StateFields(
            as_written(annotation), {}, FieldType(as_written(value), _values(value, given, roots))
        )
    # A class of the language, as str and list are, has no fields; one of the author's may have any.
    others = None if cls.__module__ == "builtins" or on_wire else FieldType("Any", _ANYTHING)
    return StateFields(name, {}, others)


def _declared(
    cls: type, hints: dict[str, Any], given: Mapping[Any, Any], roots: _Roots | None
) -> StateFields:
    """Return the fields of a class that declares them."""
    name = as_written(cls)
    seen = hints if roots is None else _on_wire(cls, hints, bool(roots))
    if seen is None:
        return StateFields(name, {}, FieldType(f"unknown ({name} serializes itself)", _NOTHING))
    types = {
        field: FieldType(as_written(_filled(hint, given)), _values(hint, given, roots))
        for field, hint in seen.items()
    }
    return StateFields(name, types, None)


def _on_wire(cls: type, hints: Mapping[str, Any], inside: bool) -> dict[str, Any] | None:
    """Return what clients see of the declared fields of a class: their types, by their names there.

    `inside` of something that pydantic serializes, it serializes all. None if the class says of no field what
    becomes of it.
    """
    if issubclass(cls, tuple):
        # A named tuple is an array there.
        return {}
    if inside or is_serialized_by_pydantic(cls):
        found = serialized_fields(cls)
        if found is None:
            return None
        return {seen: hints.get(name, Any) if kind is ... else kind for seen, (name, kind) in found.items()}
    # Of a plain dataclass clients see nothing that is private.
    is_dataclass = dataclasses.is_dataclass(cls)
    return {name: hint for name, hint in hints.items() if not (is_dataclass and name.startswith("_"))}


def _either(members: list[StateFields], written: str) -> StateFields:
    """Return the fields of a state that is one of several: one that it may lack may be None."""
    names = dict.fromkeys(name for member in members for name in member.by_name)
    absent = FieldType("None", _NONE)
    by_name = {}
    for name in names:
        found = [member.by_name.get(name, member.others) for member in members]
        kinds = dict.fromkeys(field.written for field in found if field is not None)
        by_name[name] = FieldType(" | ".join(kinds), _union((field or absent).values for field in found))
    open_ended = [member.others for member in members if member.others is not None]
    others = (
        FieldType("Any", _union([_NONE, *(field.values for field in open_ended)])) if open_ended else None
    )
    return StateFields(written, by_name, others)


def _hints(cls: type) -> dict[str, Any] | None:
    """Return the annotations of the fields of a state class, None if it is none whose fields are declared."""
    if issubclass(cls, pydantic.BaseModel):
        return {name: field.annotation for name, field in cls.model_fields.items()}
    if dataclasses.is_dataclass(cls):
        names = [field.name for field in dataclasses.fields(cls)]
    elif typing_extensions.is_typeddict(cls):
        names = list(cls.__annotations__)
    elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
        names = list(cls._fields)
    else:
        return None
    hints = _resolved(cls)
    # A type that cannot be resolved, such as one that is imported for type checkers only, is unknown.
    hints = {name: hints.get(name, Any) for name in names}
    # Of a TypedDict. One whose annotations are text does not know of those that say it themselves.
    lacking = {*getattr(cls, "__optional_keys__", ())}
    lacking |= {name for name, hint in hints.items() if typing.get_origin(hint) is typing.NotRequired}
    return {name: hint | None if name in lacking else hint for name, hint in hints.items()}


def _resolved(cls: type) -> dict[str, Any]:
    # By its own name, too: a class that is defined in a function is not found otherwise.
    for names in (None, {cls.__name__: cls}):
        with contextlib.suppress(Exception):  # evaluating an annotation can raise anything
            return typing_extensions.get_type_hints(cls, localns=names, include_extras=True)
    return {}


def _seen_through(annotation: Any, given: Mapping[Any, Any]) -> Any:
    """Return what an annotation stands for, without what is wrapped around it."""
    while True:
        origin = typing.get_origin(annotation)
        if origin in _WRAPPERS:
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, _ALIASES):
            annotation = annotation.__value__
        elif isinstance(origin, _ALIASES):
            annotation = origin.__value__[typing.get_args(annotation)]
        elif isinstance(annotation, dataclasses.InitVar):
            annotation = annotation.type
        elif (filled := _filled(annotation, given)) is not annotation:
            annotation = filled
        else:
            return annotation


def _unrooted(annotation: Any, roots: _Roots | None) -> tuple[Any, _Roots | None]:
    """Return what clients see of a value, who find that of a root model in its place."""
    while roots is not None and isinstance(annotation, type) and issubclass(annotation, pydantic.RootModel):
        serializers = annotation.__pydantic_decorators__
        if serializers.model_serializers or serializers.field_serializers:
            break
        if annotation in roots:  # it holds itself, if not for ever
            return Any, roots
        roots |= {annotation}
        annotation = _seen_through(annotation.model_fields["root"].annotation, {})
    return annotation, roots


def _filled(annotation: Any, given: Mapping[Any, Any]) -> Any:
    """Return what a generic class was given for a type variable; other annotations need not be hashable."""
    return given.get(annotation, annotation) if isinstance(annotation, typing.TypeVar) else annotation


def _values(annotation: Any, given: Mapping[Any, Any], roots: _Roots | None) -> Values:
    """Return what a field of this type may hold, nothing if it cannot be filtered."""
    annotation, roots = _unrooted(_seen_through(annotation, given), roots)
    origin = typing.get_origin(annotation)
    if annotation is Any or annotation is object:
        return _ANYTHING
    if annotation is None or annotation is NoneType:
        return _NONE
    if origin is typing.Literal:
        return _of_values(typing.get_args(annotation))
    if origin in _UNIONS:
        return _union(_values(member, given, roots) for member in typing.get_args(annotation))
    cls = origin or annotation
    if not isinstance(cls, type):
        unknown = isinstance(annotation, str | typing.TypeVar | typing.ForwardRef)
        return _ANYTHING if unknown else _NOTHING
    return _of_class(cls, typing.get_args(annotation), given, roots)


def _of_class(
    cls: type, arguments: tuple[Any, ...], given: Mapping[Any, Any], roots: _Roots | None
) -> Values:
    # A combination of a flag's members is a value of it, too.
    if issubclass(cls, Enum) and not issubclass(cls, Flag):
        return _of_values(cls)
    if issubclass(cls, Set):
        inside = _values(arguments[0], given, roots) if arguments else _ANYTHING
        return {Family.SET: None} if inside is _ANYTHING or set(inside) == {Family.TEXT} else _NOTHING
    return next((values for base, values in _OF_CLASSES.items() if issubclass(cls, base)), _NOTHING)


def _of_values(values: Iterable[Any]) -> Values:
    found: dict[Family, set[Any]] = {}
    for each in values:
        value = each
        while isinstance(value, Enum):
            value = value.value
        if value is not None and not isinstance(value, int | float | str):
            return _NOTHING
        found.setdefault(_family(value), set()).add(value)
    return {family: frozenset(known) for family, known in found.items()}


def _union(parts: Iterable[Values]) -> Values:
    """Return what either may be; nothing if one of them cannot be filtered."""
    found: dict[Family, frozenset[Any] | None] = {}
    for part in parts:
        if not part:
            return _NOTHING
        for family, known in part.items():
            before = found.get(family, frozenset())
            found[family] = None if known is None or before is None else before | known
    return found


def _family(value: Any) -> Family:
    if value is None:
        return Family.NONE
    return Family.TEXT if isinstance(value, str) else Family.NUMBER


def _some(values: Iterable[Any]) -> str:
    shown = sorted(map(repr, values))
    return ", ".join(shown[:_MOST_SHOWN]) + (", …" if len(shown) > _MOST_SHOWN else "")


def as_written(annotation: Any) -> str:
    """Return a type as its author would write it, without modules."""
    if annotation is NoneType or annotation is Ellipsis:
        return "None" if annotation is NoneType else "..."
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in _UNIONS:
        return " | ".join(map(as_written, arguments))
    if origin in _WRAPPERS:
        return as_written(arguments[0])
    name = getattr(origin or annotation, "__name__", None) or str(annotation)
    if not arguments:
        return name
    parts = map(repr if origin is typing.Literal else as_written, arguments)
    return f"{name}[{', '.join(parts)}]"
