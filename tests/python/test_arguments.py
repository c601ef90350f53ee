"""Arguments checked against annotations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from ringcast.errors import DefinitionError, ValidationError
from ringcast.schema.arguments import Arguments
from ringcast.schema.generic import Scope


@dataclass
class Point:
    x: int
    y: int = 0


class Move(BaseModel):
    to: Point
    on: date


class Named(TypedDict):
    name: str


def arguments_of(function: Any, **names: Any) -> Arguments:
    return Arguments(function, 0, "act", Scope(object, names))


def test_values_become_what_the_annotations_say() -> None:
    def act(point: Point, move: Move, named: Named, tags: set[str]) -> None: ...

    bound = arguments_of(act).bind(
        [{"x": 1}, {"to": {"x": 2}, "on": "2024-05-01"}, {"name": "ann"}, ["a", "a"]]
    )
    assert bound == [Point(1), Move(to=Point(2), on=date(2024, 5, 1)), {"name": "ann"}, {"a"}]


def test_unannotated_values_are_taken_as_they_come() -> None:
    def act(anything, more: Any) -> None: ...  # type: ignore[no-untyped-def]

    value = {"some": [1, None]}
    assert arguments_of(act).bind([value, value]) == [value, value]
    assert arguments_of(act).bind([value, value])[0] is value


def test_defaults_stand_for_what_is_missing() -> None:
    def act(one: int, two: int = 2) -> int:
        return one + two

    assert act(*arguments_of(act).bind([1])) == 3
    assert act(*arguments_of(act).bind([1, 5])) == 6


def test_rest_parameters_are_checked_one_by_one() -> None:
    def act(first: str, *rest: int) -> None: ...

    assert arguments_of(act).bind(["a", "1", 2]) == ["a", 1, 2]
    with pytest.raises(ValidationError, match=r"act: rest\.1: "):
        arguments_of(act).bind(["a", 1, "x"])


def test_unannotated_rest_parameters_take_anything() -> None:
    def act(*rest) -> None: ...  # type: ignore[no-untyped-def]

    assert arguments_of(act).bind([1, "x"]) == [1, "x"]


def test_an_error_names_the_function_the_argument_and_the_place_in_it() -> None:
    def act(first: int, move: Move) -> None: ...

    with pytest.raises(ValidationError, match=r"^act: move\.to\.x: Field required$") as raised:
        arguments_of(act).bind([1, {"to": {}, "on": "never"}])
    assert raised.value.metadata["argument"] == "move"
    assert [problem["path"] for problem in raised.value.metadata["problems"]] == [["to", "x"], ["on"]]


def test_an_error_does_not_repeat_the_value() -> None:
    def act(secret: int) -> None: ...

    with pytest.raises(ValidationError) as raised:
        arguments_of(act).bind(["hunter2"])
    assert "hunter2" not in f"{raised.value.message} {raised.value.metadata}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "act: one: Field required (0 given, at least 1 needed)"),
        ([1, 2, 3], "act takes at most 2, and 3 were given"),
    ],
)
def test_a_wrong_number_of_values(values: list[Any], message: str) -> None:
    def act(one: int, two: int = 0) -> None: ...

    with pytest.raises(ValidationError) as raised:
        arguments_of(act).bind(values)
    assert raised.value.message == message


def test_no_values_are_taken_where_there_are_no_parameters() -> None:
    def act() -> None: ...

    assert arguments_of(act).bind([]) == []
    with pytest.raises(ValidationError, match="takes no arguments, and 1 were given"):
        arguments_of(act).bind([1])


def test_local_types_can_be_named() -> None:
    class Local(BaseModel):
        value: int

    def act(local: Local) -> None: ...

    assert arguments_of(act, Local=Local).bind([{"value": 1}]) == [Local(value=1)]


def test_an_annotation_that_cannot_be_resolved_is_refused() -> None:
    def act(value: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(DefinitionError, match="Nowhere"):
        arguments_of(act)


def test_only_the_annotations_of_arguments_are_resolved() -> None:
    def act(value: int) -> Nowhere: ...  # type: ignore[name-defined,empty-body]  # noqa: F821

    assert arguments_of(act).bind([1]) == [1]


def test_a_type_that_cannot_be_validated_is_refused() -> None:
    class Opaque:
        pass

    def act(value: Opaque) -> None: ...

    with pytest.raises(DefinitionError, match="act: value has the type"):
        arguments_of(act, Opaque=Opaque)


def test_a_keyword_only_argument_needs_a_default() -> None:
    def act(*, value: int) -> None: ...

    def fine(*, value: int = 1) -> None: ...

    with pytest.raises(DefinitionError, match="keyword-only"):
        arguments_of(act)
    assert arguments_of(fine).bind([]) == []
