"""The port of its own that metrics may have: what it answers, and whom it does not wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from raw_socket import TIMEOUT_S, opened
from served_here import ServedHere

from ringcast import Actor, MemoryStore, Registry, ServerConfig
from ringcast.server.serve import serving
from ringcast.testing import eventually

GET = b"GET /metrics HTTP/1.1\r\nhost: a\r\n"


class Desk(Actor):
    """Whom clients are connected to."""


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ringcast.server")


@asynccontextmanager
async def measured(caplog: pytest.LogCaptureFixture, **limits: Any) -> AsyncIterator[tuple[ServedHere, str]]:
    """Serve; gives the server, and where its other port is."""
    registry = Registry(
        Desk, store=MemoryStore(), config=ServerConfig(metrics=True, metrics_port=0, **limits)
    )
    async with serving(registry) as url:
        [said] = [text for text in caplog.messages if text.startswith("metrics at ")]
        yield ServedHere(url, registry), said.removeprefix("metrics at ").removesuffix("/metrics")


async def said_to(url: str, request: bytes) -> bytes:
    """Return all that is answered, until the server hangs up."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    async with asyncio.timeout(TIMEOUT_S):
        writer.write(request)
        answer = await reader.read()
    writer.close()
    return answer


async def test_it_says_how_the_server_is_also_while_that_is_full(caplog: pytest.LogCaptureFixture) -> None:
    async with measured(caplog, max_connections=2) as (server, at), httpx.AsyncClient(base_url=at) as client:
        assert "ringcast_places_taken 0.0" in (await client.get("/metrics")).text
        async with opened(server.url) as one, opened(server.url) as other:
            for raw in (one, other):
                assert (await raw.connect("desk"))[0] == "connected"
            assert "ringcast_places_taken 2.0" in (await client.get("/metrics")).text
            well = await client.get("/health")
            assert (well.status_code, well.json()["connections"]) == (200, 2)
            assert (await client.get("/ready")).json() == {"status": "ready"}
            server.registry.router.draining = True
            assert (await client.get("/ready")).json() == {"status": "unready", "reason": "draining"}

        async def none_is_taken() -> bool:
            return "ringcast_places_taken 0.0" in (await client.get("/metrics")).text

        await eventually(none_is_taken)
        assert (await client.get("/actors/desk")).status_code == 404


async def test_the_servers_own_port_counts_who_reads_there() -> None:
    registry = Registry(Desk, store=MemoryStore(), config=ServerConfig(metrics=True))
    async with serving(registry) as url, httpx.AsyncClient(base_url=url) as client:
        assert "ringcast_places_taken 1.0" in (await client.get("/metrics")).text


@pytest.mark.parametrize("request_", [b"", b"GET /met", GET, GET + b"\r\n"])
async def test_it_waits_for_nobody_for_ever(caplog: pytest.LogCaptureFixture, request_: bytes) -> None:
    async with measured(caplog, connect_timeout_s=0.1, idle_timeout_s=0.1) as (server, at):
        answer = await said_to(at, request_)
        assert answer.startswith(b"HTTP/1.1 200 ") if request_.endswith(b"\r\n\r\n") else answer == b""
        assert server.hit == {}


async def test_it_takes_so_many_sockets(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringcast.server.guard.MOST_FOR_METRICS", 1)
    async with (
        measured(caplog, idle_timeout_s=TIMEOUT_S) as (server, at),
        httpx.AsyncClient(base_url=at) as client,
    ):
        assert (await client.get("/metrics")).status_code == 200  # and stays
        assert (await said_to(at, GET + b"\r\n")).startswith(b"HTTP/1.1 503 ")
        assert (await said_to(at, GET.replace(b"/metrics", b"/health") + b"\r\n")).startswith(
            b"HTTP/1.1 200 "
        )
        assert "connections to the port for metrics are turned away: it takes 1" in caplog.messages
        async with httpx.AsyncClient(base_url=server.url) as other:
            assert (await other.get("/ready")).status_code == 200


async def test_there_is_nothing_to_upgrade_to(caplog: pytest.LogCaptureFixture) -> None:
    upgrade = (
        b"GET /connect HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    )
    async with measured(caplog, idle_timeout_s=0.1) as (_, at):
        assert (await said_to(at, upgrade)).startswith(b"HTTP/1.1 404 ")
