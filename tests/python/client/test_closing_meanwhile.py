"""A client that is closed while a call without a connection is under way: nobody knows whether it ran."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from ringcast import Client
from ringcast.errors import ConnectionClosed, OutcomeUnknown

from .refusing import IMPATIENT, Proxy, desk, refused


async def under_way(handle: Any) -> asyncio.Future[Any]:
    """Make a call, and wait until it runs."""
    calling = asyncio.ensure_future(handle.note_and_wait("a"))
    while await handle.noted() == 0:
        pass
    return calling


async def is_unknown(calling: asyncio.Future[Any], handle: Any, proxy: Proxy) -> None:
    error = await refused(calling)
    assert isinstance(error, OutcomeUnknown) and "once or not at all" in error.message
    proxy.refuse = lambda _line, _body: "503 X"
    assert type(await refused(handle.note("b"))) is ConnectionClosed
    assert proxy.refused == []  # it was never sent
    proxy.refuse = lambda _line, _body: None
    async with Client(handle._endpoint._base_url) as another:
        await another.desk.get("k").sign()


@pytest.mark.parametrize("attempts", [1, 3])
async def test_it_runs(attempts: int) -> None:
    async with desk(replace(IMPATIENT, max_call_attempts=attempts)) as (handle, proxy):
        calling = await under_way(handle)
        await handle._client.close()
        await is_unknown(calling, handle, proxy)


async def test_it_waits_for_its_repeat() -> None:
    waits = asyncio.Event()

    async def sleep(_delay_s: float) -> None:
        waits.set()
        await asyncio.Event().wait()  # for longer than anybody does

    async with desk(replace(IMPATIENT, sleep=sleep)) as (handle, proxy):
        calling = await under_way(handle)
        proxy.cut()
        await waits.wait()
        await handle._client.close()
        await is_unknown(calling, handle, proxy)
