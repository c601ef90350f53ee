"""What of a connection's state can be filtered: by its type, by its values, and which filters do not fit."""

from __future__ import annotations

import collections.abc
import datetime as dt
import typing
from dataclasses import dataclass, field, make_dataclass
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag, StrEnum
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, NewType, NotRequired, TypeVar

import pydantic
import pytest
from expressions import FIELDS, UNTIMED, Anything, Expression, decode, expressions, meetings, simple, states
from hypothesis import given
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypeAliasType, TypedDict

from ringcast import attribute, where
from ringcast.errors import InvalidFilter
from ringcast.filters import Filter
from ringcast.schema.attributes import attributes_of
from ringcast.schema.filterable import fields_of


class Role(Enum):
    ADMIN = "admin"
    MOD = "mod"


class Rank(IntEnum):
    LOW = 1
    HIGH = 3


class Plan(StrEnum):
    FREE = "free"
    PRO = "pro"


class Rights(IntFlag):
    READ = 1
    WRITE = 2


class Corner(Enum):
    HERE = (0, 0)


UserId = NewType("UserId", str)
Level = TypeAliasType("Level", Annotated[int, pydantic.Field(ge=0)])
T = TypeVar("T")
Maybe = TypeAliasType("Maybe", T | None, type_params=(T,))


@dataclass
class Reader:
    user_id: UserId
    subscription: Literal["free", "premium"] = "free"
    role: Role = Role.MOD
    level: int = 0
    score: float = 0.0
    muted: bool = False
    owner: str | None = None
    tags: set[str] = field(default_factory=set)
    history: list[str] = field(default_factory=list)
    shared: ClassVar[int] = 3


class ReaderModel(pydantic.BaseModel):
    user_id: UserId
    subscription: Literal["free", "premium"] = "free"
    role: Role = Role.MOD
    level: int = pydantic.Field(0, alias="lvl")
    score: float = 0.0
    muted: bool = False
    owner: str | None = None
    tags: set[str] = set()
    history: list[str] = []
    _private: int = 1


class ReaderDict(TypedDict):
    user_id: UserId
    subscription: Literal["free", "premium"]
    role: Role
    level: int
    score: float
    muted: bool
    owner: str | None
    tags: set[str]
    history: list[str]


class ReaderTuple(NamedTuple):
    user_id: UserId
    subscription: Literal["free", "premium"] = "free"
    role: Role = Role.MOD
    level: int = 0
    score: float = 0.0
    muted: bool = False
    owner: str | None = None
    tags: frozenset[str] = frozenset()
    history: tuple[str, ...] = ()


PydanticReader = pydantic_dataclass(Reader)
FILTERABLE = ("user_id", "subscription", "role", "level", "score", "muted", "owner", "tags")
DECLARED = pytest.mark.parametrize(
    "state_type",
    [Reader, PydanticReader, ReaderModel, ReaderDict, ReaderTuple],
    ids=lambda cls: str(cls)[7:-1],
)


def check(state_type: Any, *filters: Filter, **comparisons: Any) -> None:
    fields_of(state_type).require(where(*filters, **comparisons))


def refused(state_type: Any, *filters: Filter, **comparisons: Any) -> str:
    with pytest.raises(InvalidFilter) as refusal:
        check(state_type, *filters, **comparisons)
    return str(refusal.value)


# --- which fields, by the type of the state -----------------------------------------------------------------


@DECLARED
def test_fields_that_can_be_filtered(state_type: Any) -> None:
    assert fields_of(state_type).filterable == FILTERABLE


@DECLARED
def test_a_filter_that_fits(state_type: Any) -> None:
    check(state_type, user_id="ann", subscription__in=("free", "premium"), role=Role.ADMIN, level__ge=3)
    check(state_type, score__lt=1, muted=True, owner__is=None, owner__prefix="A", tags__has="vip")
    check(state_type, ~(where(level=1.5) | where(score__in=(1, True))))
    check(state_type)


@DECLARED
def test_an_unknown_field_is_refused_with_those_that_there_are(state_type: Any) -> None:
    text = refused(state_type, lvel=3)
    assert "has no field 'lvel' (did you mean 'level'?)" in text
    assert text.endswith("; these can be filtered: " + ", ".join(FILTERABLE))
    for name in ("shared", "_private", "lvl", "model_fields"):
        assert f"no field {name!r}" in refused(state_type, **{name: 1})


@DECLARED
def test_a_field_that_cannot_be_filtered_is_refused_with_its_type(state_type: Any) -> None:
    text = refused(state_type, role=Role.ADMIN, history__has="a")
    kind = "tuple[str, ...]" if state_type is ReaderTuple else "list[str]"
    assert f".history has the type {kind}, which cannot be filtered; these can be filtered: user_id, " in text


def one_field(annotation: Any) -> Any:
    return make_dataclass("State", [("x", annotation)])


@pytest.mark.parametrize(
    "annotation",
    [
        *(str, int, float, bool, None, str | None, int | str | None),
        *(typing.Optional[float], typing.Union[str, int]),  # noqa: UP007, UP045
        *(Role, Rank, Plan, Rights, Role | None, Literal["a", 1, None, Role.ADMIN]),
        *(set[str], frozenset[str], set[str] | None),
        *(collections.abc.Set[str], collections.abc.MutableSet[UserId]),
        *(set[Plan], set[Literal["a", "b"]], set, set[Any]),
        *(UserId, Level, Maybe[str], Annotated[str, "documented"], Annotated[Level | None, ["in", "a list"]]),
        *(Any, object, T, "str", "unknown.Name", typing.Final[int]),
        *(pydantic.EmailStr, pydantic.PositiveInt, pydantic.StrictBool),
    ],
    ids=str,
)  # fmt: skip
def test_types_that_can_be_filtered(annotation: Any) -> None:
    assert fields_of(one_field(annotation)).filterable == ("x",)


@pytest.mark.parametrize(
    ("annotation", "written"),
    [
        (list[str], "list[str]"),
        (tuple[str, int], "tuple[str, int]"),
        (dict[str, Any], "dict[str, Any]"),
        (set[int], "set[int]"),
        (frozenset[str | None], "frozenset[str | None]"),
        (bytes, "bytes"),
        (complex, "complex"),
        (Decimal, "Decimal"),
        (dt.datetime, "datetime"),
        (dt.datetime | None, "datetime | None"),
        (Annotated[str | list[Reader], "documented"], "str | list[Reader]"),
        (Corner, "Corner"),
        (Literal[b"x"], "Literal[b'x']"),
        (Reader, "Reader"),
    ],
)
def test_types_that_cannot_be_filtered(annotation: Any, written: str) -> None:
    text = refused(one_field(annotation), x=1)
    assert (
        text
        == f"State.x has the type {written}, which cannot be filtered; none of its fields can be filtered"
    )


@pytest.mark.parametrize(
    "state_type", [Annotated[Reader, "documented"], NewType("ThatReader", Reader), TypeAliasType("A", Reader)]
)
def test_the_type_of_the_state_is_looked_through(state_type: Any) -> None:
    assert fields_of(state_type).filterable == FILTERABLE


@pytest.mark.parametrize("state_type", [None, Any, object, dict, dict[str, Any], collections.abc.Mapping, T])
def test_without_a_type_every_field_may_be_used(state_type: Any) -> None:
    check(state_type, anything=1, other__has="vip", third=None)


def test_the_values_of_a_dict_may_have_a_type() -> None:
    check(dict[str, int], a=1, b__ge=2.5)
    assert "has the type int" in refused(dict[str, int], a="1")


@pytest.mark.parametrize("state_type", [str, list[str], type(None)])
def test_a_state_without_fields(state_type: Any) -> None:
    assert refused(state_type, level=1).endswith("has no field 'level'; none of its fields can be filtered")


def test_a_state_may_be_one_of_several() -> None:
    @dataclass
    class Guest:
        level: str
        nick: str

    check(Reader | Guest, level="low", nick="ann", role="admin")
    check(Reader | Guest, level=3)
    # One that lacks a field has None there.
    check(Reader | Guest, nick__is=None)
    check(Reader | None, level=None)
    assert "Reader | Guest.level has the type int | str" in refused(Reader | Guest, level=None)


def test_what_a_dict_may_lack_may_be_none() -> None:
    class Partly(TypedDict, total=False):
        level: int

    class Lacking(ReaderDict):
        nick: NotRequired[str]

    check(Partly, level=None)
    check(Lacking, nick__is_not=None)
    assert "never matches" in refused(Lacking, user_id=None)


def test_a_generic_state_has_the_types_that_it_is_given() -> None:
    @dataclass
    class Box(Generic[T]):
        content: T

    class Crate(pydantic.BaseModel, Generic[T]):
        content: T

    for generic in (Box, Crate):
        assert "type int" in refused(generic[int], content="a")
        assert "type list[int]" in refused(generic[list[int]], content=1)
        check(generic, content="a")


# --- values that a field never has --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("comparison", "text"),
    [
        (where(level__ge="3"), "attribute('level') >= '3' never matches: Reader.level has the type int"),
        (where(level=None), "attribute('level').is_(None) never matches: Reader.level has the type int"),
        (where(owner__lt=3), "attribute('owner') < 3 never matches: Reader.owner has the type str | None"),
        (where(user_id=7), "attribute('user_id') == 7 never matches: Reader.user_id has the type UserId"),
        (
            where(level__prefix="1"),
            "attribute('level').startswith('1') never matches: Reader.level has the type int",
        ),
        (
            where(role__has="admin"),
            "attribute('role').has('admin') never matches: "
            "Reader.role has the type Role, which is no set of str",
        ),
        (
            where(tags="vip"),
            "attribute('tags') == 'vip' never matches: "
            "Reader.tags has the type set[str]; for a str in it write .has()",
        ),
        (
            where(subscription="premum"),
            "attribute('subscription') == 'premum' never matches: "
            "Reader.subscription has the type Literal['free', 'premium'], whose values are 'free', 'premium'",
        ),
        (
            where(role__in=("admin", "owner")),
            "attribute('role') == 'owner' never matches: "
            "Reader.role has the type Role, whose values are 'admin', 'mod'",
        ),
        (
            where(muted=2),
            "attribute('muted') == 2 never matches: "
            "Reader.muted has the type bool, whose values are False, True",
        ),
    ],
)
def test_what_never_matches_is_refused(comparison: Filter, text: str) -> None:
    assert refused(Reader, comparison) == text
    # Where it stands makes no difference: what would always match is as much a mistake.
    assert refused(Reader, where(level=1) | (where(muted=True) & ~comparison)) == text


def test_values_of_one_family_may_be_compared() -> None:
    check(Reader, level__ge=2.5, score=1, muted=1)
    check(Reader, level=True, score__in=(2**70, float("nan")))


def test_an_order_among_the_values_of_an_enum_is_one_of_their_values() -> None:
    check(one_field(Rank), x__ge=2)
    check(one_field(Role), x__ge="b", x__prefix="ad")
    assert "never matches" in refused(one_field(Rank), x=2)


def test_flags_may_be_combined() -> None:
    check(one_field(Rights), x=Rights.READ | Rights.WRITE)


def test_long_things_are_not_shown_whole() -> None:
    assert len(refused(Reader, level="a" * 10_000)) < 300
    many = Enum("Many", [f"m{number}" for number in range(100)])  # type: ignore[misc]
    assert refused(one_field(many), x=1000).endswith(", …")


# --- the attributes of a state ------------------------------------------------------------------------------

KEPT = {
    "user_id": "ann",
    "subscription": "premium",
    "role": "admin",
    "level": 3,
    "score": 0.5,
    "muted": True,
    "owner": None,
    "tags": ["a", "b"],
}
GIVEN: dict[str, Any] = {**KEPT, "role": Role.ADMIN, "tags": {"b", "a"}, "history": ["x"]}


@pytest.mark.parametrize(
    "state",
    [
        Reader(**GIVEN),
        PydanticReader(**GIVEN),
        ReaderModel(**GIVEN | {"lvl": 3}),
        ReaderDict(**GIVEN),  # type: ignore[typeddict-item]
        ReaderTuple(**GIVEN),
        GIVEN,
        SimpleNamespace(**GIVEN),
    ],
    ids=lambda state: type(state).__name__,
)
def test_attributes_are_what_can_be_filtered(state: Any) -> None:
    assert decode(attributes_of(state)) == KEPT


@pytest.mark.parametrize("state", [None, "a state", 3, ["a"], object(), {}])
def test_a_state_without_fields_has_no_attributes(state: Any) -> None:
    assert decode(attributes_of(state)) == {}


def test_slots_are_fields_too() -> None:
    @dataclass(slots=True)
    class Slotted:
        level: int
        name: str

    class Plain:
        __slots__ = ("level", "name", "unset")

        def __init__(self) -> None:
            self.level = 1
            self.name = "ann"

    for state in (Slotted(1, "ann"), Plain()):
        assert decode(attributes_of(state)) == {"level": 1, "name": "ann"}


@pytest.mark.parametrize("names", [(), ("one",), ("one", "two")])
def test_a_state_has_as_many_attributes_as_it_has_fields(names: tuple[str, ...]) -> None:
    state = make_dataclass("State", [(name, int) for name in names])(*range(len(names)))
    assert decode(attributes_of(state)) == vars(state)
    for name in names:
        delattr(state, name)
        assert decode(attributes_of(state)) == vars(state)


def test_a_value_that_cannot_be_filtered_is_left_out_whatever_its_type_says() -> None:
    state = Reader("ann", level=[3], tags={"a", 1}, owner=b"x")  # type: ignore[arg-type]
    attributes = decode(attributes_of(state))
    assert attributes.keys() == KEPT.keys() - {"level", "tags", "owner"}
    state.level = 3
    assert decode(attributes_of(state))["level"] == 3


def test_a_field_whose_type_cannot_be_filtered_is_left_out_whatever_it_holds() -> None:
    @dataclass
    class State:
        either: str | list[str]
        level: int = 0

    assert decode(attributes_of(State("a"))) == {"level": 0}


def test_sets_are_in_order() -> None:
    names = {f"name {number}" for number in range(100)} | {"\ud800", "\U00010000"}
    for texts in (names, frozenset(names), dict.fromkeys(names).keys()):
        assert decode(attributes_of({"tags": texts})) == {"tags": sorted(names)}


def test_members_and_their_values_in_a_set_are_one() -> None:
    assert decode(attributes_of({"plans": {Plan.PRO, Role.ADMIN, "admin"}})) == {"plans": ["admin", "pro"]}


def test_ints_may_be_of_any_size() -> None:
    numbers = {f"n{exponent}": sign * 2**exponent for exponent in range(60, 200) for sign in (1, -1)}
    assert decode(attributes_of(numbers)) == numbers


def test_names_that_no_filter_can_have_are_left_out() -> None:
    state = {"": 1, "x" * 128: 2, "x" * 129: 3, 4: 4, None: 5, Plan.PRO: 6}
    assert decode(attributes_of(state)) == {"x" * 128: 2, "pro": 6}


@UNTIMED
@given(states)
def test_attributes_are_the_values_that_filters_see(state: Anything) -> None:
    attributes = decode(attributes_of(state))
    assert attributes_of(state) == attributes_of(Anything(**vars(state)))
    for name in FIELDS:
        value = simple(getattr(state, name))
        seen = attributes.get(name)
        assert repr(sorted(value) if isinstance(value, set | frozenset) else value) == repr(seen)


@UNTIMED
@given(meetings)
def test_a_filter_answers_by_the_attributes_alone(meeting: tuple[Anything, Expression]) -> None:
    state, expression = meeting
    attributes = decode(attributes_of(state))
    as_sets = {name: set(value) if isinstance(value, list) else value for name, value in attributes.items()}
    assert expression.holds(as_sets) is expression.holds(vars(state))


@UNTIMED
@given(expressions)
def test_a_state_of_any_values_takes_every_filter_on_its_fields(expression: Expression) -> None:
    wanted = expression.filter()
    unknown = {comparison.field for comparison in wanted.comparisons()} - set(FIELDS)
    if unknown:
        assert "Anything has no field 'missing'" in refused(Anything, wanted)
    else:
        check(Anything, wanted)


def test_attribute_names_need_no_keyword() -> None:
    assert "has no field 'a__in'" in refused(Reader, attribute("a__in") == 1)
