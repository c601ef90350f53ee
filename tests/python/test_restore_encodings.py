"""A durable actor's stream comes back as it was, also when an encoding came into use in the middle of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from linked import LinkedSocket, call, resume_from, running

from ringcast import Actor, Context, MemoryStore, action
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Event
from ringcast.wire.topics import topic_of


@dataclass
class Move:
    zone: int


class Feed(Actor):
    durable = True

    class Events:
        said: str
        moved: Move

    @action
    def say(self, c: Context, text: str) -> None:
        c.broadcast("said", text)

    @action
    def move(self, c: Context, zone: int) -> None:
        c.broadcast("moved", Move(zone))


async def test_events_from_before_an_encoding_was_used_keep_their_offsets() -> None:
    store = MemoryStore()
    async with running(Feed, store=store) as router:
        async with LinkedSocket(router, Encoding.JSON) as first:
            connected = await first.connect("feed", "a", events=("said",))
            await call(router, "feed", "a", "say", "in one encoding")
            assert (await first.receive(Event)).offset == 1
        async with LinkedSocket(router, Encoding.MSGPACK) as second:
            await second.connect("feed", "a", events=("said",))
            await call(router, "feed", "a", "say", "in both")
            assert (await second.receive(Event)).offset == 2
    async with running(Feed, store=store) as router, LinkedSocket(router, Encoding.JSON) as again:
        answer = await again.connect("feed", "a", resume=resume_from(connected, 0), events=("said",))
        assert (answer.gap, answer.replayed) == (None, 2)
        assert [(await again.receive(Event)).offset for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("encoding", Encoding)
async def test_a_filter_lets_the_same_events_through_after_a_restart(encoding: Encoding) -> None:
    """Also if the other encoding was never in use, so that the store has the events in one of them."""
    store = MemoryStore()
    topics = (topic_of("moved", {"zone": 3}),)
    async with running(Feed, store=store) as router, LinkedSocket(router, encoding) as first:
        connected = await first.connect("feed", "a", events=topics)
        for zone in (3, 1, 3):
            await call(router, "feed", "a", "move", zone)
        assert [(await first.receive(Event)).offset for _ in range(2)] == [1, 3]
    async with running(Feed, store=store) as router, LinkedSocket(router, encoding) as again:
        answer = await again.connect("feed", "a", resume=resume_from(connected, 0), events=topics)
        assert (answer.gap, answer.replayed) == (None, 2)
        assert [(await again.receive(Event)).offset for _ in range(2)] == [1, 3]


@pytest.mark.parametrize("encoding", Encoding)
async def test_a_filtered_event_that_is_gone_before_a_restart_is_a_gap_after_it(encoding: Encoding) -> None:
    class Forgetful(Feed, max_ring_events=4):
        durable = True

    store, topics = MemoryStore(), (topic_of("moved", {"zone": 3}),)
    async with running(Forgetful, store=store) as router, LinkedSocket(router, encoding) as first:
        connected = await first.connect("forgetful", "a", events=topics)
        for zone in (3, 1, 1):
            await call(router, "forgetful", "a", "move", zone)
    async with running(Forgetful, store=store) as router:
        # The first of them leaves the ring only now.
        for _ in range(2):
            await call(router, "forgetful", "a", "move", 1)
        async with LinkedSocket(router, encoding) as again:
            answer = await again.connect("forgetful", "a", resume=resume_from(connected, 0), events=topics)
            assert answer.gap is not None
            assert (answer.gap.first, answer.gap.last) == (1, 1)
            assert answer.replayed == 0
