"""The core's filters find whom Python's own operators would, asked of one connection after the other."""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import inf, nan
from typing import Any, TypeAlias

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringcast._core import Attributes, Filter

Value: TypeAlias = "bool | int | float | str | frozenset[str] | None"
State: TypeAlias = dict[str, Value]
Compiled: TypeAlias = list[Any]

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}

SLOTS = 25


def beyond_msgpack(value: object) -> object:
    """Write what MessagePack has no type for: large ints and sets."""
    if isinstance(value, int):
        return msgpack.ExtType(1, value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True))
    assert isinstance(value, frozenset)
    return list(value)


def pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value, default=beyond_msgpack, unicode_errors="surrogatepass")
    return packed


def matches(compiled: Compiled, state: State) -> bool:
    """Evaluate a filter naively."""
    kind, *operands = compiled
    if kind == "not":
        return not matches(operands[0], state)
    if kind in ("and", "or"):
        combine = all if kind == "and" else any
        return combine(matches(part, state) for part in operands[0])
    return passes(kind, state.get(operands[0]), operands[1])


def passes(kind: str, value: Value, operand: Any) -> bool:
    if kind in ("eq", "in"):
        # Not by `in`, for which an object equals itself even if it is NaN.
        return any(value == other for other in (operand if kind == "in" else [operand]))
    if kind == "has":
        return isinstance(value, frozenset) and operand in value
    if kind == "prefix":
        return isinstance(value, str) and value.startswith(operand)
    try:
        return ORDER[kind](value, operand)
    except TypeError:
        return False


# Few of each, so that values meet; those at which something changes, with their neighbours.
TEXTS = st.text(["a", "b", "é", "\ud800", "\udfff", "\uffff", "😀"], max_size=3)
EDGES = st.sampled_from([0, 1, 2**53, 2**63, 2**64, 2**71, 10**308, 10**400])
INTS = st.builds(
    lambda edge, by, sign: sign * (edge + by), EDGES, st.integers(-1, 1), st.sampled_from([1, -1])
)
FLOATS = st.one_of(
    st.sampled_from(
        [0.0, -0.0, 1.0, 0.5, -1.5, 2.0**53, 2.0**63, -(2.0**63), 2.0**64, 1e308, inf, -inf, nan]
    ),
    st.floats(),
)
VALUES = st.one_of(st.none(), st.booleans(), INTS, FLOATS, TEXTS)
FIELDS = st.sampled_from(["a", "b", "grün"])
STATES = st.dictionaries(FIELDS, st.one_of(VALUES, st.frozensets(TEXTS, max_size=3)))
TESTS: st.SearchStrategy[Compiled] = st.one_of(
    st.tuples(st.sampled_from(["eq", *ORDER]), FIELDS, VALUES).map(list),
    st.tuples(st.just("in"), FIELDS, st.lists(VALUES, max_size=3)).map(list),
    st.tuples(st.sampled_from(["has", "prefix"]), FIELDS, TEXTS).map(list),
)
FILTERS: st.SearchStrategy[Compiled] = st.recursive(
    TESTS,
    lambda parts: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), st.lists(parts, max_size=3)).map(list),
        st.tuples(st.just("not"), parts).map(list),
    ),
    max_leaves=6,
)


def test_filters_match_as_python_compares() -> None:
    evaluated = matched = 0

    @settings(max_examples=250, deadline=None)
    @given(st.lists(STATES, min_size=SLOTS, max_size=SLOTS + 5), st.lists(FILTERS, min_size=2, max_size=4))
    def run(states: list[State], filters: list[Compiled]) -> None:
        nonlocal evaluated, matched
        attributes, latest = Attributes(), {}
        for index, state in enumerate(states):
            # The last few take the place of the first.
            attributes.set(index % SLOTS, pack(state))
            latest[index % SLOTS] = state
        for compiled in filters:
            expected = [slot for slot in range(SLOTS) if matches(compiled, latest[slot])]
            assert attributes.select(Filter(pack(compiled))) == expected
            evaluated, matched = evaluated + SLOTS, matched + len(expected)

    run()
    assert evaluated >= 10_000
    assert evaluated // 20 < matched < evaluated * 19 // 20, "neither everything nor nothing matches"


def test_a_large_int_may_be_written_in_more_bytes_than_it_needs() -> None:
    attributes = Attributes()
    attributes.set(0, pack({"a": 2**64}))
    for length in (9, 10, 300):
        number = msgpack.ExtType(1, (2**64).to_bytes(length, "big", signed=True))
        assert attributes.select(Filter(pack(["eq", "a", number]))) == [0]


@pytest.mark.parametrize(
    ("compiled", "reason"),
    [
        (["is", "a", 1], "an operator that is not known, at byte 1"),
        (["eq", "a", [1]], "a value is None, a bool, a number or a text, at byte 6"),
        ([["eq", "a", 1]], "an operator is a text, at byte 1"),
    ],
)
def test_what_is_no_filter_raises_with_the_reason(compiled: object, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        Filter(pack(compiled))


def test_attributes_are_set_compared_and_forgotten() -> None:
    attributes = Attributes()
    everybody = Filter(pack(["and", []]))
    assert attributes.set(3, pack({"role": "admin"}))
    assert not attributes.set(3, pack({"role": "admin", "level": None}))
    assert attributes.set(2**32 - 1, pack({}))
    assert (len(attributes), attributes.select(everybody)) == (2, [3, 2**32 - 1])
    with pytest.raises(ValueError, match="a set has texts only"):
        attributes.set(3, pack({"role": [1]}))
    assert attributes.select(Filter(pack(["eq", "role", "admin"]))) == [3]
    assert attributes.remove(3)
    assert not attributes.remove(3)
    assert attributes.select(everybody) == [2**32 - 1]
