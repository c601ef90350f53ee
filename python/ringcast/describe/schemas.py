"""The types of values that travel, as JSON Schemas: what pydantic says of them, corrected to what is sent.

What clients send is validated by pydantic, which also says what it takes. What they get is written by
`wire/written.py` from the value alone: a plain dataclass with all its public fields under their own names,
whatever its annotations say of serializing; a model, and a dataclass of pydantic's, as it serializes itself.
"""

from __future__ import annotations

import enum
import inspect
import re
import typing
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import pydantic
from pydantic.json_schema import DefsRef, GenerateJsonSchema
from pydantic_core import core_schema

from ..wire.written import is_serialized_by_pydantic
from .interface import REF, Schema, mapped

__all__ = ["RESERVED", "Place", "schemas_of"]

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
    names = _names(writer.refs, named)
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
        self.refs: dict[str, tuple[str, str]] = {}
        """Of each definition, in the order in which they come up: pydantic's reference, and the mode."""
        self._in_model = False
        """Whether a model, or a dataclass of pydantic's, around the value says how it is written."""

    def get_defs_ref(self, core_mode_ref: Any) -> DefsRef:
        # Names are given when all are known: pydantic's may be the same for a type that is sent and for
        # another one that comes.
        ref, mode = core_mode_ref
        key = DefsRef(f"{mode} {ref}")
        self.refs[key] = ref, mode
        self._prioritized_defsref_choices[key] = [key]
        return key

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        with self._as_pydantic_serializes():
            return super().model_schema(schema)

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> Schema:
        if not is_serialized_by_pydantic(schema["cls"]):
            return super().dataclass_schema(schema)
        with self._as_pydantic_serializes():
            return super().dataclass_schema(schema)

    @contextmanager
    def _as_pydantic_serializes(self) -> Iterator[None]:
        before = self._in_model, self.by_alias
        self._in_model = self.by_alias = True
        try:
            yield
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

    def literal_schema(self, schema: core_schema.LiteralSchema) -> Schema:
        written = super().literal_schema(schema)
        if "enum" in written:
            # 1 and a member of an enum that is 1 are one value in JSON; True is another.
            written["enum"] = list({(type(each), each): each for each in written["enum"]}.values())
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


RESERVED: Final = frozenset(
    {"arguments", "await", "break", "case", "catch", "class", "const", "continue", "debugger"}
    | {"default", "delete", "do", "else", "enum", "eval", "export", "extends", "false", "finally"}
    | {"for", "function", "if", "implements", "import", "in", "instanceof", "interface", "let", "new"}
    | {"null", "package", "private", "protected", "public", "return", "static", "super", "switch"}
    | {"this", "throw", "true", "try", "typeof", "var", "void", "while", "with", "yield"}
)
"""Words that cannot be the name of a type or of a parameter in TypeScript."""

_TAKEN: Final = (
    RESERVED
    | {"Registry", "Uint8Array", "any", "bigint", "boolean", "never", "number", "object", "string", "symbol"}
    | {"undefined", "unknown", "infer", "keyof", "readonly", "unique"}
)
"""Names that mean something else as a type in TypeScript, or in our documents."""


def _names(refs: dict[str, tuple[str, str]], named: dict[Any, Schema]) -> dict[str, str]:
    """Return a name for each key of `named`, of which `refs` has pydantic's reference and the mode.

    `Article` for what comes, and `ArticleInput` for what is sent where it differs; `ShopArticle` where
    another module has an `Article` too; `PageArticle` for `Page[Article]`.
    """
    same = _same_either_way(refs, named)
    given = {ref for ref, mode in refs.values() if mode == "serialization"}
    short = Counter(_stem(ref, True) for ref in {ref for ref, _ in refs.values()})
    wanted: dict[str, tuple[bool, str]] = {}
    for key, (ref, mode) in refs.items():
        if key in named and key not in same:
            is_input = mode == "validation" and ref in given
            stem = _stem(ref, short[_stem(ref, True)] == 1)
            wanted[key] = is_input, stem + ("Input" if is_input else "")
    names: dict[str, str] = {}
    taken = set(_TAKEN)
    # What has this name in Python goes first.
    for key, (_, name) in sorted(wanted.items(), key=lambda item: item[1][0]):
        free, number = name, 2
        while free in taken:
            free, number = f"{name}{number}", number + 1
        taken.add(free)
        names[key] = free
    return names | {sent: names[comes] for sent, comes in same.items()}


def _stem(ref: str, is_short: bool) -> str:
    """Return a name made of a reference such as `shop.Page:4711[shop.Article:4712]`."""
    parts = [part.rsplit(":", 1)[0] for part in re.split(r"([\][,])", ref)]
    if is_short:
        parts = [part.rpartition(".")[2] for part in parts]
    if len(parts) == 1 and parts[0].isidentifier():
        return parts[0]
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"\W+|_+", "".join(parts)))


def _same_either_way(refs: dict[str, tuple[str, str]], named: dict[Any, Schema]) -> dict[str, str]:
    """Return which types are the same sent as given: by the key of the sent one, that of the given one."""
    given = {ref: key for key, (ref, mode) in refs.items() if mode == "serialization" and key in named}
    same = {
        key: given[ref]
        for key, (ref, mode) in refs.items()
        if mode == "validation" and ref in given and key in named
    }
    while True:
        # They may refer to others, and to themselves: what is left differs only in what is left.
        renamed = {REF + sent: REF + comes for sent, comes in same.items()}

        def change(schema: Schema, renamed: dict[str, str] = renamed) -> Schema:
            if "$ref" in schema:
                schema["$ref"] = renamed.get(schema["$ref"], schema["$ref"])
            return schema

        def is_same(sent: str, comes: str, change: Callable[[Schema], Schema] = change) -> bool:
            return mapped(named[sent], change) == mapped(named[comes], change)

        left = {sent: comes for sent, comes in same.items() if is_same(sent, comes)}
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
