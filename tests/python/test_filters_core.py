"""The core selects whom a filter means: its answers and Python's own, over random states and filters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from expressions import UNTIMED, Anything, Expression, aimed_at, states
from hypothesis import given, note, settings
from hypothesis import strategies as st

from ringcast import where
from ringcast._core import Attributes, Filter
from ringcast.schema.attributes import attributes_of

STATES = 8
FILTERS = 6
EXAMPLES = 400
"""Each asks all filters about all states: 19,200 answers, and again after some of the states have changed."""

Asked = tuple[list[Anything], list[Expression], dict[int, Anything | None]]


def asked_of(connections: list[Anything]) -> st.SearchStrategy[Asked]:
    wanted = st.lists(aimed_at(connections), min_size=FILTERS, max_size=FILTERS)
    changes = st.dictionaries(st.integers(0, STATES + 1), st.one_of(states, st.none()), max_size=3)
    return st.tuples(st.just(connections), wanted, changes)


questions = st.lists(states, min_size=STATES, max_size=STATES).flatmap(asked_of)


def selected(attributes: Attributes, expression: Expression) -> list[int]:
    return attributes.select(Filter(expression.filter().compiled))


def matching(connections: dict[int, Anything], expression: Expression) -> list[int]:
    return [slot for slot in sorted(connections) if expression.holds(vars(connections[slot]))]


@settings(UNTIMED, max_examples=EXAMPLES)
@given(questions)
def test_the_core_selects_what_python_would(asked: Asked) -> None:
    before, wanted, changes = asked
    attributes = Attributes()
    connections = dict(enumerate(before))
    for slot, state in connections.items():
        attributes.set(slot, attributes_of(state))
    for expression in wanted:
        note(repr(expression.filter()))
        assert selected(attributes, expression) == matching(connections, expression)

    for slot, changed in changes.items():
        if changed is None:
            assert attributes.remove(slot) is (connections.pop(slot, None) is not None)
        else:
            connections[slot] = changed
            attributes.set(slot, attributes_of(changed))
    for expression in wanted:
        assert selected(attributes, expression) == matching(connections, expression)


def parts_of(expression: Expression) -> Iterator[Expression]:
    yield expression
    for part in expression.parts:
        yield from parts_of(part)


def test_random_filters_tell_random_states_apart() -> None:
    """If they did not, the test above would prove nothing."""
    answers: Counter[tuple[str, bool]] = Counter()

    @settings(UNTIMED, max_examples=EXAMPLES // 2, database=None, derandomize=True)
    @given(questions)
    def ask(asked: Asked) -> None:
        connections, wanted, _ = asked
        for part in chain.from_iterable(map(parts_of, wanted)):
            answers.update((part.operator, part.holds(vars(state))) for state in connections)

    ask()
    for kind in ("eq", "ne", "lt", "le", "gt", "ge", "in", "has", "prefix", "and", "or", "not"):
        assert answers[kind, True] and answers[kind, False], (kind, answers)


def test_states_that_have_not_changed_are_known_again() -> None:
    attributes = Attributes()
    state = Anything(1, "a", {"x", "y"}, 2**70)
    assert attributes.set(0, attributes_of(state))
    assert not attributes.set(0, attributes_of(Anything(1, "a", {"y", "x"}, 2**70)))
    state.a = True
    attributes.set(0, attributes_of(state))
    assert attributes.select(Filter(where(a=1, d__gt=2**69, c__has="y").compiled)) == [0]


def test_the_largest_filters_that_can_be_built_are_read() -> None:
    attributes = Attributes()
    attributes.set(7, attributes_of({"x": 3}))
    widest = where(*(where(x__ge=number) | where(y=number) for number in range(-340, 0)))
    deepest = where(x__ge=0)
    for number in range(31):
        deepest = deepest & where(x__lt=number + 9) if number % 2 else deepest | where(y=number)
    longest = where(x__in=range(-21_000, 4))
    for largest in (widest, deepest, longest):
        assert attributes.select(Filter(largest.compiled)) == [7]
