"""An application of FastAPI's under Ringcast's own server: paths, sinks, start and stop, its WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import httpx
import orjson
import pytest
import websockets
from applications import relayed, under
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from websockets.typing import Subprotocol

from certificates import Certificates
from event_source import request
from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig, SqliteStore, action
from ringcast.client import ClientConfig
from ringcast.server import application
from ringcast.server.application import ApplicationFailed, Beside, mounted
from ringcast.server.serve import serving
from ringcast.server.tls import server_context
from ringcast.testing import eventually

TIMEOUT_S = 30


class Room(Actor):
    """Notes in `order` when it starts and stops."""

    order: list[str]

    def on_start(self, c: Context) -> None:
        type(self).order.append("room starts")

    def on_stop(self, c: Context) -> None:
        type(self).order.append("room stops")

    @action
    def say(self, c: Context, text: str) -> str:
        c.broadcast("said", text)
        return text


@pytest.fixture
def registry() -> Registry:
    Room.order = []
    return Registry(Room, store=MemoryStore(), config=ServerConfig(close_timeout_s=1))


def room(registry: Registry) -> Any:
    return registry.client.get_or_create(Room, ["a"])


async def status_of(url: str, path: str, *subprotocols: str) -> int:
    """Return how an upgrade is refused."""
    offered = [Subprotocol(name) for name in subprotocols]
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with websockets.connect(url.replace("http", "ws") + path, subprotocols=offered or None):
            pass
    return refused.value.response.status_code


def echoing() -> FastAPI:
    app = FastAPI()

    @app.websocket("/echo/{name}")
    async def echo(socket: WebSocket, name: str) -> None:
        await socket.accept()
        with contextlib.suppress(RuntimeError):
            async for text in socket.iter_text():
                await socket.send_text(f"{name}: {text}")

    return app


# --- paths and sinks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("carrier", ["websocket", "sse"])
async def test_a_route_reaches_clients_to_whose_sockets_the_core_writes(
    registry: Registry, carrier: Literal["websocket", "sse"]
) -> None:
    app = FastAPI()

    @app.post("/announce")
    async def announce(text: str) -> dict[str, str]:
        return {"said": await room(registry).say(text)}

    async with (
        asyncio.timeout(TIMEOUT_S),
        under(registry, app) as url,
        Client(f"{url}/realtime", transport=carrier) as client,
        httpx.AsyncClient(base_url=url) as http,
        client.get_or_create("room", ["a"]).connect() as connection,
    ):
        heard = connection.stream("said")
        assert await connection.say("by itself") == "by itself"
        assert await anext(heard) == "by itself"
        answer = await http.post("/announce", params={"text": "to all"})
        assert answer.json() == {"said": "to all"}
        assert await anext(heard) == "to all"
        assert relayed(registry) == 0


async def test_everything_below_the_mount_is_ringcasts_and_the_rest_the_applications(
    registry: Registry,
) -> None:
    app = FastAPI()

    @app.get("/{path:path}")
    def catch_all(path: str) -> str:
        return f"the application has {path}"

    async with under(registry, app, "/live/v1") as url, httpx.AsyncClient(base_url=url) as http:
        for path in ("health", "live", "live/v1", "live/v12/health", "session"):
            assert (await http.get(f"/{path}")).json() == f"the application has {path}"
        assert (await http.get("/live/v1/health")).json()["status"] == "ok"
        assert (await http.get("/live/v1/elsewhere")).json()["error"]["code"] == "not_found"
        called = await http.post("/live/v1/actors/room/actions/say", json={"args": ["x"]})
        assert called.json() == {"value": "x"}
        json = "ringcast.v1.json"
        assert await status_of(url, "/live/v1/elsewhere", json) == 404
        assert await status_of(url, "/connect", json) == 403  # FastAPI's answer to a WebSocket of no route


async def test_a_response_of_the_applications_goes_out_in_parts(registry: Registry) -> None:
    app = FastAPI()
    arrived = [asyncio.Event() for _ in range(3)]

    @app.get("/parts")
    def parts() -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            for number, event in enumerate(arrived):
                yield f"{number}\n"
                await event.wait()

        return StreamingResponse(body())

    heard = []
    async with (
        asyncio.timeout(TIMEOUT_S),
        under(registry, app) as url,
        httpx.AsyncClient() as http,
        http.stream("GET", f"{url}/parts") as answer,
    ):
        async for line in answer.aiter_lines():
            heard.append(int(line))
            arrived[heard[-1]].set()
    assert heard == [0, 1, 2]


async def test_pages_of_other_origins_are_the_applications_own_to_judge(registry: Registry) -> None:
    app = FastAPI()

    @app.get("/open")
    def answer() -> str:
        return "to anybody"

    async with under(registry, app) as url:
        headers = {"Origin": "https://evil.example"}
        assert (await request(url, "/open", headers=headers)).status == 200
        assert (await request(url, "/realtime/health", headers=headers)).status == 403


async def test_the_application_is_told_who_is_behind_a_trusted_proxy() -> None:
    config = ServerConfig(trusted_proxies=("127.0.0.1",))
    registry = Registry(Room, store=MemoryStore(), config=config)
    app = FastAPI()

    @app.get("/who")
    def who(request: Request) -> list[Any]:
        return [request.client.host if request.client else None, request.url.scheme]

    async with under(registry, app) as url, httpx.AsyncClient() as http:
        headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
        assert (await http.get(f"{url}/who", headers=headers)).json() == ["203.0.113.7", "https"]
        assert (await http.get(f"{url}/who")).json()[1] == "http"


async def test_the_application_cannot_take_sockets(registry: Registry) -> None:
    extensions: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            extensions.extend(scope["extensions"])
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    async with under(registry, app) as url:
        assert (await request(url, "/")).status == 204
    assert extensions == []


async def test_over_tls_all_of_it_is_encrypted(registry: Registry, certificates: Certificates) -> None:
    app = echoing()

    @app.get("/scheme")
    def scheme(request: Request) -> str:
        return request.url.scheme

    tls = server_context(str(certificates.certificate), str(certificates.key))
    trusting = certificates.client_context()
    beside = Beside(application=mounted(registry, app))
    async with (
        asyncio.timeout(TIMEOUT_S),
        serving(registry, tls=tls, beside=beside) as url,
        httpx.AsyncClient(verify=trusting) as http,
        websockets.connect(url.replace("http", "ws") + "/echo/ann", ssl=trusting) as socket,
        Client(f"{url}/realtime", config=ClientConfig(ssl_context=trusting)) as client,
        client.get_or_create("room", ["a"]).connect() as connection,
    ):
        assert (await http.get(f"{url}/scheme")).json() == "https"
        await socket.send("x")
        assert await socket.recv() == "ann: x"
        assert await connection.say("x") == "x"


def test_a_mount_without_an_application_is_a_mistake(registry: Registry) -> None:
    with pytest.raises(ValueError, match="give its app"):
        registry.serve(mount="/live")


def test_the_mount_is_where_the_application_has_mounted_the_registry(registry: Registry) -> None:
    app = FastAPI()
    assert mounted(registry, app).mount == "/realtime"
    app.mount("/live", registry.asgi())
    assert mounted(registry, app).mount == "/live"
    assert mounted(registry, app, "/elsewhere").mount == "/elsewhere"


@pytest.mark.parametrize("mount", ["", "/", "live", "/live/", "//live", "/li ve", "/a/%2F"])
def test_what_is_no_mount(registry: Registry, mount: str) -> None:
    with pytest.raises(ValueError, match="no mount"):
        mounted(registry, FastAPI(), mount)


def test_routes_that_nobody_would_reach_are_refused(registry: Registry) -> None:
    app = FastAPI()
    app.get("/realtime/news")(lambda: None)
    app.get("/realtime")(lambda: None)
    with pytest.raises(ValueError, match="the application has /realtime/news"):
        mounted(registry, app)
    assert mounted(registry, app, "/live").mount == "/live"


# --- start and stop ---------------------------------------------------------------------------------------


async def test_the_application_starts_before_the_actors_and_stops_after_them(registry: Registry) -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        Room.order.append("application starts")
        await room(registry).say("as early as this")
        yield {"pool": "of connections"}
        Room.order.append("application stops")

    app = FastAPI(lifespan=lifespan)

    @app.get("/state")
    def state(request: Request) -> Any:
        return request.state.pool

    async with under(registry, app) as url, httpx.AsyncClient() as http:
        assert (await http.get(f"{url}/state")).json() == "of connections"
    assert Room.order == ["application starts", "room starts", "room stops", "application stops"]
    assert registry.running is None


async def test_one_application_for_any_server(registry: Registry) -> None:
    app = FastAPI(lifespan=registry.lifespan)
    app.mount("/realtime", registry.asgi())
    async with (
        under(registry, app) as url,
        Client(f"{url}/realtime") as client,
        client.get_or_create("room", ["a"]).connect() as connection,
    ):
        assert await connection.say("x") == "x"
        assert relayed(registry) == 0
    assert registry.running is None


async def test_an_application_without_a_lifespan(registry: Registry) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})

    async with under(registry, app) as url, httpx.AsyncClient() as http:
        assert (await http.get(url)).text == "here"


async def test_an_application_that_does_not_start_ends_the_server(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    with pytest.raises(ApplicationFailed):
        async with under(registry, FastAPI(lifespan=lifespan)):
            pass
    assert "no database" in caplog.text
    assert registry.running is None and Room.order == []


async def test_an_application_is_stopped_if_the_actors_cannot_be_started(tmp_path: Path) -> None:
    registry = Registry(Room, store=SqliteStore(str(tmp_path)))  # a directory
    order = []

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        order.append("starts")
        yield
        order.append("stops")

    with pytest.raises(Exception, match="unable to open"):
        async with under(registry, FastAPI(lifespan=lifespan)):
            pass
    assert order == ["starts", "stops"]


async def test_a_request_that_is_under_way_at_the_end_still_has_its_actors(registry: Registry) -> None:
    app = FastAPI()
    began, go_on = asyncio.Event(), asyncio.Event()

    @app.get("/slow")
    async def slow() -> str:
        began.set()
        await go_on.wait()
        return str(await room(registry).say("late"))

    async with httpx.AsyncClient() as http:
        async with under(registry, app) as url:
            answer = asyncio.create_task(http.get(f"{url}/slow"))
            await began.wait()
            assert registry.running is not None
            registry.running.clock.call_later(0.01, go_on.set)
        assert (await answer).json() == "late"
    assert Room.order == ["room starts", "room stops"]


async def test_a_request_without_an_end_does_not_hold_up_the_end(registry: Registry) -> None:
    app = FastAPI()
    began = asyncio.Event()

    @app.get("/endless")
    async def endless() -> None:
        began.set()
        await asyncio.Event().wait()

    async with httpx.AsyncClient() as http:
        async with under(registry, app) as url:
            answer = asyncio.create_task(http.get(f"{url}/endless"))
            await began.wait()
        with pytest.raises(httpx.HTTPError):
            assert (await answer).is_server_error
            raise httpx.RemoteProtocolError("answered with an error")
    assert registry.running is None


async def test_a_response_without_an_end_is_cut_off_while_its_actors_are_there(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()

    async def endless() -> AsyncIterator[str]:
        try:
            yield await room(registry).say("one")
            await asyncio.Event().wait()
        finally:
            Room.order.append("response ends")

    @app.get("/endless")
    def answer() -> StreamingResponse:
        return StreamingResponse(endless())

    async with under(registry, app) as url:
        response = await request(url, "/endless")
        assert await response.part() == b"one"
    # And not when the server has waited for it once more, without them.
    assert Room.order == ["room starts", "response ends", "room stops"]
    assert "requests of the application are cut off: 1" in caplog.text
    response.writer.close()


# --- WebSockets of the application ------------------------------------------------------------------------


async def test_the_application_has_websockets_beside_those_of_actors(registry: Registry) -> None:
    async with (
        asyncio.timeout(TIMEOUT_S),
        under(registry, echoing()) as url,
        websockets.connect(url.replace("http", "ws") + "/echo/ann") as socket,
        Client(f"{url}/realtime") as client,
        client.get_or_create("room", ["a"]).connect() as connection,
    ):
        await socket.send("größe")
        assert await socket.recv() == "ann: größe"
        assert await connection.say("x") == "x"
        assert relayed(registry) == 0


async def test_a_websocket_of_the_application_is_told_that_the_server_stops(registry: Registry) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        async with under(registry, echoing()) as url:
            socket = await websockets.connect(url.replace("http", "ws") + "/echo/ann")
            await socket.send("x")
            assert await socket.recv() == "ann: x"
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1012


async def test_a_websocket_of_the_application_takes_a_place_and_leaves_it() -> None:
    config = ServerConfig(max_connections=1, close_timeout_s=1)
    registry = Registry(Room, store=MemoryStore(), config=config)
    async with asyncio.timeout(TIMEOUT_S), under(registry, echoing()) as url:
        async with websockets.connect(url.replace("http", "ws") + "/echo/ann") as socket:
            await socket.send("x")
            assert await socket.recv() == "ann: x"
            assert (await request(url, "/realtime/ready")).status == 503

        async def is_free() -> bool:
            return (await request(url, "/realtime/ready", headers={"Connection": "close"})).status == 200

        await eventually(is_free)


async def test_without_a_package_for_websockets_the_applications_are_refused(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(application, "AutoWebSocketsProtocol", None)
    async with (
        under(registry, echoing()) as url,
        Client(f"{url}/realtime") as client,
        client.get_or_create("room", ["a"]).connect() as connection,
    ):
        with caplog.at_level(logging.WARNING, "ringcast.server"):
            assert [await status_of(url, "/echo/ann") for _ in range(2)] == [501, 501]
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "need the package websockets" in caplog.text
        assert await connection.say("x") == "x"


@pytest.mark.parametrize("target", ["/realtime/connect", "http://here/realtime/connect", "/real%74ime/x"])
async def test_upgrades_below_the_mount_never_reach_the_application(registry: Registry, target: str) -> None:
    asked: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["type"])

    async with under(registry, app) as url:
        headers = {
            "Connection": "keep-alive, Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol": "ringcast.v1.json",
        }
        response = await request(url, target, headers=headers)
        assert response.status == (404 if target.endswith("x") else 101)
        response.writer.close()
    assert "websocket" not in asked and orjson.dumps(asked) in (b"[]", b'["lifespan"]')
