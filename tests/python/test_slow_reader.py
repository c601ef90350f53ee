"""Readers that are too slow for their actor's ring."""

from __future__ import annotations

from typing import Any

from linked import LinkedSocket, resume_from, running
from room import Room, actor_of

from ringcast import Actor
from ringcast.errors import CloseCode
from ringcast.wire.protocol import Call, Event, Gap

_LARGE = "x" * 60_000
_FLOOD = 200
"""Events of that size that no socket buffer takes unread."""


async def flood(actor: Actor[Any, Any]) -> None:
    for n in range(_FLOOD):
        actor.broadcast("said", n, _LARGE)
    await actor.drain()


async def test_a_slow_reader_is_closed_and_told_of_the_gap_when_it_comes_back() -> None:
    class Small(Room, max_ring_events=10):
        pass

    async with running(Small) as router:
        async with LinkedSocket(router) as slow:
            connected = await slow.connect("small", "a", events=("said",))
            seen = (await slow.receive(Event)).offset
            await flood(actor_of(router))
            while isinstance(message := await slow.next(), Event):
                assert message.offset == seen + 1
                seen = message.offset
            assert message == (CloseCode.SLOW_READER, "slow_reader")
            assert seen < _FLOOD
        async with LinkedSocket(router) as again:
            resumed = await again.connect("small", "a", resume=resume_from(connected, seen), events=("said",))
            assert resumed.gap == Gap("ring_overflow", seen + 1, _FLOOD + 2 - 10)
            assert resumed.replayed == 10
            assert [(await again.receive(Event)).args[0] for _ in range(10)] == list(
                range(_FLOOD - 10, _FLOOD)
            )


async def test_a_slow_reader_may_skip_instead() -> None:
    class Skipping(Room, max_ring_events=10, slow_reader="skip"):
        pass

    async with running(Skipping) as router, LinkedSocket(router) as slow:
        await slow.connect("skipping", "a", events=("said",))
        seen, lost = (await slow.receive(Event)).offset, 0
        await flood(actor_of(router))
        while seen < _FLOOD + 2:
            message = await slow.next()
            if isinstance(message, Gap):
                assert message.reason == "ring_overflow" and message.first == seen + 1
                assert message.last is not None
                lost, seen = lost + message.last - seen, message.last
            else:
                assert isinstance(message, Event) and message.offset == seen + 1
                seen = message.offset
        assert lost > 0
        slow.send(Call(1, "say", []))
        assert (await slow.receive(Event)).offset == seen + 1
