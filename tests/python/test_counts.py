"""What the core counts of readers that are too slow: exactly what they get and lose."""

from __future__ import annotations

import pytest
from linked import LinkedSocket, running
from room import Room, actor_of

from ringcast import _core
from ringcast.errors import CloseCode
from ringcast.router import Router
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Event, Gap

_LARGE = "x" * 60_000
_FLOOD = 200
"""Events of that size that no socket buffer takes unread."""


async def flood(router: Router) -> None:
    actor = actor_of(router)
    for n in range(_FLOOD):
        actor.broadcast("said", n, _LARGE)
    await actor.drain()


def counts(router: Router, actor: str) -> tuple[int, int, int, int, int]:
    assert router.metrics is not None
    return router.metrics.actors[actor].tally.counts()


async def test_deliveries_to_a_slow_reader_that_is_closed_are_what_it_reads() -> None:
    class Small(Room, max_ring_events=10):
        pass

    async with running(Small, metrics=True) as router, LinkedSocket(router) as slow:
        await slow.connect("small", "a", events=("said",))
        await flood(router)
        received = 0
        while isinstance(message := await slow.next(), Event):
            received += 1
        assert message == (CloseCode.SLOW_READER, "slow_reader")
        events, deliveries, _, disconnected, skipped = counts(router, "Small")
        assert (deliveries, disconnected, skipped) == (received, 1, 0)
        assert events == actor_of(router)._instance.stream.head


async def test_a_slow_reader_that_skips_lags_and_its_gaps_are_counted() -> None:
    class Skipping(Room, max_ring_events=10, slow_reader="skip"):
        pass

    async with running(Skipping, metrics=True) as router, LinkedSocket(router) as slow:
        await slow.connect("skipping", "a", events=("said",))
        await flood(router)
        stream = actor_of(router)._instance.stream
        assert 0 < stream.lag <= stream.head
        gaps = received = seen = 0
        while seen < stream.head:
            message = await slow.next()
            if isinstance(message, Gap):
                assert message.last is not None
                gaps, seen = gaps + 1, message.last
            else:
                assert isinstance(message, Event)
                received, seen = received + 1, message.offset
        assert gaps > 0
        await actor_of(router).drain()
        assert stream.lag == 0
        assert counts(router, "Skipping")[1:2] == (received,)
        assert counts(router, "Skipping")[3:] == (0, gaps)


def test_a_tally_is_of_its_core() -> None:
    small, large = _core.Core(), _core.Core(writer_threads=2)
    try:
        tally = small.open_tally()
        small.open_stream("e", tally=tally)
        large.open_stream("e", tally=tally)  # the first writer's
        with pytest.raises(ValueError, match="another core"):
            large.open_stream("e", tally=tally)
    finally:
        small.close()
        large.close()


def test_a_tally_outlives_its_streams_and_adds_them_up() -> None:
    core = _core.Core(writer_threads=2)
    try:
        tally = core.open_tally()
        for _ in range(3):
            stream = core.open_stream("e", tally=tally)
            stream.open(Encoding.JSON.index, ["said"])
            stream.publish("said", b"[]", None)
            stream.shut()
        assert tally.counts() == (3, 0, 0, 0, 0)
    finally:
        core.close()
