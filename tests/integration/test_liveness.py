"""A peer that has gone without a word: both sides notice, whatever TCP says; nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from heard import TIMEOUT_S, Heard, eventually
from probes import Feed
from served import HERE, IMPATIENT, OPTIONS, Carrier, Encoding

import programs
from conformance.raw_client import PING, PONG, RawClient, frame
from ringcast import Client, MemoryStore, Registry, ServerConfig
from ringcast.server.serve import serving
from ringcast.testing import NetworkProxy

BEAT_S = 0.1
PATIENCE = 5
"""Heartbeats for which the server waits for a sign of life."""


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """Give the address of a server in this process, which the tests can look into."""
    config = ServerConfig(heartbeat_s=BEAT_S, dead_peer_timeout_s=PATIENCE * BEAT_S)
    async with serving(Registry(Feed, store=MemoryStore(), config=config)) as url:
        yield url


@pytest.fixture
async def near(url: str) -> AsyncIterator[Client]:
    async with Client(url, config=IMPATIENT) as client:
        yield client


@pytest.fixture
async def network(url: str) -> AsyncIterator[NetworkProxy]:
    address = urlsplit(url)
    async with NetworkProxy(address.hostname or "", address.port or 0) as network:
        yield network


def attached(client: Client, key: list[str]) -> Callable[[], Any]:
    """Return a question to the actor: whether each of its connections has its client."""

    async def ask() -> list[bool]:
        return [there for _, there in await client.feed.get_or_create(key).presence()]

    return ask


# --- what the server notices --------------------------------------------------------------------------------


class Raw:
    """A client on a bare socket, which does nothing by itself."""

    def __init__(self, url: str, key: list[str]) -> None:
        address = urlsplit(url)
        self.client = RawClient((address.hostname or "", address.port or 0))
        self.key = key
        self.heartbeats = self.pings = 0

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.sock.close()

    def connect(self) -> None:
        assert self.client.upgrade().status == 101
        self.client.send_message(["connect", {"actor": "feed", "key": self.key}])
        assert self.client.read_message()[0] == "connected"

    def live(self, heartbeats: int, *, answer: bool = False, speak: bool = False) -> None:
        """Read until so many heartbeats have come; answer pings, or say something after each of them."""
        self.heartbeats = self.pings = 0
        while self.heartbeats < heartbeats:
            got = self.client.read_frame()
            if got.opcode == PING:
                self.pings += 1
                if answer:
                    self.client.send(frame(PONG, got.payload))
            else:
                assert got.opcode == self.client.data_opcode, got
                self.heartbeats += 1
                if speak:
                    self.client.send(frame(PONG))


@pytest.fixture
async def raw(url: str, key: list[str]) -> AsyncIterator[Raw]:
    with Raw(url, key) as raw:
        await asyncio.to_thread(raw.connect)
        yield raw


async def test_a_client_that_says_nothing_is_pinged_and_then_lost_but_not_its_session(
    near: Client, raw: Raw, key: list[str]
) -> None:
    with pytest.raises(AssertionError, match="closed the socket"):
        await asyncio.to_thread(raw.live, 10 * PATIENCE)
    assert raw.heartbeats in range(PATIENCE - 1, PATIENCE + 2)
    assert raw.pings > 0
    await eventually(attached(near, key), [False])


async def test_a_client_that_only_answers_pings_is_kept(near: Client, raw: Raw, key: list[str]) -> None:
    await asyncio.to_thread(raw.live, 3 * PATIENCE, answer=True)
    assert await attached(near, key)() == [True]
    assert 0 < raw.pings < raw.heartbeats


async def test_a_client_that_speaks_is_not_pinged(raw: Raw) -> None:
    await asyncio.to_thread(raw.live, 3 * PATIENCE, speak=True)
    assert raw.pings == 0


async def test_a_part_of_a_frame_is_a_sign_of_life(raw: Raw, near: Client, key: list[str]) -> None:
    client = raw.client
    whole = frame(client.data_opcode, client.encode(["call", 1, "add", [7]]))

    def dribble() -> None:
        for byte in whole[: 3 * PATIENCE]:
            client.send(bytes([byte]))
            raw.live(1)
        client.send(whole[3 * PATIENCE :])
        while (message := client.read_message())[0] == "heartbeat":
            pass
        assert message == ["reply", 1, 7]

    assert len(whole) > 3 * PATIENCE
    await asyncio.to_thread(dribble)
    assert await attached(near, key)() == [True]


# --- what the client notices --------------------------------------------------------------------------------


async def test_a_client_learns_its_position_though_nothing_is_for_it(
    url: str, near: Client, key: list[str], carrier: Carrier, encoding: Encoding
) -> None:
    async with (
        Client(url, encoding=encoding, transport=carrier) as far,
        far.feed.get_or_create(key).connect() as idle,
    ):
        await near.feed.get_or_create(key).emit(1000)
        await until(lambda: idle.position[1] == 1000)


async def test_a_silent_network_is_noticed_on_both_sides_and_nothing_is_lost(
    near: Client, network: NetworkProxy, key: list[str], carrier: Carrier, encoding: Encoding
) -> None:
    """The proxy takes what both sides send, as a network with a memory does, and delivers nothing."""
    feed = near.feed.get_or_create(key)
    async with Client(network.url, encoding=encoding, transport=carrier, config=IMPATIENT) as far:
        connection = far.feed.get_or_create(key).connect()
        heard = Heard(connection, "disconnected", "reconnected", "gap", "item")
        async with connection:
            for outage in range(1, 3):
                await feed.emit(10)
                await heard.until("item", 20 * outage - 10)
                network.partition()
                await heard.until("disconnected", outage)
                assert connection.status == "reconnecting"
                await eventually(attached(near, key), [False])
                await feed.emit(10)
                network.restore()
                await heard.until("item", 20 * outage)
                assert connection.status == "connected"
    assert heard.of("item") == list(range(1, 41))
    assert heard.of("gap") == []
    assert connection.duplicates == 0


async def test_a_client_whose_handlers_are_slow_is_not_taken_for_dead_nor_takes_the_server_for_it(
    url: str, near: Client, key: list[str], carrier: Carrier, encoding: Encoding
) -> None:
    feed = near.feed.get_or_create(key)
    release = asyncio.Event()
    got: list[int] = []

    async def slow(number: int) -> None:
        await release.wait()
        got.append(number)

    async with Client(
        url, encoding=encoding, transport=carrier, config=replace(IMPATIENT, max_unhandled_events=10)
    ) as far:
        connection = far.feed.get_or_create(key).connect()
        heard = Heard(connection, "disconnected")
        connection.on("item", slow)
        async with connection:
            await feed.emit(100)
            await until(lambda: connection._lifecycle.backlog.full)
            # As long as another client that says nothing is given, twice over.
            for _ in range(2):
                with Raw(url, key) as silent, pytest.raises(AssertionError, match="closed the"):
                    await asyncio.to_thread(silent.connect)
                    await asyncio.to_thread(silent.live, 10 * PATIENCE)
            presence = dict(await feed.presence())
            assert presence[str(connection.id)] is True
            assert connection.status == "stalled"
            release.set()
            await until(lambda: len(got) == 100)
    assert got == list(range(1, 101))
    assert heard.names == ["disconnected"]  # its own, at the end


async def until(condition: Callable[[], object]) -> None:
    """Wait for what nothing announces."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


# --- processes that stand still -----------------------------------------------------------------------------


async def test_a_server_that_stands_still_is_noticed_and_resumed(
    tmp_path: Path, key: list[str], carrier: Carrier, encoding: Encoding
) -> None:
    (tmp_path / "beating.py").write_text(BEATING)
    with programs.serve("beating:registry", *OPTIONS, cwd=tmp_path) as server:
        config = replace(IMPATIENT, connect_timeout_s=1.0)
        async with Client(server.url, encoding=encoding, transport=carrier, config=config) as client:
            connection = client.feed.get_or_create(key).connect()
            heard = Heard(connection, "disconnected", "reconnected", "gap", "item")
            async with connection:
                await connection.emit(10)
                server.process.send_signal(signal.SIGSTOP)
                try:
                    call = asyncio.create_task(connection.add(1))
                    await heard.until("disconnected")
                    assert connection.status == "reconnecting"
                finally:
                    server.process.send_signal(signal.SIGCONT)
                await heard.until("reconnected")
                assert await call == 1
                await connection.emit(10)
                await heard.until("item", 20)
        assert heard.of("item") == list(range(1, 21))
        assert heard.of("gap") == []


BEATING = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from probes import Feed
from ringcast import MemoryStore, Registry, ServerConfig
registry = Registry(Feed, store=MemoryStore(), config=ServerConfig(heartbeat_s=0.3, dead_peer_timeout_s=1.5))
"""


async def test_a_client_that_stands_still_is_noticed_and_comes_back(
    url: str, near: Client, key: list[str], encoding: Encoding
) -> None:
    feed = near.feed.get_or_create(key)
    command = ("listen", url, "feed", *key, "--event", "item", "--count", "30", "--encoding", encoding)
    program = programs.start(programs.RINGCAST, *command, cwd=HERE)
    try:
        await asyncio.to_thread(program.err.until, "connected at offset 0")
        await feed.emit(10)
        await asyncio.to_thread(program.out.until, '"offset":10')
        program.process.send_signal(signal.SIGSTOP)
        await eventually(attached(near, key), [False])
        await feed.emit(10)
        program.process.send_signal(signal.SIGCONT)
        await eventually(attached(near, key), [True])
        await feed.emit(10)
    finally:
        program.process.send_signal(signal.SIGCONT)
        # It ends by itself once it has everything.
        ended = await asyncio.to_thread(program.finish)
    assert ended.code == 0, ended
    assert [line.split(",")[0] for line in ended.out] == [f'{{"offset":{n}' for n in range(11, 31)]
    assert "replayed 10: that many missed events follow" in "\n".join(ended.err)
