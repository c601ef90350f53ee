"""Whether values are of their types as they stand: nothing is converted. Pure; pydantic does the looking.

For what the server sends (`declared.py`); what comes from outside is converted where that can be done, which
is the work of `arguments.py`.

Pydantic's strict mode is nearly that. It trusts instances of a dataclass, which has not looked at its fields
when it was made; it takes a dict for a model, a `Decimal` (which is sent as text) for a float, and no set for
a `collections.abc.Set`; and a `TypedDict`, or a field that says `strict=False`, is out of it with all that is
inside. It takes True for a literal 1, and a dict with further keys for a `TypedDict`. So its schemas of these
are replaced.

A float is finite where JSON is to carry it, which has null for NaN and infinities: a client that was told of
a number would find none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

import pydantic
from pydantic.dataclasses import is_pydantic_dataclass
from pydantic_core import (
    CoreConfig,
    CoreSchema,
    PydanticCustomError,
    PydanticKnownError,
    SchemaValidator,
    core_schema,
    to_jsonable_python,
)

from .readable import Path, nodes

__all__ = ["exact_check", "path_in"]

_STRICT: Final = CoreConfig(strict=True)
_NO_SCHEMAS: Final = frozenset({"metadata", "default", "serialization", "config", "members", "expected"})
"""What a schema has inside it that may look like one, and is none."""


def exact_check(annotations: Sequence[Any], *, finite: bool = True) -> Callable[[Sequence[Any]], Any]:
    """Return a function that raises `pydantic.ValidationError` unless each of these values is of its type.

    It takes a tuple of as many values as there are annotations. If they have to be `finite`, NaN and
    infinities are no floats.

    A model, and a dataclass of pydantic's, looked at its fields when it was made; those of other dataclasses
    are looked at here, at each call. Raises what pydantic raises for a type that it does not know.
    """
    together: Any = tuple[tuple(annotations)]  # type: ignore[misc]
    schema = pydantic.TypeAdapter(together).core_schema
    floats = _Floats(finite, any(node["type"] == "float" for node in nodes(schema)))
    return SchemaValidator(_exact(schema, floats), config=_STRICT).validate_python


def path_in(location: Iterable[int | str]) -> list[str]:
    """Return the place that an error of such a check names, without what is not written in the type."""
    return [str(part) for part in location if not str(part).startswith("chain[")]


@dataclass(slots=True, frozen=True)
class _Floats:
    """What is asked of the floats of a type."""

    finite: bool
    any: bool
    """Whether there are any."""


def _exact(schema: Any, floats: _Floats) -> Any:
    """Return a schema that takes what is of the type, and nothing else."""
    match schema["type"]:
        case "model" | "dataclass" if schema["type"] == "model" or is_pydantic_dataclass(schema["cls"]):
            origin = getattr(schema["cls"], "__pydantic_generic_metadata__", {}).get("origin")
            return _instance_of(schema, origin or schema["cls"], schema, floats=floats)
        case "dataclass" if schema["schema"]["type"] == "dataclass-args":
            return _instance_of(schema, schema["cls"], _fields(schema, floats))
        case "float":
            then = {**schema, "allow_inf_nan": False} if floats.finite else schema
            return _instance_of(schema, (int, float), then, "float")
        case "literal" if any(isinstance(each, int) for each in schema["expected"]):
            return {"type": "chain", "steps": [_same_kind_as(schema["expected"]), schema]}
        case "frozenset":
            inside = {key: _inside(key, value, floats) for key, value in schema.items()}
            return _instance_of(schema, Set, {**inside, "strict": False}, "set")
    return _strict({key: _inside(key, value, floats) for key, value in schema.items()})


def _same_kind_as(expected: Sequence[Any]) -> CoreSchema:
    """Return a schema that refuses a number that only equals one of these, as True does 1."""

    def check(value: Any) -> Any:
        if isinstance(value, int | float) and not any(
            value == each and _kind(value) is _kind(each) for each in expected
        ):
            raise PydanticKnownError("literal_error", {"expected": " or ".join(map(repr, expected))})
        return value

    return core_schema.no_info_plain_validator_function(check)


def _kind(value: Any) -> type | None:
    return next((kind for kind in (bool, int, float) if isinstance(value, kind)), None)


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that is as strict as what is around it, which has a say where it says nothing itself.

    A `TypedDict` has a configuration of its own; it would hold for all that is inside. Keys that it has not
    would be sent, so there may be none, unless it says that it takes more.
    """
    schema.pop("strict", None)
    if schema["type"] == "typed-dict" and schema.get("extra_behavior") != "allow":
        schema["extra_behavior"] = "forbid"
    if "config" in schema:
        schema["config"] = {**schema["config"], **_STRICT}
    return schema


def _inside(key: str, value: Any, floats: _Floats) -> Any:
    """Return a part of a schema with all schemas in it replaced."""
    if key in _NO_SCHEMAS:
        return value
    if isinstance(value, list | tuple):  # the latter is a member of a union, with its label
        return type(value)(_inside("", each, floats) for each in value)
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("type"), str):
        return _exact(value, floats)
    # By name: of a field, or of a union with a discriminator.
    return {name: _inside("", each, floats) for name, each in value.items()}


def _fields(schema: Any, floats: _Floats) -> CoreSchema:
    """Return a schema of a dataclass's fields that reads them, and makes no instance as pydantic's does."""
    fields = {
        field["name"]: core_schema.model_field(_exact(field["schema"], floats))
        for field in schema["schema"]["fields"]
        if not field.get("init_only")  # is no field of the instance
    }
    return core_schema.model_fields_schema(fields, from_attributes=True)


def _instance_of(
    schema: Any, cls: Any, then: Any, name: str | None = None, floats: _Floats | None = None
) -> dict[str, Any]:
    """Return `then` for instances of `cls`, in the place of `schema`.

    With `floats`, `then` does not look at those inside.
    """
    then = {key: value for key, value in then.items() if key != "ref"}
    first = core_schema.is_instance_schema(cls, cls_repr=name or cls.__name__)
    chain: dict[str, Any] = {"type": "chain", "steps": [first, then]}
    if floats is not None and floats.finite and floats.any:
        chain["steps"].append(core_schema.no_info_plain_validator_function(_require_finite))
    if "ref" in schema:
        chain["ref"] = schema["ref"]
    return chain


def _require_finite(value: Any) -> Any:
    """Raise unless JSON can carry the floats of a model, which has looked at them by its own rules."""
    path = _not_finite(to_jsonable_python(value))
    if path is not None:
        where = {"path": ".".join(map(str, path))}
        raise PydanticCustomError("finite_number", "Input should have a finite number as {path}", where)
    return value


def _not_finite(value: Any) -> Path | None:
    """Return where a value of JSON has a number that is not finite, None if it has none."""
    if isinstance(value, float):
        return None if math.isfinite(value) else ()
    if not isinstance(value, dict | list):
        return None
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        path = _not_finite(item)
        if path is not None:
            return (key, *path)
    return None
