"""A store that comes back as it was at an earlier moment: nobody is told what is wrong, or told nothing.

The server is real and is killed; its file is SQLite's. Whoever has seen more than what came back is told of a
gap; whoever has not goes on as if nothing had happened.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ringcast import Client
from ringcast.client import Connection
from ringcast.testing import NetworkProxy
from ringcast.wire.protocol import Gap

from .crash import IMPATIENT, MortalServer
from .listener import Listener

PAGE_BYTES = 4096
FRAME_BYTES = 24 + PAGE_BYTES


class Files:
    """The files of a store that nobody has open, and what they were at a moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path.with_name(path.name + "-wal")
        self._log_bytes = 0
        self._copy = path.parent / "backup"

    def remember(self) -> None:
        """What is here now is what will be put back."""
        raise NotImplementedError

    def put_back(self) -> None:
        raise NotImplementedError


class Backup(Files):
    """A copy is made of all files; later it takes their place."""

    def remember(self) -> None:
        self._copy.mkdir()
        for file in (self.path, self.log):
            if file.exists():
                shutil.copy(file, self._copy / file.name)

    def put_back(self) -> None:
        for file in self.path.parent.glob(self.path.name + "*"):
            file.unlink()
        for file in self._copy.iterdir():
            shutil.copy(file, self.path.parent / file.name)


class ShortLog(Files):
    """The end of the write-ahead log never reached the disk, as with a power cut."""

    def remember(self) -> None:
        self._log_bytes = self.log.stat().st_size

    def put_back(self) -> None:
        assert self.log.stat().st_size > self._log_bytes > FRAME_BYTES
        with self.log.open("r+b") as log:
            # In the middle of what came next.
            log.truncate(self._log_bytes + FRAME_BYTES // 2)


class TornLog(ShortLog):
    """It did in part: a page in the middle is not what was written."""

    def put_back(self) -> None:
        assert self.log.stat().st_size > self._log_bytes + FRAME_BYTES
        with self.log.open("r+b") as log:
            log.seek(self._log_bytes + FRAME_BYTES // 2)
            log.write(b"\xa5" * 512)


@dataclass
class Scene:
    """A server whose store will be put back, and three clients, each with a network of its own."""

    server: MortalServer
    files: Files
    networks: list[NetworkProxy]
    listeners: list[Listener]

    async def write(self, *numbers: int) -> None:
        """Have lines written by a call without a session, so that nobody has to be connected."""
        async with Client(self.url, config=IMPATIENT) as client:
            page = client.page.get_or_create(["a"])
            for number in numbers:
                await page.write(number)

    @property
    def url(self) -> str:
        host, port = self.server.address
        return f"http://{host}:{port}"

    async def start(self) -> None:
        self.server.start()
        await self.server.ready()

    async def come_back_as_it_was(self) -> None:
        """Kill the server, put its store back, and start it again."""
        await self.server.end(signal.SIGKILL)
        self.files.put_back()
        await self.start()


@pytest.fixture(params=[Backup, ShortLog, TornLog])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    path = tmp_path / "page.db"
    make: Callable[[Path], Files] = request.param
    server = MortalServer(path, "page:registry")
    scene = Scene(server, make(path), [], [])
    await scene.start()
    async with three_clients(scene):
        yield scene
    await server.end(signal.SIGTERM)


@asynccontextmanager
async def three_clients(scene: Scene) -> AsyncIterator[None]:
    host, port = scene.server.address
    async with (
        NetworkProxy(host, port) as first,
        NetworkProxy(host, port) as second,
        NetworkProxy(host, port) as third,
        Client(first.url, encoding="json", config=IMPATIENT) as json,
        Client(second.url, encoding="msgpack", config=IMPATIENT) as msgpack,
        Client(third.url, encoding="json", config=IMPATIENT) as other,
    ):
        scene.networks = [first, second, third]
        scene.listeners = [Listener(connect(client)) for client in (json, msgpack, other)]
        yield


def connect(client: Client) -> Connection:
    connection: Connection = client.page.get_or_create(["a"]).connect()
    return connection


def lines(*numbers: int) -> list[Any]:
    return [("written", number) for number in numbers]


async def test_who_is_ahead_of_what_came_back_gets_one_gap_and_then_everything_new(scene: Scene) -> None:
    ahead, late, behind = scene.listeners
    for listener in scene.listeners:
        await listener.connection.ready()
    await scene.write(1, 2, 3)
    for listener in scene.listeners:
        await listener.until("written", 3)
    scene.files.remember()
    # This one sees no more of what will never have been.
    scene.networks[2].cut()
    await behind.until("disconnected")
    await scene.write(4, 5, 6)
    await ahead.until("written", 6)
    await late.until("written", 6)
    # This one comes back when everybody else has forgotten.
    scene.networks[1].cut()
    await late.until("disconnected")

    await scene.come_back_as_it_was()
    await ahead.until("gap")
    # More new events than were lost, so that the offset of the one who is late has been passed.
    await scene.write(*range(10, 20))
    await ahead.until("written", 16)
    for network in scene.networks:
        network.restore()
    await late.until("gap")
    await behind.until("written", 13)
    await scene.write(20)
    for listener in scene.listeners:
        await listener.until_line(20)

    epoch_changed = ("gap", Gap("epoch_changed"))
    assert ahead.told == [*lines(1, 2, 3, 4, 5, 6), epoch_changed, *lines(*range(10, 21))]
    # What was new before this one came back is lost to it, and it was told so.
    assert late.told == [*lines(1, 2, 3, 4, 5, 6), epoch_changed, *lines(20)]
    assert behind.told == [*lines(1, 2, 3), ("replayed", 10), *lines(*range(10, 21))]


async def test_who_knows_more_than_what_came_back_gets_a_gap_though_no_event_is_newer(scene: Scene) -> None:
    listens, asks, behind = scene.listeners
    for listener in scene.listeners:
        await listener.connection.ready()
    await scene.write(1)
    for listener in scene.listeners:
        await listener.until("written")
    scene.files.remember()
    scene.networks[2].cut()
    await behind.until("disconnected")
    # One listens for more from now on, the other one has an answer. The call comes behind the subscription.
    listens.listen("noted")
    await listens.connection.read()
    await asks.connection.read()
    for network in scene.networks:
        network.cut()
    await listens.until("disconnected")
    await asks.until("disconnected")

    await scene.come_back_as_it_was()
    async with Client(scene.url, config=IMPATIENT) as client:
        await client.page.get_or_create(["a"]).note(2)
    for network in scene.networks:
        network.restore()
    for listener in (listens, asks):
        await listener.until("gap")
    await behind.connection.read()
    await scene.write(3)
    for listener in scene.listeners:
        await listener.until_line(3)
    epoch_changed = ("gap", Gap("epoch_changed"))
    assert listens.told == asks.told == [*lines(1), epoch_changed, *lines(3)]
    assert behind.told == [*lines(1), *lines(3)]


async def test_who_has_listened_since_gets_a_gap_without_an_answer_to_anything_else(scene: Scene) -> None:
    """It came back with the name, which no request has told the server of."""
    listens, *_ = scene.listeners
    await listens.connection.ready()
    await scene.write(1)
    await listens.until("written")
    scene.files.remember()
    scene.networks[0].cut()
    await listens.until("disconnected")
    listens.listen("noted")
    scene.networks[0].restore()
    await listens.connection.ready()
    scene.networks[0].cut()
    await listens.until("disconnected", 2)

    await scene.come_back_as_it_was()
    async with Client(scene.url, config=IMPATIENT) as client:
        await client.page.get_or_create(["a"]).note(2)
    scene.networks[0].restore()
    await listens.until("gap")
    assert listens.told == [*lines(1), ("gap", Gap("epoch_changed"))]


@pytest.mark.parametrize("scene", [Backup], indirect=True)
async def test_who_comes_back_after_another_restart_is_judged_by_all_of_them(scene: Scene) -> None:
    ahead, late, behind = scene.listeners
    for listener in scene.listeners:
        await listener.connection.ready()
    await scene.write(1, 2)
    for listener in scene.listeners:
        await listener.until("written", 2)
    scene.files.remember()
    scene.networks[2].cut()
    await behind.until("disconnected")
    await scene.write(3)
    await late.until("written", 3)
    scene.networks[1].cut()
    await late.until("disconnected")

    await scene.come_back_as_it_was()
    await ahead.until("gap")
    await scene.write(4, 5)
    await ahead.until("written", 5)
    scene.networks[0].cut()
    await scene.server.end(signal.SIGKILL)
    await scene.start()
    await scene.write(6)
    for network in scene.networks:
        network.restore()
    await ahead.until_line(6)
    await late.until("gap")
    await behind.until_line(6)
    assert ahead.told == [
        *lines(1, 2, 3),
        ("gap", Gap("epoch_changed")),
        *lines(4, 5),
        ("replayed", 1),
        *lines(6),
    ]
    assert late.told == [*lines(1, 2, 3), ("gap", Gap("epoch_changed"))]
    assert behind.told == [*lines(1, 2), ("replayed", 3), *lines(4, 5, 6)]
