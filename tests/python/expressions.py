"""Random filters and states, and what Python's own operators say of them: for the tests of filters."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import reduce
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types
from hypothesis import settings
from hypothesis import strategies as st

from ringcast import attribute, where
from ringcast.filters import Filter

UNTIMED = settings(deadline=None)
"""A slow machine is no failure."""
FIELDS = ("a", "b", "c", "d")


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    ONE = 1


@dataclass
class Anything:
    """A state whose fields hold what they like."""

    a: Any = None
    b: Any = None
    c: Any = None
    d: Any = None


@dataclass(frozen=True)
class Expression:
    """What a user may write, as data: two ways lead from it to an answer, and they have to agree."""

    operator: str
    field: str = ""
    value: Any = None
    parts: tuple[Expression, ...] = ()

    def filter(self) -> Filter:
        """Build it as a user does."""
        built: Filter = _BUILT[self.operator](self)
        return built

    def holds(self, state: Mapping[str, Any]) -> bool:
        """Answer by Python's operators, for the values of a state's fields."""
        value = simple(state.get(self.field))
        if self.operator in COMPARE:
            try:
                return bool(COMPARE[self.operator](value, simple(self.value)))
            except TypeError:
                return False
        answers = (part.holds(state) for part in self.parts)
        match self.operator:
            case "and":
                answer = all(answers)
            case "or":
                answer = any(answers)
            case "not":
                answer = not next(answers)
            case "in":
                answer = any(value == simple(each) for each in self.value)
            case "has":
                answer = isinstance(value, Set) and self.value in value
            case "prefix":
                answer = isinstance(value, str) and value.startswith(self.value)
        return answer


COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")
}


def _comparison(wanted: Expression) -> Any:
    return COMPARE[wanted.operator](attribute(wanted.field), wanted.value)


_BUILT: dict[str, Callable[[Expression], Any]] = {
    "and": lambda wanted: reduce(operator.and_, (part.filter() for part in wanted.parts), where()),
    "or": lambda wanted: reduce(operator.or_, (part.filter() for part in wanted.parts), ~where()),
    "not": lambda wanted: ~wanted.parts[0].filter(),
    "in": lambda wanted: attribute(wanted.field).in_(wanted.value),
    "has": lambda wanted: attribute(wanted.field).has(wanted.value),
    "prefix": lambda wanted: attribute(wanted.field).startswith(wanted.value),
    **dict.fromkeys(COMPARE, _comparison),
}


def simple(value: Any) -> Any:
    """Return the value of an enum's member, and None for what filters do not see."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Set):
        return value if all(isinstance(each, str) for each in value) else None
    return value if isinstance(value, int | float | str) else None


def decode(packed: bytes) -> Any:
    """Return the compiled form of a filter, or a connection's attributes, as Python's values."""

    def wide(code: int, data: bytes) -> int:
        assert code == 1 and len(data) > 8
        return int.from_bytes(data, "big", signed=True)

    return msgpack.unpackb(packed, ext_hook=wide, unicode_errors="surrogatepass")


def read(compiled: Any) -> Expression:
    """Return the expression that a decoded filter stands for."""
    kind, *rest = compiled
    if kind in ("and", "or"):
        return Expression(kind, parts=tuple(map(read, *rest)))
    if kind == "not":
        return Expression(kind, parts=(read(*rest),))
    field, value = rest
    return Expression(kind, field, value)


# Few enough for states and filters to meet often, with what lies close to one another.
_COMMON = (
    *(None, True, 1, 1.0, Level.ONE, 2**53 + 1, float(2**53), float("nan")),
    *("red", Colour.RED, "re", "1", ""),
)
_NUMBERS = (
    *(False, 0, -0.0, 0.5, -3, 2**53, 2**63, 2**64 - 1, 2**64, float(2**64), -(2**63) - 1, 10**400),
    *(float("inf"), -float("inf")),
)
_TEXTS = ("r", "Red", "é", "e\u0301", "\ud800", "\ud800\udc00", "\U00010000", "\uffff")


def _mostly(common: Iterable[Any], others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    usual = st.sampled_from(list(common))
    return st.one_of(usual, usual, usual, others)


numbers = _mostly(
    [value for value in _COMMON if isinstance(value, int | float)],
    st.sampled_from(_NUMBERS) | st.integers() | st.floats() | st.integers(-(2**80), 2**80),
)
texts = _mostly(
    [value for value in _COMMON if isinstance(value, str)],
    st.sampled_from(_TEXTS) | st.text(st.characters(exclude_categories=()), max_size=4),
)
scalars = _mostly(_COMMON, numbers | texts)
sets = st.frozensets(texts, max_size=3) | st.sets(texts, min_size=1, max_size=3)
odd = st.sampled_from([b"red", ["red"], {"red": 1}, frozenset({1}), 1j, ("red",), object()])
values = st.one_of(scalars, sets, scalars, sets, odd)
states = st.builds(Anything, values, values, values, values)

_fields = _mostly(FIELDS, st.just("missing"))
_ordered = st.builds(Expression, st.sampled_from(("lt", "le", "gt", "ge")), _fields, numbers | texts)
_equal = st.builds(Expression, st.sampled_from(("eq", "ne")), _fields, scalars)
_one_of = st.builds(Expression, st.just("in"), _fields, st.lists(scalars, max_size=5).map(tuple))
_textual = st.builds(Expression, st.sampled_from(("has", "prefix")), _fields, texts)


def _nested(comparisons: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    nested = comparisons
    for _ in range(4):
        parts = st.lists(nested, max_size=3).map(tuple)
        junctions = st.builds(Expression, st.sampled_from(("and", "or")), parts=parts)
        nested = st.one_of(comparisons, junctions, nested.map(lambda part: Expression("not", parts=(part,))))
    return nested


_comparisons = st.one_of(_ordered, _equal, _one_of, _textual)
expressions = _nested(_comparisons)


def aimed_at(connections: Sequence[Anything]) -> st.SearchStrategy[Expression]:
    """Return expressions that compare with values which the fields of these states have; and some others."""
    aimed = [
        Expression(kind, name, value)
        for state in connections
        for name, held in vars(state).items()
        for kind, value in _tests_of(simple(held))
    ]
    return _nested(st.one_of(st.sampled_from(aimed), st.sampled_from(aimed), _comparisons))


meetings = states.flatmap(lambda state: st.tuples(st.just(state), aimed_at([state])))
"""A state, and an expression that it may well match."""


def _tests_of(held: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(held, Set):
        yield from (("has", text) for text in ("another", *sorted(held)))
        return
    yield from ((kind, held) for kind in COMPARE if held is not None or kind in ("eq", "ne"))
    yield "in", (held, "another")
    if isinstance(held, str):
        yield from (("prefix", held[:length]) for length in range(len(held) + 1))
