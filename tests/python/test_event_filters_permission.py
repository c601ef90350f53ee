"""Listening with a filter needs the permission for the name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from linked import LinkedSocket, call, running
from worlds import (
    KINDS,
    Moved,
    World,
    place,
    zone,
)

from ringcast import Actor, Context, action
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Event, Heartbeat, Reply, Subscribe
from ringcast.wire.topics import topic_of


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
