"""Durable actors: events, state, sessions and replies are committed together, before anybody is told."""

from __future__ import annotations

import asyncio
import copy
import logging

import pytest
from durable_ledger import ENCODINGS, GatedStore, heard, join, ledger, values
from linked import TIMEOUT_S, LinkedSocket, call, eventually

from ringcast import Actor, MemoryStore
from ringcast.errors import CloseCode, DefinitionError, OutcomeUnknown
from ringcast.testing import ManualClock
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connect, Connected, Error, Reply


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


# --- what is told, and when ---------------------------------------------------------------------------------


@ENCODINGS
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


def test_durable_is_true_or_false() -> None:
    class Odd(Actor):
        durable = "yes"  # type: ignore[assignment]

    with pytest.raises(DefinitionError, match="durable is True or False"):
        running_definition(Odd)


def running_definition(actor: type[Actor]) -> None:
    from ringcast import Registry  # noqa: PLC0415

    Registry(actor, store=MemoryStore())
