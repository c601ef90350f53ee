"""What JSON gives back as another type: to which types it can happen, and where it has happened. Pure.

Two values may have the same JSON: `Deposit(5)` and `Withdrawal(5)` in a union of both, `b"abc"` and `"YWJj"`.
So JSON compared with JSON (`readable.py`) does not show it, and states are compared here as Python has them.
"""

from __future__ import annotations

import marshal
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from itertools import combinations, count, repeat
from types import NoneType
from typing import Any, Final

from .readable import Path, nodes

__all__ = ["Doubt", "Retyped", "doubt_about", "retyped"]

Retyped = tuple[Path, type, type]
"""Where a value is of another type when it is read back; what it was, and what it would be."""

_Item = tuple[str | int, Any, Any, Any]
"""A key, both values, and what is written of them; `...` where that is not known."""

_NUMBERS: Final = frozenset({bool, int, float})
_ROWS: Final = frozenset({list, tuple, set, frozenset, deque})
_OF_JSON: Final = frozenset({NoneType, bool, int, float, str, list, dict})
_BUILT_IN: Final = frozenset({int, float, str, bytes, list, tuple, set, frozenset, dict})

_LEAVES: Final = frozenset({NoneType, bool, int, float, str, bytes})
_DATA: Final = frozenset({list, dict})

_TEXTS: Final = frozenset(
    {"str", "bytes", "date", "time", "datetime", "timedelta", "uuid", "decimal", "url", "multi-host-url"}
)
_ARRAYS: Final = frozenset({"list", "tuple", "set", "frozenset", "named-tuple", "call"})
_OBJECTS: Final = frozenset({"dict", "typed-dict", "dataclass", "model"})
_CERTAIN: Final = (
    _TEXTS | _ARRAYS | _OBJECTS | {"none", "bool", "int", "float", "complex", "enum", "literal", "union"}
) | {
    *("nullable", "default", "definitions", "definition-ref", "dataclass-args", "dataclass-field"),
    *("model-fields", "model-field", "typed-dict-field", "named-tuple-field", "arguments", "computed-field"),
}
"""Kinds of schema that give back the type that they have, or one that they can be told apart by."""

Form = tuple[str, object]
"""What a value looks like in JSON, and what it is one of."""
_ANY_FORM: Final[Form] = ("any", None)


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a state of some type might come back as another one, with the same JSON."""

    look_alikes: bool
    """A union has members that look alike in JSON."""
    is_open: bool
    """Something has no type, or code of the author's reads it."""
    classes: tuple[type, ...]

    def is_present(self) -> bool:
        """Tell whether a state has to be looked at even if its JSON is that of one that was looked at.

        An object of a derived class is written and read back as its field's class: where there are none,
        none is in the state.
        """
        for cls in self.classes:
            if cls.__subclasses__():
                return True
        return self.look_alikes


def doubt_about(schema: Any) -> Doubt:
    """Return what there is to doubt about a type, by pydantic's schema of it."""
    every = list(nodes(schema))
    named = {node["ref"]: node for node in every if "ref" in node}
    unions = [node for node in every if node["type"] == "union"]
    classes = [node["cls"] for node in every if node["type"] in ("dataclass", "model", "named-tuple")]
    return Doubt(
        any(_look_alike(union, named) for union in unions),
        any(node["type"] not in _CERTAIN for node in every),
        tuple(cls for cls in dict.fromkeys(classes) if isinstance(cls, type)),
    )


def retyped(before: Any, after: Any, strict: bool, written: Any = ...) -> Retyped | None:
    """Return where a state that was read back has another type than before; None if it is what it was.

    What its own type has made of a value that was not of that type is taken: a set of a list, a date of its
    text, 2 of 2.0. `strict`: only the last, since where members of a union look alike, nobody can tell that
    from a change. `written` is the JSON of both, decoded: without it, what a serializer leaves out is found
    to be another one as well.
    """
    was, now = type(before), type(after)
    if was is not now and not _may_become(was, now, strict):
        # Null stands for what a serializer leaves out.
        return None if now is NoneType and written is None else ((), was, now)
    if isinstance(before, set | frozenset) and isinstance(after, set | frozenset):
        return _retyped_in_set(before, after, strict)
    if isinstance(before, dict) and isinstance(after, dict):
        found = _retyped_key(before, after, strict)
        if found is not None:
            return found
    for key, one, other, part in _items(before, after, written):
        if one is other or (type(one) is type(other) and type(one) in _LEAVES):
            continue
        found = retyped(one, other, strict, part)
        if found is not None:
            return (key, *found[0]), *found[1:]
    return None


def _may_become(was: type, now: type, strict: bool) -> bool:
    if was in _NUMBERS and now in _NUMBERS:
        return True  # an equal one
    if strict:
        return False
    if was in _ROWS and now in _ROWS:
        return True
    if now in _BUILT_IN and issubclass(was, now):
        return True
    return was in _OF_JSON and now not in _OF_JSON


def _items(before: Any, after: Any, written: Any) -> Iterable[_Item]:
    """Return what is inside two values, and what is written of each; nothing of those that have no order."""
    if type(before) in _DATA and type(after) in _DATA and _is_same_data(before, after):
        return ()
    if isinstance(before, dict) and isinstance(after, dict):
        if _has_text_keys(before) and _has_text_keys(after):
            of_key = written if isinstance(written, dict) else {}
            return ((key, before[key], after[key], of_key.get(key, ...)) for key in before if key in after)
        return zip(map(str, before), before.values(), after.values(), _parts(written), strict=False)
    if isinstance(before, list | tuple | deque) and isinstance(after, list | tuple | deque):
        return zip(count(), before, after, _parts(written), strict=False)
    return _fields(before, after, written) if type(before) is type(after) else ()


def _parts(written: Any) -> Iterable[Any]:
    if isinstance(written, dict):
        return written.values()
    return written if isinstance(written, list) else repeat(...)


def _is_same_data(one: Any, other: Any) -> bool:
    """Tell whether two values are the same down to their types; False if that cannot be told this way.

    In C, which a walk through a large state without types is not; it takes the exact built-in types alone.
    """
    try:
        return marshal.dumps(one, 0) == marshal.dumps(other, 0)
    except ValueError:
        return False


def _has_text_keys(value: dict[Any, Any]) -> bool:
    return all(type(key) is str for key in value)


def _retyped_key(before: dict[Any, Any], after: dict[Any, Any], strict: bool) -> Retyped | None:
    if _has_text_keys(before):
        return None
    if len(before) != len(after):
        # 1 and "1" are the same key in JSON.
        return (), type(before), type(after)
    for key, again in zip(before, after, strict=True):
        if (strict or type(again) is not str) and retyped(key, again, strict) is not None:
            return (str(key),), type(key), type(again)
    return None


def _retyped_in_set(before: Iterable[Any], after: Iterable[Any], strict: bool) -> Retyped | None:
    """As `retyped`, of two sets, which have no order."""
    kinds = Counter(map(type, before))
    if kinds == Counter(map(type, after)) and kinds.keys() <= _LEAVES:
        return None
    left = deque(after)
    for item in before:
        for _ in range(len(left)):
            if retyped(item, left[0], strict) is None:
                left.popleft()
                break
            left.rotate(-1)
        else:
            return (), type(item), type(left[0]) if left else NoneType
    return None


def _fields(before: Any, after: Any, written: Any) -> Iterator[_Item]:
    """Yield the fields of two objects of one class: those that are written, if that is known."""
    kind = type(before)
    if getattr(kind, "__pydantic_root_model__", False):
        yield "root", before.root, after.root, written
        return
    for name, keys in _names_of(kind):  # type: ignore[arg-type]  # types are hashable
        part = ...
        if isinstance(written, dict):
            key = next((key for key in keys if key in written), None)
            if key is None:
                continue
            part = written[key]
        yield name, getattr(before, name, None), getattr(after, name, None), part
    extra = getattr(before, "__pydantic_extra__", None) or {}
    for name, value in extra.items():
        yield name, value, getattr(after, name, None), ...


@lru_cache(maxsize=256)
def _names_of(kind: type) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the names of a class's fields, each with the keys that it may be written by."""
    described: Mapping[str, Any] = getattr(kind, "__pydantic_fields__", None) or {}
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else list(described)
    aliases = (
        (described[name].serialization_alias, described[name].alias) if name in described else ()
        for name in names
    )
    return tuple((name, (name, *filter(None, also))) for name, also in zip(names, aliases, strict=True))


# --- what looks alike ---------------------------------------------------------------------------------------


def _look_alike(union: Any, named: Mapping[str, Any]) -> bool:
    """Tell whether members of a union may have the same JSON and are not the same."""
    for one, other in combinations((_forms(choice, named, ()) for choice in _choices(union)), 2):
        if _ANY_FORM in one | other:
            return True
        if any(form == another and what != also for form, what in one for another, also in other):
            return True
    return False


def _forms(schema: Any, named: Mapping[str, Any], within: tuple[str, ...]) -> set[Form]:
    """Return the forms that values of this type may have."""
    kind = schema["type"]
    found = {_ANY_FORM}
    if "serialization" in schema or schema.get("root_model"):
        return found
    if kind in _TEXTS:
        found = {("text", kind)}
    elif kind in _ARRAYS:
        found = {("array", id(schema))}
    elif kind in _OBJECTS:
        found = {("object", id(schema))}
    elif kind in ("none", "bool", "int", "float"):
        found = {(kind, kind)}
    elif kind == "literal":
        found = {_form_of(value) for value in schema["expected"]}
    elif kind == "enum":
        found = {(_form_of(member.value)[0], schema["cls"]) for member in schema["members"]}
    elif kind in ("nullable", "default", "definitions", "union"):
        found = {("none", "none")} if kind == "nullable" else set()
        for inner in [schema["schema"]] if kind != "union" else _choices(schema):
            found |= _forms(inner, named, within)
    elif kind == "definition-ref" and schema["schema_ref"] not in within:
        ref = schema["schema_ref"]
        found = _forms(named[ref], named, (*within, ref))
    return found


def _choices(union: Any) -> list[Any]:
    # A member may come with a label.
    return [choice[0] if isinstance(choice, tuple) else choice for choice in union["choices"]]


def _form_of(value: Any) -> Form:
    if isinstance(value, Enum):
        return _form_of(value.value)[0], type(value)
    names: dict[type, Form] = {
        NoneType: ("none", "none"),
        bool: ("bool", "bool"),
        int: ("int", "int"),
        float: ("float", "float"),
        str: ("text", "str"),
    }
    return names.get(type(value), _ANY_FORM)
