"""The interface of a store, held by each of them; then what is SQLite's alone."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ringcast.errors import ActorAlreadyExists, ActorNotFound
from ringcast.store import MemoryStore, SqliteStore, StateChanged, Store, StoredActor

ANN = StoredActor("id-1", "Room", ("a", "b"), b'{"x":1}')


def sqlite(directory: Path) -> Store:
    return SqliteStore(directory / "test.db")


def memory(directory: Path) -> Store:
    return MemoryStore()


@pytest.fixture(params=[memory, sqlite], ids=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    make: Callable[[Path], Store] = request.param
    store = make(tmp_path)
    await store.open()
    yield store
    await store.close()


async def test_an_actor_is_found_by_id_and_by_name_and_key(store: Store) -> None:
    await store.create(ANN)
    assert await store.load("id-1") == ANN
    assert await store.find("Room", ("a", "b")) == ANN


async def test_what_is_not_there_is_none(store: Store) -> None:
    await store.create(ANN)
    assert await store.load("id-2") is None
    assert await store.find("Room", ("a",)) is None
    assert await store.find("Other", ("a", "b")) is None


@pytest.mark.parametrize(
    "other", [StoredActor("id-1", "Other", (), b"{}"), StoredActor("id-2", "Room", ("a", "b"), b"{}")]
)
async def test_ids_and_places_are_taken_once(store: Store, other: StoredActor) -> None:
    await store.create(ANN)
    with pytest.raises(ActorAlreadyExists, match=other.name):
        await store.create(other)
    assert await store.load("id-1") == ANN


@pytest.mark.parametrize("key", [(), ("",), ("a/b",), ('"', "\\"), ("a", ""), ("ä", "😀"), ("a\nb",)])
async def test_any_strings_make_a_key(store: Store, key: tuple[str, ...]) -> None:
    actor = StoredActor("id-9", "Room", key, b"null")
    await store.create(actor)
    assert await store.find("Room", key) == actor


async def test_a_state_is_replaced(store: Store) -> None:
    await store.create(ANN)
    await store.commit("id-1", [StateChanged(b"\x00new")])
    found = await store.find("Room", ("a", "b"))
    assert found is not None and found.state == b"\x00new"


async def test_saving_what_is_not_there_is_an_error(store: Store) -> None:
    with pytest.raises(ActorNotFound, match="id-1"):
        await store.commit("id-1", [StateChanged(b"")])


async def test_a_deleted_actor_is_gone_and_its_key_is_free(store: Store) -> None:
    await store.create(ANN)
    await store.delete("id-1")
    await store.delete("id-1")
    assert await store.load("id-1") is None
    await store.create(StoredActor("id-2", "Room", ("a", "b"), b"{}"))
    assert (await store.find("Room", ("a", "b"))) is not None


async def test_a_store_can_be_closed_twice_and_opened_again(store: Store) -> None:
    await store.create(ANN)
    await store.close()
    await store.close()
    await store.open()
    await store.open()
    assert await store.load("id-1") == ANN


async def test_calls_may_overlap(store: Store) -> None:
    actors = [StoredActor(f"id-{n}", "Room", (str(n),), b"{}") for n in range(20)]
    await asyncio.gather(*(store.create(actor) for actor in actors))
    assert await asyncio.gather(*(store.load(actor.actor_id) for actor in actors)) == actors


async def test_sqlite_writes_ahead(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "test.db")
    await store.open()
    await store.create(ANN)
    other = sqlite3.connect(tmp_path / "test.db")
    try:
        assert other.execute("pragma journal_mode").fetchone() == ("wal",)
        assert other.execute("select count(*) from actor").fetchone() == (1,)
    finally:
        other.close()
        await store.close()


async def test_sqlite_finishes_what_was_begun_before_it_closes(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "test.db")
    await store.open()
    saves = [asyncio.ensure_future(store.create(StoredActor(str(n), "R", (str(n),), b""))) for n in range(50)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*saves)
    await store.open()
    assert await store.load("49") is not None
    await store.close()


async def test_sqlite_refuses_a_file_of_a_newer_version(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    store = SqliteStore(path)
    await store.open()
    await store.close()
    with sqlite3.connect(path) as other:
        other.execute("update ringcast_schema set version = 99")
    other.close()
    with pytest.raises(RuntimeError, match="version 99"):
        await store.open()
    with pytest.raises(RuntimeError, match="not open"):
        await store.load("id-1")


async def test_a_file_belongs_to_one_store_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "other-name.db").symlink_to(tmp_path / "test.db")
    first = SqliteStore(tmp_path / "test.db")
    await first.open()
    for path in (tmp_path / "test.db", tmp_path / "other-name.db"):
        second = SqliteStore(path)
        with pytest.raises(OSError, match=rf"^the store {path} is in use by another server$"):
            await second.open()
        await second.close()
    await first.create(ANN)
    await first.close()
    await second.open()
    assert await second.load("id-1") == ANN
    await second.close()


async def test_a_file_whose_server_was_killed_can_be_opened(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from ringcast.store import SqliteStore

async def main():
    await SqliteStore(sys.argv[1]).open()
    print("open", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
    command = (sys.executable, "-c", program, str(tmp_path / "test.db"))
    holder = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"open\n"
    store = SqliteStore(tmp_path / "test.db")
    with pytest.raises(BlockingIOError):
        await store.open()
    holder.kill()
    await holder.communicate()
    await store.open()
    await store.close()


async def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "test.db"
    with pytest.raises(FileNotFoundError, match=rf"cannot open the store {path}: No such file"):
        await SqliteStore(path).open()
