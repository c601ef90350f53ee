"""Calls without a connection over a network that loses answers, or requests: sent again, and run once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from ringcast import Actor, Client, Context, MemoryStore, Registry, action
from ringcast.errors import ConnectionFailure, OutcomeUnknown
from ringcast.server.serve import serving
from ringcast.testing import IMPATIENT

TIMEOUT_S = 10


class Till(Actor):
    def __init__(self) -> None:
        self.total = 0

    @action
    def add(self, c: Context, amount: int) -> int:
        self.total += amount
        return self.total


class Network:
    """Forwards one HTTP exchange a socket, and loses what it is told to: a request, or its answer."""

    def __init__(self, url: str) -> None:
        self._port = urlsplit(url).port
        self.lose: list[str] = []
        self.exchanges = 0

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")
            )
            request = head + await reader.readexactly(length)
            self.exchanges += 1
            lost = self.lose.pop(0) if self.lose else ""
            if lost != "request":
                answer = await self._ask(request)
                if lost != "answer":
                    writer.write(answer)
                    await writer.drain()
        finally:
            writer.close()

    async def _ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        answer = await reader.read()
        writer.close()
        return answer


@asynccontextmanager
async def network(registry: Registry) -> AsyncIterator[tuple[Network, str]]:
    async with serving(registry) as url:
        losing = Network(url)
        server = await asyncio.start_server(losing.forward, "127.0.0.1", 0)
        async with server:
            yield losing, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
async def lossy() -> AsyncIterator[tuple[Network, Client]]:
    registry = Registry(Till, store=MemoryStore())
    async with (
        asyncio.timeout(TIMEOUT_S),
        network(registry) as (losing, url),
        Client(url, config=IMPATIENT) as client,
    ):
        yield losing, client


async def test_an_answer_that_is_lost_is_asked_for_again(lossy: tuple[Network, Client]) -> None:
    losing, client = lossy
    till = client.till.get_or_create("k")
    losing.lose = ["answer"]
    # The very first one, too: what has run is found by its key.
    assert await till.add(1) == 1
    losing.lose = ["answer", "answer"]
    assert await till.add(1) == 2
    assert losing.exchanges == 5


async def test_a_request_that_is_lost_runs_when_it_comes_again(lossy: tuple[Network, Client]) -> None:
    losing, client = lossy
    till = client.till.get_or_create("k")
    assert await till.add(1) == 1
    losing.lose = ["request", "request"]
    assert await till.add(1) == 2
    assert losing.exchanges == 4


async def test_a_first_request_that_is_lost_does_not_run_as_nobody_knows_whether_it_has(
    lossy: tuple[Network, Client],
) -> None:
    losing, client = lossy
    till = client.till.get_or_create("k")
    losing.lose = ["request"]
    with pytest.raises(OutcomeUnknown):
        await till.add(1)
    assert await till.add(1) == 1


async def test_it_gives_up_after_so_many_attempts(lossy: tuple[Network, Client]) -> None:
    losing, client = lossy
    till = client.till.get_or_create("k")
    losing.lose = ["answer"] * 3
    with pytest.raises(OutcomeUnknown, match="ran once or not at all"):
        await till.add(1)
    assert losing.exchanges == 3
    assert await till.add(1) == 2


async def test_one_attempt_is_none_that_is_repeated() -> None:
    once = replace(IMPATIENT, max_call_attempts=1)
    async with (
        network(Registry(Till, store=MemoryStore())) as (losing, url),
        Client(url, config=once) as client,
    ):
        losing.lose = ["answer"]
        with pytest.raises(OutcomeUnknown):
            await client.till.get_or_create("k").add(1)
        assert losing.exchanges == 1


async def test_a_server_that_has_begun_anew_does_not_run_what_it_may_have_run_before() -> None:
    first, second = (Registry(Till, store=MemoryStore()) for _ in range(2))
    async with network(first) as (losing, url), Client(url, config=IMPATIENT) as client:
        till = client.till.get_or_create("k")
        assert await till.add(1) == 1
        async with serving(second) as other:
            # It has run at the first, and the answer was lost with that.
            losing.lose = ["answer"]

            async def sleep(_: float) -> None:
                losing._port = urlsplit(other).port

            client._endpoint._config = replace(IMPATIENT, sleep=sleep)  # type: ignore[attr-defined]
            with pytest.raises(OutcomeUnknown):
                await till.add(1)
            assert await till.add(1) == 1


async def test_a_server_that_cannot_be_reached_is_not_tried_again() -> None:
    registry = Registry(Till, store=MemoryStore())
    async with serving(registry) as url:
        pass
    async with Client(url, config=IMPATIENT) as client:
        with pytest.raises(ConnectionFailure) as refused:
            await client.till.get_or_create("k").add(1)
        assert refused.value.code == "unreachable"
