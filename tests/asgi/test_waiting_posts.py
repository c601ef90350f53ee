"""Messages posted while their client does not read what was answered: how many wait, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson
from exchange import Exchange

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.server.endpoint import is_ahead
from ringcast.testing import eventually

TIMEOUT_S = 30
MOST = {"max_pending_messages": 6, "max_pending_bytes": 1000}


class Room(Actor):
    taken: ClassVar[list[str]] = []

    @action
    def long(self, c: Context) -> str:
        return "x" * 600_000

    @action
    def take(self, c: Context, value: str) -> None:
        Room.taken.append(value)


@dataclass
class Stuck:
    """A client whose stream is held up, and that is too far ahead to be listened to."""

    registry: Registry
    stream: Exchange
    token: str
    bodies: dict[Exchange, list[Any]] = field(default_factory=dict)
    """What was posted."""
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def post(self, *calls: list[Any]) -> Exchange:
        return self._post([["call", next(self.ids), *call] for call in calls])

    def post_again(self, exchange: Exchange) -> Exchange:
        return self._post(self.bodies[exchange])

    def _post(self, body: list[Any]) -> Exchange:
        headers = {"ringcast_session": self.token}
        exchange = Exchange(self.registry, body, path="/session/messages", **headers)
        self.bodies[exchange] = body
        return exchange


@contextlib.asynccontextmanager
async def stuck(*, speaks_protocol: bool = True, **limits: Any) -> AsyncIterator[Stuck]:
    config = ServerConfig(close_timeout_s=0.2, **limits)
    registry = Registry(Room, store=MemoryStore(), config=config)
    async with asyncio.timeout(TIMEOUT_S), registry.asgi().running():
        stream = Exchange(registry, {"key": ["a"]} if speaks_protocol else None)
        await eventually(lambda: len(stream.events) == 1)
        stream.may_send.clear()
        client = Stuck(registry, stream, stream.events[0][1]["session"])
        [link] = registry.router.gateway.links
        while not is_ahead(link.sink, None):
            await client.post(["long", []]).task
        client.bodies.clear()
        Room.taken.clear()
        try:
            yield client
        finally:
            for exchange in (stream, *client.bodies):
                exchange.gone.set()
                exchange.may_send.set()
            await asyncio.gather(stream.task, *(each.task for each in client.bodies))


async def is_waiting(exchange: Exchange) -> None:
    """Wait until nothing but its caller's end is left to be read of a request."""
    await eventually(lambda: exchange.listens)
    assert exchange.status is None


async def test_past_so_many_messages_one_is_told_to_come_again() -> None:
    async with stuck(**MOST) as client:
        waiting = [client.post(*[["take", [""]]] * count) for count in (1, 2, 3)]
        for each in waiting:
            await is_waiting(each)
        refused = client.post(["take", [""]])
        await refused.task
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        error = orjson.loads(refused.parts[0])["error"]
        assert (error["code"], error["metadata"]) == ("rate_limited", {"retry_after_ms": 1000})
        assert client.registry.router.limits_hit["max_pending_messages"] == 1
        client.stream.may_send.set()
        await asyncio.gather(*(each.task for each in waiting))
        assert [each.status for each in waiting] == [204] * 3
        await client.post(["take", [""]]).task


async def test_past_so_many_bytes_likewise_but_one_request_waits_whatever_its_size() -> None:
    async with stuck(**MOST) as client:
        long = client.post(["take", ["x" * 5000]])
        await is_waiting(long)
        refused = client.post(["take", [""]])
        await refused.task
        assert refused.status == 429
        client.stream.may_send.set()
        await long.task
        assert long.status == 204


async def test_whoever_hangs_up_waits_no_more() -> None:
    async with stuck(**MOST) as client:
        first = client.post(*[["take", [""]]] * 6)
        await is_waiting(first)
        first.gone.set()
        await first.task
        second = client.post(*[["take", [""]]] * 6)
        await is_waiting(second)


async def test_one_that_waits_does_not_speak_for_a_client_that_reads_nothing() -> None:
    async with stuck(**MOST, heartbeat_s=0.5, dead_peer_timeout_s=2.5) as client:
        waiting = client.post(["take", [""]])
        await waiting.task
        await client.stream.task
        # Its stream is given up a moment after it is told to come again, unless the loop is held up then.
        told = waiting.status, orjson.loads(waiting.parts[0])["error"]["code"]
        hit = client.registry.router.limits_hit["dead_peer_timeout_s"]
        assert (told, hit) in [((429, "rate_limited"), 2), ((400, "not_connected"), 1)]


async def test_whoever_has_left_is_passed_over_wherever_it_stands() -> None:
    async with stuck() as client:
        waiting = [client.post(["take", [str(number)]]) for number in range(6)]
        for each in waiting:
            await is_waiting(each)
        for number in (0, 1, 4):
            waiting[number].gone.set()
            await waiting[number].task
        client.stream.may_send.set()
        await asyncio.gather(*(each.task for each in waiting))
        assert [waiting[number].status for number in (2, 3, 5)] == [204] * 3
        await eventually(lambda: len(Room.taken) == 3)
        assert Room.taken == ["2", "3", "5"]


async def test_whose_client_reads_nothing_for_too_long_is_told_to_come_again_with_all_behind_it() -> None:
    async with stuck(heartbeat_s=0.05, dead_peer_timeout_s=0.2, speaks_protocol=False) as client:
        posted = [client.post(["take", [text]]) for text in "abc"]
        await asyncio.gather(*(each.task for each in posted))
        for each in posted:
            assert (each.status, each.headers["retry-after"]) == (429, "1")
            assert orjson.loads(each.parts[0])["error"]["code"] == "rate_limited"
        assert client.registry.router.limits_hit["dead_peer_timeout_s"] == 1
        # None of them ran, and each still may: no later one has come before it.
        client.stream.may_send.set()
        for each in posted:
            await client.post_again(each).task
        await eventually(lambda: len(Room.taken) == 3)
        assert Room.taken == ["a", "b", "c"]
