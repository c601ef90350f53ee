"""`/ready` and `/health`: whether clients should be sent here, and whether the server is there at all."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
from counters import Counter
from linked import eventually
from unwilling_store import UnwillingStore

from ringcast import Client, MemoryStore, Registry, ServerConfig
from ringcast.server.serve import serving
from ringcast.testing import ManualClock


async def ask(http: httpx.AsyncClient, path: str) -> tuple[int, dict[str, Any]]:
    answer = await http.get(path)
    return answer.status_code, answer.json()


async def test_a_server_that_runs_is_ready() -> None:
    registry = Registry(Counter, store=MemoryStore())
    async with serving(registry) as url, httpx.AsyncClient(base_url=url) as http:
        assert await ask(http, "/ready") == (200, {"status": "ready"})
        assert (await ask(http, "/health"))[0] == 200


async def test_a_server_that_is_to_stop_is_not_ready_and_serves_until_the_delay_is_over() -> None:
    clock = ManualClock()
    config = ServerConfig(drain_delay_s=10)
    registry = Registry(Counter, store=MemoryStore(), config=config, clock=clock)
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(registry))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url))
        stopping = asyncio.create_task(stack.pop_all().aclose())
        # Not the client's end, which would be first: the context that serves is still open.
        del http
        async with httpx.AsyncClient(base_url=url) as other, Client(url) as client:
            await eventually(lambda: registry.router.draining)
            assert await ask(other, "/ready") == (503, {"status": "unready", "reason": "draining"})
            assert (await ask(other, "/health"))[0] == 200
            connection = client.counter.get_or_create(["a"]).connect()
            closed: list[Any] = []
            connection.on("disconnected", lambda *told: closed.append(told))
            assert await connection.add() == 1
            await clock.advance(9)
            assert await connection.add() == 2
            assert closed == []
            await clock.advance(1)
            await stopping
            await eventually(lambda: closed)


async def test_a_server_whose_store_takes_nothing_is_not_ready_until_it_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = UnwillingStore()
    registry = Registry(Counter, store=store, config=ServerConfig(save_interval_s=0.01, metrics=True))
    async with (
        serving(registry) as url,
        httpx.AsyncClient(base_url=url) as http,
        Client(url) as client,
    ):
        counter = client.counter.get_or_create(["a"])
        await counter.add()
        store.full = True
        await counter.add()
        await eventually(lambda: registry.router.store.is_failing)
        assert await ask(http, "/ready") == (503, {"status": "unready", "reason": "store"})
        assert (await ask(http, "/health"))[0] == 200
        assert "ringcast_ready 0.0" in (await http.get("/metrics")).text
        store.full = False
        await eventually(lambda: not registry.router.store.is_failing)
        assert await ask(http, "/ready") == (200, {"status": "ready"})
        assert registry.router.store.failures > 0
    assert "saving the state failed" in caplog.text


async def test_a_store_of_which_nothing_is_known_any_more_is_not_held_against_the_server() -> None:
    clock, store = ManualClock(), UnwillingStore()
    registry = Registry(Counter, store=store, clock=clock)
    async with registry:
        watched = registry.router.store
        store.full = True
        with pytest.raises(OSError, match="the disk is full"):
            await watched.commit("nobody", [])
        assert watched.is_failing
        await clock.advance(59)
        assert watched.is_failing
        await clock.advance(1)
        assert not watched.is_failing


async def test_what_a_store_refuses_by_its_rules_is_not_a_failure() -> None:
    registry = Registry(Counter, store=MemoryStore())
    async with registry:
        watched = registry.router.store
        with pytest.raises(Exception, match=r"\w"):
            await watched.commit("nobody", [])
        assert (watched.is_failing, watched.failures) == (False, 0)
