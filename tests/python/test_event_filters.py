"""Listening with a filter, on the server: what is delivered, replayed, and kept over a restart."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest
from linked import call
from test_topics import holds
from worlds import (
    KINDS,
    SMALL,
    DurableSmall,
    DurableWorld,
    Player,
    World,
    place,
    zone,
)

from ringcast import Actor, Context, MemoryStore, action
from ringcast.wire.protocol import Subscribe, Unsubscribe
from ringcast.wire.topics import topic_of


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
