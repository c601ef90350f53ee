"""Which fields of an event its clients may filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from linked import call
from worlds import (
    Hit,
    Kind,
    Moved,
    Player,
    Undeclared,
    World,
    place,
)

from ringcast import Actor, Context, action
from ringcast.errors import InvalidFilter
from ringcast.running.event_filters import event_fields
from ringcast.schema.definition import define
from ringcast.wire.topics import filter_of, topic_of


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("moved", {"zone__ge": 2, "tags__has": "vip", "kind": "run", "name__is": None}),
        ("hit", {"targetId": 3}),
        ("said", {"room__is_not": None}),
        ("either", {"room": "a", "zone": 1}),
        ("anything", {"whatever": 1}),
        ("by_key", {"a__ge": 1}),
        ("shot", {"zone": 1}),
    ],
)
def test_what_fits_the_declared_fields(name: str, wanted: dict[str, Any]) -> None:
    event_fields(define(World), name).require(filter_of(topic_of(name, wanted)))


def test_an_actor_that_declares_nothing_has_nothing_to_filter() -> None:
    with pytest.raises(InvalidFilter, match="Undeclared does not declare its fields"):
        event_fields(define(Undeclared), "moved")


async def test_types_of_a_function_are_found() -> None:
    @dataclass
    class Local:
        depth: int = 0

    class Mine(Actor):
        class Events:
            dug: Local

            def filled(self, hole: Local) -> None: ...

    for name in ("dug", "filled"):
        assert event_fields(define(Mine), name).filterable == ("depth",)


async def test_what_an_event_is_on_the_wire_is_what_counts() -> None:
    """Objects of the declared types, sent as they are: an alias, an enum, a set, and a private field."""

    class Typed(World):
        @action
        def send_typed(self, c: Context[None, Player]) -> None:
            c.broadcast("moved", Moved(1, "ann", Kind.RUN, {"vip"}, [1], 7))
            c.broadcast("hit", Hit(targetId=3, note="x"))

    async with place(Typed) as world:
        topics = [
            topic_of("moved", {"kind": "run", "tags__has": "vip", "name__prefix": "an"}),
            topic_of("hit", {"targetId": 3}),
        ]
        ann, bob = await world.guest(*topics), await world.guest(*topics)
        other = await world.guest(topic_of("moved", {"kind": "walk"}), topic_of("hit", {"targetId": 4}))
        await call(world.router, "Typed", "x", "send_typed")
        assert await ann.got() == await bob.got() == [1, 2]
        assert await other.got() == []
