"""Hundreds of clients that lose their server, or their network, at once: they come back, spread out.

What is counted is counted by the server (`crowded.py`), which lets few in at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlsplit

import pytest
from heard import Heard
from probes import Feed
from served import CROWD_CONNECTS_PER_S, HERE, OPTIONS, Encoding

import programs
from ringcast import Client, MemoryStore, Registry, ServerConfig
from ringcast.client import ActorHandle, ClientConfig
from ringcast.server.serve import serving
from ringcast.testing import NetworkProxy

CLIENTS: Final = 300
SPREAD_S: Final = CLIENTS / (0.8 * CROWD_CONNECTS_PER_S)
"""What so many clients are told: 2.5 s."""
TIMEOUT_S: Final = 60.0

Tries = list[tuple[float, bool]]
"""When each connect message came, and whether it was let in."""


@contextlib.contextmanager
def crowded(store: Path, port: int = 0) -> Iterator[tuple[programs.Program, str]]:
    """Run the server; it may be killed."""
    command = ("serve", "crowded:registry", "--store", str(store), "--port", str(port), *OPTIONS)
    program = programs.start(programs.RINGCAST, *command, cwd=HERE)
    try:
        said = program.err.until("serving ")
        yield program, said[said.index("http://") :].split()[0]
    finally:
        program.finish(signal.SIGTERM)


class Crowd:
    """The clients, each with a source of random numbers of its own."""

    def __init__(self, url: str) -> None:
        self.clients = [
            Client(url, config=ClientConfig(random_source=Random(number).random)) for number in range(CLIENTS)
        ]
        self.connections = [client.square.get_or_create("here").connect() for client in self.clients]
        names = ("disconnected", "reconnected", "replayed", "gap", "error", "shouted")
        self.heard = [Heard(each, *names) for each in self.connections]

    async def until(self, name: str, count: int) -> None:
        """Wait until each of them has heard `name` so many times."""
        async with asyncio.timeout(TIMEOUT_S):
            for each in self.heard:
                await each.until(name, count)

    async def until_told_to_spread(self) -> None:
        """Wait until a heartbeat has told each of them that they are many by now."""
        async with asyncio.timeout(TIMEOUT_S):
            for each in self.connections:
                while each._lifecycle._backoff.spread_s != SPREAD_S:  # noqa: ASYNC110
                    await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def crowd(url: str) -> AsyncIterator[Crowd]:
    """Give the clients, once all of them are connected."""
    crowd = Crowd(url)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*(each.ready() for each in crowd.connections))
        yield crowd
    finally:
        await asyncio.gather(*(client.close() for client in crowd.clients))


async def tries_at(square: ActorHandle[object]) -> Tries:
    """Return who has tried to get in since this was last asked; the limit must have held."""
    tries = [(float(at_s), bool(let_in)) for at_s, let_in in await square.tries()]
    let_in_s = [at_s for at_s, let_in in tries if let_in]
    for first, begin_s in enumerate(let_in_s):
        for count, end_s in enumerate(let_in_s[first:], start=1):
            assert count <= CROWD_CONNECTS_PER_S * (1 + end_s - begin_s) + 1
    return tries


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "square.db"


@pytest.fixture
def server(store: Path) -> Iterator[tuple[programs.Program, str]]:
    with crowded(store) as server:
        yield server


async def test_those_who_are_too_many_come_when_they_are_told_to(encoding: Encoding) -> None:
    delays_s: list[float] = []

    async def sleep(delay_s: float) -> None:
        delays_s.append(delay_s)
        await asyncio.sleep(delay_s)

    registry = Registry(Feed, store=MemoryStore(), config=ServerConfig(max_connects_per_s=1))
    # By chance alone, nobody would wait at all.
    config = ClientConfig(random_source=lambda: 0.0, sleep=sleep)
    async with serving(registry) as url, Client(url, encoding=encoding, config=config) as client:
        connections = [client.feed.get_or_create("here").connect() for _ in range(3)]
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*(each.ready() for each in connections))
    assert len(delays_s) >= 2
    assert 0 < min(delays_s) <= 1 < max(delays_s) <= 2.25


async def test_a_lost_network(server: tuple[programs.Program, str]) -> None:
    url = server[1]
    address = urlsplit(url)
    async with (
        Client(url) as near,
        NetworkProxy(address.hostname or "", address.port or 0) as network,
        crowd(network.url) as many,
    ):
        square = near.square.get_or_create("here")
        # They came all at once, untold.
        assert sum(let_in for _, let_in in await tries_at(square)) == CLIENTS

        await many.until_told_to_spread()
        now_s = await square.now_s()
        network.cut()
        await many.until("disconnected", 1)
        network.restore()
        await square.shout(20)
        await many.until("reconnected", 1)
        tries = await tries_at(square)
        # Told beforehand, they come spread out: nobody earlier than chance has it, so that half of the time
        # has not brought much more than half of them, and hardly any has to be turned away.
        assert sum(at_s - now_s < SPREAD_S / 2 for at_s, _ in tries) < 0.65 * CLIENTS
        assert sum(not let_in for _, let_in in tries) < 0.2 * CLIENTS

        await square.shout(1)
        await many.until("shouted", 21)
        for each in many.heard:
            assert each.of("shouted") == list(range(1, 22))
            assert each.of("gap") == each.of("error") == []


async def test_a_killed_server(server: tuple[programs.Program, str], store: Path) -> None:
    killed, url = server
    async with Client(url) as near, crowd(url) as many:
        square = near.square.get_or_create("here")
        await square.shout(5)
        await many.until("shouted", 5)
        await many.until_told_to_spread()
        killed.process.kill()
        await asyncio.to_thread(killed.process.wait)
        with crowded(store, urlsplit(url).port or 0):
            await square.shout(5)  # as soon as there is a server, and before most of them are back
            await many.until("reconnected", 1)
            tries = await tries_at(square)
            assert sum(let_in for _, let_in in tries) == CLIENTS
            assert len(tries) < 2 * CLIENTS
            await square.shout(5)
            await many.until("shouted", 15)
            for each in many.heard:
                assert each.of("shouted") == list(range(1, 16))
                assert each.of("gap") == each.of("error") == []
