"""Answers to calls with a key: kept with their actor, for a while and no more; the same for each store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from stores import memory, on_thread, opened, sqlite

from ringcast import SqliteStore
from ringcast.store import ANSWERS_KEPT, CallAnswered, StateCorrupt, Store, StoredActor


@pytest.fixture(params=[memory, sqlite], ids=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    make: Callable[[Path], Store] = request.param
    async with opened(make, tmp_path) as store:
        yield store


def answered(key: str, at: float = 1.0, answer: bytes = b"yes", wanted_since: float = 0.0) -> CallAnswered:
    return CallAnswered(key, at, answer, wanted_since)


async def test_an_answer_is_kept_with_its_actor(store: Store) -> None:
    await store.create(StoredActor("id-2", "Room", ("other",), b""))
    await store.commit("id-1", [answered("a", answer=b"half"), answered("a"), answered("b", answer=b"no")])
    assert [await store.answer("id-1", key) for key in "abc"] == [b"yes", b"no", None]
    assert await store.answer("id-2", "a") is None
    await store.delete("id-1")
    assert await store.answer("id-1", "a") is None


async def test_the_latest_answers_are_kept_and_the_older_go_in_time(store: Store) -> None:
    changes = [answered(str(number)) for number in range(ANSWERS_KEPT + 128)]
    await store.commit("id-1", changes)
    kept = [await store.answer("id-1", change.key) is not None for change in changes]
    assert kept[-ANSWERS_KEPT:] == [True] * ANSWERS_KEPT
    assert not any(kept[:64])
    late = [answered(f"late {number}", at=9.0, wanted_since=5.0) for number in range(64)]
    await store.commit("id-1", late)
    assert await store.answer("id-1", changes[-1].key) is None
    assert await store.answer("id-1", "late 0") == b"yes"


async def test_an_answer_that_is_damaged_is_not_given_out(tmp_path: Path) -> None:
    async with opened(sqlite, tmp_path) as store:
        assert isinstance(store, SqliteStore)
        await store.commit("id-1", [answered("a")])
        await on_thread(store, "update keyed_answer set answer = x'00'")
        with pytest.raises(StateCorrupt):
            await store.answer("id-1", "a")
