"""Topics: a name and a filter as one text, what stands for it on the wire, and what an event matches."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
from expressions import FIELDS, UNTIMED
from hypothesis import example, given
from hypothesis import strategies as st

from ringcast.errors import InvalidFilter
from ringcast.filters import where
from ringcast.wire.encoding import Encoding, encode_for_all
from ringcast.wire.event_match import Listened, matches, matches_received
from ringcast.wire.protocol import MAX_NESTING
from ringcast.wire.topics import (
    MAX_FILTER_BYTES,
    compiled_of,
    filter_of,
    from_wire,
    is_filtered,
    name_of,
    to_wire,
    topic_of,
)

GOLDEN = json.loads((Path(__file__).parent.parent / "wire" / "filters.json").read_text())


def golden(kind: str) -> Any:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in GOLDEN[kind]])


def answers(topic: str, args: list[Any]) -> set[bool]:
    """Return what all ways to ask say of an event."""
    written, packed = Encoding.JSON.encode(args), Encoding.MSGPACK.encode(args)
    return {
        matches(topic, written, None),
        matches(topic, None, packed),
        matches(topic, written, packed),
        matches_received(topic, args),
        matches_received(topic, json.loads(written)),
    }


@golden("fields")
def test_what_a_filter_matches(case: Any) -> None:
    assert answers(topic_of("e", case["where"]), [case["fields"]]) == {case["matches"]}


@golden("args")
def test_the_first_argument_counts(case: Any) -> None:
    assert answers(topic_of("e", case["where"]), case["args"]) == {case["matches"]}


def nested(levels: int, kind: type[list[Any]] | type[dict[str, Any]]) -> Any:
    value: Any = "a"
    for _ in range(levels):
        value = [value] if kind is list else {"a": value}
    return value


@pytest.mark.parametrize("kind", [list, dict])
@golden("nested")
def test_how_deep_an_event_nests_makes_no_difference(case: Any, kind: Any) -> None:
    args = [{"deep": nested(case["levels"], kind), **case["then"]}]
    assert answers(topic_of("e", case["where"]), args) == {case["matches"]}


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize("levels", [MAX_NESTING - 3, MAX_NESTING - 2, 400, 509, 600, 1000, 5000])
def test_deeper_than_can_be_sent_a_client_looks_at_the_rest_as_well(levels: int, kind: Any) -> None:
    args = [{"deep": nested(levels, kind), "x": ["a"], "many": ["a", nested(levels, kind)]}]
    for wanted, matched in [
        ({"x__has": "a"}, True),
        ({"x__is": None}, False),
        ({"deep__is": None}, True),
        ({"many__has": "a"}, False),
    ]:
        assert matches_received(topic_of("e", wanted), args) is matched
    # A server sends what both encodings carry, and refuses the rest.
    if levels > MAX_NESTING - 3:
        for encode in (Encoding.JSON.encode, Encoding.MSGPACK.encode, encode_for_all):
            with pytest.raises(TypeError):
                encode(args)
    else:
        assert answers(topic_of("e", {"x__has": "a", "deep__is": None}), args[:1]) == {True}


@golden("invalid")
def test_what_is_no_filter_is_named_when_it_is_used(case: Any) -> None:
    topic = from_wire(["e", case["where"]])
    assert topic is not None
    assert (is_filtered(topic), name_of(topic)) == (True, "e")
    with pytest.raises(InvalidFilter):
        filter_of(topic)
    if case["where"]:
        with pytest.raises(InvalidFilter):
            topic_of("e", case["where"])


@pytest.mark.parametrize("name", ["moved", "x" * 128, "größe 😀", "a\nb\nc", '["e",{"a":1}]'])
def test_a_topic_has_a_name_and_a_filter_and_is_no_name(name: str) -> None:
    wanted = {"zone": 3, "name__prefix": "é\n"}
    topic = topic_of(name, wanted)
    assert len(topic) > 128
    assert (is_filtered(topic), name_of(topic)) == (True, name)
    assert to_wire(topic) == [name, wanted]
    assert from_wire(to_wire(topic)) == topic
    assert compiled_of(topic) == where(**wanted).compiled
    assert filter_of(topic) == where(**wanted)
    assert (topic_of(name), to_wire(name), from_wire(name), name_of(name)) == (name, name, name, name)
    assert topic_of(name, {}) == name


def test_a_filter_is_known_as_it_was_written() -> None:
    same = {topic_of("e", {"a": 1, "b": 2}), from_wire(["e", {"a": 1, "b": 2}])}
    others = {
        topic_of("e", {"b": 2, "a": 1}),
        topic_of("e", {"a": 1.0, "b": 2}),
        topic_of("f", {"a": 1, "b": 2}),
    }
    assert len(same) == 1
    assert len(same | others) == 4
    assert len({compiled_of(topic) for topic in same | others}) == 1


@pytest.mark.parametrize(
    "value",
    [None, 3, "", "x" * 129, [], ["e"], ["e", {}, 1], ["e", []], ["e", None], ["", {"a": 1}], [1, {"a": 1}],
     ["x" * 129, {"a": 1}], {"e": {"a": 1}}, ["e", {1: 1}]],
)  # fmt: skip
def test_what_is_no_topic(value: Any) -> None:
    assert from_wire(value) is None


def test_values_of_python_are_written_as_json_has_them() -> None:
    topic = topic_of("e", {"a__in": {"y", "x"}, "b__in": (1, 2)})
    assert to_wire(topic) == ["e", {"a__in": ["x", "y"], "b__in": [1, 2]}]


@pytest.mark.parametrize(
    "wanted", [{"a": math.nan}, {"a__in": [math.inf]}, {"a": b"x"}, {"a": 2**70}, {"a": "\ud800"}, [("a", 1)]]
)
def test_what_json_cannot_carry_is_no_filter(wanted: Any) -> None:
    with pytest.raises(InvalidFilter):
        topic_of("e", wanted)
    if isinstance(wanted, Mapping):
        topic = from_wire(["e", wanted])
        assert topic is not None
        with pytest.raises(InvalidFilter):
            filter_of(topic)


def test_a_filter_is_bounded() -> None:
    longest = {"a": "x" * (MAX_FILTER_BYTES - len('{"a":""}'))}
    assert is_filtered(topic_of("e", longest))
    longer = {"a": longest["a"] + "x"}
    with pytest.raises(InvalidFilter, match="4096 bytes, this one 4097"):
        topic_of("e", longer)
    topic = from_wire(["e", longer])
    assert topic is not None
    with pytest.raises(InvalidFilter, match="4096 bytes"):
        filter_of(topic)


def test_both_encodings_show_the_same_fields() -> None:
    """What JSON has no form for is what JSON's clients see."""
    for args, wanted in [
        ([{"a": math.nan}], {"a__is": None}),
        ([{"a": -math.inf}], {"a__is": None}),
        ([{1: 2}], {"1": 2}),
        ([{"a": {"vip"}}], {"a__has": "vip"}),
        ([{"a": b"text"}], {"a": "text"}),
        ([{"a": [[["deep"]] * 3], "b": 1}], {"b": 1}),
        ([{"a": 2**64 - 1}], {"a": 2**64 - 1}),
        ([{"a": -(2**63)}], {"a__lt": -(2**63) + 1}),
    ]:
        topic = topic_of("e", wanted)
        written, packed = Encoding.JSON.encode(args), Encoding.MSGPACK.encode(args)
        assert matches(topic, written, None), args
        assert matches(topic, None, packed), args
    deep: Any = 1
    for _ in range(250):
        deep = [deep]
    for event in ({"a": deep, "b": 1}, {"b": 1, "a": deep}, {"a": {"a": deep}, "b": 1}):
        for wanted in ({"b": 1}, {"a__is": None, "b": 1}):
            assert answers(topic_of("e", wanted), [event]) == {True}, (list(event), wanted)


@pytest.mark.parametrize("operator", ["", "__ge", "__le", "__in", "__not_in", "__gt", "__lt"])
@UNTIMED
@given(st.floats(allow_nan=False, allow_infinity=False))
@example(26.400000000000002)
@example(5e-324)
@example(1.7976931348623157e308)
def test_a_number_is_compared_with_itself(operator: str, value: float) -> None:
    wanted = {f"a{operator}": [value] if operator.endswith("in") else value}
    assert answers(topic_of("e", wanted), [{"a": value}]) == {operator in ("", "__ge", "__le", "__in")}


def test_of_a_field_that_is_there_twice_the_last_counts() -> None:
    topic = topic_of("e", {"a": 1})
    assert matches(topic, b'[{"a":2,"a":1}]', None)
    assert not matches(topic, b'[{"a":1,"a":2}]', None)


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "ab", "b", "é", "\uffee", "😀"]),
    st.text(st.characters(codec="utf-8"), max_size=3),
)
texts = st.sampled_from(["", "a", "ab", "b", "é", "😀"])
ordered = plain.filter(lambda value: value is not None)
fields = st.dictionaries(
    st.sampled_from(FIELDS),
    st.one_of(plain, st.lists(texts, max_size=3), st.lists(plain, max_size=2), st.just({"a": 1})),
)
comparisons = st.one_of(
    st.tuples(st.sampled_from(["", "__eq", "__ne"]), plain),
    st.tuples(st.sampled_from(["__lt", "__le", "__gt", "__ge"]), ordered),
    st.tuples(st.sampled_from(["__in", "__not_in"]), st.lists(plain, max_size=3)),
    st.tuples(st.sampled_from(["__has", "__prefix"]), texts),
    st.tuples(st.sampled_from(["__is", "__is_not"]), st.none()),
)
filters = st.dictionaries(
    st.sampled_from(FIELDS), comparisons, min_size=1, max_size=3
).map(lambda found: {name + operator: value for name, (operator, value) in found.items()})  # fmt: skip


def holds(wanted: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Say what a filter says of an event, by Python's own operators."""
    return all(_holds(*_parted(name), value, event) for name, value in wanted.items())


def _parted(name: str) -> tuple[str, str]:
    field, _, operator = name.partition("__")
    return field, operator or "eq"


def _holds(field: str, operator: str, value: Any, event: Mapping[str, Any]) -> bool:
    has = event.get(field)
    if isinstance(has, list):
        has = set(has) if all(isinstance(each, str) for each in has) else None
    if isinstance(has, dict):
        has = None
    try:
        return bool(_MEANING[operator](has, value))
    except TypeError:
        return False


_MEANING: dict[str, Any] = {
    "eq": lambda has, value: has == value,
    "is": lambda has, value: has is None,
    "ne": lambda has, value: has != value,
    "is_not": lambda has, value: has is not None,
    "lt": lambda has, value: has < value,
    "le": lambda has, value: has <= value,
    "gt": lambda has, value: has > value,
    "ge": lambda has, value: has >= value,
    "in": lambda has, value: any(has == each for each in value),
    "not_in": lambda has, value: all(has != each for each in value),
    "has": lambda has, value: isinstance(has, set) and value in has,
    "prefix": lambda has, value: isinstance(has, str) and has.startswith(value),
}


@st.composite
def near(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw an event, and a filter that compares fields with values of that event."""
    event = draw(fields)
    values = [each for each in event.values() if not isinstance(each, list | dict)]
    values += [each for value in event.values() if isinstance(value, list) for each in value]
    own = st.sampled_from(values) if values else plain
    wanted = draw(filters)
    for key, value in wanted.items():
        _, operator = _parted(key)
        if operator in ("in", "not_in"):
            wanted[key] = [*value, draw(own)]
        elif operator not in ("is", "is_not"):
            is_text = operator in ("has", "prefix")
            fits = own.map(
                lambda found, value=value, is_text=is_text: (
                    value if found is None or (is_text and not isinstance(found, str)) else found
                )
            )
            wanted[key] = draw(fits)
    return wanted, event


@UNTIMED
@given(st.one_of(st.tuples(filters, fields), near()))
def test_filters_mean_what_python_means(drawn: tuple[dict[str, Any], dict[str, Any]]) -> None:
    wanted, event = drawn
    assert answers(topic_of("e", wanted), [event]) == {holds(wanted, event)}


def test_what_is_packed_otherwise_is_read_as_well() -> None:
    topic = topic_of("e", {"a": 1.5})
    assert matches(topic, None, msgpack.packb([{"a": 1.5}], use_single_float=True))


@UNTIMED
@given(st.lists(filters, max_size=6), fields, st.data())
def test_of_many_topics_those_are_told_that_an_event_matches(
    wanted: list[dict[str, Any]], event: dict[str, Any], data: st.DataObject
) -> None:
    listened, args = Listened(), [event]
    written, packed = Encoding.JSON.encode(args), Encoding.MSGPACK.encode(args)
    added = [topic_of(name, each) for each in wanted for name in ("e", "f")] + ["e", "g"]
    for topic in added:
        listened.add(topic)
    left = list(added)
    for topic in data.draw(st.lists(st.sampled_from(added), unique=True)):
        assert listened.remove(topic)
        left.remove(topic)
    assert len(listened) == len({topic for topic in left if is_filtered(topic)})
    for name in ("e", "f", "g", "h"):
        named = {topic for topic in left if is_filtered(topic) and name_of(topic) == name}
        assert all(topic in listened for topic in named)
        expected = sorted(topic for topic in named if matches(topic, written, packed))
        assert sorted(listened.matching(name, written, None)) == expected
        assert sorted(listened.matching(name, None, packed)) == expected
    for topic in left:
        assert listened.remove(topic)
    assert not any(listened.remove(topic) for topic in added)
    assert (len(listened), "e" in listened) == (0, False)
