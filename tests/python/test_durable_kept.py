"""What is kept of a durable actor: as many events as its ring has, and what can be read of its sessions."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from durable_ledger import Ledger, join, ledger, values
from linked import TIMEOUT_S, LinkedSocket, call, eventually, resume_from, running

from ringcast import MemoryStore, SqliteStore
from ringcast.errors import EventTooLarge
from ringcast.wire.protocol import Call, Event, Gap, Reply


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


# --- events -------------------------------------------------------------------------------------------------


async def test_the_store_keeps_about_as_much_as_the_ring() -> None:
    store = MemoryStore()
    async with ledger(store) as router:
        for _ in range(500):
            await call(router, "ledger", "a", "add")
        (stream,) = store._streams.values()
        assert 64 <= len(stream.events) <= 96
        crashed = copy.deepcopy(store)
    async with ledger(crashed) as router:
        assert await call(router, "ledger", "a", "add") == 501
        (actor,) = router._directory
        assert actor.stream.head == 501


async def test_a_position_before_what_is_kept_is_a_gap() -> None:
    store = MemoryStore()
    async with ledger(store) as router:
        async with LinkedSocket(router) as client:
            connected = await join(client)
        for _ in range(100):
            await call(router, "ledger", "a", "add")
        crashed = copy.deepcopy(store)
    async with ledger(crashed) as router, LinkedSocket(router) as client:
        again = await join(client, resume=resume_from(connected, 0))
        assert (again.session, again.gap) == (connected.session, Gap("ring_overflow", 1, 36))
        assert again.replayed == 64


async def test_a_damaged_journal_begins_anew_with_a_gap(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "kept.db"
    async with ledger(SqliteStore(path)) as router:
        async with LinkedSocket(router) as client:
            connected = await join(client)
        for _ in range(3):
            await call(router, "ledger", "a", "add")
    damage(path)
    async with ledger(SqliteStore(path)) as router, LinkedSocket(router) as client:
        again = await join(client, resume=resume_from(connected))
        assert (again.gap, again.offset) == (Gap("epoch_changed"), 0)
        assert again.epoch != connected.epoch
        # The state was not damaged, and the new journal is sound.
        client.send(Call(1, "add", []))
        assert await values(client, 1) == [4]
    assert any("the journal of Ledger" in record.message for record in caplog.records)
    async with ledger(SqliteStore(path)) as router, LinkedSocket(router) as client:
        assert (await join(client, resume=resume_from(again))).replayed == 1


def damage(path: Path) -> None:
    """Change the second event behind the store's back."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        (table,) = (
            name
            for (name,) in database.execute("select name from sqlite_master where type = 'table'")
            if "event" in name
        )
        changed = database.execute(f"update {table} set json = '[9]' where json = '[2]' or json = x'5b325d'")
        assert changed.rowcount == 1
        database.commit()


async def test_an_event_that_no_ring_holds_is_refused_when_it_is_sent() -> None:
    async with ledger(MemoryStore()) as router, LinkedSocket(router) as client:
        await join(client)
        with pytest.raises(EventTooLarge):
            await call(router, "ledger", "a", "shout", 9_000_000)
        async with asyncio.timeout(TIMEOUT_S):
            assert await call(router, "ledger", "a", "add") == 1


async def test_a_ring_that_has_become_too_small_for_what_was_kept_begins_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    async with ledger(store) as router, LinkedSocket(router) as client:
        connected = await join(client)
        client.send(Call(1, "shout", [50_000]))
        assert await client.receive(Event)

    class Smaller(Ledger, max_ring_bytes=4096):
        """The class as it is by now."""

    Smaller.__name__ = "Ledger"
    async with running(Smaller, store=store) as router, LinkedSocket(router) as client:
        again = await join(client, resume=resume_from(connected))
        assert (again.gap, again.offset) == (Gap("epoch_changed"), 0)
        client.send(Call(1, "add", []))
        assert await values(client, 1) == [1]
    assert "a new stream begins" in caplog.text


# --- sessions -----------------------------------------------------------------------------------------------


async def test_one_connection_that_cannot_be_kept_leaves_the_others_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    async with ledger(store) as router, LinkedSocket(router) as ann, LinkedSocket(router) as bob:
        id = (await join(ann, events=())).connection
        await join(bob, "bob", events=())
        ann.send(Call(1, "spoil", ["ann"]))
        bob.send(Call(1, "rename", ["carl"]))
        assert [await ann.receive(Reply), await bob.receive(Reply)] == [Reply(1, None), Reply(1, None)]
        crashed = copy.deepcopy(store)
        # Told once, and tried again with each commit.
        assert caplog.text.count(f"the state of connection {id} cannot be kept") == 1
        assert "Ledger: name cannot be written as JSON" in caplog.text
        (actor,) = router._directory
        actor.conns.get(id)._state.name = "dora"
        await call(router, "ledger", "a", "add")
        repaired = copy.deepcopy(store)
    async with ledger(crashed) as router:
        assert await call(router, "ledger", "a", "names") == ["ann", "carl"]
    async with ledger(repaired) as router:
        assert await call(router, "ledger", "a", "names") == ["dora", "carl"]


async def test_a_session_that_can_no_longer_be_read_does_not_keep_the_actor_from_starting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    async with ledger(store) as router, LinkedSocket(router) as ann, LinkedSocket(router) as bob:
        connected = await join(ann)
        await join(bob, "bob")
        await call(router, "ledger", "a", "add")
        crashed = copy.deepcopy(store)
    (stream,) = crashed._streams.values()
    stream.sessions[connected.connection] = replace(stream.sessions[connected.connection], state=b"{")
    async with ledger(crashed) as router, LinkedSocket(router) as ann:
        again = await join(ann, resume=resume_from(connected))
        assert again.gap == Gap("session_expired")
        assert sorted(await call(router, "ledger", "a", "names")) == ["ann", "bob"]
        await eventually(lambda: connected.connection not in stream.sessions)
    assert "is lost" in caplog.text
