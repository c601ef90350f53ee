"""How many calls over HTTP run at a time, in all and for one address, be they waited for or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from linked import eventually

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.server.serve import serving

PATH = "/actors/slow/actions/wait"


class Slow(Actor[None, None]):
    running: ClassVar[int] = 0
    go_on: ClassVar[asyncio.Event]

    @action
    async def wait(self, c: Context[None, None]) -> str:
        Slow.running += 1
        try:
            await Slow.go_on.wait()
        finally:
            Slow.running -= 1
        return "done"


@asynccontextmanager
async def served(**limits: Any) -> AsyncIterator[tuple[Registry, httpx.AsyncClient]]:
    Slow.running, Slow.go_on = 0, asyncio.Event()
    config = ServerConfig(**limits)
    async with (
        Registry(Slow, store=MemoryStore(), config=config) as registry,
        serving(registry) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        try:
            yield registry, client
        finally:
            Slow.go_on.set()


async def begin(
    client: httpx.AsyncClient, address: str = "", count: int = 1
) -> list[asyncio.Task[httpx.Response]]:
    """Send calls, and return once their actions run."""
    headers, wanted = {"X-Forwarded-For": address} if address else {}, Slow.running + count
    calls = [asyncio.create_task(client.post(PATH, json={}, headers=headers)) for _ in range(count)]
    await eventually(lambda: Slow.running == wanted)
    return calls


def refused(response: httpx.Response, status: int, code: str) -> None:
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert response.headers["Retry-After"] == "1"
    assert error["metadata"] == {"retry_after_ms": 1000}


async def test_in_all() -> None:
    async with served(max_calls=2) as (registry, client):
        calls = await begin(client, count=2)
        refused(await client.post(PATH, json={}), 503, "try_again_later")
        refused(await client.post("/actors/slow/resolve", json={}), 503, "try_again_later")
        assert registry.router.limits_hit["max_calls"] == 2
        assert Slow.running == 2
        Slow.go_on.set()
        assert [(await call).json() for call in calls] == [{"value": "done"}] * 2
        assert (await client.post(PATH, json={})).json() == {"value": "done"}


async def test_of_one_address_behind_a_trusted_proxy() -> None:
    limits = {"max_calls_per_address": 1, "trusted_proxies": ("127.0.0.1",)}
    async with served(**limits) as (registry, client):
        await begin(client, "203.0.113.9")
        response = await client.post(PATH, json={}, headers={"X-Forwarded-For": "203.0.113.9"})
        refused(response, 429, "too_many_calls")
        await begin(client, "203.0.113.10")
        assert registry.router.limits_hit["max_calls_per_address"] == 1


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}], ids=["without a key", "with a key"])
async def test_a_caller_that_has_gone_counts_until_its_action_has_ended(key: dict[str, str]) -> None:
    async with served(max_calls=1) as (registry, client):
        async with httpx.AsyncClient(base_url=client.base_url, headers=key) as hasty:
            (call,) = await begin(hasty)
            call.cancel()
        refused(await client.post(PATH, json={}), 503, "try_again_later")
        assert Slow.running == 1
        Slow.go_on.set()
        await eventually(lambda: Slow.running == 0)
        assert (await client.post(PATH, json={})).json() == {"value": "done"}
        assert registry.router.limits_hit["max_calls"] == 1


async def test_zero_is_no_limit() -> None:
    async with served(max_calls=0, max_calls_per_address=0, uncounted_networks=()) as (_, client):
        await begin(client, count=20)
