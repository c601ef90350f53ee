"""Commits that arrive while another is written: they share a transaction of SQLite, and not their fate."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from stores import ANN, append, event, held_up, on_thread, opened, sqlite, stream_of, together

from ringcast.errors import ActorAlreadyExists, ActorNotFound
from ringcast.store import EventAppended, JournalCorrupt, Replied, SqliteStore, StateChanged, Subscribed
from ringcast.store import sqlite as sqlite_module
from ringcast.store.journal import Journal


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(sqlite, tmp_path) as store:
        assert isinstance(store, SqliteStore)
        yield store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each transaction that is begun."""
    seen: list[None] = []
    begin = Journal.begin

    def counted(self: Journal) -> None:
        seen.append(None)
        begin(self)

    monkeypatch.setattr(Journal, "begin", counted)
    return seen


async def test_commits_that_wait_are_written_together(store: SqliteStore, transactions: list[None]) -> None:
    commits = [store.commit("id-1", [*append(n), StateChanged(b"%d" % n)]) for n in range(1, 101)]
    assert await together(store, *commits) == [None] * 100
    assert len(transactions) == 1
    actor = await store.load("id-1")
    assert actor is not None and actor.state == b"100"
    assert (await stream_of(store)).events == tuple(event(n) for n in range(1, 101))


async def test_reads_see_what_was_committed_before_them_and_nothing_after(
    store: SqliteStore, transactions: list[None]
) -> None:
    heads: list[int] = []

    async def read() -> None:
        heads.append((await stream_of(store)).head)

    commits = [store.commit("id-1", append(n)) for n in (1, 2, 3)]
    assert await together(store, read(), commits[0], read(), commits[1], commits[2], read()) == [None] * 6
    assert (heads, len(transactions)) == ([0, 1, 3], 1)


async def test_one_that_is_refused_does_not_part_the_others(
    store: SqliteStore, transactions: list[None]
) -> None:
    answers = await together(
        store,
        store.commit("id-1", append(1)),
        store.commit("nobody", append(1)),
        store.create(ANN),
        store.commit("id-1", append(7)),
        store.commit("id-1", append(2)),
    )
    kinds = [type(answer) for answer in answers]
    assert kinds == [type(None), ActorNotFound, ActorAlreadyExists, ValueError, type(None)]
    assert len(transactions) == 1
    assert (await stream_of(store)).head == 2


async def test_one_that_fails_half_written_fails_alone(store: SqliteStore) -> None:
    unwritable = EventAppended(event(2, "\ud800"))
    too_large = Replied("conn-1", 2**63, b"")
    answers = await together(
        store,
        store.commit("id-1", [StateChanged(b"1"), *append(1)]),
        store.commit("id-1", [StateChanged(b"2"), Subscribed("conn-1", "a", 1), unwritable]),
        store.commit("id-1", [StateChanged(b"3"), Subscribed("conn-1", "b", 1), *append(2), too_large]),
        store.commit("id-1", [Subscribed("conn-1", "c", 1), *append(2)]),
    )
    kinds = [type(answer) for answer in answers]
    assert kinds == [type(None), UnicodeEncodeError, OverflowError, type(None)]
    actor, stream = await store.load("id-1"), await stream_of(store)
    assert actor is not None and actor.state == b"1"
    assert stream.events == (event(1), event(2))
    assert [subscription.name for subscription in stream.sessions[0].subscriptions] == ["c"]


async def test_one_that_fills_the_disk_fails_alone(store: SqliteStore) -> None:
    [(pages,)] = await on_thread(store, "pragma page_count")
    await on_thread(store, f"pragma max_page_count = {pages + 8}")
    large = EventAppended(event(2, json=b"x" * 200_000))
    answers = await together(
        store,
        store.commit("id-1", append(1)),
        store.commit("id-1", [large, StateChanged(b"large")]),
        store.commit("id-1", [*append(2), StateChanged(b"small")]),
    )
    assert [type(answer) for answer in answers] == [type(None), sqlite3.OperationalError, type(None)]
    actor = await store.load("id-1")
    assert actor is not None and actor.state == b"small"
    assert (await stream_of(store)).events == (event(1), event(2))


async def test_a_caller_that_is_cancelled_leaves_the_others_their_answers(store: SqliteStore) -> None:
    async with held_up(store):
        first, second = (asyncio.ensure_future(store.commit("id-1", append(n))) for n in (1, 2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
    await second
    assert (await stream_of(store)).head == 2


async def test_a_file_that_another_holds_is_waited_for_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, transactions: list[None]
) -> None:
    monkeypatch.setattr(sqlite_module, "_BUSY_TIMEOUT_S", 0.01)
    async with opened(sqlite, path.parent) as store:
        assert isinstance(store, SqliteStore)
        transactions.clear()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("begin immediate")
            answers = await together(store, *(store.commit("id-1", append(1)) for _ in range(5)))
            assert [str(answer) for answer in answers] == ["database is locked"] * 5
            # It will pass: nothing is wrong with the journal.
            assert not any(isinstance(answer, JournalCorrupt) for answer in answers)
            assert len(transactions) == 1
        await store.commit("id-1", append(1))
