"""What JSON gives back as it was: types, by pydantic's schema of them, and values compared. Pure.

Used for states (`state_type.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, Final

__all__ = ["Path", "difference", "is_plain", "keys_that_cannot_be_read", "nodes", "path_of", "shown"]

Path = tuple[str | int, ...]
"""The keys and indices that lead to a place in a value of JSON."""

_ABSENT: Final = object()

_SCALARS: Final = frozenset(
    {"none", "bool", "int", "float", "str", "bytes", "date", "time", "datetime", "timedelta", "uuid"}
)
_NO_KEYS: Final = frozenset(
    {"list", "tuple", "set", "frozenset", "dict", "dataclass", "model", "typed-dict", "named-tuple", "call"}
    | {"nullable", "union", "none"}
)
"""Kinds that an object's key, a string, does not give back."""
_NEUTRAL: Final = frozenset({"type", "ref", "metadata"})
_PARTS: Final[Mapping[str, frozenset[str]]] = {
    "list": frozenset({"items_schema"}),
    "set": frozenset({"items_schema"}),
    "frozenset": frozenset({"items_schema"}),
    "tuple": frozenset({"items_schema", "variadic_item_index"}),
    "dict": frozenset({"keys_schema", "values_schema"}),
    "nullable": frozenset({"schema"}),
    "default": frozenset({"schema", "default", "default_factory", "default_factory_takes_data"}),
    "definitions": frozenset({"schema", "definitions"}),
    "definition-ref": frozenset({"schema_ref"}),
    "dataclass": frozenset(
        {"cls", "fields", "schema", "post_init", "frozen", "slots", "config", "generic_origin"}
    ),
    "dataclass-args": frozenset({"dataclass_name", "fields", "computed_fields", "collect_init_only"}),
    "dataclass-field": frozenset({"name", "schema", "kw_only", "init"}),
    "enum": frozenset({"cls", "members", "sub_type", "missing"}),
}
"""What the schema of a kind may have besides; no constraint, and no serializer of the author's."""


def is_plain(schema: Any) -> bool:
    """Tell whether every value of this type is read back as it was written, whatever it is.

    Otherwise that depends on the value: on a constraint that an assignment does not check, on a model's own
    configuration, on what a union takes it for.
    """
    kind = schema["type"]
    if kind in _SCALARS:
        return not schema.keys() - _NEUTRAL
    if kind not in _PARTS or schema.keys() - _NEUTRAL - _PARTS[kind] or _is_odd(schema):
        return False
    return all(is_plain(part) for part in _parts(schema))


def _is_odd(schema: Any) -> bool:
    match schema["type"]:
        case "enum":
            return not all(isinstance(member.value, str | int) for member in schema["members"])
        case "dataclass":
            own = schema.get("config", {}).get("ser_json_inf_nan") != "constants"
            return own or bool(schema.get("post_init"))
        case "dataclass-args":
            return bool(schema.get("computed_fields"))
        case "dataclass-field":
            return not schema.get("init", True)
    return False


def keys_that_cannot_be_read(schema: Any) -> str | None:
    """Return the kind of keys that a dict in this type has and that are not read back, None if none has."""
    named: dict[str, Any] = {}
    keys: list[Any] = []
    for node in nodes(schema):
        if "ref" in node:
            named[node["ref"]] = node
        if "keys_schema" in node:
            keys.append(node["keys_schema"])
    kinds = (named.get(key.get("schema_ref"), key)["type"] for key in keys)
    return next((kind for kind in kinds if kind in _NO_KEYS), None)


def nodes(schema: Any) -> Iterator[Any]:
    """Yield this schema and all that are inside it."""
    pending = [schema]
    while pending:
        node = pending.pop()
        yield node
        pending += _parts(node)


def difference(one: Any, other: Any) -> Path | None:
    """Return where two values of JSON differ, None if they do not. NaN equals itself."""
    if one == other or repr(one) == repr(other):
        return None
    items: Iterable[tuple[str | int, Any, Any]] = ()
    if isinstance(one, dict) and isinstance(other, dict):
        items = ((key, one.get(key, _ABSENT), other.get(key, _ABSENT)) for key in {**one, **other})
    elif isinstance(one, list) and isinstance(other, list):
        if sorted(map(repr, one)) == sorted(map(repr, other)):
            # A set has no order.
            return None
        if len(one) != len(other):
            return ()
        items = zip(count(), one, other, strict=False)
    else:
        return ()
    for key, left, right in items:
        path = difference(left, right)
        if path is not None:
            return (key, *path)
    return None


def path_of(mark: Any, value: Any) -> Path | None:
    """Return where `mark` is in a value of JSON."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            path = path_of(mark, item)
            if path is not None:
                return (key, *path)
        return None
    return () if value == mark else None


def shown(path: Path | None) -> str:
    """Return a path as people read it."""
    return ".".join(map(str, path)) if path else "it"


def _parts(schema: Any) -> Iterator[Any]:
    """Yield the schemas that this one has inside it."""
    for key, value in schema.items():
        if key in ("metadata", "default", "serialization", "config", "members", "expected"):
            continue
        for each in value if isinstance(value, list) else (value,):
            # A member of a union may come with a label.
            part = each[0] if isinstance(each, tuple) and each else each
            if isinstance(part, dict) and "type" in part:
                yield part
            elif isinstance(part, dict) and key == "arguments_schema":
                yield part["schema"]
            elif isinstance(part, dict) and key in ("fields", "choices"):
                # By name: of a model, or of a union with a discriminator.
                yield from (each for each in part.values() if isinstance(each, dict) and "type" in each)
