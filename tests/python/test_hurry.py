"""A process that may end without a stop: state is saved at once, and soon after each later change."""

from __future__ import annotations

import json

import pytest
from counters import Counter, DurableCounter
from unwilling_store import UnwillingStore

from ringcast import MemoryStore, Registry, ServerConfig
from ringcast.testing import ManualClock, eventually


async def stored(store: MemoryStore, actor: str, key: str) -> int:
    found = await store.find(actor, (key,))
    assert found is not None
    total: int = json.loads(found.state)["total"]
    return total


@pytest.mark.parametrize("cls", [Counter, DurableCounter], ids=["ordinary", "durable"])
async def test_what_changed_is_saved_at_once_and_what_changes_later_soon(cls: type[Counter]) -> None:
    store, clock, name = MemoryStore(), ManualClock(), cls.__name__
    config = ServerConfig(save_interval_s=3600, sleep_after_s=None)
    async with Registry(cls, store=store, clock=clock, config=config) as registry:

        async def holds(key: str, total: int) -> bool:
            return await stored(store, name, key) == total

        old = registry.client.get_or_create(cls, ["old"])
        assert await old.add() == 1
        registry.router.hurry()
        await eventually(lambda: holds("old", 1))  # without any time
        new = registry.client.get_or_create(cls, ["new"])
        assert (await old.add(), await new.add()) == (2, 1)
        await clock.advance(0.1)
        await eventually(lambda: holds("old", 2))
        await eventually(lambda: holds("new", 1))
        # It goes on, and may be told again.
        registry.router.hurry()
        assert await old.add() == 3
    assert await stored(store, name, "old") == 3


async def test_a_store_that_fails_is_tried_as_seldom_as_ever() -> None:
    store, clock = UnwillingStore(), ManualClock()
    config = ServerConfig(save_interval_s=60, sleep_after_s=None)
    async with Registry(Counter, store=store, clock=clock, config=config) as registry:
        counter = registry.client.get_or_create(Counter)
        await counter.add()
        store.full = True
        registry.router.hurry()
        await eventually(lambda: store.refused == 1)
        for _ in range(20):
            await clock.advance(1)
        assert store.refused == 1
        await clock.advance(60)
        await eventually(lambda: store.refused == 2)
        store.full = False
