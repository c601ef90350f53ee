"""Which fields of an event its clients may filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pydantic
import pytest
from linked import LinkedSocket, call, running
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
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Event, Reply
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


class Tags(pydantic.RootModel[set[str]]):
    pass


class Level(pydantic.RootModel[int | None]):
    pass


class Note(pydantic.RootModel[Moved]):
    pass


class Counts(pydantic.RootModel[dict[str, int]]):
    pass


class Either(pydantic.RootModel[Note | Counts]):
    pass


class Json(pydantic.RootModel["int | Json"]):
    pass


@dataclass
class Held:
    tags: Tags
    level: Level
    json: Json
    counts: Counts
    plain: pydantic.RootModel[str]


class Rooted(Actor):
    class Events:
        note: Note
        counts: Counts
        either: Either
        json: Json
        held: Held
        level: Level

    @action
    def send(self, c: Context) -> None:
        c.broadcast("note", Note(Moved(1, "ann")))
        c.broadcast("counts", Counts({"a": 3}))
        c.broadcast("either", Either(Counts({"a": 3})))
        held = Held(Tags({"vip"}), Level(None), Json(3), Counts({}), pydantic.RootModel[str]("text"))
        c.broadcast("held", held)


ROOTED = [
    ("note", {"zone": 1, "name__prefix": "an"}, {"zone": 2}),
    ("counts", {"a": 3}, {"b": 3}),
    ("either", {"a": 3}, {"zone": 1}),
    ("held", {"tags__has": "vip", "level__is": None, "plain": "text"}, {"level": 3}),
    ("held", {"json": 3}, {"plain": "other"}),
]


@pytest.mark.parametrize(("name", "wanted", "other"), ROOTED)
@pytest.mark.parametrize("encoding", Encoding)
async def test_of_a_root_model_clients_see_and_filter_what_it_holds(
    name: str, wanted: dict[str, Any], other: dict[str, Any], encoding: Encoding
) -> None:
    async with running(Rooted) as router, LinkedSocket(router, encoding) as client:
        connected = await client.connect("rooted", "a", events=(topic_of(name, wanted),))
        assert connected.refused_subscriptions == {}
        async with LinkedSocket(router, encoding) as second:
            await second.connect("rooted", "a", events=(topic_of(name, other),))
            await call(router, "rooted", "a", "send")
            second.send(Call(1, "send", []))
            assert isinstance(await second.next(), Reply), "and nothing before it"
        assert (await client.receive(Event)).name == name


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("note", {"zon": 1}, "Moved has no field 'zon' (did you mean 'zone'?)"),
        ("note", {"root": 1}, "Moved has no field 'root'"),
        ("counts", {"a": "3"}, "attribute('a') == '3' never matches"),
        ("held", {"counts": 3}, "Held.counts has the type Counts, which cannot be filtered"),
        ("held", {"tags": "vip"}, "Held.tags has the type Tags; for a str in it write .has()"),
        ("level", {"x": 1}, "'level' cannot be filtered: Rooted.Events declares it with "),
    ],
)
def test_what_does_not_fit_a_root_model_is_named(name: str, wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        event_fields(define(Rooted), name).require(filter_of(topic_of(name, wanted)))
    assert message in caught.value.message


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
