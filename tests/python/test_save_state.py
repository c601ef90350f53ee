"""`c.save_state()` where nothing can be saved: it says so at once, and nothing is lost or held up by that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from counters import Counter, DurableCounter
from linked import TIMEOUT_S, LinkedSocket, eventually, running
from unwilling_store import UnwillingStore

from ringcast import MemoryStore
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Call, Event, Reply


def state_of_the_one_in(store: MemoryStore) -> bytes:
    (stored,) = store._by_id.values()
    return stored.state


@pytest.mark.parametrize("cls", [Counter, DurableCounter])
async def test_a_state_that_cannot_be_kept_is_named_at_once_and_kept_when_it_is_mended(
    cls: type[Any],
) -> None:
    store = UnwillingStore()
    # The clock stands still: nothing is tried a second time by itself.
    async with running(cls, store=store, clock=ManualClock()) as router, LinkedSocket(router) as client:
        await client.connect(cls.__name__, "a", events=("counted",))
        reply: Any = (await call_of(client, "spoil_and_mend", 3))[-1]
        assert "total" in reply.value
        assert state_of_the_one_in(store) == b'{"total":7}'


@pytest.mark.parametrize("cls", [Counter, DurableCounter])
async def test_a_store_that_takes_nothing_is_told_to_whoever_saves(cls: type[Any]) -> None:
    store, clock = UnwillingStore(), ManualClock()
    async with running(cls, store=store, clock=clock) as router, LinkedSocket(router) as client:
        await client.connect(cls.__name__, "a", events=("counted",))
        store.full = True
        (instance,) = router._directory
        client.send(Call(1, "add_saved", []))
        # The turn is over, although nobody can be told of it yet.
        await eventually(lambda: not instance.tasks.foreground)
        store.full = False
        await clock.advance(1.0)
        assert (await client.receive(Event)).args == [1]
        assert await client.receive(Reply) == Reply(1, "the disk is full")
        client.send(Call(2, "add_saved", []))
        assert (await client.receive(Event)).args == [2]
        assert await client.receive(Reply) == Reply(2, "saved")
        assert state_of_the_one_in(store) == b'{"total":2}'


async def test_whoever_saves_while_another_commit_is_tried_again_is_told_by_the_next_try() -> None:
    store, clock = UnwillingStore(), ManualClock()
    async with running(DurableCounter, store=store, clock=clock) as router, LinkedSocket(router) as client:
        await client.connect("durableCounter", "a", events=("counted",))
        store.full = True
        (instance,) = router._directory
        client.send(Call(1, "add", []))
        await eventually(lambda: instance.room.failing)
        client.send(Call(2, "add_saved", []))
        await eventually(lambda: instance.tasks.foreground)
        await clock.advance(1.0)
        await eventually(lambda: not instance.tasks.foreground)
        store.full = False
        await clock.advance(1.0)
        assert await client.receive(Reply) == Reply(1, 1)
        assert (await client.receive(Event)).args == [2]
        assert await client.receive(Reply) == Reply(2, "the disk is full")


async def test_a_background_task_is_told_too_and_what_it_has_changed_is_tried_again() -> None:
    store, clock = UnwillingStore(), ManualClock()
    async with running(DurableCounter, store=store, clock=clock) as router, LinkedSocket(router) as client:
        await client.connect("durableCounter", "a")
        (instance,) = router._directory
        actor: DurableCounter = instance.actor
        actor.state.total = object()  # type: ignore[assignment]
        with pytest.raises(ValueError, match="total"):
            async with asyncio.timeout(TIMEOUT_S):
                await actor.save_state()
        actor.state.total = 5
        await clock.advance(1.0)
        await eventually(lambda: state_of_the_one_in(store) == b'{"total":5}')


async def call_of(client: LinkedSocket, action: str, count: int) -> list[Any]:
    client.send(Call(1, action, []))
    return [await client.next() for _ in range(count)]
