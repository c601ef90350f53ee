"""Which values an event takes that declares its arguments, and what is said of those that it does not."""

from __future__ import annotations

import collections.abc
import datetime
from collections import OrderedDict
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    Literal,
    Optional,
)
from uuid import UUID

import pydantic
import pytest
from event_types import (
    NOON,
    Article,
    Cat,
    Checked,
    Dog,
    FarMove,
    Lax,
    Move,
    Numbered,
    Open,
    Page,
    Pet,
    Place,
    Played,
    Point,
    Premium,
    Role,
    Said,
    Scored,
    Size,
    Table,
    Tone,
    Tree,
    Weighed,
)

from ringcast.errors import (
    InvalidEvent,
)
from ringcast.schema.declared import EventSpec, Parameter
from shown import shown


def spec_of(*annotations: Any) -> EventSpec:
    parameters = tuple(Parameter(f"arg{n}", annotation) for n, annotation in enumerate(annotations))
    return EventSpec("Room", "said", parameters)


# --- what fits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 3),
        (int, Size.BIG),
        (float, 2.5),
        (float, 3),
        (str, "text"),
        (str, Tone.LOUD),
        (bool, True),
        (bytes, b"x"),
        (Decimal, Decimal("1.5")),
        (datetime.datetime, NOON),
        (datetime.date, NOON.date()),
        (datetime.timedelta, datetime.timedelta(1)),
        (UUID, UUID(int=1)),
        (Role, Role.ADMIN),
        (Literal["a", 1], "a"),
        (int | str, "a"),
        (Optional[int], None),  # noqa: UP045  # both ways to write it
        (Place | None, Place(1)),
        (list[int], [1, 2]),
        (tuple[int, str], (1, "a")),
        (tuple[int, ...], (1, 2)),
        (set[str], {"a"}),
        (frozenset[str], frozenset("a")),
        (collections.abc.Set[str], {"a"}),
        (collections.abc.Sequence[int], [1]),
        (collections.abc.Sequence[int], (1,)),
        (collections.abc.Mapping[str, int], OrderedDict(a=1)),
        (dict[int, list[Place]], {1: [Place(1, 2.5)]}),
        (Place, Place(1)),
        (Move, Move("ann", Place(1), ["bob"])),
        (Move, FarMove("ann", Place(1))),
        (Tree, Tree("a", [Tree("b", [Tree("c")])])),
        (Article, Article(title="t")),
        (Article, Premium(title="t", price=1)),
        (Page[int], Page[int](items=[1])),
        (Page[int], Page(items=[1])),
        (Checked, Checked(size=1)),
        (Said, {"text": "a"}),
        (Said, {"text": "a", "type": "loud"}),
        (Scored, {"points": 1, "place": Place(1), "seen": {1}, "rounds": [1], "seconds": 3}),
        (Table, {"scores": [{"points": 1}]}),
        (Played, Played({"points": 1})),
        (Lax, {"points": 1}),
        (Open, {"points": 1, "more": 2}),
        (Literal[1, True], True),
        (Literal[3, "a"], Size.BIG),
        (Literal[1] | bool, True),
        (Point, Point(1, 2)),
        (Pet, Dog("dog", "rex")),
        (Annotated[int, pydantic.Field(gt=0)], 1),
        (Any, object()),
    ],
    ids=shown,
)
def test_a_value_of_the_type_fits(annotation: Any, value: Any) -> None:
    spec_of(annotation).check((value,))


@pytest.mark.parametrize(
    ("annotation", "value", "told"),
    [
        (int, "3", "arg0: Input should be a valid integer (str was given)"),
        (int, 3.0, "arg0: Input should be a valid integer (float was given)"),
        (int, True, "(bool was given)"),
        (float, "3", "(str was given)"),
        (float, True, "(bool was given)"),
        # JSON has null for these.
        (float, float("nan"), "arg0: Input should be a finite number (float was given)"),
        (float | None, float("-inf"), "arg0: Input should be a finite number (float was given)"),
        (Place, Place(1, float("inf")), "arg0.y: Input should be a finite number (float was given)"),
        (
            Page[float],
            Page[float](items=[1, float("nan")]),
            "arg0: Input should have a finite number as items.1 (Page[float] was given)",
        ),
        (Weighed, Weighed(float("nan")), "arg0: Input should have a finite number as kg (Weighed was given)"),
        # Sent as text.
        (float, Decimal(1), "(Decimal was given)"),
        (str, b"x", "(bytes was given)"),
        (str, Role.ADMIN, "(Role was given)"),
        (bool, 1, "(int was given)"),
        (datetime.datetime, "2026-01-01T12:00:00Z", "(str was given)"),
        (datetime.date, NOON, "(datetime was given)"),
        (Role, "admin", "(str was given)"),
        (Literal["a", "b"], "c", "arg0: Input should be 'a' or 'b' (str was given)"),
        (int | str, 1.5, "arg0.int: Input should be a valid integer (float was given); arg0.str: "),
        (int | None, "a", "(str was given)"),
        (list[int], [1, "2"], "arg0.1: Input should be a valid integer (str was given)"),
        (list[int], (1,), "(tuple was given)"),
        (tuple[int, str], [1, "a"], "(list was given)"),
        (collections.abc.Set[str], ["a"], "arg0: Input should be an instance of set (list was given)"),
        (dict[str, int], {"a": "b"}, "arg0.a: Input should be a valid integer (str was given)"),
        # Of a dataclass, which has not looked at its fields.
        (Place, Place("east"), "arg0.x: Input should be an instance of float (str was given)"),  # type: ignore[arg-type]
        (Move, Move("ann", Place(1), [2]), "arg0.seen_by.0: "),  # type: ignore[list-item]
        (Move, Move("ann", {"x": 1}), "arg0.to: Input should be an instance of Place (dict was given)"),  # type: ignore[arg-type]
        (list[Place], [Place(1), Place(None)], "arg0.1.x: "),  # type: ignore[arg-type]
        (Tree, Tree("a", [Tree("b", [Tree(3)])]), "arg0.inside.0.inside.0.name: "),  # type: ignore[arg-type]
        # A dict that lacks what has a default, or whose names are not those on the wire, is not what a client
        # was told.
        (Place, {"x": 1.0, "y": 2.0}, "arg0: Input should be an instance of Place (dict was given)"),
        (Article, {"title": "t"}, "arg0: Input should be an instance of Article (dict was given)"),
        (Checked, {"size": 1}, "arg0: Input should be an instance of Checked (dict was given)"),
        (Premium, Article(title="t"), "arg0: Input should be an instance of Premium (Article was given)"),
        (Said, {}, "arg0.text: Field required (dict was given)"),
        (Said, {"text": "a", "type": "soft"}, "arg0.type: Input should be 'loud' or 'quiet'"),
        (Said, Place(1), "(Place was given)"),
        (Scored, {"points": "1"}, "arg0.points: Input should be a valid integer (str was given)"),
        (Scored, {"points": True}, "arg0.points: Input should be a valid integer (bool was given)"),
        (Scored, {"points": 1.0}, "arg0.points: Input should be a valid integer (float was given)"),
        (Scored, {"points": b"1"}, "arg0.points: Input should be a valid integer (bytes was given)"),
        (Scored, {"points": 1, "place": Place("1")}, "arg0.place.x: "),  # type: ignore[arg-type]
        (Scored, {"points": 1, "place": {"x": 1}}, "arg0.place: Input should be an instance of Place"),
        (Scored, {"points": 1, "seen": [1]}, "arg0.seen: Input should be a valid set (list was given)"),
        (Scored, {"points": 1, "rounds": (1,)}, "arg0.rounds: Input should be a valid list"),
        (Scored, {"points": 1, "seconds": "1.5"}, "arg0.seconds: "),
        (Scored, {"points": 1, "seconds": float("nan")}, "arg0.seconds: Input should be a finite number"),
        (Table, {"scores": [{"points": "1"}]}, "arg0.scores.0.points: "),
        (list[Scored], [{"points": "1"}], "arg0.0.points: "),
        (Played, Played({"points": "1"}), "arg0.best.points: "),  # type: ignore[typeddict-item]
        (Lax, {"points": "1"}, "arg0.points: "),
        (Said, {"text": "a", "by": "ann"}, "arg0.by: Extra inputs are not permitted (str was given)"),
        (Table, {"scores": [{"points": 1, "more": 2}]}, "arg0.scores.0.more: Extra inputs"),
        (Literal[1], True, "arg0: Input should be 1 (bool was given)"),
        (Literal[1, 2], 1.0, "arg0: Input should be 1 or 2 (float was given)"),
        (Literal[0, "a"], False, "arg0: Input should be 0 or 'a' (bool was given)"),
        (Literal[True], 1, "arg0: Input should be True (int was given)"),
        (Annotated[int, pydantic.Strict(False)], "1", "arg0: Input should be a valid integer"),
        (Point, Point("a", 2), "arg0.x: Input should be a valid integer (str was given)"),  # type: ignore[arg-type]
        (Place | Article, Place("east"), "arg0.x: "),  # type: ignore[arg-type]
        (Pet, Cat("cat", "nine"), "lives: Input should be a valid integer (str was given)"),  # type: ignore[arg-type]
        (Pet, Dog("cow", "rex"), "Input tag 'cow' found using 'kind'"),  # type: ignore[arg-type]
        (Annotated[int, pydantic.Field(gt=0)], 0, "arg0: Input should be greater than 0 (int was given)"),
    ],
    ids=shown,
)
def test_what_is_not_of_the_type_is_refused_and_nothing_is_converted(
    annotation: Any, value: Any, told: str
) -> None:
    with pytest.raises(InvalidEvent) as caught:
        spec_of(annotation).check((value,))
    assert caught.value.code == "invalid_event"
    assert told in caught.value.message
    assert caught.value.message.startswith("'said' of Room takes (arg0: ")
    assert "is-instance" not in caught.value.message


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (float, float("nan")),
        (Place, Place(1, float("inf"))),
        (Page[float], Page[float](items=[float("nan")])),
    ],
    ids=shown,
)
def test_where_messagepack_is_all_that_carries_them_any_floats_fit(annotation: Any, value: Any) -> None:
    parameters = (Parameter("arg0", annotation),)
    EventSpec("Room", "said", parameters, msgpack_only=True).check((value,))
    with pytest.raises(InvalidEvent, match="finite number"):
        EventSpec("Room", "said", parameters).check((value,))


@pytest.mark.parametrize("annotation", [Any, dict, list[Any]])
def test_of_what_is_not_declared_nothing_is_said(annotation: Any) -> None:
    value = {"x": float("nan")} if annotation is dict else [float("nan")]
    spec_of(annotation).check((value,))


def test_no_instance_is_made_for_looking_at_the_fields_of_one() -> None:
    value = Numbered(10)
    before = Numbered.made
    spec_of(Numbered).check((value,))
    assert Numbered.made == before
    value.number = "none"  # type: ignore[assignment]
    with pytest.raises(InvalidEvent, match=r"arg0\.number"):
        spec_of(Numbered).check((value,))


def test_a_value_that_contains_itself_is_refused() -> None:
    value = Tree("a")
    value.inside.append(value)
    with pytest.raises(InvalidEvent, match="cyclic"):
        spec_of(Tree).check((value,))


def test_a_model_is_taken_as_it_is_unless_it_says_otherwise() -> None:
    class Careful(pydantic.BaseModel, revalidate_instances="always"):
        size: int

    changed = Article(title="t")
    changed.title = 5  # type: ignore[assignment]
    spec_of(Article).check((changed,))
    with pytest.raises(InvalidEvent, match=r"arg0\.size"):
        spec_of(Careful).check((Careful.model_construct(size="big"),))


@pytest.mark.parametrize(
    ("annotations", "data", "told"),
    [
        ([], (1,), "'said' of Room takes no arguments, and 1 was given"),
        ([int], (), "'said' of Room takes (arg0: int), and none were given"),
        ([int, Place | None], (1,), "'said' of Room takes (arg0: int, arg1: Place | None), and 1 was given"),
        ([int, Any], (1, 2, 3), "'said' of Room takes (arg0: int, arg1: Any), and 3 were given"),
        ([int, Literal["a"]], (1, 2), "'said' of Room takes (arg0: int, arg1: Literal['a']); arg1: Input"),
    ],
)
def test_the_error_names_the_arguments(annotations: list[Any], data: tuple[Any, ...], told: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        spec_of(*annotations).check(data)
    assert caught.value.message.startswith(told)


def test_what_was_given_is_told_with_the_traceback_and_not_to_clients() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise LookupError

    with pytest.raises(InvalidEvent) as caught:
        spec_of(int, int).check(("the secret", Odd()))
    assert "the secret" not in str(caught.value.to_wire())
    [note] = caught.value.__notes__
    assert note == "arg0 was 'the secret'\narg1 was a Odd whose repr raises LookupError"
