"""What pydantic sends of the fields of a class that it serializes: by the names that clients see. Pure.

For the filters of clients (`filterable.py`), who know of a field what comes. Plain dataclasses are written
without pydantic, and looked at there.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pydantic

from .readable import nodes

__all__ = ["UNKNOWN", "serialized_fields"]

UNKNOWN: Final = type("unknown (a serializer does not tell it)", (), {})
"""Stands for the type of what a serializer returns that does not declare it, or not as a simple one."""

_SIMPLE: Final[Mapping[str, Any]] = {"str": str, "int": int, "float": float, "bool": bool, "none": None}
_AS_TEXT: Final = frozenset({"to-string", "format"})
"""Serializers that give text."""
_OBJECTS: Final = frozenset({"model-fields", "dataclass-args", "typed-dict"})
_OBJECTS_AROUND: Final = frozenset({"model", "dataclass", "typed-dict"})
_WRAPPERS: Final = frozenset({"function-before", "function-after", "function-wrap", "model", "dataclass"})
"""What may be around the schema of an object's fields."""


def serialized_fields(cls: type) -> Mapping[str, tuple[str, Any]] | None:
    """Return the fields that clients see of an instance, by their names; None if its class serializes itself.

    Of each: its name here, and the type of what is sent, `...` if that is the declared one.
    """
    try:
        schema: Any = pydantic.TypeAdapter(cls).core_schema
    except Exception:  # evaluating a type's annotations can raise anything
        return None
    named = {node["ref"]: node for node in nodes(schema) if "ref" in node}
    while schema["type"] not in _OBJECTS:
        if "serialization" in schema:
            return None
        if schema["type"] == "definition-ref":
            schema = named[schema["schema_ref"]]
        elif schema["type"] == "definitions" or schema["type"] in _WRAPPERS:
            schema = schema["schema"]
        else:  # such as a root model
            return None
    if "serialization" in schema:
        return None
    found = {
        field.get("serialization_alias", name): (name, _type_of(field, named))
        for name, field in _fields(schema)
        if not field.get("serialization_exclude")
    }
    for computed in schema.get("computed_fields", ()):
        name = computed["property_name"]
        found[computed.get("alias", name)] = name, _computed(computed["return_schema"])
    return found


def _fields(schema: Any) -> Iterator[tuple[str, Any]]:
    fields = schema["fields"]
    if isinstance(fields, dict):
        yield from fields.items()
    else:
        yield from ((field["name"], field) for field in fields if not field.get("init_only"))


def _type_of(field: Any, named: Mapping[str, Any]) -> Any:
    """Return the type of what is sent of a field, `...` if it is the declared one."""
    schema = field["schema"]
    if _is_object(schema, named) or not _has_serializer(schema, named, set()):
        return ...
    found = _returned(schema)
    may_lack = not field.get("required", True) or "serialization_exclude_if" in field
    return typing.Optional[found] if may_lack else found  # noqa: UP045 - at run time


def _has_serializer(schema: Any, named: Mapping[str, Any], seen: set[str]) -> bool:
    for node in nodes(schema):
        if "serialization" in node and not _is_pydantics_own(node["serialization"]):
            return True
        ref = node.get("schema_ref")
        if ref in named and ref not in seen:
            seen.add(ref)
            if _has_serializer(named[ref], named, seen):
                return True
    return False


def _is_pydantics_own(serialization: Any) -> bool:
    """Tell whether this is how pydantic writes a type by itself, and changes nothing that filters see."""
    function = serialization.get("function")
    if function is None:  # "str" and the like are of enums
        return serialization["type"] not in _AS_TEXT
    return getattr(function, "__module__", "").startswith("pydantic.")


def _is_object(schema: Any, named: Mapping[str, Any]) -> bool:
    """Tell whether a field is an object for clients, or one or None: whatever is in it, no filter sees it."""
    while "serialization" not in schema:
        if schema["type"] == "definition-ref":
            schema = named[schema["schema_ref"]]
        elif schema["type"] in ("default", "nullable", "function-before", "function-after", "function-wrap"):
            schema = schema["schema"]
        else:
            return schema["type"] in _OBJECTS_AROUND and not schema.get("root_model")
    return False


def _returned(schema: Any) -> Any:
    """Return what a field becomes that has a serializer, as a type."""
    serialization = schema.get("serialization")
    if serialization is not None:
        if serialization["type"] in _AS_TEXT:
            return str
        found = _simple(serialization.get("return_schema"))
        unless_none = serialization.get("when_used", "always").endswith("unless-none")
        return typing.Optional[found] if unless_none else found  # noqa: UP045 - at run time
    match schema["type"]:
        case "default":
            return _returned(schema["schema"])
        case "nullable":
            return typing.Optional[_returned(schema["schema"])]  # noqa: UP045 - at run time
    return UNKNOWN


def _computed(schema: Any) -> Any:
    return _returned(schema) if "serialization" in schema else _simple(schema)


def _simple(schema: Any) -> Any:
    """Return a type that is written as it is, `UNKNOWN` for another."""
    if schema is None or "serialization" in schema:
        return UNKNOWN
    match schema["type"]:
        case "nullable":
            return typing.Optional[_simple(schema["schema"])]  # noqa: UP045 - at run time
        case "literal":
            return typing.Literal[tuple(schema["expected"])]
        case "enum":
            return schema["cls"]
        case "set" | "frozenset" if schema.get("items_schema", {}).get("type") == "str":
            return set[str]
    return _SIMPLE.get(schema["type"], UNKNOWN)
