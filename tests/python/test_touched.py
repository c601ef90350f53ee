"""Whose state may have changed: whom somebody holds, by whatever reference."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
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
    for lengths, too_much in (([20_000], True), ([6_000, 6_000], True), ([4_000, 4_000], False)):
        owner = Owner([["x"] * length for length in lengths])
        assert is_held(owner) is too_much
    for parts, too_much in ((600, True), (400, False)):
        owner = Owner([[] for _ in range(parts)])
        assert is_held(owner) is too_much


async def _wait() -> None:
    await asyncio.Event().wait()


LEADING_AWAY: dict[str, Callable[[], Any]] = {
    "a task": lambda: asyncio.ensure_future(_wait()),
    "a future": lambda: asyncio.get_running_loop().create_future(),
    "a timer": lambda: asyncio.get_running_loop().call_later(1000, print),
    "the loop": asyncio.get_running_loop,
    "a logger": lambda: logging.getLogger("ringcast.session"),
    "a bound method": lambda: asyncio.get_running_loop().stop,
    "a generator": lambda: (each for each in [[1]]),
    "a thread": threading.current_thread,
    "another connection": lambda: Owner({"its": ["state"]}),
}


@pytest.mark.parametrize("made", LEADING_AWAY.values(), ids=LEADING_AWAY)
async def test_what_leads_to_all_that_runs_is_not_walked_through(
    made: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []

    def counted(part: Any) -> list[Any]:
        looked_at.append(type(part))
        return referents(part)

    referents = gc.get_referents
    monkeypatch.setattr(gc, "get_referents", counted)
    owner = Owner({"a": [1, 2], "other": made()})
    touched: Touched[Owner] = Touched(bool)
    touched.add(owner)
    assert touched.take() == {owner}
    assert len(looked_at) <= 2, "the state, and its list"
    looked_at.clear()
    for _ in range(3):
        assert touched.take() == {owner}
        touched.again_if_held(owner)
    assert looked_at == [], "nobody has accessed it since"
    other = owner._state.pop("other")
    touched.add(owner)
    assert touched.take() == {owner}
    assert looked_at, "its state may be another by now"
    assert touched.take() == set()
    if isinstance(other, asyncio.Task | asyncio.Handle):
        other.cancel()


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
    touched.add(owners[7])
    touched.discard(owners[7])
    assert touched.take() == set(), "it has ended before it was taken"
    assert held == {"a"}


def test_a_class_that_derives_from_a_frozen_one_may_be_changed() -> None:
    class Guest(Role):
        banned = False

    @dataclass(frozen=True)
    class Member(Role):
        since: int = 0

    guest, member = Owner(Guest()), Owner(Member())
    me = guest._state
    me.banned = True
    assert is_held(guest)
    del me
    assert not is_held(guest)
    them = member._state
    assert not is_held(member)
    assert them.since == 0
