"""Durable actors over crashes and restarts: clients go on without a gap, and what was ended stays ended."""

from __future__ import annotations

import copy

from durable_ledger import ENCODINGS, GatedStore, heard, join, ledger, values
from linked import LinkedSocket, call, eventually, resume_from

from ringcast import MemoryStore
from ringcast.errors import CloseCode
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connect, Event, Gap, Reply, Subscribe, Unsubscribe


@ENCODINGS
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


@ENCODINGS
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


@ENCODINGS
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
