"""Whose state may have changed: whom somebody holds, by whatever reference."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from ringcast.running.touched import Touched, is_held


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Role:
    name: str = "guest"
    rights: tuple[str, ...] = ("read",)


GUEST = Role()


@dataclass
class Plain:
    count: int = 0
    colour: Colour = Colour.RED
    role: Role = GUEST
    tags: set[str] = field(default_factory=lambda: {"a"})
    lists: dict[str, list[list[int]]] = field(default_factory=lambda: {"a": [[1], [2]]})
    pair: tuple[str, list[int]] = field(default_factory=lambda: ("a", []))


@dataclass(slots=True)
class Slots:
    count: int = 0
    tags: set[str] = field(default_factory=set)
    lists: dict[str, list[list[int]]] = field(default_factory=lambda: {"a": [[1], [2]]})
    pair: tuple[str, list[int]] = field(default_factory=lambda: ("a", []))


class Model(BaseModel):
    count: int = 0
    tags: set[str] = set()
    lists: dict[str, list[list[int]]] = {"a": [[1], [2]]}
    pair: tuple[str, list[int]] = ("a", [])


class Owner:
    def __init__(self, state: Any) -> None:
        self._state = state


PLACES: list[Callable[[Any], Any]] = [
    lambda state: state,
    lambda state: state.tags,
    lambda state: state.lists,
    lambda state: state.lists["a"],
    lambda state: state.lists["a"][1],
    lambda state: state.lists["a"].append,
    lambda state: iter(state.lists["a"]),
    lambda state: state.lists.values(),
    lambda state: state.pair,
    lambda state: state.pair[1],
    lambda state: partial(setattr, state, "count"),
    lambda state: lambda: state.count,
]


@pytest.mark.parametrize("kind", [Plain, Slots, Model])
@pytest.mark.parametrize("place", PLACES, ids=range(len(PLACES)))
def test_a_reference_to_any_part_holds_a_state_until_it_is_gone(
    kind: type[Any], place: Callable[[Any], Any]
) -> None:
    owner = Owner(kind())
    assert not is_held(owner)
    found = place(owner._state)
    assert is_held(owner)
    del found
    assert not is_held(owner)


def test_what_cannot_be_changed_holds_nobody() -> None:
    owner = Owner(Plain())
    state = owner._state
    shared = [state.colour, state.role, state.count, next(iter(state.tags))]
    del state
    assert not is_held(owner)
    assert shared == [Colour.RED, GUEST, 0, "a"]
    for fixed in (None, 1, "text", GUEST, (1, 2), frozenset({1})):
        assert not is_held(Owner(fixed))


def test_an_attribute_that_raises_is_no_obstacle() -> None:
    @dataclass(frozen=True)
    class Broken:
        name: str = ""

        def __getattribute__(self, name: str) -> Any:
            if name == "name":
                raise ValueError("not now")
            return super().__getattribute__(name)

    owner = Owner([Broken()])
    assert not is_held(owner)
    found = owner._state[0]
    assert is_held(owner)
    del found


def test_a_state_that_refers_to_itself_is_not_held_by_that() -> None:
    owner = Owner({"a": []})
    owner._state["a"].append(owner._state)
    owner._state["a"].append(owner._state["a"])
    assert not is_held(owner)
    found = owner._state["a"]
    assert is_held(owner)
    del found
    assert not is_held(owner)


def test_a_state_that_leads_to_its_owner_or_to_too_much_counts_as_held() -> None:
    owner = Owner({})
    owner._state["owner"] = owner
    assert is_held(owner)
    for lengths, too_much in (([200_000], True), ([60_000, 60_000], True), ([40_000, 40_000], False)):
        owner = Owner([["x"] * length for length in lengths])
        assert is_held(owner) is too_much


async def test_a_coroutine_and_a_generator_hold_what_their_variables_do() -> None:
    owner = Owner(Plain())

    def in_steps() -> Iterator[None]:
        tags = owner._state.tags
        yield
        tags.add("b")

    end = asyncio.Event()

    async def waiting() -> None:
        lists = owner._state.lists["a"]
        await end.wait()
        lists.clear()

    steps = in_steps()
    assert not is_held(owner)
    next(steps)
    assert is_held(owner)
    steps.close()
    assert not is_held(owner)
    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    assert is_held(owner)
    end.set()
    await task
    assert not is_held(owner)


def test_who_was_only_read_is_taken_once_and_who_is_held_until_he_is_let_go() -> None:
    told: list[str] = []
    touched: Touched[Owner] = Touched(lambda: told.append("first"))
    owners = [Owner(Plain()) for _ in range(100)]
    for owner in owners:
        touched.add(owner)
    assert told == ["first"]
    held = owners[3]._state.tags
    assert touched.take() == set(owners)
    assert touched.take() == touched.take() == {owners[3]}
    del held
    assert touched.take() == {owners[3]}
    assert touched.take() == set()
    touched.add(owners[5])
    assert told == ["first", "first"]
    assert touched.take() == {owners[5]}
    touched.again(owners[6])
    assert touched.take() == {owners[6]}
    assert touched.take() == set()
    held = owners[7]._state.tags
    touched.add(owners[7])
    assert touched.take() == {owners[7]}
    touched.discard(owners[7])
    assert touched.take() == set()
    assert held == {"a"}
