"""Middleware of an application under Ringcast's own server: what it is run for, and what is said if not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal

import httpx
import pytest
from applications import LET_IN, Plain, Room, guarded, relayed, under
from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from ringcast import Client, MemoryStore, Registry, ServerConfig

TIMEOUT_S = 30


class Timed(BaseHTTPMiddleware):
    """Middleware for HTTP requests alone, as Starlette has it written."""

    async def dispatch(
        self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await call_next(request)
        response.headers["Server-Timing"] = "total"
        return response


class Closed(Timed):
    """One that lets no WebSocket pass either."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        await super().__call__(scope, receive, send)


class OwnCors(CORSMiddleware):
    """One that looks at the origin of WebSockets as well."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)


@pytest.fixture
def registry() -> Registry:
    config = ServerConfig(close_timeout_s=1, trusted_proxies=("127.0.0.1",))
    return Registry(Room, store=MemoryStore(), config=config)


def mounted_in_guarded(registry: Registry, mount: str = "/realtime") -> FastAPI:
    app = guarded()
    app.mount(mount, registry.asgi())
    return app


async def line_with(lines: AsyncIterator[str], text: str) -> str:
    """Return the next line of a response that has `text`."""
    return await anext(line async for line in lines if text in line)


@pytest.mark.parametrize("mount", ["/realtime", "/live/v1"])
async def test_calls_go_through_the_middleware_of_an_application_that_has_mounted_the_actors(
    registry: Registry, mount: str
) -> None:
    path = f"{mount}/actors/room/actions/seen"
    async with (
        asyncio.timeout(TIMEOUT_S),
        under(registry, mounted_in_guarded(registry, mount)) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        assert (await http.post(path, json={"key": ["a"]})).status_code == 401
        assert registry.router.actors == 0
        assert (await http.get(f"{mount}/health")).status_code == 401
        forwarded = {**LET_IN, "X-Forwarded-For": "203.0.113.7"}
        answer = await http.post(path, json={"key": ["a"]}, headers=forwarded)
        # Who calls is looked up once: the trusted proxy's word is taken, and nobody's behind it.
        assert answer.json() == {"value": ["http", "203.0.113.7", path]}
        assert answer.headers["X-Checked"] == "yes"
        missing = await http.get(f"{mount}/elsewhere", headers=LET_IN)
        assert missing.json()["error"]["code"] == "not_found"


async def test_streams_of_events_go_through_it_and_are_still_written_by_the_core(registry: Registry) -> None:
    address: Any = {"url": "/realtime/actors/room/events", "params": {"key": "a", "subscribe": "said"}}
    async with (
        asyncio.timeout(TIMEOUT_S),
        under(registry, mounted_in_guarded(registry)) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        assert (await http.get(**address)).status_code == 401
        assert registry.router.actors == 0
        async with http.stream("GET", **address, headers=LET_IN) as stream:
            lines = stream.aiter_lines()
            await line_with(lines, '"connected"')
            assert await registry.client.get_or_create(Room, ["a"]).say("x") == "x"
            assert "said" in await line_with(lines, '"x"')
            assert relayed(registry) == 0


async def test_the_application_sees_them_once_and_websockets_of_actors_never(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    app.mount("/realtime", registry.asgi())
    outermost = Plain(app)
    async with (
        asyncio.timeout(TIMEOUT_S),
        under(registry, outermost) as url,
        httpx.AsyncClient(base_url=url) as http,
        Client(f"{url}/realtime") as client,
        client.get_or_create("room", ["a"]).connect() as connection,
    ):
        assert await connection.say("x") == "x"
        assert (await http.get("/realtime/health")).json()["status"] == "ok"
    assert outermost.seen == ["lifespan", "http"]
    [warning] = [record for record in caplog.records if record.name == "ringcast.server"]
    assert warning.levelno == logging.WARNING
    assert "Plain is run for HTTP requests below /realtime, and not for WebSockets" in warning.message
    assert "on_before_connect" in warning.message


async def test_an_origin_is_let_in_by_both_the_middleware_and_the_actors() -> None:
    ours, theirs = "https://app.example.com", "https://other.example.com"
    registry = Registry(Room, store=MemoryStore(), config=ServerConfig(allowed_origins=(ours,)))
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=[ours, theirs], allow_methods=["*"], allow_headers=["*"])
    app.mount("/realtime", registry.asgi())
    path = "/realtime/actors/room/actions/say"
    async with under(registry, app) as url, httpx.AsyncClient(base_url=url) as http:
        for origin, status in ((ours, 200), (theirs, 403)):
            asking = {
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type,idempotency-key",
            }
            assert (await http.options(path, headers=asking)).status_code == 200
            answer = await http.post(path, json={"args": ["x"]}, headers={"Origin": origin})
            assert answer.status_code == status
            # One of each, as browsers want it.
            assert answer.headers.get_list("access-control-allow-origin") == [origin]


How = Literal["nowhere", "inside", "around", "only http", "http and more", "none"]


def mounting(registry: Registry, how: How) -> Any:
    app = guarded() if how in ("nowhere", "only http") else FastAPI()
    match how:
        case "only http":
            app.add_middleware(CORSMiddleware)
            app.add_middleware(Timed)
            app.mount("/realtime", registry.asgi())
        case "http and more":
            app.add_middleware(OwnCors)
            app.add_middleware(Closed)
            app.mount("/realtime", registry.asgi())
        case "inside":
            app.router.routes.append(Mount("/realtime", registry.asgi(), middleware=[Middleware(Plain)]))
        case "around":
            app.add_middleware(Plain)
            app.mount("/realtime", registry.asgi())
        case "none":
            app.mount("/realtime", registry.asgi())
    return app


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("nowhere", "check_token is not run for anything below /realtime: mount registry.asgi() there"),
        ("inside", "Plain is run for HTTP requests"),
        ("around", "Plain is run for HTTP requests"),
        ("only http", ""),  # no server would have it see a WebSocket
        ("http and more", "Closed, OwnCors are run for HTTP requests"),
        ("none", ""),
    ],
)
async def test_what_is_bypassed_is_named_once(
    registry: Registry, caplog: pytest.LogCaptureFixture, how: Any, said: str
) -> None:
    async with under(registry, mounting(registry, how)) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/realtime/health", headers=LET_IN)).status_code == 200
    warned = [record.message for record in caplog.records if record.name == "ringcast.server"]
    assert len(warned) == bool(said)
    assert said in "".join(warned)
