"""A connection that creates its actor: it comes back where the server has done nothing, for now."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from ringcast.errors import ConnectionRefused, TryAgainLater
from ringcast.testing import eventually

from .refusing import IMPATIENT, desk

FOR_NOW = [
    ("503 X", "connection_closed"),
    ("429 X", "rate_limited"),
    ("503 X", "server_full"),
    ("429 X", "too_many_calls"),
    ("429 X", "too_many_connections"),
    ("503 X", "try_again_later"),
]
FINAL = [
    ("504 X", "action_timeout"),
    ("409 X", "actor_already_exists"),
    ("500 X", "store_unavailable"),
    ("507 X", "too_many_actors"),
    ("400 X", "an_authors_own"),
]


def error(code: str, **metadata: Any) -> bytes:
    said = {"code": code, "message": "not now"}
    return orjson.dumps({"error": {**said, "metadata": metadata} if metadata else said})


def newcomer(handle: Any) -> Any:
    """Return a handle of the same server that creates."""
    return handle._client.desk.create("new")


@pytest.mark.parametrize(("status", "code"), FOR_NOW)
async def test_it_comes_back(status: str, code: str) -> None:
    async with desk() as (handle, proxy):
        proxy.refuse = lambda line, _body: status if "/resolve" in line else None
        proxy.page, proxy.headers = error(code), ("Ringcast-Error: true",)
        connection = newcomer(handle).connect()
        connection.on("error", pytest.fail)
        await eventually(lambda: len(proxy.refused) > 1)
        assert (connection.status, connection.last_error.code) == ("connecting", code)
        proxy.refuse = lambda _line, _body: None
        await connection.ready()
        assert await connection.note("a") == 1
        await connection.close()


async def test_when_the_server_says() -> None:
    waited = asyncio.Queue[float]()

    async def sleep(delay_s: float) -> None:
        waited.put_nowait(delay_s)
        await asyncio.sleep(0)

    config = replace(IMPATIENT, sleep=sleep)
    async with desk(config) as (handle, proxy):
        proxy.refuse = lambda line, _body: "503 X" if "/resolve" in line else None
        proxy.page = error("try_again_later", retry_after_ms=7000)
        proxy.headers = ("Ringcast-Error: true",)
        connection = newcomer(handle).connect()
        assert await waited.get() >= 7.0
        assert isinstance(connection.last_error, TryAgainLater)
        await connection.close()


@pytest.mark.parametrize(("status", "code"), FINAL)
async def test_it_ends_where_something_may_have_been_done_or_nothing_ever_will(
    status: str, code: str
) -> None:
    async with desk() as (handle, proxy):
        proxy.refuse = lambda line, _body: status if "/resolve" in line else None
        proxy.page, proxy.headers = error(code), ("Ringcast-Error: true",)
        connection = newcomer(handle).connect()
        with pytest.raises(ConnectionRefused, match="not now") as ended:
            await connection.ready()
        assert (ended.value.code, len(proxy.refused)) == (code, 1)
