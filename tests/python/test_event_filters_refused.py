"""Filters of clients that are refused, and how many there may be."""

from __future__ import annotations

from typing import Any

import pytest
from linked import LinkedSocket
from worlds import (
    KINDS,
    World,
    place,
    zone,
)

from ringcast.config import ServerConfig
from ringcast.errors import CloseCode
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Connected, Error, Event, Reply, Subscribe, Unsubscribe
from ringcast.wire.topics import MAX_TOPICS_BYTES, bytes_of, to_wire, topic_of

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
        assert world.router.limits_hit["max_filters_per_actor"] == 2


@KINDS
async def test_a_connection_takes_so_many_different_filters(kind: type[World]) -> None:
    async with place(kind, max_filters_per_connection=2) as world:
        ann, bob = await world.guest(zone(1), zone(2), zone(3), "moved"), await world.guest(zone(3))
        assert ann.answer is not None
        assert list(ann.answer.refused_subscriptions) == [zone(3)]
        assert await ann.ask(Subscribe, zone(4)) == "too_many_filters"
        assert world.router.limits_hit["max_filters_per_connection"] == 2
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
