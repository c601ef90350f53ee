"""The types of values that travel, as JSON Schemas: what pydantic says of them, corrected to what is sent.

What clients send is validated by pydantic, which also says what it takes. What they get is written by
`encoding.py` from the value alone: a dataclass with all its public fields under their own names, whatever its
annotations say of serializing; a pydantic model as it serializes itself.
"""

from __future__ import annotations

import enum
import inspect
import re
import typing
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import pydantic
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from .interface import REF, Schema, mapped

__all__ = ["Place", "schemas_of"]

_CONFIG: Final = pydantic.ConfigDict(
    # Comments behind fields go into the documents.
    use_attribute_docstrings=True,
    # What no schema knows is found below, and named.
    arbitrary_types_allowed=True,
)


@dataclass(slots=True, frozen=True)
class Place:
    """A place where values travel, for the schema of what its annotation allows there."""

    where: str
    annotation: Any
    sent_by: Literal["client", "server"]


def schemas_of(places: Sequence[Place]) -> tuple[list[Schema], dict[str, Schema], list[str]]:
    """Return the schema of each place, the named types that they refer to, and what is to be remarked."""
    writer = _Writer(by_alias=True, ref_template=f"{REF}{{model}}")
    remarks: list[str] = []
    inputs = []
    for index, place in enumerate(places):
        mode: Literal["validation", "serialization"] = (
            "validation" if place.sent_by == "client" else "serialization"
        )
        inputs.append((index, mode, _core_schema(place, remarks)))
    by_key, named = writer.generate_definitions(inputs)
    names = _names(named)
    found = [_tidy(by_key[index, mode], names) for index, mode, _ in inputs]
    types = {names[key]: _tidy(schema, names) for key, schema in named.items()}
    remarks += [f"{what} is not in JSON; it stands as unknown" for what in writer.unknown]
    used = _used(found, types)
    return found, {name: types[name] for name in sorted(used)}, remarks


def _core_schema(place: Place, remarks: list[str]) -> Any:
    annotation = place.annotation
    if annotation is inspect.Parameter.empty or isinstance(annotation, typing.TypeVar):
        return core_schema.any_schema()
    if annotation is typing.NoReturn or annotation is typing.Never:
        return core_schema.any_schema()
    # Under another name, because a dataclass by itself takes no configuration from outside.
    Value = typing.NewType("Value", annotation)  # type: ignore[valid-newtype,valid-type]
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            schema = pydantic.TypeAdapter(Value, config=_CONFIG).core_schema
    except Exception as error:  # evaluating a type's annotations can raise anything
        reason = str(error).partition("\n")[0]
        remarks.append(f"{place.where}: the type {annotation!r} stands as unknown: {reason}")
        return core_schema.any_schema()
    remarks += [f"{place.where}: {str(each.message).partition(',')[0]}" for each in warned]
    return schema


class _Writer(GenerateJsonSchema):
    """Pydantic's generator, made to say what is on the wire."""

    ignored_warning_kinds = {"non-serializable-default", "skipped-choice"}  # noqa: RUF012 - as in the base

    def __init__(self, *, by_alias: bool, ref_template: str) -> None:
        super().__init__(by_alias=by_alias, ref_template=ref_template)
        self.unknown: list[str] = []
        self._in_model = False
        """Whether a model around the value says how it is written."""

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        before = self._in_model, self.by_alias
        self._in_model = self.by_alias = True
        try:
            return super().model_schema(schema)
        finally:
            self._in_model, self.by_alias = before

    def dataclass_args_schema(self, schema: core_schema.DataclassArgsSchema) -> Schema:
        if self.mode == "validation" or self._in_model:
            return super().dataclass_args_schema(schema)
        fields = [field for field in schema["fields"] if not field["name"].startswith("_")]
        before, self.by_alias = self.by_alias, False
        try:
            return super().dataclass_args_schema({**schema, "fields": fields, "computed_fields": []})
        finally:
            self.by_alias = before

    def ser_schema(self, schema: Any) -> Schema | None:
        # Of types that pydantic knows, such as paths, these say the same as the wire does.
        if not self._in_model and schema["type"] in ("function-plain", "function-wrap"):
            return None
        return super().ser_schema(schema)

    def field_is_required(self, field: Any, total: bool) -> bool:
        # A default stands for what a client leaves out; what is sent has everything.
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            return field.get("serialization_exclude_if") is None
        return super().field_is_required(field, total)

    def named_tuple_schema(self, schema: Any) -> Schema:
        written = super().named_tuple_schema(schema)
        fields = schema["fields"]
        items = written.get("prefixItems", [])
        written["prefixItems"] = [
            {**item, "title": field["name"]} for item, field in zip(items, fields, strict=True)
        ]
        if self.mode == "serialization":
            written["minItems"] = len(fields)
        return written

    def enum_schema(self, schema: core_schema.EnumSchema) -> Schema:
        written = super().enum_schema(schema)
        if issubclass(schema["cls"], enum.Flag):  # combinations are members too
            del written["enum"]
        return written

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Schema:
        if error_info not in self.unknown:
            self.unknown.append(error_info)
        return {}


def _tidy(schema: Schema, names: dict[str, str]) -> Schema:
    """Return the schema with our names for types, and without titles that repeat a name."""

    def renamed(reference: str) -> str:
        return REF + names[reference.removeprefix(REF)]

    def change(each: Schema) -> Schema:
        if "$ref" in each:
            each["$ref"] = renamed(each["$ref"])
        if mapping := each.get("discriminator", {}).get("mapping"):
            mapping = {value: renamed(ref) for value, ref in mapping.items()}
            each["discriminator"] = {**each["discriminator"], "mapping": mapping}
        if "properties" in each or "enum" in each:
            each.pop("title", None)
        return each

    return mapped(schema, change)


_KEY: Final = re.compile(r"(.+?)(-Input|-Output)?(__\d+)?")
_TAKEN: Final = frozenset(
    {"Registry", "Uint8Array", "any", "bigint", "boolean", "never", "null", "number", "object", "string"}
    | {"symbol", "undefined", "unknown", "void"}
)
"""Names that mean something else in TypeScript, or in our documents."""


def _names(named: dict[Any, Schema]) -> dict[str, str]:
    """Return a name for each of pydantic's: `Article` for what comes, `ArticleInput` for what differs from it
    when it is sent; `ShopArticle` where two modules have one; `PageArticle` for `Page[Article]`."""
    same = _same_either_way(named)
    names: dict[str, str] = {}
    taken = set(_TAKEN)
    # What is plainly called so goes first.
    for key in sorted(named, key=lambda key: (not key.isidentifier(), key)):
        if key in same:
            continue
        match = _KEY.fullmatch(key)
        assert match is not None  # keys are not empty
        base = match[1]
        if "__" in base or base.endswith("_"):
            base = "".join(part[:1].upper() + part[1:] for part in re.split(r"\W+|_+", base))
        name = wanted = base + ("Input" if match[2] == "-Input" else "")
        number = 2
        while name in taken:
            name, number = f"{wanted}{number}", number + 1
        taken.add(name)
        names[key] = name
    return names | {sent: names[given] for sent, given in same.items()}


def _same_either_way(named: dict[Any, Schema]) -> dict[str, str]:
    """Return which types are the same sent as given: by the name of the sent one, that of the given one.

    Pydantic takes two that refer to themselves for different.
    """
    pairs = {key: key.replace("-Input", "-Output") for key in named if "-Input" in key}
    same = {sent: given for sent, given in pairs.items() if given in named}
    while True:
        renamed = {REF + sent: REF + given for sent, given in same.items()}

        def change(schema: Schema, renamed: dict[str, str] = renamed) -> Schema:
            if "$ref" in schema:
                schema["$ref"] = renamed.get(schema["$ref"], schema["$ref"])
            return schema

        left = {
            sent: given
            for sent, given in same.items()
            if mapped(named[sent], change) == mapped(named[given], change)
        }
        if left == same:
            return same
        same = left


def _references(schema: Schema) -> Iterator[str]:
    found: list[str] = []

    def note(each: Schema) -> Schema:
        if "$ref" in each:
            found.append(each["$ref"].removeprefix(REF))
        return each

    mapped(schema, note)
    yield from found


def _used(schemas: Sequence[Schema], types: dict[str, Schema]) -> set[str]:
    used: set[str] = set()
    waiting = list(schemas)
    while waiting:
        for name in _references(waiting.pop()):
            if name not in used:
                used.add(name)
                waiting.append(types[name])
    return used
