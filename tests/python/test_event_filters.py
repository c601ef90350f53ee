"""Listening with a filter, on the server: what is delivered, replayed, kept over a restart, and refused."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import pydantic
import pytest
from linked import LinkedSocket, call, resume_from, running
from test_topics import holds
from typing_extensions import TypedDict

from ringcast import Actor, Context, MemoryStore, action, where
from ringcast.config import ServerConfig
from ringcast.errors import CloseCode, InvalidFilter, UserError
from ringcast.router import Router
from ringcast.running.event_filters import event_fields
from ringcast.schema.definition import define
from ringcast.store import Store
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connected, Error, Event, Heartbeat, Reply, Subscribe, Unsubscribe
from ringcast.wire.topics import MAX_TOPICS_BYTES, bytes_of, filter_of, to_wire, topic_of


class Kind(Enum):
    WALK = "walk"
    RUN = "run"


@dataclass
class Moved:
    zone: int = 0
    name: str | None = None
    kind: Kind = Kind.WALK
    tags: set[str] = field(default_factory=set)
    trail: list[int] = field(default_factory=list)
    _secret: int = 0


class Hit(pydantic.BaseModel):
    target_id: int = pydantic.Field(alias="targetId")
    note: str = pydantic.Field("", exclude=True)


class Point(NamedTuple):
    x: int


class Said(TypedDict, total=False):
    room: str


@dataclass
class Player:
    team: str = "red"


def _typed(event: dict[str, Any]) -> dict[str, Any]:
    """Return the values of an event that JSON has other forms for."""
    return {"kind": Kind(event.get("kind", "walk")), "tags": set(event.get("tags", ()))}


class World(Actor[None, Player]):
    """Sends what its tests tell it to."""

    class Events:
        moved: Moved
        hit: Hit
        said: Said
        either: Moved | Said
        anything: Any
        by_key: dict[str, int]
        point: Point
        count: int
        nothing: None
        secret: Moved

        raises: Moved

        def shot(self, shooter: Moved, at: int) -> None: ...
        def quiet(self) -> None: ...

    asked: list[str]

    def on_start(self) -> None:
        self.asked = []

    def can_subscribe(self, c: Context[None, Player], name: str) -> bool:
        self.asked.append(name)
        if name == "raises":
            raise UserError("no", code="not_you")
        return name != "secret"

    @action
    def names_asked(self, c: Context[None, Player]) -> list[str]:
        return self.asked

    @action
    def send(self, c: Context[None, Player], events: list[dict[str, Any]]) -> None:
        for event in events:
            name = event.pop("event", "moved")
            only, exclude, team = event.pop("only", None), event.pop("exclude", ()), event.pop("team", None)
            value = event if name == "said" else Moved(**{**event, **_typed(event)})
            if only is not None:
                next(conn for conn in c.conns if conn.id == only).send(name, value)
            else:
                left_out = [conn for conn in c.conns if conn.id in exclude]
                wanted = None if team is None else where(team=team)
                c.broadcast(name, value, exclude=left_out, where=wanted)


class DurableWorld(World):
    durable = True


class Small(World, max_ring_events=4):
    pass


class DurableSmall(World, max_ring_events=4):
    durable = True


class Undeclared(Actor):
    pass


KINDS = pytest.mark.parametrize("kind", [World, DurableWorld], ids=["ordinary", "durable"])
SMALL = pytest.mark.parametrize("kind", [Small, DurableSmall], ids=["ordinary", "durable"])


class Guest:
    """One client, on the level of messages."""

    def __init__(self, router: Router, kind: type[Actor[Any, Any]], encoding: Encoding) -> None:
        self._router = router
        self._actor = kind.__name__
        self.encoding = encoding
        self.socket = LinkedSocket(router, encoding)
        self.answer: Connected | None = None
        self.position = 0
        self.id = 0

    async def connect(self, *topics: str, team: str = "red") -> Connected:
        self.answer = await self.socket.connect(self._actor, "x", params={"team": team}, events=topics)
        self.position = self.answer.offset
        return self.answer

    async def come_back(self, *topics: str) -> Connected:
        assert self.answer is not None
        self.socket.lose()
        self.socket = LinkedSocket(self._router, self.encoding)
        resume = resume_from(self.answer, self.position)
        self.answer = await self.socket.connect(self._actor, "x", resume=resume, events=topics)
        self.position = self.answer.offset
        return self.answer

    async def ask(self, kind: type[Subscribe | Unsubscribe], topic: str) -> str | None:
        """Return the code of the error that it is refused with, if it is; events from before are dropped."""
        self.id += 1
        self.socket.send(kind(self.id, topic))
        answer = await self.socket.next()
        while isinstance(answer, Event):
            answer = await self.socket.next()
        assert isinstance(answer, Reply | Error)
        assert answer.id == self.id
        return None if isinstance(answer, Reply) else answer.error["code"]

    async def got(self) -> list[int]:
        """Return the offsets of the events that have come by now."""
        self.id += 1
        self.socket.send(Call(self.id, "send", [[]]))
        offsets = []
        while isinstance(event := await self.socket.next(), Event):
            offsets.append(event.offset)
        assert isinstance(event, Reply), event
        self.position = max([self.position, *offsets])
        return offsets


@dataclass
class Place:
    router: Router
    kind: type[World]
    guests: list[Guest] = field(default_factory=list)

    async def guest(self, *topics: str, team: str = "red") -> Guest:
        guest = Guest(self.router, self.kind, list(Encoding)[len(self.guests) % 2])
        self.guests.append(guest)
        await guest.connect(*topics, team=team)
        return guest

    async def send(self, *events: dict[str, Any]) -> None:
        await call(self.router, self.kind.__name__, "x", "send", list(events))


@asynccontextmanager
async def place(kind: type[World], store: Store | None = None, **limits: Any) -> AsyncIterator[Place]:
    async with running(kind, store=store or MemoryStore(), **limits) as router:
        made = Place(router, kind)
        try:
            yield made
        finally:
            for guest in made.guests:
                guest.socket.lose()


def zone(number: int) -> str:
    return topic_of("moved", {"zone": number})


@KINDS
async def test_a_filter_narrows_what_is_delivered(kind: type[World]) -> None:
    async with place(kind) as world:
        all_of_it, third, vips, none = [
            await world.guest(*topics)
            for topics in [["moved"], [zone(3)], [topic_of("moved", {"tags__has": "vip"}), zone(1)], []]
        ]
        both = await world.guest(zone(3), "moved", "said")
        await world.send(
            {"zone": 3},
            {"zone": 1, "tags": ["vip"]},
            {"zone": 2},
            {"zone": 3, "tags": ["vip"]},
            {"event": "said"},
        )
        assert await all_of_it.got() == [1, 2, 3, 4]
        assert await third.got() == [1, 4]
        assert await vips.got() == [2, 4]
        assert await none.got() == []
        assert await both.got() == [1, 2, 3, 4, 5]


@KINDS
async def test_a_filter_never_widens(kind: type[World]) -> None:
    """Whom the actor leaves out, and whom its filter over connections does not match, gets nothing by it."""
    async with place(kind) as world:
        ann, bob = await world.guest(zone(3)), await world.guest(zone(3), team="blue")
        assert ann.answer is not None
        await world.send(
            {"zone": 3, "exclude": [ann.answer.connection]},
            {"zone": 3, "team": "red"},
            {"zone": 4, "team": "red"},
            {"zone": 3, "team": "blue", "exclude": [ann.answer.connection]},
            {"zone": 3, "team": "red", "exclude": [ann.answer.connection]},
            {"zone": 5, "only": ann.answer.connection},
        )
        assert await ann.got() == [2, 6]
        assert await bob.got() == [1, 4]


@KINDS
@pytest.mark.parametrize("seed", range(12))
async def test_every_history_gives_what_python_says(kind: type[World], seed: int) -> None:
    """Subscribing, unsubscribing, lost networks and events, against a model that forgets nothing."""
    rng = random.Random(seed)
    wanted: list[dict[str, Any] | None] = [
        None, {"zone": 0}, {"zone": 1}, {"zone__in": [1, 2]}, {"zone__ge": 1, "kind": "run"},
        {"name__prefix": "a"}, {"tags__has": "vip"}, {"name__is": None}, {"zone__ne": 0},
    ]  # fmt: skip
    topics = {topic_of("moved", each): each for each in wanted}
    async with place(kind) as world:
        guests = [await world.guest() for _ in range(4)]
        listens: list[set[str]] = [set() for _ in guests]
        due: list[list[int]] = [[] for _ in guests]
        offset = 0
        for _ in range(60):
            who = rng.randrange(len(guests))
            guest = guests[who]
            match rng.randrange(8):
                case 0 | 1:
                    assert await guest.got() == due[who]
                    topic = rng.choice([*topics])
                    assert await guest.ask(Subscribe, topic) is None
                    listens[who].add(topic)
                    due[who] = []
                case 2:
                    assert await guest.got() == due[who]
                    topic = rng.choice([*topics])
                    assert await guest.ask(Unsubscribe, topic) is None
                    listens[who].discard(topic)
                    due[who] = []
                case 3:
                    # What is on its way is lost with the socket, and comes again.
                    answer = await guest.come_back(*listens[who])
                    assert (answer.gap, answer.replayed) == (None, len(due[who]))
                case _:
                    event = {
                        "zone": rng.randrange(3), "name": rng.choice(["ann", "bob", None]),
                        "kind": rng.choice(["walk", "run"]),
                        "tags": rng.choice([[], ["vip"], ["vip", "new"]]),
                    }  # fmt: skip
                    excluded = rng.randrange(6)
                    left_out = [g.answer.connection for g in guests[excluded : excluded + 1] if g.answer]
                    await world.send({**event, "exclude": left_out})
                    offset += 1
                    for index, names in enumerate(listens):
                        heard = any(
                            each is None or holds(each, event)
                            for topic, each in topics.items()
                            if topic in names
                        )
                        if heard and index != excluded:
                            due[index].append(offset)
        for guest, expected in zip(guests, due, strict=True):
            assert await guest.got() == expected


@SMALL
async def test_what_a_filter_kept_away_is_no_gap_and_what_it_let_through_is(kind: type[World]) -> None:
    async with place(kind) as world:
        ann, bob = await world.guest(zone(1)), await world.guest(zone(1), zone(2))
        await world.send({"zone": 1})
        assert await ann.got() == await bob.got() == [1]
        ann.socket.lose()
        bob.socket.lose()
        await world.send(*[{"zone": 3}] * 3, {"zone": 2}, *[{"zone": 3}] * 8)
        answer = await ann.come_back(zone(1))
        assert (answer.gap, answer.replayed) == (None, 0)
        answer = await bob.come_back(zone(1), zone(2))
        assert answer.gap is not None
        assert (answer.gap.reason, answer.replayed) == ("ring_overflow", 0)
        await world.send({"zone": 1})
        assert await ann.got() == await bob.got() == [14]


@KINDS
async def test_what_changes_while_the_network_is_lost_holds_from_the_return_on(kind: type[World]) -> None:
    async with place(kind) as world:
        ann = await world.guest(zone(1), zone(2))
        ann.socket.lose()
        await world.send({"zone": 1}, {"zone": 2}, {"zone": 3})
        answer = await ann.come_back(zone(1), zone(3))
        # What it has left by then was for it when it was sent.
        assert (answer.gap, answer.replayed) == (None, 2)
        await world.send({"zone": 1}, {"zone": 2}, {"zone": 3})
        assert await ann.got() == [1, 2, 4, 6]


@pytest.mark.parametrize("kind", [DurableWorld, DurableSmall], ids=["roomy", "small"])
async def test_filters_and_who_an_event_was_for_outlive_a_restart(kind: type[World]) -> None:
    store = MemoryStore()
    async with place(kind, store) as world:
        guests = [await world.guest(zone(1)), await world.guest(zone(2)), await world.guest("moved")]
        left = await world.guest(zone(1), zone(2))
        await world.send({"zone": 1}, {"zone": 2})
        assert await left.ask(Unsubscribe, zone(1)) is None
        await world.send({"zone": 1}, {"zone": 3})
    async with place(kind, store) as world:
        for guest, topic, count in zip(guests, [zone(1), zone(2), "moved"], [2, 1, 4], strict=True):
            guest._router = world.router
            answer = await guest.come_back(topic)
            assert (answer.gap, answer.replayed) == (None, count)
        left._router = world.router
        assert (await left.come_back(zone(2))).replayed == 2
        await world.send({"zone": 1}, {"zone": 2})
        assert await guests[0].got() == [1, 3, 5]
        assert await guests[1].got() == [2, 6]
        assert await guests[2].got() == [1, 2, 3, 4, 5, 6]
        assert await left.got() == [1, 2, 6]
        await world.send(*[{"zone": 3}] * 9, {"zone": 2})
        for guest in [*guests, left]:
            guest.socket.lose()
    if kind is DurableSmall:
        # What is gone by now was for some of them; a restart does not change that.
        async with place(kind, store) as world:
            for guest, topic, lost in zip(
                guests, [zone(1), zone(2), "moved"], [False, False, True], strict=True
            ):
                guest._router = world.router
                answer = await guest.come_back(topic)
                assert (answer.gap is not None) == lost, topic
                guest.socket.lose()


@dataclass
class Shifted:
    """What `Moved` might become in another version."""

    area: int = 0
    name: str | None = None


def shifted() -> Any:
    class DurableWorld(Actor[None, Player]):
        durable = True

        class Events:
            moved: Shifted

        @action
        def send(self, c: Context[None, Player], area: int) -> None:
            c.broadcast("moved", Shifted(area))

    return DurableWorld


async def test_after_a_restart_kept_filters_have_to_fit_the_class() -> None:
    store = MemoryStore()
    others, named = topic_of("moved", {"zone__ne": 1}), topic_of("moved", {"name__is": None})
    async with place(DurableWorld, store) as world:
        ann = await world.guest(others, named)
        bob = await world.guest(others)
        await world.send({"zone": 2})
    changed = shifted()
    async with place(changed, store) as world:
        # As without the field the filter would match everything.
        await call(world.router, "DurableWorld", "x", "send", 3)
        for guest, topics, replayed in [(ann, (others, named), 2), (bob, (others,), 1)]:
            guest._router = world.router
            answer = await guest.come_back(*topics)
            assert (answer.gap, answer.replayed) == (None, replayed)
            assert {topic: error["code"] for topic, error in answer.refused_subscriptions.items()} == {
                others: "invalid_filter"
            }
        world.guests += [ann, bob]


@KINDS
async def test_the_actor_is_asked_for_the_name(kind: type[World]) -> None:
    async with place(kind) as world:
        ann = await world.guest(zone(3), topic_of("secret", {"zone": 3}))
        assert ann.answer is not None
        assert [*ann.answer.refused_subscriptions] == [topic_of("secret", {"zone": 3})]
        assert await ann.ask(Subscribe, topic_of("raises", {"zone": 3})) == "not_you"
        # Whoever may not hear of an event learns nothing of its fields.
        assert await ann.ask(Subscribe, topic_of("secret", {"nothing": 3})) == "subscription_refused"
        ann.id += 1
        ann.socket.send(Call(ann.id, "names_asked", []))
        reply = await ann.socket.receive(Reply)
        assert reply.value == ["moved", "secret", "raises", "secret"]
        await world.send({"event": "secret", "zone": 3}, {"zone": 3})
        assert await ann.got() == [2]


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("moved", {"zon": 3}, "Moved has no field 'zon' (did you mean 'zone'?); these can be filtered: "
     "zone, name, kind, tags"),
    ("moved", {"zone": "3"}, "attribute('zone') == '3' never matches: Moved.zone has the type int"),
    ("moved", {"kind": "fly"}, "Moved.kind has the type Kind, whose values are 'run', 'walk'"),
    ("moved", {"tags": "vip"}, "for a str in it write .has()"),
    ("moved", {"trail__has": "a"}, "Moved.trail has the type list[int], which cannot be filtered"),
    ("moved", {"_secret": 1}, "Moved has no field '_secret'"),
    ("moved", {"zone__gte": 3}, "there is no operator 'gte' (did you mean 'ge'?)"),
    ("moved", {"zone__in": 3}, "attribute('zone') is compared with a list, tuple or set of values, not 3"),
    ("moved", {"zone": [3]}, "is compared with None, a bool, int, float, str or enum member, not with [3]"),
    ("moved", {"name": "x" * 5000}, "a filter has at most 4096 bytes"),
    ("moved", {}, "a filter compares at least one field"),
    ("hit", {"target_id": 3}, "Hit has no field 'target_id' (did you mean 'targetId'?)"),
    ("hit", {"note": "x"}, "Hit has no field 'note'"),
    ("shot", {"at": 1}, "Moved has no field 'at'"),
    ("by_key", {"a": "1"}, "never matches"),
    ("point", {"x": 1}, "World.Events declares it with Point, which has no fields"),
    ("count", {"x": 1}, "'count' cannot be filtered: World.Events declares it with int, which has no fields"),
    ("nothing", {"x": 1}, "'nothing' cannot be filtered: World.Events declares it with no argument"),
    ("quiet", {"x": 1}, "'quiet' cannot be filtered: World.Events declares it with no argument"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wanted", "message"), REFUSED)
async def test_a_filter_that_does_not_fit_is_refused_and_nobody_else_loses_by_it(
    name: str, wanted: dict[str, Any], message: str
) -> None:
    async with place(World) as world:
        ann, bob = await world.guest("moved", zone(1)), await world.guest(zone(1))
        bad = [name, wanted]
        for guest in (ann, bob):
            guest.id += 1
            guest.socket.send_raw(guest.encoding.encode(["subscribe", guest.id, bad]))
            error = await guest.socket.receive(Error)
            assert (error.id, error.error["code"]) == (guest.id, "invalid_filter")
            assert message in error.error["message"]
            guest.id += 1
            guest.socket.send_raw(guest.encoding.encode(["unsubscribe", guest.id, bad]))
            assert await guest.socket.receive(Reply) == Reply(guest.id, None)
        async with LinkedSocket(world.router) as raw:
            connect = {"actor": "world", "key": ["x"], "subscriptions": [bad, "said", ["moved", {"zone": 1}]]}
            raw.send_raw(Encoding.JSON.encode(["connect", connect]))
            answer = await raw.receive(Connected)
            [(_, error_in_answer)] = answer.refused_subscriptions.items()
            assert error_in_answer["code"] == "invalid_filter"
            assert message in error_in_answer["message"]
            await world.send({"zone": 1}, {"event": "said"})
            assert [(await raw.receive(Event)).offset for _ in range(2)] == [1, 2]
        assert await ann.got() == await bob.got() == [1]


@pytest.mark.parametrize(
    "message",
    [
        ["subscribe", 1, ["moved"]],
        ["subscribe", 1, ["moved", 3]],
        ["subscribe", 1, ["moved", None]],
        ["subscribe", 1, ["", {"zone": 1}]],
        ["subscribe", 1, ["moved", {"zone": 1}, 2]],
        ["subscribe", 1, "moved", {"zone": 1}],
        ["unsubscribe", 1, [3, {"zone": 1}]],
    ],
)
async def test_what_is_no_topic_breaks_the_protocol(message: list[Any]) -> None:
    async with place(World) as world:
        bob = await world.guest(zone(1))
        async with LinkedSocket(world.router) as raw:
            await raw.connect("world", "x")
            raw.send_raw(Encoding.JSON.encode(message))
            error = await raw.receive(Error)
            assert (error.id, error.error["code"]) == (None, "invalid_message")
            await raw.closed_with(CloseCode.INVALID_MESSAGE)
        await world.send({"zone": 1})
        assert await bob.got() == [1]


@KINDS
async def test_an_actor_takes_so_many_different_filters(kind: type[World]) -> None:
    async with place(kind, max_filters_per_actor=2) as world:
        ann, bob = await world.guest(zone(1), zone(2)), await world.guest(zone(2), "moved")
        assert await bob.ask(Subscribe, zone(3)) == "too_many_filters"
        # Those that are known may be used by everybody.
        assert await bob.ask(Subscribe, zone(1)) is None
        # One that nobody uses any more makes room, though events are retained that it matched.
        await world.send({"zone": 1}, {"zone": 2}, {"zone": 3})
        assert await ann.got() == [1, 2]
        assert await bob.got() == [1, 2, 3]
        for guest in (ann, bob):
            assert await guest.ask(Unsubscribe, zone(1)) is None
        assert await bob.ask(Subscribe, zone(3)) is None
        answer = await (await world.guest()).come_back(zone(4))
        assert [error["code"] for error in answer.refused_subscriptions.values()] == ["too_many_filters"]


@KINDS
async def test_a_connection_takes_so_many_different_filters(kind: type[World]) -> None:
    async with place(kind, max_filters_per_connection=2) as world:
        ann, bob = await world.guest(zone(1), zone(2), zone(3), "moved"), await world.guest(zone(3))
        assert ann.answer is not None
        assert list(ann.answer.refused_subscriptions) == [zone(3)]
        assert await ann.ask(Subscribe, zone(4)) == "too_many_filters"
        assert await ann.ask(Subscribe, zone(1)) is None
        assert await ann.ask(Unsubscribe, zone(1)) is None
        assert await ann.ask(Subscribe, zone(4)) is None
        assert await bob.ask(Subscribe, zone(1)) is None


@KINDS
async def test_the_topics_of_a_connection_are_bounded(kind: type[World]) -> None:
    """What it listens for is said twice by a client that comes back: that has to be a message."""
    # Numbers that are three bytes in JSON, and nine in MessagePack.
    topics = [topic_of("moved", {"zone__in": [0.0] * 500, "name": str(number)}) for number in range(8)]
    async with place(kind) as world:
        ann = await world.guest(*topics)
        assert ann.answer is not None
        refused = ann.answer.refused_subscriptions
        assert {error["code"] for error in refused.values()} == {"subscription_refused"}
        held = [topic for topic in topics if topic not in refused]
        assert sum(map(bytes_of, held)) <= MAX_TOPICS_BYTES < sum(map(bytes_of, [*held, topics[-1]]))
        assert await ann.ask(Subscribe, topics[-1]) == "subscription_refused"
        assert await ann.ask(Subscribe, held[0]) is None
        for encoding in Encoding:
            said = encoding.encode([to_wire(topic) for topic in held])
            assert 2 * len(said) + 8192 < ServerConfig().max_message_bytes, encoding
        assert await ann.ask(Unsubscribe, held[0]) is None
        assert await ann.ask(Subscribe, topics[-1]) is None


async def test_filters_count_as_subscriptions() -> None:
    async with place(World, max_filters_per_connection=256) as world:
        ann = await world.guest(*[zone(number) for number in range(256)])
        assert ann.answer is not None
        assert not ann.answer.refused_subscriptions
        assert await ann.ask(Subscribe, zone(256)) == "subscription_refused"
        assert await ann.ask(Subscribe, zone(255)) is None
        async with LinkedSocket(world.router) as raw:
            topics = [["moved", {"zone": number}] for number in range(257)]
            raw.send_raw(Encoding.JSON.encode(["connect", {"actor": "world", "subscriptions": topics}]))
            assert (await raw.receive(Error)).error["code"] == "invalid_message"


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


@dataclass
class Trusted:
    may: bool = True


class Guarded(Actor[None, Trusted]):
    class Events:
        moved: Moved

    def can_subscribe(self, c: Context[None, Trusted], name: str) -> bool:
        assert c.conn is not None
        return c.conn.state.may

    @action
    def change(self, c: Context[None, Trusted], may: bool, *zones: int) -> None:
        for conn in c.conns:
            conn.state.may = may
        for number in zones:
            c.broadcast("moved", Moved(number))


class SlowlyGuarded(Guarded):
    async def can_subscribe(self, c: Context[None, Trusted], name: str) -> bool:  # type: ignore[override]
        assert c.conn is not None
        return c.conn.state.may


class DurablyGuarded(SlowlyGuarded):
    durable = True


@pytest.mark.parametrize("kind", [Guarded, SlowlyGuarded, DurablyGuarded])
async def test_a_permission_that_is_withdrawn_ends_what_is_filtered_as_well(kind: type[Guarded]) -> None:
    async with running(kind) as router:
        for encoding in Encoding:
            async with LinkedSocket(router, encoding) as socket:
                key = encoding.name
                await socket.connect(kind.__name__, key, events=(zone(1), zone(2)))
                await call(router, kind.__name__, key, "change", True, 1, 3)
                assert (await socket.receive(Event)).offset == 1
                await call(router, kind.__name__, key, "change", False, 1, 2)
                refused: dict[str, Any] = {}
                while len(refused) < 2:
                    refused |= (await socket.receive(Heartbeat)).refused_subscriptions or {}
                assert {*refused} == {zone(1), zone(2)}
                assert {error["code"] for error in refused.values()} == {"subscription_refused"}
                await call(router, kind.__name__, key, "change", True, 1, 2)
                socket.send(Subscribe(1, zone(2)))
                assert await socket.receive(Reply) == Reply(1, None)
                await call(router, kind.__name__, key, "change", True, 1, 2)
                assert (await socket.receive(Event)).offset == 8


@pytest.mark.parametrize("kind", [SlowlyGuarded, DurablyGuarded])
async def test_what_a_filter_lets_through_while_it_is_decided_comes_if_it_may(kind: type[Guarded]) -> None:
    async with running(kind) as router, LinkedSocket(router) as socket:
        await socket.connect(kind.__name__, "x", events=(zone(1),))
        # The states are as they were when the hook decides: it is asked, and says yes.
        await call(router, kind.__name__, "x", "change", False)
        await call(router, kind.__name__, "x", "change", True, 1, 2, 1)
        assert [(await socket.receive(Event)).offset for _ in range(2)] == [1, 3]
