"""What is SQLite's alone: the file and its versions, what a commit costs, and what is left of it."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from stores import (
    ANN,
    BEGUN,
    SESSION,
    STREAM_TABLES,
    append,
    call,
    everything,
    held_up,
    on_thread,
    opened,
    sqlite,
    stream_of,
)

from ringcast.store import (
    EPOCHS_KEPT,
    Change,
    ConnStateChanged,
    Replied,
    Scheduled,
    SessionEnded,
    SessionOpened,
    SqliteStore,
    StateChanged,
    Store,
    StoredActor,
    StreamBegun,
    StreamContinued,
    Subscribed,
    Trimmed,
    Unsubscribed,
)
from ringcast.store.journal import Journal
from ringcast.store.schema import SCHEMA_VERSION

STALE_BYTES = 64 * 1024
"""So much may be left of the replies of a session that are wanted no more."""

# As the first released version wrote it.
VERSION_1 = """
create table ringcast_schema (version integer not null);
create table actor (
    actor_id text primary key,
    name text not null,
    key text not null,
    state blob not null,
    unique (name, key)
) without rowid;
insert into actor values ('id-1', 'Room', '["a","b"]', x'7b2278223a317d'), ('id-2', 'Room', '[]', x'');
"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(sqlite, tmp_path) as store:
        assert isinstance(store, SqliteStore)
        yield store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


# --- the file -----------------------------------------------------------------------------------------------


async def test_it_writes_ahead(store: SqliteStore, path: Path) -> None:
    assert rows(path, "pragma journal_mode") == [("wal",)]
    assert rows(path, "select count(*) from actor") == [(1,)]


@pytest.mark.parametrize(("synchronous", "number"), [("full", 2), ("normal", 1)])
async def test_a_commit_outlives_a_power_cut_unless_told_otherwise(
    path: Path, synchronous: Literal["full", "normal"], number: int
) -> None:
    store = SqliteStore(path) if synchronous == "full" else SqliteStore(path, synchronous=synchronous)
    await store.open()
    assert await on_thread(store, "pragma synchronous") == [(number,)]
    await store.close()


@pytest.mark.parametrize("synchronous", ["off", "FULL", "", None, True])
def test_it_is_full_or_normal(path: Path, synchronous: Any) -> None:
    with pytest.raises(ValueError, match="'full' or 'normal'"):
        SqliteStore(path, synchronous=synchronous)
    assert not path.exists()


async def test_it_finishes_what_was_begun_before_it_closes(store: SqliteStore) -> None:
    async with held_up(store):
        creating = [
            asyncio.ensure_future(store.create(StoredActor(str(n), "R", (str(n),), b""))) for n in range(50)
        ]
        await asyncio.sleep(0)
        closing_store = asyncio.ensure_future(store.close())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="not open"):
            await store.load("id-1")
    await asyncio.gather(*creating, closing_store)
    await store.open()
    assert await store.load("49") is not None


async def test_who_asks_while_it_does_not_open_is_answered(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.executescript("create table ringcast_schema (version); insert into ringcast_schema values (99)")
    store = SqliteStore(path)
    opening = asyncio.ensure_future(store.open())
    await asyncio.sleep(0)
    asking = asyncio.ensure_future(store.load("id-1"))
    for refused, what in (opening, "version 99"), (asking, "could not be opened"):
        with pytest.raises(RuntimeError, match=what):
            await refused


async def test_it_refuses_a_file_of_a_newer_version(store: SqliteStore, path: Path) -> None:
    await store.close()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("update ringcast_schema set version = 99")
    with pytest.raises(RuntimeError, match="version 99"):
        await store.open()
    with pytest.raises(RuntimeError, match="not open"):
        await store.load("id-1")
    assert rows(path, "select version from ringcast_schema") == [(99,)]


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


def test_it_says_when_the_file_is_another_kind_of_file(path: Path) -> None:
    path.write_bytes(b"a letter to a friend" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        asyncio.run(SqliteStore(path).open())
    assert path.read_bytes() == b"a letter to a friend" * 100


@pytest.mark.parametrize("has_number", [True, False], ids=["whole", "killed before it wrote its version"])
async def test_a_file_of_the_first_version_is_taken_over(path: Path, has_number: bool) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.executescript(VERSION_1)
        if has_number:
            other.execute("insert into ringcast_schema values (1)")
    store = SqliteStore(path)
    for _ in range(2):
        await store.open()
        assert await store.find("Room", ("a", "b")) == ANN
        assert await store.load("id-2") == StoredActor("id-2", "Room", (), b"")
        for changes in everything():
            await store.commit("id-1", changes)
        assert (await stream_of(store)).head == 6
        await store.commit("id-1", [StateChanged(ANN.state)])
        await store.close()
    assert rows(path, "select version from ringcast_schema") == [(SCHEMA_VERSION,)]


async def test_a_file_that_cannot_be_taken_over_is_left_as_it_was(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.executescript(VERSION_1 + "create table reply (somebody, elses)")
    with pytest.raises(sqlite3.OperationalError, match="reply"):
        await SqliteStore(path).open()
    assert rows(path, "select count(*) from pragma_table_info('actor')") == [(4,)]
    assert rows(path, "select count(*) from actor") == [(2,)]


# --- what it costs ------------------------------------------------------------------------------------------


async def fill(store: Store, events: int) -> None:
    """Give the stream of id-1 a history, with many sessions that listened and called."""
    await store.commit("id-1", append(*range(1, events + 1)))
    for _ in range(2 * EPOCHS_KEPT):
        await store.commit("id-1", [StreamContinued("another")])
    for n in range(events // 10):
        id = f"other-{n}"
        await store.commit(
            "id-1",
            [
                SessionOpened(replace(SESSION, connection_id=id)),
                Subscribed(id, "news", 0),
                Subscribed(id, "past", events // 2),
                Unsubscribed(id, "past", events),
                Trimmed(1, let_go=((f"name-{n}", n),), lost=((id, n),)),
                *(Replied("conn-1", 10 * n + k, b"reply") for k in range(10)),
                Scheduled(call(f"s{n}")),
            ],
        )


@contextmanager
def counted_steps(database: sqlite3.Connection, steps: list[int]) -> Iterator[None]:
    """Count the instructions of SQLite's machine, which include every row that is looked at."""

    def step() -> None:
        steps[0] += 1

    database.set_progress_handler(step, 1)
    try:
        yield
    finally:
        database.set_progress_handler(None, 1)


async def cost(store: SqliteStore, changes: list[Change]) -> int:
    steps = [0]

    def change(journal: Journal) -> None:
        # As if the store had just been opened: nothing is remembered.
        journal._actors.clear()
        with counted_steps(journal.database, steps):
            journal.change("id-1", changes)
            journal.flush()

    assert store._thread is not None
    await store._thread.write(change)
    return steps[0]


@pytest.mark.parametrize(
    "kind",
    [
        "event",
        "trim",
        "what is gone",
        "subscribe",
        "unsubscribe",
        "reply",
        "state",
        "session",
        "epoch",
        "schedule",
    ],
)
async def test_a_commit_costs_what_is_in_it_and_not_what_was_before(tmp_path: Path, kind: str) -> None:
    costs = []
    for events in (20, 2000):
        changes: dict[str, list[Change]] = {
            "event": append(events + 1),
            "trim": [Trimmed(3)],
            "what is gone": [
                Trimmed(3, let_go=(("news", 2), ("name-1", 0)), lost=(("conn-1", 1), ("other-1", 0)))
            ],
            "subscribe": [Subscribed("conn-1", "news", events)],
            "unsubscribe": [Unsubscribed("other-1", "news", events)],
            "reply": [Replied("conn-1", 10**6, b"reply")],
            "state": [ConnStateChanged("conn-1", b"{}"), StateChanged(b"{}")],
            "session": [SessionEnded("other-1"), SessionOpened(replace(SESSION, connection_id="new"))],
            "epoch": [StreamContinued("next")],
            "schedule": [Scheduled(call("s1")), Scheduled(call("new"))],
        }
        directory = tmp_path / str(events)
        directory.mkdir()
        async with opened(
            lambda path: SqliteStore(path / "test.db", synchronous="normal"), directory
        ) as store:
            assert isinstance(store, SqliteStore)
            await fill(store, events)
            costs.append(await cost(store, changes[kind]))
    assert 0 < costs[1] <= 2 * costs[0]


async def test_nothing_but_its_lineage_is_left_of_what_has_ended(store: SqliteStore, path: Path) -> None:
    for changes in everything():
        await store.commit("id-1", [*changes, Scheduled(call("s"))])
    assert all(rows(path, f"select * from {table}") for table in STREAM_TABLES)
    await store.commit("id-1", [SessionEnded("conn-1"), SessionEnded("conn-2")])
    await store.commit("id-1", [Trimmed(7, let_go=(("news", 0), ("größe", 0)))])
    for table in STREAM_TABLES:
        assert len(rows(path, f"select * from {table}")) == (table == "past_epoch")


async def test_nothing_is_left_of_an_epoch_that_is_over(store: SqliteStore, path: Path) -> None:
    for changes in [*everything(), [StreamBegun("next")]]:
        await store.commit("id-1", changes)
    for table in STREAM_TABLES:
        assert rows(path, f"select * from {table}") == []
    assert rows(path, "select epoch from stream") == [("next",)]


async def test_nothing_is_left_of_an_actor_that_is_deleted(store: SqliteStore, path: Path) -> None:
    for changes in everything():
        await store.commit("id-1", [*changes, Scheduled(call("s"))])
    await store.delete("id-1")
    for table in ("actor", "stream", "scheduled_call", *STREAM_TABLES):
        assert rows(path, f"select * from {table}") == []


async def test_replies_that_are_wanted_no_more_do_not_pile_up(store: SqliteStore, path: Path) -> None:
    for id in range(1, 200):
        await store.commit("id-1", [Replied("conn-1", id, b"reply", keep=4)])
    [(kept,)] = rows(path, "select count(*) from reply")
    assert 4 <= kept <= 4 + 32


def reply_sizes(path: Path) -> list[int]:
    return [size for (size,) in rows(path, "select length(reply) from reply order by session, number")]


async def test_large_replies_that_are_wanted_no_more_go_sooner_than_small_ones(
    store: SqliteStore, path: Path
) -> None:
    for id in range(1, 60):
        await store.commit("id-1", [Replied("conn-1", id, bytes(20_000), keep=2)])
        stale_bytes = sum(reply_sizes(path)[:-2])
        assert stale_bytes < STALE_BYTES
        # They go together, and not one by one.
        assert stale_bytes == max(id - 2, 0) % 4 * 20_000
    [session] = (await stream_of(store)).sessions
    assert [id for id, _ in session.replies] == [58, 59]


async def test_large_replies_go_with_the_commit_that_makes_them_stale(store: SqliteStore, path: Path) -> None:
    large = [Replied("conn-1", id, bytes(STALE_BYTES)) for id in range(1, 9)]
    await store.commit("id-1", large)
    await store.commit("id-1", [Replied("conn-1", 9, b"small")])
    # Those that may still be asked for stay, whatever they weigh.
    assert reply_sizes(path) == [STALE_BYTES] * 8 + [5]
    await store.commit("id-1", [Replied("conn-1", 10, b"small", keep=3)])
    assert reply_sizes(path) == [STALE_BYTES, 5, 5]
    # Also where the same transaction has brought them.
    await store.commit("id-1", [*large, Replied("conn-1", 11, b"small", keep=1)])
    assert reply_sizes(path) == [5]


async def test_what_is_stale_is_counted_on_when_the_store_was_closed(store: SqliteStore, path: Path) -> None:
    """Of some the size is known since they were written, of others the table has to be asked."""
    random = Random(4)
    stale: list[int] = []
    wanted: list[int] = []
    for id in range(1, 100):
        wanted.append(random.choice((5, 700, 20_000, 40_000)))
        keep = random.choice((2, 3, 9))
        await store.commit("id-1", [Replied("conn-1", id, bytes(wanted[-1]), keep=keep)])
        stale, wanted = stale + wanted[:-keep], wanted[-keep:]
        if sum(stale) >= STALE_BYTES:
            stale = []
        assert reply_sizes(path) == stale + wanted
        if random.random() < 0.2:
            await store.close()
            await store.open()


async def test_replies_of_another_session_count_for_themselves(store: SqliteStore, path: Path) -> None:
    await store.commit("id-1", [SessionOpened(replace(SESSION, connection_id="conn-2"))])
    for id in range(1, 5):
        await store.commit("id-1", [Replied(who, id, bytes(20_000), keep=1) for who in ("conn-1", "conn-2")])
    assert reply_sizes(path) == [20_000] * 8


async def test_actors_are_not_remembered_for_ever(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringcast.store.journal._ACTORS_KNOWN", 3)
    for n in range(9):
        await store.create(StoredActor(f"more-{n}", "R", (str(n),), b""))
        await store.commit(f"more-{n}", BEGUN)
    assert store._thread is not None
    assert await store._thread.read(lambda journal: len(journal._actors)) == 3
    await store.commit("more-0", append(1))
    assert (await stream_of(store, "more-0")).head == 1
