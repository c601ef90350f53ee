"""How long a session knows what was withdrawn from it: its client may not have heard of it yet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from linked import LinkedSocket, call, running
from vaults import Guest, refused

from ringcast import Actor, Context, action
from ringcast.router import Router
from ringcast.wire.protocol import MAX_SUBSCRIPTIONS, Error, Reply, Resume, Subscribe, Unsubscribe
from ringcast.wire.topics import topic_of

NOT_ALLOWED = {"code": "subscription_refused", "message": "this connection may not listen for 'moved'"}


@dataclass
class Spot:
    zone: int


class Zones(Actor[None, Guest]):
    """Lets those listen who are admins; whose zones are told apart by filters."""

    class Events:
        moved: Spot

    def can_subscribe(self, c: Context[None, Guest], event: str) -> bool:
        return c.conn.state.role == "admin"

    @action
    def make(self, c: Context[None, Guest], role: str) -> None:
        for conn in c.conns:
            conn.state.role = role
        c.broadcast("moved", Spot(0))


class AsyncZones(Zones):
    async def can_subscribe(self, c: Context[None, Guest], event: str) -> bool:
        await asyncio.sleep(0)
        return super().can_subscribe(c, event)


def withdrawn_from(router: Router) -> tuple[str, ...]:
    assert router._gateway is not None
    [session] = router._gateway.sessions.values()
    return session._withdrawn


@pytest.mark.parametrize("zones", [Zones, AsyncZones])
async def test_what_was_withdrawn_is_known_until_the_client_asks_for_its_end(zones: type[Zones]) -> None:
    """Again and again other topics: what is kept of them does not grow."""
    async with running(zones) as router, LinkedSocket(router) as client:
        await client.connect(zones.__name__, "a")
        for number in range(0, 600, 3):
            await call(router, zones.__name__, "a", "make", "admin")
            topics = [topic_of("moved", {"zone": number + each}) for each in range(3)]
            first = 10 * number + 1
            client.send(*[Subscribe(first + each, topic) for each, topic in enumerate(topics)])
            for each in range(3):
                assert await client.receive(Reply) == (first + each, None)
            await call(router, zones.__name__, "a", "make", "guest")
            assert await refused(client) == dict.fromkeys(topics, NOT_ALLOWED)
            assert withdrawn_from(router)[-3:] == tuple(topics)
            # One it never mentions again, one it asks for in vain, and one it leaves.
            client.send(Subscribe(first + 3, topics[1]), Unsubscribe(first + 4, topics[2]))
            assert (await client.receive(Error)).id == first + 3
            assert await client.receive(Reply) == (first + 4, None)
            assert withdrawn_from(router)[-2:] == tuple(topics[:2])
            assert len(withdrawn_from(router)) <= MAX_SUBSCRIPTIONS
        assert len(withdrawn_from(router)) == MAX_SUBSCRIPTIONS - 1, "without the one that was left last"


async def test_what_a_client_has_back_or_no_longer_wants_when_it_returns_is_withdrawn_no_longer() -> None:
    kept, gone = (topic_of("moved", {"zone": zone}) for zone in (1, 2))
    async with running(Zones) as router:
        async with LinkedSocket(router) as client:
            connected = await client.connect("zones", "a", events=(kept, gone))
        await call(router, "zones", "a", "make", "guest")
        assert {*withdrawn_from(router)} == {kept, gone}
        # It has not heard of it, and neither of the first answer.
        for _ in range(2):
            async with LinkedSocket(router) as client:
                resume = Resume(connected.session, connected.epoch, connected.offset, (), 0, ())
                again = await client.connect("zones", "a", resume=resume, events=(kept,))
                assert (again.session, again.gap) == (connected.session, None)
                assert [*again.refused_subscriptions] == [kept]
            assert withdrawn_from(router) == (kept,)
        await call(router, "zones", "a", "make", "admin")
        async with LinkedSocket(router) as client:
            resume = Resume(connected.session, connected.epoch, connected.offset, (), 0, (kept,))
            again = await client.connect("zones", "a", resume=resume, events=(kept,))
            assert (again.session, again.gap, again.refused_subscriptions) == (connected.session, None, {})
            assert withdrawn_from(router) == ()
