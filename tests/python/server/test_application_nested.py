"""Actors that an application has mounted deeper than at its top, or in a wrapper: where they are, and what
guards them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any, Literal

import httpx
import pytest
from applications import LET_IN, Plain, Room, guarded, relayed, under
from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Host, Mount, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from ringcast import Client, MemoryStore, Registry, ServerConfig
from ringcast.errors import ConnectionRefused
from ringcast.server.application import ApplicationFailed, Beside, mounted
from ringcast.server.serve import serving

TIMEOUT_S = 30


class Guarding:
    """Lets in who has a token, and WebSockets once they may come. Does not say what it is around."""

    def __init__(self, around: ASGIApp) -> None:
        self._around = around
        self.takes_websockets = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_http = scope["type"] == "http"
        has_token = (b"authorization", LET_IN["Authorization"].encode()) in scope["headers"]
        if has_token if is_http else self.takes_websockets:
            await self._around(scope, receive, send)
        elif is_http:
            await JSONResponse({"detail": "no"}, 401)(scope, receive, send)
        else:
            await send({"type": "websocket.close"})


@pytest.fixture
def registry() -> Registry:
    return Registry(Room, store=MemoryStore(), config=ServerConfig(close_timeout_s=1))


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.levelno == logging.WARNING]


async def said(http: httpx.AsyncClient, mount: str, headers: dict[str, str] | None = None) -> int:
    """Return the status of a call."""
    answer = await http.post(f"{mount}/actors/room/actions/say", json={"args": ["x"]}, headers=headers)
    return answer.status_code


async def is_heard(registry: Registry, url: str) -> bool:
    """Tell whether the core writes to a WebSocket of an actor by itself."""
    async with (
        Client(url, transport="websocket") as client,
        client.get_or_create("room", ["a"]).connect() as connection,
    ):
        heard = connection.stream("said")
        assert await connection.say("x") == "x"
        assert await anext(heard) == "x"
        return relayed(registry) == 0


# --- found ------------------------------------------------------------------------------------------------


async def test_in_a_mounted_application_its_middleware_is_not_got_past(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    app, api = FastAPI(lifespan=registry.lifespan), guarded()
    api.mount("/live", registry.asgi())
    app.mount("/v1", api)
    async with (
        asyncio.timeout(TIMEOUT_S),
        under(registry, app) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        assert await said(http, "/v1/live") == 401
        assert await said(http, "/v1/live", LET_IN) == 200
        for elsewhere in ("/realtime", "/live", ""):
            assert await said(http, elsewhere, LET_IN) == 404
            with pytest.raises(ConnectionRefused):
                await is_heard(registry, url + elsewhere)
        assert await is_heard(registry, f"{url}/v1/live")
    # No server runs such middleware for WebSockets.
    assert warned(caplog) == []


def nested(registry: Registry, how: str) -> Any:
    """Return an application with actors at `/v1/live`."""
    inner = Mount("/live", app=registry.asgi())
    app: Any = FastAPI()
    match how:
        case "routes":
            app = Starlette(routes=[Mount("/v1", routes=[inner])])
        case "router":
            app.mount("/v1", Router([inner], middleware=[Middleware(Plain)]))
        case "middleware of the mount":
            app = Starlette(routes=[Mount("/v1", routes=[inner], middleware=[Middleware(Plain)])])
        case "middleware of the application":
            app.mount("/v1", Starlette(routes=[inner], middleware=[Middleware(Plain)]))
        case "wrapped":
            app.mount("/v1", CORSMiddleware(Plain(Starlette(routes=[inner]))))
        case "included":
            router, outer = APIRouter(), APIRouter()
            router.mount("/live", registry.asgi())
            outer.include_router(router, prefix="/v1")
            app.include_router(outer)
        case "at the root of another":
            api = FastAPI()
            api.mount("/", registry.asgi())
            app.mount("/v1/live", api)
    return app


@pytest.mark.parametrize(
    ("how", "is_named"),
    [
        ("routes", False),
        ("router", True),
        ("middleware of the mount", True),
        ("middleware of the application", True),
        ("wrapped", True),
        ("included", False),
        ("at the root of another", False),
    ],
)
async def test_wherever_it_is_mounted_the_core_writes_and_what_is_left_out_is_named(
    registry: Registry, caplog: pytest.LogCaptureFixture, how: str, is_named: bool
) -> None:
    application = mounted(registry, nested(registry, how))
    assert application.mount == "/v1/live"
    async with (
        asyncio.timeout(TIMEOUT_S),
        serving(registry, beside=Beside(application=application)) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        assert await said(http, "/v1/live") == 200
        assert await said(http, "/realtime") == 404
        assert await is_heard(registry, f"{url}/v1/live")
    messages = warned(caplog)
    assert len(messages) == is_named
    assert all("Plain is run for HTTP requests below /v1/live, and not for WebS" in each for each in messages)


async def test_what_the_application_has_beside_them_is_still_reached(registry: Registry) -> None:
    app = nested(registry, "at the root of another")
    async with under(registry, app) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/v1/live/openapi.json")).json()["openapi"]
        assert (await http.get("/v1/live/health")).json()["status"] == "ok"


def test_of_several_places_the_one_at_the_top_is_the_mount(registry: Registry) -> None:
    app, api = FastAPI(), FastAPI()
    api.mount("/live", registry.asgi())
    app.mount("/v1", api)
    app.mount("/realtime", registry.asgi())
    assert mounted(registry, app).mount == "/realtime"


def test_an_application_that_is_mounted_in_itself_is_read_once(registry: Registry) -> None:
    app = FastAPI()
    app.mount("/again", app)
    app.mount("/live", registry.asgi())
    assert mounted(registry, app).mount == "/live"


# --- not found --------------------------------------------------------------------------------------------


async def status_of_upgrade(url: str, target: str, more: str = "") -> int:
    """Ask for a WebSocket at a target that is written as it is here; `more` are lines of the head."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET {target} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        "sec-websocket-version: 13\r\nsec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
        f"sec-websocket-protocol: ringcast.v1.json\r\n{more}\r\n".encode()
    )
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status


@pytest.mark.parametrize("is_hidden", [False, True], ids=["found", "hidden"])
async def test_a_proxy_is_believed_wherever_the_actors_are(is_hidden: bool) -> None:
    config = ServerConfig(close_timeout_s=1, trusted_proxies=("127.0.0.1",))
    registry = Registry(Room, store=MemoryStore(), config=config)
    app, guard = FastAPI(), Guarding(registry.asgi())
    guard.takes_websockets = True
    app.mount("/live", guard if is_hidden else registry.asgi())
    forwarded = "x-forwarded-for: 192.0.2.1\r\nx-forwarded-host: example.com\r\nx-forwarded-proto: https\r\n"
    async with asyncio.timeout(TIMEOUT_S), under(registry, app) as url:
        for origin, status in (("https://example.com", 101), (url, 403)):
            more = f"{forwarded}origin: {origin}\r\n"
            assert await status_of_upgrade(url, "/live/connect", more) == status


@pytest.mark.parametrize("how", ["the same path", "all paths", "a mount of its own kind"])
def test_a_place_that_no_request_reaches_is_none(registry: Registry, how: str) -> None:
    class Guarded(Mount):
        """Decides by itself."""

    inner = Starlette(routes=[Mount("/live", registry.asgi())])
    routes: list[Any] = [Mount("/v1", Guarding(inner)), Mount("/v1", inner)]
    if how == "all paths":
        routes[0] = Mount("/", Guarding(inner))
    elif how == "a mount of its own kind":
        routes = [Guarded("/v1", inner)]
    application = mounted(registry, Starlette(routes=routes))
    assert application.mount is None or "Guarding is run for HTTP requests" in application.warning


async def test_an_application_that_mounts_them_as_it_starts_is_too_late(registry: Registry) -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.mount("/live", Guarding(registry.asgi()))
        yield

    with pytest.raises(ApplicationFailed, match="as it started"):
        async with under(registry, FastAPI(lifespan=lifespan)):
            pass


async def test_what_hides_them_is_left_to_serve_them(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    app, guard = FastAPI(), Guarding(registry.asgi())
    app.mount("/live", guard)
    async with (
        asyncio.timeout(TIMEOUT_S),
        under(registry, app) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        assert await said(http, "/live") == 401
        assert await said(http, "/live", LET_IN) == 200
        for elsewhere in ("/realtime", ""):
            assert await said(http, elsewhere, LET_IN) == 404
            with pytest.raises(ConnectionRefused):
                await is_heard(registry, url + elsewhere)
        with pytest.raises(ConnectionRefused):
            await is_heard(registry, f"{url}/live")
        for target in ("/connect", "http:///connect", "http://x:99999/connect", "http://u@x@y/connect"):
            assert await status_of_upgrade(url, target) in (400, 403, 404), target
        guard.takes_websockets = True
        # A stream of events is one of this server's all the same: it is handed on by what guards it.
        address = "/live/actors/room/events?key=a&subscribe=said"
        assert (await http.get(address)).status_code == 401
        async with http.stream("GET", address, headers=LET_IN) as stream:
            await anext(line async for line in stream.aiter_lines() if '"connected"' in line)
            assert relayed(registry) == 0
        assert not await is_heard(registry, f"{url}/live")
    [warning] = warned(caplog)
    assert "routes do not show it: actors are where the application serves them, and nowhere else" in warning


async def test_a_mount_says_what_is_hidden_there(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    app.mount("/live", Guarding(registry.asgi()))
    async with (
        asyncio.timeout(TIMEOUT_S),
        under(registry, app, "/live") as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        assert await said(http, "/live") == 401
        assert await said(http, "/live", LET_IN) == 200
        assert await is_heard(registry, f"{url}/live")
    [warning] = warned(caplog)
    assert "Guarding is run for HTTP requests below /live, and not for WebSockets of actors" in warning


def test_a_mount_elsewhere_goes_past_what_hides_them_and_that_is_said(registry: Registry) -> None:
    app = FastAPI()
    app.mount("/live", Guarding(registry.asgi()))
    application = mounted(registry, app, "/elsewhere")
    assert (application.mount, application.goes_through) == ("/elsewhere", False)
    assert "what stands before it there is not run for anything below /elsewhere" in application.warning


def test_a_mount_elsewhere_names_the_middleware_before_the_place_that_is_found(registry: Registry) -> None:
    application = mounted(registry, nested(registry, "middleware of the application"), "/elsewhere")
    assert "Plain is not run for anything below /elsewhere" in application.warning


@pytest.mark.parametrize("how", ["root", "parameter", "host"])
def test_a_place_that_is_no_path_is_the_applications_to_serve(
    registry: Registry, how: Literal["root", "parameter", "host"]
) -> None:
    app = FastAPI()
    if how == "host":
        app.router.routes.append(Host("live.example.com", registry.asgi()))
    else:
        app.mount("" if how == "root" else "/{tenant}/live", registry.asgi())
    application = mounted(registry, app)
    assert application.mount is None
    assert "and nowhere else" in application.warning
    assert (how == "parameter") == ("/{tenant}/live" in application.warning)


async def test_who_has_only_its_lifespan_has_not_mounted_it(registry: Registry) -> None:
    app = FastAPI(lifespan=registry.lifespan)
    async with under(registry, app):
        pass
    assert mounted(registry, app).mount == "/realtime"


# --- refused ----------------------------------------------------------------------------------------------


def colliding(registry: Registry, how: str) -> tuple[Any, str | None]:
    app, api = FastAPI(), FastAPI(openapi_url=None)
    app.mount("/v1", api)
    match how:
        case "route":
            api.get("/realtime/news")(lambda: None)
            return app, "/v1/realtime"
        case "included":
            router = APIRouter()
            router.get("/news")(lambda: None)
            app.include_router(router, prefix="/live")
            return app, "/live"
        case "files":
            app.mount("/live", StaticFiles(directory="."))
            return app, "/live"
        case "websocket":
            api.mount("/", registry.asgi())

            async def news(socket: WebSocket) -> None: ...

            api.add_api_websocket_route("/news", news)
            return app, None
        case "actors":
            api.mount("/live", registry.asgi())
            return app, "/v1"
    raise AssertionError(how)


@pytest.mark.parametrize(
    ("how", "path"),
    [
        ("route", "/v1/realtime/news"),
        ("included", "/live/news"),
        ("files", "/live"),
        ("websocket", "/v1/news"),
        ("actors", "/v1/live"),
    ],
)
def test_what_nobody_would_reach_is_refused(registry: Registry, how: str, path: str) -> None:
    app, mount = colliding(registry, how)
    with pytest.raises(ValueError, match=f"the application has {path}, and all below"):
        mounted(registry, app, mount)
