"""A process that may end without a stop: state is saved at once, and soon after each later change."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.testing import ManualClock, eventually


@dataclass
class Count:
    total: int = 0


class Counter(Actor[Count]):
    def create_state(self, c: Context[Count]) -> Count:
        return Count()

    @action
    def add(self, c: Context[Count]) -> int:
        c.state.total += 1
        return c.state.total


class DurableCounter(Counter):
    durable = True


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
