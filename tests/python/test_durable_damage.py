"""A journal that turns out to be damaged while its actor runs: the actor ends, and begins a new stream."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from linked import LinkedSocket, call, eventually, resume_from, running
from stores import on_thread

from ringcast import Actor, Context, MemoryStore, SqliteStore, action
from ringcast.errors import CloseCode, OutcomeUnknown
from ringcast.router import Router
from ringcast.store import Change, JournalCorrupt, Store
from ringcast.wire.protocol import Call, Connect, Connected, Event, Gap, Reply

PAGE_BYTES = 4096


@dataclass
class Sum:
    total: int = 0


class Adder(Actor[Sum]):
    durable = True

    @action
    def add(self, c: Context[Sum]) -> int:
        c.state.total += 1
        c.broadcast("added", c.state.total)
        return c.state.total


class SpoiltStore(MemoryStore):
    """Says at a commit that the journal is damaged, when told to; who only reads finds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.is_spoilt = False

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        if self.is_spoilt:
            self.is_spoilt = False
            raise JournalCorrupt("an index is broken")
        await super().commit(actor_id, changes)


@contextlib.asynccontextmanager
async def adder(store: Store) -> AsyncIterator[Router]:
    async with running(Adder, store=store) as router:
        yield router


async def join(socket: LinkedSocket, before: Connected | None = None) -> Connected:
    resume = None if before is None else resume_from(before)
    return await socket.connect("adder", "a", events=("added",), resume=resume)


async def add(socket: LinkedSocket, id: int, total: int) -> None:
    socket.send(Call(id, "add", []))
    assert (await socket.receive(Event)).args == [total]
    assert await socket.receive(Reply) == Reply(id, total)


def break_pages(path: Path, names: Sequence[str]) -> None:
    """Overwrite the first pages of tables and indices in a file whose server runs."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        pages = [
            page
            for name in names
            for (page,) in database.execute("select rootpage from sqlite_master where name = ?", (name,))
        ]
    assert len(pages) == len(names)
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE_BYTES)
            file.write(b"\xa5" * PAGE_BYTES)


async def test_a_file_that_breaks_while_it_is_used_ends_the_actor_and_its_clients_come_back_to_a_new_stream(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "test.db"
    async with adder(SqliteStore(path)) as router, LinkedSocket(router) as client:
        connected = await join(client)
        await add(client, 1, 1)
    store = SqliteStore(path)
    async with adder(store) as router:
        async with LinkedSocket(router) as client, LinkedSocket(router) as newcomer:
            again = await join(client, connected)
            assert (again.session, again.replayed) == (connected.session, 1)
            assert (await client.receive(Event)).args == [1]
            # Where the new session has to be entered, so that it is noticed; and the sessions that there are.
            break_pages(path, ["sqlite_autoindex_session_2", "session"])
            await on_thread(store, "pragma shrink_memory")  # what was read before goes as well
            newcomer.send(Connect("adder", ("a",)))
            await client.closed_with(CloseCode.INTERNAL_ERROR)
            # Who was not let in yet may come back as well.
            assert (await newcomer.next()).error["code"] == "internal_error"  # type: ignore[union-attr]
            await newcomer.closed_with(CloseCode.INTERNAL_ERROR)
        async with LinkedSocket(router) as client:
            anew = await join(client, again)
            assert (anew.gap, anew.offset) == (Gap("epoch_changed"), 0)
            assert anew.epoch != again.epoch
            # The state is that of the last commit.
            await add(client, 1, 2)
    assert "the journal is damaged and the actor ends" in caplog.text
    assert "is damaged, its events and sessions are lost" in caplog.text
    async with adder(SqliteStore(path)) as router, LinkedSocket(router) as client:
        assert (await join(client, anew)).replayed == 1


async def test_what_can_be_repaired_ends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    async with adder(SqliteStore(path)) as router, LinkedSocket(router) as client:
        connected = await join(client)
    store = SqliteStore(path)
    async with adder(store) as router, LinkedSocket(router) as client:
        await join(client, connected)
        break_pages(path, ["sqlite_autoindex_session_2"])
        await on_thread(store, "pragma shrink_memory")
        async with LinkedSocket(router) as newcomer:
            await join(newcomer)
            await add(client, 1, 1)


async def test_what_only_a_commit_finds_is_not_forgotten_by_the_next_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = SpoiltStore()
    async with adder(store) as router:
        async with LinkedSocket(router) as client:
            connected = await join(client)
            await add(client, 1, 1)
            store.is_spoilt = True
            client.send(Call(2, "add", []))
            # Neither the event nor the reply: it was not committed.
            await client.closed_with(CloseCode.INTERNAL_ERROR)
        async with LinkedSocket(router) as client:
            anew = await join(client, connected)
            assert (anew.gap, anew.session != connected.session) == (Gap("epoch_changed"), True)
            await add(client, 1, 2)


async def test_whoever_waits_for_the_commit_is_told_that_its_outcome_is_unknown() -> None:
    store = SpoiltStore()
    async with adder(store) as router:
        await call(router, "adder", "a", "add")
        store.is_spoilt = True
        with pytest.raises(OutcomeUnknown):
            await call(router, "adder", "a", "add")
        assert await call(router, "adder", "a", "add") == 2


async def test_an_actor_whose_journal_is_damaged_as_it_falls_asleep_does_not_go_on() -> None:
    store = SpoiltStore()
    async with adder(store) as router:
        await call(router, "adder", "a", "add")
        (actor,) = router._directory
        epoch = actor.stream.epoch
        actor.actor.state.total = 7
        store.is_spoilt = True
        assert router.sleep(actor)
        await eventually(lambda: router.actors == 0)
        assert await call(router, "adder", "a", "add") == 2
        (actor,) = router._directory
        assert actor.stream.epoch != epoch
