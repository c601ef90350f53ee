"""Durable actors: events, state, sessions and replies are committed together, before anybody is told."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from linked import TIMEOUT_S, LinkedSocket, call, eventually, resume_from, running

from ringcast import Actor, Context, MemoryStore, SqliteStore, action
from ringcast.errors import CloseCode, DefinitionError, EventTooLarge, OutcomeUnknown
from ringcast.router import Router
from ringcast.store import Change, Store
from ringcast.testing import ManualClock
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connect, Connected, Error, Event, Gap, Reply, Subscribe, Unsubscribe


@dataclass
class Sum:
    total: int = 0
    left: int = 0


@dataclass
class Member:
    name: str = "nobody"


class Ledger(Actor[Sum, Member], max_ring_events=64):
    """Adds up, and tells of each addition."""

    durable = True

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    def snapshot(self, c: Context[Sum, Member]) -> int | None:
        return c.state.total if c.conn.state.name == "snap" else None

    def on_disconnect(self, c: Context[Sum, Member]) -> None:
        c.state.left += 1

    @action
    def add(self, c: Context[Sum, Member], by: int = 1) -> int:
        c.state.total += by
        c.broadcast("added", c.state.total)
        return c.state.total

    @action
    async def add_slowly(self, c: Context[Sum, Member], by: int = 1) -> int:
        c.state.total += by
        await self.gate.wait()
        c.broadcast("added", c.state.total)
        return c.state.total

    @action
    async def add_saved(self, c: Context[Sum, Member]) -> None:
        c.state.total += 1
        await c.save_state()
        await self.gate.wait()

    @action
    def open_the_gate(self, c: Context[Sum, Member]) -> None:
        self.gate.set()

    @action
    def tell(self, c: Context[Sum, Member], name: str, text: str) -> None:
        found = c.conns.find(name=name)
        assert found is not None
        found.send("told", text)

    @action
    def tell_others(self, c: Context[Sum, Member], text: str) -> None:
        c.broadcast("said", text, exclude=c.conn)

    @action
    def rename(self, c: Context[Sum, Member], name: str) -> None:
        c.conn.state.name = name

    @action
    def names(self, c: Context[Sum, Member]) -> list[str]:
        return [conn.state.name for conn in c.conns]

    @action
    def say_goodbye(self, c: Context[Sum, Member]) -> None:
        c.conn.send("told", "goodbye")
        c.conn.disconnect("done")

    @action
    def sums(self, c: Context[Sum, Member]) -> list[int]:
        return [c.state.total, c.state.left]

    @action
    def shout(self, c: Context[Sum, Member], size: int) -> None:
        c.broadcast("added", "x" * size)

    @action
    def end(self, c: Context[Sum, Member]) -> None:
        c.destroy()

    @action
    def spoil(self, c: Context[Sum, Member], whose: str) -> None:
        if whose == "actor":
            c.state.total = object()  # type: ignore[assignment]
        else:
            c.conn.state.name = object()  # type: ignore[assignment]

    @action
    def repair(self, c: Context[Sum, Member]) -> None:
        c.state.total = 0

    @action(timeout_s=0.05)
    async def call_itself(self, c: Context[Sum, Member]) -> int:
        total: int = await c.client().get_or_create(Ledger, list(c.key)).add(1)
        return total


class GatedStore(MemoryStore):
    """Commits when the test lets it, and fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures = 0
        self.commits: list[Sequence[Change]] = []

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise OSError("the disk is full")
        await super().commit(actor_id, changes)
        self.commits.append(changes)


@pytest.fixture(params=list(Encoding), ids=["json", "msgpack"])
def encoding(request: pytest.FixtureRequest) -> Encoding:
    found: Encoding = request.param
    return found


@contextlib.asynccontextmanager
async def ledger(store: Store, **limits: Any) -> AsyncIterator[Router]:
    async with running(Ledger, store=store, **limits) as router:
        yield router


async def join(
    socket: LinkedSocket, name: str = "ann", *, events: tuple[str, ...] = ("added",), resume: Any = None
) -> Connected:
    return await socket.connect("ledger", "a", params={"name": name}, events=events, resume=resume)


async def values(socket: LinkedSocket, count: int) -> list[Any]:
    return [(await socket.receive(Event)).args[0] for _ in range(count)]


async def heard(socket: LinkedSocket, count: int) -> list[Any]:
    """Return what comes next: the argument of an event, or a reply."""
    messages = [await socket.next() for _ in range(count)]
    return [message.args[0] if isinstance(message, Event) else message for message in messages]


# --- what is told, and when ---------------------------------------------------------------------------------


async def test_events_and_replies_wait_for_their_commit(encoding: Encoding) -> None:
    store = GatedStore()
    async with ledger(store) as router, LinkedSocket(router, encoding) as client:
        await join(client)
        (actor,) = router._directory
        store.gate.clear()
        client.send(Call(1, "add", []), Call(2, "add", [10]))
        await eventually(lambda: actor.position == 2)
        assert actor.stream.head == 0
        store.gate.set()
        assert await heard(client, 4) == [1, Reply(1, 1), 11, Reply(2, 11)]


async def test_a_call_without_a_connection_waits_for_its_commit_too() -> None:
    store = GatedStore()
    async with ledger(store) as router:
        await call(router, "ledger", "a", "add")
        store.gate.clear()
        waiting = asyncio.create_task(call(router, "ledger", "a", "add"))
        (actor,) = router._directory
        await eventually(lambda: actor.position == 2)
        assert not waiting.done()
        store.gate.set()
        assert await waiting == 2


async def test_what_comes_while_a_commit_is_written_goes_with_the_next_one() -> None:
    store = GatedStore()
    async with ledger(store) as router, LinkedSocket(router) as client:
        await join(client)
        store.commits.clear()
        store.gate.clear()
        client.send(Call(1, "add", []))
        (actor,) = router._directory
        await eventually(lambda: actor.position == 1)
        await asyncio.sleep(0)
        client.send(*(Call(id, "add", []) for id in range(2, 12)))
        store.gate.set()
        assert await heard(client, 22) == [each for id in range(1, 12) for each in (id, Reply(id, id))]
        assert len(store.commits) == 2


async def test_a_commit_that_fails_is_tried_again_and_nobody_is_told_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = GatedStore()
    async with ledger(store) as router, LinkedSocket(router) as client:
        await join(client)
        store.failures = 1
        client.send(Call(1, "add", []))
        await eventually(lambda: store.failures == 0)
        (actor,) = router._directory
        assert actor.stream.head == 0
        client.send(Call(2, "add", []))
        assert await heard(client, 4) == [1, Reply(1, 1), 2, Reply(2, 2)]
    assert [record.message for record in caplog.records if "committed" in record.message] == [
        "a: the journal could not be committed; it is tried again in 1 s"
    ]


async def test_a_stop_whose_last_commit_fails_tells_nobody(caplog: pytest.LogCaptureFixture) -> None:
    store = GatedStore()
    async with ledger(store) as router, LinkedSocket(router) as client:
        await join(client)
        store.gate.clear()
        store.failures = 10
        client.send(Call(1, "add", []))
        alone = asyncio.create_task(call(router, "ledger", "a", "add"))
        (actor,) = router._directory
        await eventually(lambda: actor.position == 2)
        stopping = asyncio.create_task(router.stop())
        store.gate.set()
        await stopping
        with pytest.raises(OutcomeUnknown):
            await alone
        await client.closed_with(CloseCode.SERVER_RESTART)
    assert any("of which nobody was told" in record.message for record in caplog.records)


# --- one action is kept whole, or not at all ----------------------------------------------------------------


async def test_actions_take_turns_and_a_commit_holds_none_by_halves() -> None:
    store = GatedStore()
    async with ledger(store) as router, LinkedSocket(router) as client:
        await join(client)
        client.send(Call(1, "add_slowly", [1]), Call(2, "add", [10]))
        (actor,) = router._directory
        await eventually(lambda: actor.actor.state.total == 1)
        half = copy.deepcopy(store)
        actor.actor.gate.set()
        assert await heard(client, 4) == [1, Reply(1, 1), 11, Reply(2, 11)]
    async with ledger(half) as router:
        assert await call(router, "ledger", "a", "sums") == [0, 0]


async def test_save_state_commits_what_was_done_so_far() -> None:
    store = MemoryStore()
    async with ledger(store) as router, LinkedSocket(router) as client:
        await join(client)
        client.send(Call(1, "add_saved", []))
        await eventually(lambda: b'"total":1' in next(iter(store._by_id.values())).state)
        crashed = copy.deepcopy(store)
        (actor,) = router._directory
        actor.actor.gate.set()
        await client.receive(Reply)
    async with ledger(crashed) as router:
        assert await call(router, "ledger", "a", "sums") == [1, 0]


async def test_an_action_that_waits_for_its_own_actor_times_out_and_harms_nobody_else() -> None:
    async with ledger(MemoryStore()) as router, LinkedSocket(router) as client, asyncio.timeout(TIMEOUT_S):
        await join(client, events=())
        client.send(Call(1, "call_itself", []))
        assert (await client.receive(Error)).error["code"] == "action_timeout"
        client.send(Call(2, "sums", []))
        assert (await client.receive(Reply)).id == 2


async def test_nobody_is_told_of_what_a_state_that_cannot_be_written_leaves_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    async with ledger(MemoryStore(), clock=clock) as router, LinkedSocket(router) as client:
        await join(client)
        client.send(Call(1, "spoil", ["actor"]))
        await eventually(lambda: "cannot be written as JSON" in caplog.text)
        (actor,) = router._directory
        client.send(Call(2, "repair", []), Call(3, "add", []))
        await eventually(lambda: actor.position == 1)
        await clock.advance(1.0)
        assert await heard(client, 4) == [Reply(1, None), Reply(2, None), 1, Reply(3, 1)]


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


# --- over a crash -------------------------------------------------------------------------------------------


async def test_a_client_goes_on_after_a_crash_without_a_gap(encoding: Encoding) -> None:
    store = MemoryStore()
    async with ledger(store) as router:
        async with LinkedSocket(router, encoding) as client:
            connected = await join(client)
            client.send(Call(1, "add", []), Call(2, "rename", ["bob"]), Call(3, "add", []))
            assert await heard(client, 5) == [1, Reply(1, 1), Reply(2, None), 2, Reply(3, 2)]
        await call(router, "ledger", "a", "add")
        crashed = copy.deepcopy(store)
    async with ledger(crashed) as router, LinkedSocket(router, encoding) as client:
        again = await join(client, resume=resume_from(connected, 1))
        assert (again.session, again.connection) == (connected.session, connected.connection)
        # The offsets count on, in an epoch of their own.
        assert (again.replayed, again.gap, again.offset) == (2, None, 1)
        assert again.epoch != connected.epoch
        assert await values(client, 2) == [2, 3]
        # Sent again because its reply never came; it ran, and runs no second time.
        client.send(Call(3, "add", []), Call(4, "names", []), Call(5, "add", []))
        assert await client.receive(Reply) == Reply(3, 2)
        assert await client.receive(Reply) == Reply(4, ["bob"])
        assert (await client.receive(Event)).offset == 4
        assert await client.receive(Reply) == Reply(5, 4)


async def test_a_clean_restart_keeps_sessions_too(encoding: Encoding) -> None:
    store = MemoryStore()
    async with ledger(store) as router, LinkedSocket(router, encoding) as client:
        connected = await join(client)
        await router.stop()
        await client.closed_with(CloseCode.SERVER_RESTART)
    async with ledger(store) as router:
        await call(router, "ledger", "a", "add")
        async with LinkedSocket(router, encoding) as client:
            again = await join(client, resume=resume_from(connected))
            assert (again.session, again.replayed) == (connected.session, 1)
        assert await call(router, "ledger", "a", "sums") == [1, 0]


async def test_a_call_that_was_not_committed_runs_after_the_crash() -> None:
    store = GatedStore()
    async with ledger(store) as router, LinkedSocket(router) as client:
        connected = await join(client)
        client.send(Call(1, "add", []))
        await values(client, 1)
        await client.receive(Reply)
        store.gate.clear()
        client.send(Call(2, "add", []), Call(3, "add", []))
        (actor,) = router._directory
        await eventually(lambda: actor.position == 3)
        crashed = MemoryStore()
        crashed.__dict__.update(
            {name: copy.deepcopy(value) for name, value in store.__dict__.items() if name.startswith("_")}
        )
        store.gate.set()
    async with ledger(crashed) as router, LinkedSocket(router) as client:
        again = await join(client, resume=resume_from(connected, 1))
        assert (again.replayed, again.gap) == (0, None)
        client.send(Call(2, "add", []), Call(3, "add", []))
        assert await values(client, 1) == [2]
        assert await client.receive(Reply) == Reply(2, 2)
        assert await values(client, 1) == [3]
        assert await client.receive(Reply) == Reply(3, 3)


async def test_entitlement_is_what_it_was_when_the_event_was_sent(encoding: Encoding) -> None:
    store = MemoryStore()
    async with ledger(store) as router:
        async with LinkedSocket(router, encoding) as ann, LinkedSocket(router, encoding) as bob:
            connected = await join(ann, events=("said",))
            await join(bob, "bob", events=())
            await call(router, "ledger", "a", "add")  # 1: for nobody
            ann.send(Subscribe(1, "added"), Call(2, "add", []), Unsubscribe(3, "added"))  # 2
            ann.send(Call(4, "add", []), Call(5, "tell", ["ann", "psst"]))  # 3 for nobody, 4
            ann.send(Call(6, "tell", ["bob", "hey"]), Call(7, "tell_others", ["hush"]))  # 5, 6 not for ann
            bob.send(Call(1, "tell_others", ["louder"]))  # 7
            assert (await bob.receive(Event)).args == ["hey"]
            await bob.receive(Reply)
        crashed = copy.deepcopy(store)
    async with ledger(crashed) as router, LinkedSocket(router, encoding) as ann:
        again = await join(ann, events=("said",), resume=resume_from(connected, 0))
        assert (again.replayed, again.gap) == (3, None)
        events = [await ann.receive(Event) for _ in range(3)]
        assert [(event.offset, event.args) for event in events] == [(2, [2]), (4, ["psst"]), (7, ["louder"])]


async def test_a_session_that_was_ended_stays_ended() -> None:
    store = MemoryStore()
    async with ledger(store) as router:
        async with LinkedSocket(router) as client:
            connected = await join(client)
            client.send(Call(1, "say_goodbye", []))
            assert await values(client, 1) == ["goodbye"]
            await client.receive(Reply)
            assert (await client.closed()).code == CloseCode.DISCONNECTED
        await call(router, "ledger", "a", "add")
        crashed = copy.deepcopy(store)
    async with ledger(crashed) as router, LinkedSocket(router) as client:
        again = await join(client, resume=resume_from(connected))
        assert (again.gap, again.session == connected.session) == (Gap("session_expired"), False)
        assert await call(router, "ledger", "a", "sums") == [1, 1]


async def test_a_kept_session_ends_when_its_client_does_not_come_within_the_window() -> None:
    store = MemoryStore()
    async with ledger(store) as router, LinkedSocket(router) as client:
        await join(client)
        crashed = copy.deepcopy(store)
    async with ledger(crashed, session_window_s=0.5) as router:
        assert await call(router, "ledger", "a", "names") == ["ann"]
        await eventually(lambda: router.connections == 0)
        assert await call(router, "ledger", "a", "sums") == [0, 1]
        crashed = copy.deepcopy(crashed)
    async with ledger(crashed) as router:
        assert await call(router, "ledger", "a", "names") == []


async def test_a_refused_connection_leaves_nothing_behind() -> None:
    store = MemoryStore()
    async with ledger(store) as router, LinkedSocket(router) as client:
        client.send(Connect("ledger", ("a",), params={"name": 5}))
        await client.next()
        await call(router, "ledger", "a", "add")
        (stream,) = store._streams.values()
        assert stream.sessions == {}


async def test_a_destroyed_actor_leaves_nothing_behind() -> None:
    store = MemoryStore()
    async with ledger(store) as router, LinkedSocket(router) as client:
        await join(client)
        client.send(Call(1, "add", []), Call(2, "end", []))
        assert await heard(client, 3) == [1, Reply(1, 1), Reply(2, None)]
        assert (await client.closed()).code == CloseCode.ACTOR_DESTROYED
        await eventually(lambda: not store._by_id)
        assert store._streams == {}
        assert await call(router, "ledger", "a", "sums") == [0, 0]


# --- what is kept -------------------------------------------------------------------------------------------


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


# --- positions ----------------------------------------------------------------------------------------------


async def test_a_snapshot_is_given_once_what_it_shows_is_certain() -> None:
    store = GatedStore()
    async with (
        ledger(store) as router,
        LinkedSocket(router) as other,
        LinkedSocket(router) as client,
    ):
        await join(other, "other", events=())
        await call(router, "ledger", "a", "add")
        store.gate.clear()
        adding = asyncio.create_task(call(router, "ledger", "a", "add"))
        (actor,) = router._directory
        await eventually(lambda: actor.position == 2)
        client.send(Connect("ledger", ("a",), params={"name": "snap"}, subscriptions=("added",)))
        await eventually(lambda: len(actor.conns) == 2)
        store.gate.set()
        answer = await client.receive(Connected)
        assert (answer.snapshot, answer.offset) == (2, 2)
        assert await adding == 2
        client.send(Call(1, "add", []))
        assert await values(client, 1) == [3]


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


def test_durable_is_true_or_false() -> None:
    class Odd(Actor):
        durable = "yes"  # type: ignore[assignment]

    with pytest.raises(DefinitionError, match="durable is True or False"):
        running_definition(Odd)


def running_definition(actor: type[Actor]) -> None:
    from ringcast import Registry  # noqa: PLC0415

    Registry(actor, store=MemoryStore())


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
