"""What a probe is told where there is no place for its socket: the server runs, and takes nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from raw_socket import TIMEOUT_S, opened
from served_here import ServedHere
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.exceptions import InvalidStatus

from ringcast import Actor, MemoryStore, Registry, ServerConfig
from ringcast.server.application import Beside, mounted
from ringcast.server.first_read import MAX_HEAD_BYTES
from ringcast.server.serve import serving

FULL_OF: list[dict[str, Any]] = [
    {"max_connections": 1},
    {"max_connections_per_address": 1, "uncounted_networks": ()},
]


class Desk(Actor):
    """Whom the one client is connected to that there is a place for."""


@asynccontextmanager
async def full(beside: Beside | None = None, mount: str = "", **limits: Any) -> AsyncIterator[ServedHere]:
    """Serve with the one place taken."""
    registry = Registry(Desk, store=MemoryStore(), config=ServerConfig(**(limits or FULL_OF[0])))
    async with (
        serving(registry, beside=beside or Beside()) as url,
        opened(url + mount) as raw,
    ):
        assert (await raw.connect("desk"))[0] == "connected"
        yield ServedHere(url, registry)


async def said(url: str, *parts: bytes) -> bytes:
    """Send these parts, each once the one before is on its way, and return all that the server says."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    async with asyncio.timeout(TIMEOUT_S):
        for part in parts:
            writer.write(part)
            await writer.drain()
        answer = await reader.read()  # to its end: the socket has no place to stay in
    writer.close()
    return answer


@pytest.mark.parametrize("limits", FULL_OF, ids=str)
async def test_the_server_is_well_and_not_ready(limits: dict[str, Any]) -> None:
    async with full(**limits) as server, httpx.AsyncClient(base_url=server.url) as client:
        well = await client.get("/health?from=kubelet")
        assert (well.status_code, well.headers["connection"]) == (HTTPStatus.OK, "close")
        assert (well.json()["status"], well.json()["connections"]) == ("ok", 1)
        head = await client.head("/health")
        assert (head.status_code, head.content) == (HTTPStatus.OK, b"")
        assert head.headers["content-length"] == well.headers["content-length"]
        [limit, *_] = limits
        status, code = {
            "max_connections": (503, "server_full"),
            "max_connections_per_address": (429, "too_many_connections"),
        }[limit]
        for method, path in (
            ("GET", "/ready"),
            ("POST", "/health"),
            ("GET", "/healthy"),
            ("GET", "/x/health"),
        ):
            answer = await client.request(method, path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), path


async def test_a_probe_that_comes_in_pieces() -> None:
    async with full() as server:
        request = b"GET /health HTTP/1.0\r\n\r\n"
        for at in (1, 11, 22, 23):
            answer = await said(server.url, request[:at], request[at:])
            assert answer.startswith(b"HTTP/1.1 200 "), at


async def test_it_answers_one_probe_and_nothing_else() -> None:
    health = b"GET /health HTTP/1.1\r\nhost: a\r\n"
    async with full() as server:
        answer = await said(server.url, health + b"\r\n" + b"GET /ready HTTP/1.1\r\nhost: a\r\n\r\n")
        assert answer.count(b"HTTP/1.1 ") == 1 and answer.startswith(b"HTTP/1.1 200 ")
        upgrade = b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
        assert (await said(server.url, health + upgrade)).startswith(b"HTTP/1.1 503 ")
        # A request line that goes on and on says so by itself.
        assert (await said(server.url, b"GET /health?" + b"a" * MAX_HEAD_BYTES)).startswith(b"HTTP/1.1 503 ")
        with pytest.raises(InvalidStatus):
            async with opened(server.url):
                pass


async def test_below_a_mount() -> None:
    async def own(request: Request) -> PlainTextResponse:
        return PlainTextResponse("the application's")

    registry = Registry(Desk, store=MemoryStore())
    application = mounted(registry, Starlette(routes=[Route("/health", own)]))
    async with (
        full(Beside(application=application), "/realtime") as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        assert (await client.get("/realtime/health")).json()["status"] == "ok"
        # Who knows what that one does.
        assert (await client.get("/health")).status_code == HTTPStatus.SERVICE_UNAVAILABLE
        assert (await client.get("/realtime/ready")).status_code == HTTPStatus.SERVICE_UNAVAILABLE


async def test_nothing_of_it_stays() -> None:
    async with full() as server:
        for _ in range(3):
            assert (await said(server.url, b"HEAD /health HTTP/1.1\r\nhost: a\r\n\r\n")).endswith(b"\r\n\r\n")
        assert server.hit == {"max_connections": 3}
    async with full(max_connections=1, connect_timeout_s=0.1) as server:
        assert await said(server.url, b"GET /health HTTP/1.1\r\nhost: a\r\n") == b""
        assert await said(server.url, b"GET /heal") == b""
        assert server.hit == {"max_connections": 2, "connect_timeout_s": 2}
