"""How a store keeps actors and their states; the same for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from stores import ANN, memory, sqlite

from ringcast.errors import ActorAlreadyExists, ActorNotFound
from ringcast.store import Scheduled, ScheduledCall, StateChanged, Store, StoredActor, StreamBegun


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


async def test_an_actor_is_kept_with_its_first_changes(store: Store) -> None:
    call = ScheduledCall("call", "id-1", 5.0, "act", b"[]")
    await store.create(ANN, [Scheduled(call), StateChanged(b"later"), StreamBegun("epoch")])
    found = await store.load("id-1")
    assert found is not None and found.state == b"later"
    assert await store.schedule() == [call]
    stream = await store.load_stream("id-1")
    assert stream is not None and stream.epoch == "epoch"


async def test_an_actor_whose_first_changes_do_not_fit_is_not_kept(store: Store) -> None:
    other = StoredActor("id-2", "Room", ("c",), b"{}")
    theirs = ScheduledCall("call", "somebody else", 5.0, "act", b"[]")
    outcomes = await asyncio.gather(
        store.create(ANN, [StateChanged(b"later"), Scheduled(theirs)]),
        store.create(other),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], ValueError) and outcomes[1] is None
    assert await store.load("id-1") is None
    assert await store.find("Room", ("a", "b")) is None
    assert await store.load("id-2") == other
    await store.create(ANN)
    with pytest.raises(ActorAlreadyExists):
        await store.create(ANN, [StateChanged(b"later")])
    assert await store.load("id-1") == ANN


@pytest.mark.parametrize("key", [(), ("",), ("a/b",), ('"', "\\"), ("a", ""), ("ä", "😀"), ("a\nb",)])
async def test_any_strings_make_a_key(store: Store, key: tuple[str, ...]) -> None:
    actor = StoredActor("id-9", "Room", key, b"null")
    await store.create(actor)
    assert await store.find("Room", key) == actor


async def test_a_state_is_replaced(store: Store) -> None:
    await store.create(ANN)
    await store.commit("id-1", [StateChanged(b"old"), StateChanged(b"\x00new")])
    found = await store.find("Room", ("a", "b"))
    assert found is not None and found.state == b"\x00new"
    assert await store.load("id-1") == found


async def test_committing_for_what_is_not_there_is_an_error(store: Store) -> None:
    for changes in ([StateChanged(b"")], []):
        with pytest.raises(ActorNotFound, match="id-1"):
            await store.commit("id-1", changes)


async def test_a_deleted_actor_is_gone_and_its_key_is_free(store: Store) -> None:
    await store.create(ANN)
    await store.commit("id-1", [StateChanged(b"1")])
    await store.delete("id-1")
    await store.delete("id-1")
    assert await store.load("id-1") is None
    with pytest.raises(ActorNotFound):
        await store.commit("id-1", [StateChanged(b"2")])
    await store.create(StoredActor("id-2", "Room", ("a", "b"), b"{}"))
    assert (await store.find("Room", ("a", "b"))) is not None


async def test_actors_are_counted(store: Store) -> None:
    assert await store.count() == 0
    await store.create(ANN)
    await store.create(StoredActor("id-2", "Room", ("c",), b"{}"))
    with pytest.raises(ActorAlreadyExists):
        await store.create(ANN)
    assert await store.count() == 2
    await store.delete("id-1")
    await store.delete("id-1")
    assert await store.count() == 1


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


async def test_calls_that_overlap_take_effect_in_their_order(store: Store) -> None:
    states = [b"1", b"2", b"3"]
    calls = [(store.commit("id-1", [StateChanged(state)]), store.load("id-1")) for state in states]
    await store.create(ANN)
    answers = await asyncio.gather(*(call for pair in calls for call in pair))
    found = [answer for answer in answers if isinstance(answer, StoredActor)]
    assert [actor.state for actor in found] == states
