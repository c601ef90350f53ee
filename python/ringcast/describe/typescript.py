"""The types of a registry as TypeScript declarations, for `createClient<Registry>`. Pure.

Which shape such a registry has is said in `clients/typescript/src/registry.ts`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from .interface import REF, ActionInterface, ActorInterface, Argument, EventInterface, Interface, Schema
from .schemas import RESERVED

__all__ = ["typescript"]

_INDENT: Final = "  "
_WIDTH: Final = 110
_WORD: Final = re.compile(r"[^\W\d]\w*")
_PRIMITIVES: Final = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
_FORMATS: Final = {
    "date-time": "A date and time, as ISO 8601.",
    "date": "A date, as ISO 8601.",
    "time": "A time of day, as ISO 8601.",
    "duration": "A duration, as ISO 8601.",
    "uuid": "A UUID.",
}
_BYTES: Final = "string | Uint8Array"
"""Bytes: text in JSON, as calls over HTTP always are, and bytes in MessagePack."""


def typescript(interface: Interface, made_by: str) -> str:
    """Return the declarations. `made_by` is the command that makes them."""
    parts = [f"// Made by `{made_by}` from the annotations of the actors; do not edit.\n"]
    parts += [_declaration(name, schema) for name, schema in interface.types.items()]
    parts.append(_registry(interface.actors))
    return "\n".join(parts)


def _declaration(name: str, schema: Schema) -> str:
    comment = _comment(schema.get("description"), "")
    if _is_object(schema):
        return f"{comment}export interface {name} {_members(schema, '')}\n"
    return f"{comment}export type {name} = {_type(schema, '')};\n"


def _registry(actors: Sequence[ActorInterface]) -> str:
    lines = ["/** The actors: `createClient<Registry>(url)`. */", "export interface Registry {"]
    for actor in actors:
        lines.append(_comment(actor.description, _INDENT) + f"{_INDENT}{_property(actor.name)}: {{")
        lines += _actor(actor, _INDENT * 2)
        lines.append(f"{_INDENT}}};")
    lines.append("}\n")
    return "\n".join(lines)


def _actor(actor: ActorInterface, indent: str) -> Iterator[str]:
    inner = indent + _INDENT
    if actor.params is not None:
        optional = "" if actor.params_required else " | undefined"
        yield f"{indent}params: {_type(actor.params, indent)}{optional};"
    if actor.input is not None:
        yield f"{indent}input: {_type(actor.input, indent)};"
    yield from _block("actions", [_action(action, inner) for action in actor.actions], indent)
    bytes_ = "Uint8Array" if actor.msgpack_only else _BYTES
    if actor.events is None:
        yield f"{indent}/** It does not declare its events: any name and arguments are allowed. */"
        yield f"{indent}events: {{ [event: string]: any[] }};"
    else:
        yield from _block("events", [_event(event, inner, bytes_) for event in actor.events], indent)
    if actor.snapshot is not None:
        yield f"{indent}snapshot: {_type(actor.snapshot, indent, bytes_)};"


def _block(name: str, members: Sequence[str], indent: str) -> Iterator[str]:
    if not members:
        # An empty type would allow everything; `Record` may be a class of the registry.
        yield f"{indent}{name}: {{ [name in never]: never }};"
        return
    yield f"{indent}{name}: {{"
    yield from members
    yield f"{indent}}};"


def _action(action: ActionInterface, indent: str) -> str:
    result = "void" if action.returns_nothing else _type(action.result, indent)
    # In quotes, `new` is a method like others.
    name = f'"{action.name}"' if action.name == "new" else _property(action.name)
    head, tail = f"{indent}{name}(", f"): {result};"
    return _comment(action.description, indent) + _parameters(head, action.arguments, tail, indent)


def _parameters(head: str, arguments: Sequence[Argument], tail: str, indent: str) -> str:
    """Return the parameters: one by one, or as tuples of several lengths.

    For an argument with a question mark TypeScript takes `undefined` too, which travels as null. Where that
    does not mean what leaving it out means, each number of arguments has a tuple of its own.
    """
    ends = [i for i, each in enumerate(arguments) if _may_be_absent(each) and not _may_be_undefined(each)]
    if not ends:
        return _listed(head, [_parameter(each, indent) for each in arguments], tail, indent)
    inner = indent + _INDENT * 2
    tuples = []
    needed = 0
    for end in (*ends, len(arguments)):
        items = [_parameter(each, inner, index < needed) for index, each in enumerate(arguments[:end])]
        tuples.append(f"[{', '.join(items)}]")
        needed = end + 1
    line = f"{head}...args: {' | '.join(tuples)}{tail}"
    if len(line.partition("\n")[0]) <= _WIDTH:
        return line
    each_in_a_line = "".join(f"{inner}| {each}\n" for each in tuples)
    return f"{head}\n{indent}{_INDENT}...args:\n{each_in_a_line}{indent}{tail}"


def _parameter(argument: Argument, indent: str, is_there: bool = False) -> str:
    """Return one parameter. `is_there` if others behind it are, so that it cannot be left out."""
    name = argument.name
    if name in RESERVED:
        name += "_"
    if argument.repeated:
        return f"...{name}: {_element(argument.schema, indent)}[]"
    type_ = _type(argument.schema, indent)
    if is_there and _may_be_absent(argument):
        return f"{name}: {type_}{' | undefined' if _may_be_undefined(argument) else ''}"
    return f"{name}{'?' if _may_be_absent(argument) else ''}: {type_}"


def _may_be_absent(argument: Argument) -> bool:
    return not (argument.required or argument.repeated)


def _may_be_undefined(argument: Argument) -> bool:
    """Tell whether null, which `undefined` travels as, is taken for it, and means what its absence means."""
    return argument.defaults_to_none and not {"null", "unknown"}.isdisjoint(
        _type(argument.schema, "").split(" | ")
    )


def _event(event: EventInterface, indent: str, bytes_: str) -> str:
    arguments = [f"{each.name}: {_type(each.schema, indent, bytes_)}" for each in event.arguments]
    head = f"{indent}{_property(event.name)}: ["
    return _comment(event.description, indent) + _listed(head, arguments, "];", indent)


def _listed(head: str, items: Sequence[str], tail: str, indent: str) -> str:
    """Return the items in one line, or in a line each if that is too long."""
    line = head + ", ".join(items) + tail
    if len(line.split("\n")[0]) <= _WIDTH or not items:
        return line
    inner = indent + _INDENT
    return f"{head}\n" + "".join(f"{inner}{item},\n" for item in items) + indent + tail


def _type(schema: Schema, indent: str, bytes_: str = _BYTES) -> str:
    """Return a schema as a type; what it says of values beyond their type is left out."""
    match schema:
        case {"$ref": reference}:
            text = str(reference).removeprefix(REF)
        case {"const": value}:
            text = _literal(value)
        case {"enum": values}:
            text = _union([_literal(value) for value in values])
        case {"anyOf": members} | {"oneOf": members}:
            text = _union([_type(member, indent, bytes_) for member in members])
        case {"allOf": members}:
            text = " & ".join(_element(member, indent, bytes_) for member in members)
        case {"type": list(kinds)}:
            text = _union([_type({**schema, "type": kind}, indent, bytes_) for kind in kinds])
        case {"type": "string", "format": "binary"}:
            text = bytes_
        case {"type": "array"}:
            text = _array(schema, indent, bytes_)
        case {"type": "object"}:
            text = _members(schema, indent, bytes_)
        case _:
            text = _PRIMITIVES.get(str(schema.get("type")), "unknown")
    return text


def _union(members: Sequence[str]) -> str:
    return "unknown" if "unknown" in members else " | ".join(dict.fromkeys(members)) or "never"


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, dict):
        return f"{{ {'; '.join(f'{_property(key)}: {_literal(each)}' for key, each in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)


def _element(schema: Schema, indent: str, bytes_: str = _BYTES) -> str:
    """Return a type as part of a larger one, in brackets if need be."""
    text = _type(schema, indent, bytes_)
    return f"({text})" if " | " in text or " & " in text else text


def _array(schema: Schema, indent: str, bytes_: str) -> str:
    first = schema.get("prefixItems", [])
    rest = schema.get("items", {})
    if not first:
        if schema.get("maxItems") == 0:
            return "[]"
        return f"{_element(rest if isinstance(rest, dict) else {}, indent, bytes_)}[]"
    least = schema.get("minItems", 0)
    items = []
    for index, item in enumerate(first):
        text = _type(item, indent, bytes_)
        mark = "" if index < least else "?"
        if isinstance(item.get("title"), str) and _WORD.fullmatch(item["title"]):
            items.append(f"{item['title']}{mark}: {text}")
        else:
            items.append(f"({text})?" if mark else text)
    if "maxItems" not in schema and rest is not False:
        items.append(f"...{_element(rest, indent, bytes_)}[]")
    return f"[{', '.join(items)}]"


def _is_object(schema: Schema) -> bool:
    """Tell whether it is an object with named members, which an interface is for."""
    return schema.get("type") == "object" and bool(schema.get("properties"))


def _members(schema: Schema, indent: str, bytes_: str = _BYTES) -> str:
    """Return an object type, in braces."""
    properties = schema.get("properties", {})
    others = _others(schema, indent, bytes_)
    if not properties:
        return "{ [key: string]: never }" if others is None else f"{{ {others} }}"
    inner = indent + _INDENT
    required = schema.get("required", ())
    lines = [
        _comment(_property_comment(each), inner)
        + f"{inner}{_property(name)}{'' if name in required else '?'}: {_type(each, inner, bytes_)};"
        for name, each in properties.items()
    ]
    if others is not None:
        # Of the named members it has to be true as well, and theirs are other types.
        lines.append(f"{inner}{_ANY_KEY};")
    return "{\n" + "\n".join(lines) + f"\n{indent}}}"


_ANY_KEY: Final = "[key: string]: unknown"


def _others(schema: Schema, indent: str, bytes_: str) -> str | None:
    """Return how members beside the named ones are declared, None if there are to be none."""
    if patterns := schema.get("patternProperties"):
        return f"[key: string]: {_union([_type(each, indent, bytes_) for each in patterns.values()])}"
    others = schema.get("additionalProperties", "properties" not in schema)
    if others is False:
        return None
    value = "unknown" if others is True else _type(others, indent, bytes_)
    keys = schema.get("propertyNames")
    if isinstance(keys, dict) and keys.keys() & {"$ref", "enum", "const"}:
        return f"[key in {_type(keys, indent)}]?: {value}"
    return f"[key: string]: {value}"


def _property(name: str) -> str:
    return name if _WORD.fullmatch(name) else _literal(name)


def _property_comment(schema: Schema) -> str | None:
    description = schema.get("description") or _FORMATS.get(str(schema.get("format")))
    if schema.get("deprecated"):
        return "\n".join(filter(None, (description, "@deprecated")))
    return description


def _comment(text: str | None, indent: str) -> str:
    if not text:
        return ""
    # A comment ends where it says so.
    lines = text.strip().replace("*/", "*\\/").splitlines()
    if len(lines) == 1 and len(indent) + len(lines[0]) + 7 <= _WIDTH:
        return f"{indent}/** {lines[0]} */\n"
    middle = "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines)
    return f"{indent}/**\n{middle}{indent} */\n"
