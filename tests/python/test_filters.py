"""Filters as they are written: what they say, what they are compiled to, and what is refused."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest
from expressions import COMPARE, UNTIMED, Anything, Expression, decode, expressions, meetings, read, simple
from hypothesis import given
from hypothesis import strategies as st

import ringcast
from ringcast import attribute, where
from ringcast.errors import InvalidFilter
from ringcast.filters import MAX_BYTES, MAX_DEPTH, MAX_NODES, Filter


class Role(Enum):
    ADMIN = "admin"
    MOD = "mod"


class Rank(IntEnum):
    HIGH = 3


class Plan(StrEnum):
    PRO = "pro"


def compiled(built: Filter) -> Any:
    return decode(built.compiled)


# --- writing one --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "expression", "form"),
    [
        (where(role="admin"), attribute("role") == "admin", ["eq", "role", "admin"]),
        (where(role__eq="admin"), attribute("role") == "admin", ["eq", "role", "admin"]),
        (where(role__ne="admin"), attribute("role") != "admin", ["not", ["eq", "role", "admin"]]),
        (where(level__lt=3), attribute("level") < 3, ["lt", "level", 3]),
        (where(level__le=3), attribute("level") <= 3, ["le", "level", 3]),
        (where(level__gt=3), attribute("level") > 3, ["gt", "level", 3]),
        (where(level__ge=3), attribute("level") >= 3, ["ge", "level", 3]),
        (where(team__in=("a", "b")), attribute("team").in_(["a", "b"]), ["in", "team", ["a", "b"]]),
        (where(team__not_in={"a"}), attribute("team").not_in(["a"]), ["not", ["eq", "team", "a"]]),
        (where(tags__has="vip"), attribute("tags").has("vip"), ["has", "tags", "vip"]),
        (where(name__prefix="An"), attribute("name").startswith("An"), ["prefix", "name", "An"]),
        (where(owner__is=None), attribute("owner").is_(None), ["eq", "owner", None]),
        (where(owner__is_not=None), attribute("owner").is_not(None), ["not", ["eq", "owner", None]]),
        (where(owner=None), attribute("owner") == None, ["eq", "owner", None]),  # noqa: E711
    ],
)
def test_both_forms_are_compiled_to_the_same(keyword: Filter, expression: Filter, form: Any) -> None:
    assert compiled(keyword) == form
    assert keyword == expression


def test_a_comparison_may_stand_the_other_way_round() -> None:
    assert (3 <= attribute("level")) == where(level__ge=3)  # noqa: SIM300
    assert (3 > attribute("level")) == where(level__lt=3)  # noqa: SIM300


def test_everything_that_where_is_given_has_to_hold() -> None:
    both = where(attribute("level") >= 3, ~where(muted=True), role="admin")
    assert both == where(level__ge=3) & where(role="admin") & (attribute("muted") != True)  # noqa: E712


def test_nothing_at_all_matches_everybody() -> None:
    assert compiled(where()) == ["and", []]
    assert where(role="admin") & where() == where(role="admin")
    assert compiled(~where()) == ["not", ["and", []]]


def test_filters_are_combined() -> None:
    a, b, c = where(x=1), where(y=2), where(z=3)
    assert compiled(a & (b | ~c)) == [
        "and",
        [["or", [["not", ["eq", "z", 3]], ["eq", "y", 2]]], ["eq", "x", 1]],
    ]
    assert ~~a == a


@pytest.mark.parametrize(
    "name", ["level__ge", "a__in", "__len", "x__", "größe", "with space", "from", "\ud800"]
)
def test_every_name_can_be_reached(name: str) -> None:
    assert compiled(attribute(name) == 1) == ["eq", name, 1]


def test_a_keyword_may_begin_with_underscores() -> None:
    assert where(__private=1) == (attribute("__private") == 1)
    assert where(__private__ge=1) == (attribute("__private") >= 1)
    assert where(ge=1) == (attribute("ge") == 1)


def test_members_of_an_enum_are_their_values() -> None:
    assert where(role=Role.ADMIN, rank__ge=Rank.HIGH, plan=Plan.PRO) == where(
        role="admin", rank__ge=3, plan="pro"
    )
    assert where(role__in=Role) == where(role__in=("admin", "mod"))
    assert where(tags__has=Role.MOD, name__prefix=Plan.PRO) == where(tags__has="mod", name__prefix="pro")
    assert repr(where(role=Role.ADMIN)) == "attribute('role') == 'admin'"


def test_instances_of_subclasses_are_values_of_the_class() -> None:
    class Name(str):
        def __str__(self) -> str:
            return "another"

    class Number(int):
        def __int__(self) -> int:
            return 7

    assert compiled(where(name=Name("ann"), n=Number(3))) == ["and", [["eq", "n", 3], ["eq", "name", "ann"]]]


@pytest.mark.parametrize(
    "value", [2**63, 2**64 - 1, 2**64, 2**64 + 1, -(2**63) - 1, -(2**127), 2**127, 10**5000], ids=hex
)
def test_an_int_may_be_of_any_size(value: int) -> None:
    assert compiled(where(x=value)) == ["eq", "x", value]
    assert eval(repr(where(x=value))) == where(x=value)


def test_a_wide_int_takes_as_few_bytes_as_it_can() -> None:
    # Behind `eq` and `x`: the length, the type 1, and the bytes in two's complement.
    assert where(x=2**71 - 1).compiled.endswith(b"\xc7\x09\x01\x7f" + b"\xff" * 8)
    assert where(x=-(2**71) - 1).compiled.endswith(b"\xc7\x0a\x01\xff\x7f" + b"\xff" * 8)
    assert where(x=2**71 + 1).compiled.endswith(b"\xc7\x0a\x01\x00\x80" + b"\x00" * 7 + b"\x01")


# --- equality, hash, repr -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (where(x=1, y=2), where(y=2, x=1)),
        (where(x=1) | where(y=2), where(y=2) | where(x=1)),
        ((where(x=1) & where(y=2)) & where(z=3), where(x=1) & (where(y=2) & where(z=3))),
        (where(x=1) & where(x=1), where(x=1)),
        (where(x__in=("b", "a", "b")), where(x__in={"a", "b"})),
        (where(x__in=("a",)), where(x="a")),
        (where(x__in=(1, True, 1.0)), where(x=1)),
        (where(x=-0.0), where(x=0)),
        (where(x=2**70), where(x=float(2**70))),
        (where(x=math.nan), where(x=-math.nan)),
    ],
)
def test_filters_are_equal_that_are_written_in_another_way(one: Filter, other: Filter) -> None:
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (where(x=1), where(x="1")),
        (where(x=1), where(y=1)),
        (where(x=1), where(x__ge=1)),
        (where(x=2**53 + 1), where(x=float(2**53))),
        (where(x=None), where(x="")),
        (where(x=1) & where(y=1), where(x=1) | where(y=1)),
        (where(x__in=()), where()),
        (where(x__in=()), where(y__in=())),
    ],
)
def test_filters_differ_that_mean_something_else(one: Filter, other: Filter) -> None:
    assert one != other
    assert one != repr(one)


@pytest.mark.parametrize(
    "text",
    [
        "attribute('role') == 'admin'",
        "attribute('role') != 'admin'",
        "attribute('level') >= 3",
        "~(attribute('level') >= 3)",
        "attribute('owner').is_(None)",
        "attribute('owner').is_not(None)",
        "attribute('team').in_(('b', 'a'))",
        "attribute('team').not_in(('a',))",
        "attribute('team').in_(())",
        "~attribute('tags').has('vip')",
        "attribute('name').startswith('An') & attribute('tags').has('vip')",
        "(attribute('a') == 1) & ((attribute('b') != 2) | ~attribute('c').has('x'))",
        "~((attribute('a') == 1) | (attribute('b') == float('nan')))",
        "attribute('a') > float('-inf')",
        "where()",
        "~where()",
    ],
)
def test_repr_is_the_expression(text: str) -> None:
    assert repr(eval(text)) == text


def test_repr_keeps_the_order_in_which_a_filter_was_written() -> None:
    assert repr(where(z=1, a=2)) == "(attribute('z') == 1) & (attribute('a') == 2)"


def test_a_set_of_values_always_looks_the_same() -> None:
    names = [f"name {number}" for number in range(50)]
    assert repr(where(name__in=set(names))) == repr(where(name__in=frozenset(reversed(names))))


def test_a_filter_is_compiled_once_and_cannot_be_changed() -> None:
    built = where(role="admin") & where(level__ge=3)
    assert built.compiled is built.compiled
    before = built.compiled
    assert built | where(x=1) != built
    assert built.compiled == before
    for part in (built, *built.comparisons()):
        for name in ("compiled", "field", "operator", "value", "other"):
            with pytest.raises(AttributeError):
                setattr(part, name, "another")
    assert copy.deepcopy(built) == built


@UNTIMED
@given(expressions)
def test_repr_gives_the_filter_again(expression: Expression) -> None:
    built = expression.filter()
    assert eval(repr(built)) == built
    assert repr(eval(repr(built))) == repr(built)


@UNTIMED
@given(meetings)
def test_the_compiled_form_means_what_was_written(meeting: tuple[Anything, Expression]) -> None:
    state, expression = meeting
    built = expression.filter()
    assert read(decode(built.compiled)).holds(vars(state)) is expression.holds(vars(state))


@UNTIMED
@given(expressions, expressions, expressions)
def test_the_order_makes_no_difference(one: Expression, two: Expression, three: Expression) -> None:
    a, b, c = one.filter(), two.filter(), three.filter()
    assert a & b & c == c & (b & a) & a == where(b, c, a)
    assert a | b | c == c | (b | a) | a
    assert ~~a == a
    assert hash(a | b) == hash(b | a)


@UNTIMED
@given(meetings, st.sampled_from(sorted(COMPARE)))
def test_equal_values_make_equal_filters(meeting: tuple[Anything, Expression], operator: str) -> None:
    state, _ = meeting
    values = [simple(value) for value in vars(state).values() if isinstance(value, int | float | str)]
    for one, other in itertools.combinations(values, 2):
        both = [Expression(operator, "x", value).filter() for value in (one, other)]
        assert (both[0] == both[1]) is (one == other or (one != one and other != other))  # noqa: PLR0124


# --- what is refused ----------------------------------------------------------------------------------------


def refused(build: Callable[[], object]) -> str:
    with pytest.raises(InvalidFilter) as refusal:
        build()
    assert refusal.value.code == "invalid_filter"
    return str(refusal.value)


@pytest.mark.parametrize(
    "use",
    [
        lambda: bool(where(x=1)),
        lambda: where(x=1) and where(y=1),
        lambda: where(x=1) or where(y=1),
        lambda: not where(x=1),
        lambda: 1 < attribute("x") < 5,
    ],
)
def test_words_that_filters_cannot_be_combined_with_say_which_can(use: Callable[[], object]) -> None:
    text = refused(use)
    assert "&, | and ~" in text
    assert "(x > 1) & (x < 5)" in text


@pytest.mark.parametrize(
    "use",
    [
        lambda: attribute("a") == 1 & attribute("b") == 2,
        lambda: attribute("a") == 1 | attribute("b") == 2,
        lambda: attribute("a") & where(x=1),
        lambda: where(x=1) & attribute("a"),
        lambda: where(x=1) | 3,  # type: ignore[operator]
        lambda: 3 & where(x=1),
        lambda: where(attribute("muted")),  # type: ignore[arg-type]
        lambda: where("admin"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_comparison_is_told_to_become_one(use: Callable[[], object]) -> None:
    assert "brackets around each comparison" in refused(use)


def test_a_field_by_itself_is_neither_true_nor_false() -> None:
    assert "attribute('muted') == True" in refused(lambda: not attribute("muted"))
    assert ".has('vip')" in refused(lambda: "vip" in attribute("tags"))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("level__gte", "ge"), ("level__lte", "le"), ("name__startswith", "prefix"), ("tags__contains", "has"),
        ("owner__isnull", "is"), ("team__notin", "not_in"),
    ],
)  # fmt: skip
def test_an_operator_of_another_library_is_translated(name: str, meant: str) -> None:
    text = refused(lambda: where(**{name: 1}))
    assert f"did you mean {meant!r}?" in text
    assert f"attribute({name!r})" in text


def test_an_operator_that_is_like_none_is_answered_with_all() -> None:
    text = refused(lambda: where(address__city="Rome"))
    assert "'city'" in text and "did you mean" not in text
    assert "eq, ge, gt, has, in, is, is_not, le, lt, ne, not_in, prefix" in text


@pytest.mark.parametrize("value", [b"x", 1j, {"a": 1}, object(), [1], ("a",), {"a"}, frozenset(), int])
@pytest.mark.parametrize("operator", ["eq", "ne", "lt", "ge", "has", "prefix"])
def test_a_value_that_no_field_has_is_refused(operator: str, value: Any) -> None:
    text = refused(lambda: where(**{f"x__{operator}": value}))
    assert text.startswith("attribute('x')")
    if operator == "eq" and isinstance(value, list | tuple | set):
        assert ".in_()" in text and ".has()" in text


@pytest.mark.parametrize("values", ["abc", b"abc", 3, None, {"a": 1}, [b"a"], [{"a"}], [["a"]]])
def test_choices_are_a_collection_of_values(values: Any) -> None:
    refused(lambda: where(x__in=values))
    refused(lambda: where(x__not_in=values))


@pytest.mark.parametrize(
    "use",
    [
        lambda: where(x__lt=None),
        lambda: attribute("x") >= None,
        lambda: where(x__has=3),
        lambda: where(x__prefix=None),
        lambda: where(x__is=3),
        lambda: where(x__is_not="a"),
        lambda: attribute("x") == attribute("y"),
        lambda: attribute("x") == where(y=1),
        lambda: attribute(""),
        lambda: attribute("x" * 129),
        lambda: attribute(3),  # type: ignore[arg-type]
        lambda: where(**{"": 1}),
    ],
)
def test_what_makes_no_sense_is_refused(use: Callable[[], object]) -> None:
    assert refused(use)


def test_a_long_value_is_not_shown_whole() -> None:
    assert len(refused(lambda: where(x=b"a" * 10_000))) < 300


def test_a_filter_is_nested_no_deeper_than_the_core_reads() -> None:
    assert deepened(where(x=0), MAX_DEPTH - 1).compiled
    assert "32 deep" in refused(lambda: deepened(where(x=0), MAX_DEPTH))


def deepened(built: Filter, times: int) -> Filter:
    for number in range(times):
        built = built & where(y=number) if number % 2 else built | where(y=number)
    return built


def test_a_filter_has_no_more_comparisons_than_the_core_reads() -> None:
    most = [where(x=number) for number in range(MAX_NODES - 1)]
    assert len(compiled(where(*most))[1]) == MAX_NODES - 1
    assert "1024" in refused(lambda: where(*most, where(y=1)))
    # As a choice they are one.
    assert len(compiled(where(x__in=range(5000)))[2]) == 5000


def test_a_filter_is_no_longer_than_the_core_reads() -> None:
    frame = len(where(x="a" * 60_000).compiled) - 60_000
    assert where(x="a" * (MAX_BYTES - frame)).compiled
    assert "65536 bytes" in refused(lambda: where(x="a" * (MAX_BYTES - frame + 1)).compiled)


def test_fields_are_no_keys() -> None:
    with pytest.raises(TypeError):
        hash(attribute("x"))


def test_what_users_import() -> None:
    assert {"attribute", "where"} <= set(ringcast.__all__)
