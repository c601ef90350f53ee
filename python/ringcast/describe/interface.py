"""What a registry offers its clients, as data: its actors, what they take, and what comes from them. Pure.

Types are JSON Schemas (draft 2020-12), as they are on the wire. Those that have a name in Python are in
`Interface.types`, and are referred to as ``{"$ref": "#/types/NAME"}``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "REF",
    "ActionInterface",
    "ActorInterface",
    "Argument",
    "EventInterface",
    "Interface",
    "Schema",
    "arguments_schema",
    "mapped",
    "referring",
]

Schema = dict[str, Any]

REF: Final = "#/types/"
"""What a reference to a named type begins with."""


@dataclass(slots=True, frozen=True)
class Argument:
    """One argument of an action or an event, by position."""

    name: str
    schema: Schema
    required: bool = True
    repeated: bool = False
    """Whether any number of them may follow, as Python's ``*names``."""
    defaults_to_none: bool = False
    """Whether it is None where it is left out."""


@dataclass(slots=True, frozen=True)
class ActionInterface:
    """One action, by the name that clients write."""

    name: str
    description: str | None
    arguments: tuple[Argument, ...]
    result: Schema
    returns_nothing: bool
    """Whether it is annotated to return None."""


@dataclass(slots=True, frozen=True)
class EventInterface:
    name: str
    description: str | None
    arguments: tuple[Argument, ...]


@dataclass(slots=True, frozen=True)
class ActorInterface:
    """One actor, by the name that clients write."""

    name: str
    description: str | None
    params: Schema | None
    """None: connections take no parameters."""
    params_required: bool
    call_params: Schema | None
    """What calls without a connection are let in by; None: they are not asked for any."""
    call_params_required: bool
    input: Schema | None
    """None: it is created from nothing."""
    actions: tuple[ActionInterface, ...]
    events: tuple[EventInterface, ...] | None
    """None: it does not say which events it has."""
    snapshot: Schema | None
    """None: it gives none."""
    msgpack_only: bool


@dataclass(slots=True, frozen=True)
class Interface:
    actors: tuple[ActorInterface, ...]
    types: dict[str, Schema]
    """By name, sorted."""
    remarks: tuple[str, ...]
    """What could not be told, and so is anything: for the author of the registry."""


def mapped(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Return a copy of `schema` in which each schema inside, and then it itself, is what `change` makes of
    it."""
    if not isinstance(schema, dict):
        return schema  # True or False: anything, nothing
    copy: Schema = {}
    for key, value in schema.items():
        if key in ("properties", "patternProperties"):
            copy[key] = {name: mapped(each, change) for name, each in value.items()}
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            copy[key] = [mapped(each, change) for each in value]
        elif key in ("items", "additionalProperties", "propertyNames", "not"):
            copy[key] = mapped(value, change)
        else:
            copy[key] = value
    return change(copy)


def referring(schema: Schema, prefix: str) -> Schema:
    """Return `schema` as a document in JSON has it, where named types are at `prefix`: bytes are text.

    A time of day is, of JSON Schema's format, one with an offset, which Python's seldom have.
    """

    def change(each: Schema) -> Schema:
        if "$ref" in each:
            each["$ref"] = prefix + each["$ref"].removeprefix(REF)
        if each.get("format") in ("binary", "time"):
            del each["format"]
        if "discriminator" in each:
            mapping = each["discriminator"].get("mapping", {})
            mapping = {value: prefix + ref.removeprefix(REF) for value, ref in mapping.items()}
            each["discriminator"] = {**each["discriminator"], "mapping": mapping}
        return each

    return mapped(schema, change)


def arguments_schema(arguments: Sequence[Argument]) -> Schema:
    """Return the schema of the array that these arguments travel in."""
    each = [argument for argument in arguments if not argument.repeated]
    schema: Schema = {"type": "array"}
    if each:
        # Beside the type's own title, if it has one, the argument's name says more.
        schema["prefixItems"] = [{**argument.schema, "title": argument.name} for argument in each]
    if least := sum(argument.required for argument in each):
        schema["minItems"] = least
    if len(each) == len(arguments):
        schema["maxItems"] = len(each)
    else:
        schema["items"] = arguments[-1].schema
    return schema
