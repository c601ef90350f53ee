"""The pytest plugin, in test runs of its own: with pytest-asyncio in both modes, with anyio, and both."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from pytest_runs import ANYIO, ASYNCIO, passes, run

import programs

ROOM = """
from ringcast import Actor, Context, Registry, action

class Room(Actor[dict[str, int]]):
    @action
    def say(self, c: Context[dict[str, int]], text: str) -> None:
        c.state[text] = 1
        c.broadcast("said", text)

registry = Registry(Room)
"""
CONFTEST = """
import pytest
import room

@pytest.fixture
def ringcast_registry():
    return room.registry
"""
TESTS = """
import asyncio
import pytest
from ringcast import SqliteStore
from ringcast.testing import LocalServer, assert_event
from room import Room

class TestDefaults:
    async def test_server(self, ringcast_server, ringcast_clock):
        assert isinstance(ringcast_server, LocalServer)
        assert ringcast_server.clock is ringcast_clock
        ann = await ringcast_server.connect(Room, "lobby", events=["said"])
        await ann.say("hello")
        await assert_event(ann, "said", "hello")
        await ringcast_server.cut(ann)
        await ringcast_clock.advance(30)
        assert len(ringcast_server.actor(Room, "lobby").conns) == 0

    async def test_client(self, ringcast_client, ringcast_server):
        assert ringcast_server.actors == []  # another server than the last test's
        async with ringcast_client.room.get_or_create("lobby").connect() as connection:
            await connection.say("hello")
        ringcast_server.partition(await ringcast_server.connect(Room))  # left to the fixture

class TestOverrides:
    @pytest.fixture
    def ringcast_registry(self):
        return [Room]

    @pytest.fixture
    def ringcast_store(self, tmp_path):
        return SqliteStore(tmp_path / "test.db")

    async def test_store(self, ringcast_client, ringcast_server, ringcast_store):
        await ringcast_client.room.get_or_create("lobby").say("hello")
        assert ringcast_server.store is ringcast_store
        assert ringcast_server.actor(Room, "lobby").state == {"hello": 1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "room.py").write_text(ROOM)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    return tmp_path


def test_with_pytest_asyncio_in_auto_mode(folder: Path) -> None:
    (folder / "test_it.py").write_text(TESTS)
    passes(folder, 3, *ASYNCIO, "-o", "asyncio_mode=auto")


def test_with_pytest_asyncio_in_strict_mode_and_anyio_beside_it(folder: Path) -> None:
    (folder / "test_asyncio.py").write_text(TESTS + "\npytestmark = pytest.mark.asyncio\n")
    backend = '\n@pytest.fixture\ndef anyio_backend():\n    return "asyncio"\n'
    (folder / "test_anyio.py").write_text(TESTS + "\npytestmark = pytest.mark.anyio\n" + backend)
    passes(folder, 6, *ASYNCIO, *ANYIO, "-o", "asyncio_mode=strict")
    passes(folder, 6, *ANYIO, *ASYNCIO, "-o", "asyncio_mode=strict")


def test_with_anyio_alone(folder: Path) -> None:
    backend = '\n@pytest.fixture\ndef anyio_backend():\n    return "asyncio", {"use_uvloop": True}\n'
    (folder / "test_anyio.py").write_text(TESTS + "\npytestmark = pytest.mark.anyio\n" + backend)
    # As if it were not installed.
    (folder / "pytest_asyncio.py").write_text("raise ImportError('blocked')")
    passes(folder, 3, *ANYIO)


def test_without_either_it_says_what_is_missing(folder: Path) -> None:
    (folder / "test_it.py").write_text("def test_it(ringcast_server): pass")
    (folder / "pytest_asyncio.py").write_text("raise ImportError('blocked')")
    ended = run(folder)
    assert "needs pytest-asyncio, or a test that anyio's plugin runs" in ended.stdout, ended.stdout


def test_what_is_served_has_to_be_said(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("async def test_it(ringcast_server): pass")
    ended = run(tmp_path, *ASYNCIO, "-o", "asyncio_mode=auto")
    assert "serves what the fixture `ringcast_registry` returns: define it" in ended.stdout, ended.stdout


def test_pytest_finds_the_plugin_by_its_entry_point(folder: Path) -> None:
    """What an installer makes of pyproject.toml stands here, in case that an older one is installed."""
    project = tomllib.loads((programs.PROJECT / "pyproject.toml").read_text())["project"]
    [(name, module)] = project["entry-points"]["pytest11"].items()
    installed = folder / "ringcast_under_test-0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: ringcast-under-test\nVersion: 0\n")
    (installed / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\n")
    (folder / "test_it.py").write_text(TESTS)
    passes(folder, 3, *ASYNCIO[2:], "-o", "asyncio_mode=auto", autoload=True)


def test_pytest_is_no_dependency() -> None:
    project = tomllib.loads((programs.PROJECT / "pyproject.toml").read_text())["project"]
    assert not [name for name in project["dependencies"] if "pytest" in name]


def test_the_kit_needs_no_pytest() -> None:
    program = """
import asyncio, sys
for name in ("pytest", "_pytest", "pytest_asyncio", "anyio.pytest_plugin"):
    sys.modules[name] = None
from ringcast import Actor
from ringcast.testing import *

class Room(Actor):
    def on_connect(self, c):
        c.broadcast("joined")

async def main():
    async with LocalServer(Room) as server:
        ann = await server.connect(Room, events=["joined"])
        await assert_event(ann, "joined")

asyncio.run(main())
"""
    ended = programs.start(sys.executable, "-W", "error", "-c", program).finish()
    assert (ended.code, ended.err) == (0, [])
