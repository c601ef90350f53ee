"""`registry.client` where it must not be used: while nobody runs the registry, and on another event loop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from ringcast import Actor, Context, MemoryStore, Registry, SqliteStore, action
from ringcast.server.application import Beside, mounted
from ringcast.server.serve import serving


class Counter(Actor[dict[str, int]]):
    """Counts, and notes the threads that it did so in."""

    threads: set[int]

    def create_state(self, c: Context[dict[str, int]], input: Any = None) -> dict[str, int]:
        return {"count": 0}

    @action
    def count(self, c: Context[dict[str, int]]) -> int:
        type(self).threads.add(threading.get_ident())
        c.state["count"] += 1
        return c.state["count"]


@pytest.fixture
def registry() -> Registry:
    Counter.threads = set()
    return Registry(Counter, store=MemoryStore())


async def use(handle: Any, how: str) -> None:
    match how:
        case "call":
            await handle.count()
        case "resolve":
            await handle.resolve()
        case "connect":
            handle.connect()


HOW = pytest.mark.parametrize("how", ["call", "resolve", "connect"])


@HOW
async def test_a_registry_that_nobody_runs_is_not_started_by_its_client(registry: Registry, how: str) -> None:
    handle = registry.client.get_or_create(Counter, "a")
    with pytest.raises(RuntimeError, match=r"not running.*lifespan=registry\.lifespan"):
        await use(handle, how)
    assert registry.running is None
    # Made before the start, it is as good as any.
    async with registry:
        assert await handle.count() == 1
    with pytest.raises(RuntimeError, match="not running"):
        await use(registry.client.get_or_create(Counter, "a"), how)


@HOW
async def test_use_on_another_event_loop_says_what_to_use(registry: Registry, how: str) -> None:
    async with registry:
        handle = registry.client.get_or_create(Counter, "a")
        assert await handle.count() == 1

        def in_a_thread() -> None:
            with pytest.raises(RuntimeError, match=r"run_coroutine_threadsafe.*broadcast_threadsafe"):
                asyncio.run(use(handle, how))

        await asyncio.to_thread(in_a_thread)
        assert await handle.count() == 2
    assert Counter.threads == {threading.get_ident()}


async def test_an_application_may_use_it_early_and_late_under_the_server_which_saves_it(
    tmp_path: Path,
) -> None:
    Counter.threads = set()
    store = str(tmp_path / "actors.db")
    counts: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        for moment in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{moment}"
            counts.append(await registry.client.get_or_create(Counter, "a").count())
            await send({"type": f"lifespan.{moment}.complete"})

    for _ in range(2):
        registry = Registry(Counter, store=SqliteStore(store))
        async with serving(registry, beside=Beside(application=mounted(registry, app))):
            pass
        assert registry.running is None
        with pytest.raises(RuntimeError, match="not running"):
            await registry.client.get_or_create(Counter, "a").count()
    assert counts == [1, 2, 3, 4]
