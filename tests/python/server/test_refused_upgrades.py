"""What a client is told whose upgrade is refused: a status, and an error with its code, on every way in."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import uvicorn
from raw_socket import TIMEOUT_S, UPGRADE, opened
from starlette.applications import Starlette
from starlette.routing import Mount

from ringcast import Actor, MemoryStore, Registry, ServerConfig
from ringcast.server.first_read import MAX_HEAD_BYTES
from ringcast.server.serve import serving

FORWARDED: Final = {"x-forwarded-for": "203.0.113.7"}
WAYS: Final = ["by the short way", "by the parser", "behind a proxy", "under uvicorn"]


class Room(Actor):
    """Whom nobody reaches who is refused."""


@asynccontextmanager
async def served(way: str, **limits: Any) -> AsyncIterator[str]:
    if way == "behind a proxy":
        limits["trusted_proxies"] = ("127.0.0.1",)
    registry = Registry(Room, store=MemoryStore(), config=ServerConfig(uncounted_networks=(), **limits))
    if way != "under uvicorn":
        async with serving(registry) as url:
            yield url
        return
    app = Starlette(routes=[Mount("/", registry.asgi())], lifespan=registry.lifespan)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(TIMEOUT_S):
        while not server.started:  # noqa: ASYNC110 - nobody else says so
            await asyncio.sleep(0)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


async def refused(
    url: str, way: str, target: str = "/connect", method: str = "GET", **changes: str
) -> tuple[int, Any]:
    """Ask for an upgrade, and return the status and the error."""
    lines = {**UPGRADE, **(FORWARDED if way == "behind a proxy" else {})}
    lines |= {name.replace("_", "-"): value for name, value in changes.items()}
    target = f"http://here{target}" if way == "by the parser" else target
    request = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v)
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    async with asyncio.timeout(TIMEOUT_S):
        writer.write(request.encode() + b"\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
        assert fields["content-type"] == "application/json", head
        body = (
            await reader.readexactly(int(fields["content-length"]))
            if "content-length" in fields
            else await _chunks(reader)
        )
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    [(name, error)] = json.loads(body).items()
    assert name == "error" and error["message"]
    return int(head.split()[1]), error["code"]


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    return body


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("limit", "status", "code"),
    [("max_connections", 503, "server_full"), ("max_connections_per_address", 429, "too_many_connections")],
)
async def test_who_gets_no_place(way: str, limit: str, status: int, code: str) -> None:
    headers = FORWARDED if way == "behind a proxy" else None
    async with served(way, **{limit: 1}) as url, AsyncExitStack() as stack:
        raw = await stack.enter_async_context(opened(url, headers))
        assert (await raw.connect("room"))[0] == "connected"
        assert await refused(url, way) == (status, code)


@pytest.mark.parametrize("way", WAYS)
async def test_a_page_that_may_not_use_the_server(way: str) -> None:
    async with served(way) as url:
        assert await refused(url, way, origin="https://evil.example") == (403, "origin_not_allowed")


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_wrong_with_a_request(way: str) -> None:
    async with served(way) as url:
        wrong = [(("/connect", {"sec_websocket_protocol": "soap"}), (400, "invalid_message"))]
        if way != "under uvicorn":  # which looks at the rest itself
            wrong += [
                (("/other", {}), (404, "not_found")),
                (("/connect", {"sec_websocket_version": "12"}), (426, "upgrade_required")),
                (("/connect", {"sec_websocket_key": "short"}), (400, "invalid_message")),
                (("/connect", {"sec_websocket_key": "!" * 24}), (400, "invalid_message")),
                (("/connect", {"sec_websocket_key": ""}), (400, "invalid_message")),
                (("/connect", {"sec_websocket_extensions": "a;;"}), (400, "invalid_message")),
                (("/connect", {"host": ""}), (400, "invalid_message")),
                (("/connect", {"cookie": "c" * 20_000}), (431, "head_too_large")),
                (("/connect", {"content_length": "5"}), (400, "invalid_message")),
                (("/connect", {"content_length": "5", "cookie": "c" * 3000}), (400, "invalid_message")),
                (("/connect", {"transfer_encoding": "chunked"}), (400, "invalid_message")),
            ]
        for (target, changes), expected in wrong:
            assert await refused(url, way, target, **changes) == expected, changes


async def test_an_upgrade_is_asked_for_with_get() -> None:
    async with served("by the parser") as url:
        assert await refused(url, "by the parser", method="POST") == (400, "invalid_message")


@pytest.mark.parametrize("missing", [-1, 0, 1])
async def test_a_head_of_nearly_the_size_that_one_may_have(missing: int) -> None:
    """uvicorn writes it anew, and longer: it is told by what was sent."""
    bare = len("GET http://here/connect? HTTP/1.1\r\n\r\n") + sum(
        len(f"{k}: {v}\r\n") for k, v in UPGRADE.items()
    )
    target = "/connect?" + "x" * (MAX_HEAD_BYTES - bare - missing)
    async with served("by the parser") as url:
        if missing >= 0:
            # All is well but the subprotocol, which is looked at last.
            changes = {"sec_websocket_protocol": "r" * len(UPGRADE["sec-websocket-protocol"])}
            assert await refused(url, "by the parser", target, **changes) == (400, "invalid_message")
        else:
            assert await refused(url, "by the parser", target) == (431, "head_too_large")


class Raising(logging.Filter):
    """Raises for what is logged of those who are refused."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING or getattr(record, "event", "") == "request":
            raise RuntimeError("a secret of the log")
        return True


@pytest.mark.parametrize("way", WAYS[:3])
async def test_a_log_that_raises_is_nothing_to_the_client(way: str) -> None:
    failed: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: failed.append(str(told["exception"])))
    logs = [logging.getLogger(f"ringcast.{name}") for name in ("server", "access")]
    levels = [log.level for log in logs]
    broken = Raising()
    for log in logs:
        log.addFilter(broken)
        log.setLevel(logging.INFO)
    headers = FORWARDED if way == "behind a proxy" else None
    try:
        async with served(way, max_connections=1) as url, opened(url, headers) as raw:
            assert (await raw.connect("room"))[0] == "connected"
            assert await refused(url, way) == (503, "server_full")
        async with served(way) as url:
            assert await refused(url, way, origin="https://evil.example") == (403, "origin_not_allowed")
            assert await refused(url, way, content_length="5") == (400, "invalid_message")
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.removeFilter(broken)
            log.setLevel(level)
    assert "a secret of the log" in failed
