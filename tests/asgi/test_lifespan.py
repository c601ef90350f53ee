"""Who starts a registry that is served as an ASGI application, and who stops it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from ringcast import Actor, Context, MemoryStore, Registry, SqliteStore, action


class Room(Actor):
    @action
    def say(self, c: Context, text: str) -> str:
        return text


@pytest.fixture
def registry() -> Registry:
    return Registry(Room, store=MemoryStore())


def http(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")


async def says(app: Any, base: str = "") -> Any:
    async with http(app) as client:
        answer = await client.post(f"{base}/actors/room/actions/say", json={"args": ["x"]})
        return answer.json()["value"]


class Server:
    """The part of an ASGI server that starts and stops an application."""

    def __init__(self, app: Any) -> None:
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[Any] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
        self.task = asyncio.create_task(app(scope, self._to_app.get, self._from_app.put))

    async def ask(self, kind: str) -> dict[str, Any]:
        await self._to_app.put({"type": f"lifespan.{kind}"})
        async with asyncio.timeout(10):
            answer: dict[str, Any] = await self._from_app.get()
        return answer


async def test_an_application_by_itself_is_started_and_stopped_by_the_server(registry: Registry) -> None:
    app = registry.asgi()
    server = Server(app)
    assert await server.ask("startup") == {"type": "lifespan.startup.complete"}
    assert await says(app) == "x"
    assert await server.ask("shutdown") == {"type": "lifespan.shutdown.complete"}
    await server.task
    assert registry.running is None


async def test_a_start_that_fails_is_told(tmp_path: Path) -> None:
    registry = Registry(Room, store=SqliteStore(str(tmp_path)))
    server = Server(registry.asgi())
    answer = await server.ask("startup")
    assert answer["type"] == "lifespan.startup.failed" and answer["message"]
    await server.task


async def test_the_lifespan_of_the_host_runs_it(registry: Registry) -> None:
    app = FastAPI(lifespan=registry.lifespan)
    app.mount("/realtime", registry.asgi())
    async with app.router.lifespan_context(app):
        assert await says(app, "/realtime") == "x"
    assert registry.running is None


async def test_a_host_has_a_lifespan_of_its_own(registry: Registry) -> None:
    order: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with registry.lifespan(app):
            order.append("running" if registry.running else "not running")
            yield
            order.append("running" if registry.running else "not running")

    app = Starlette(routes=[Mount("/deep/down", registry.asgi())], lifespan=lifespan)
    for _ in range(2):
        async with app.router.lifespan_context(app):
            assert await says(app, "/deep/down") == "x"
    assert order == ["running"] * 4


async def test_without_a_lifespan_every_request_says_what_is_missing(registry: Registry) -> None:
    app = FastAPI()
    app.mount("/realtime", registry.asgi())
    async with http(app) as client:
        with pytest.raises(RuntimeError, match=r"lifespan=registry\.lifespan"):
            await client.get("/realtime/health")
    # Whoever else starts it is as good.
    async with registry:
        assert await says(app, "/realtime") == "x"


def test_there_is_one_application(registry: Registry) -> None:
    assert registry.asgi() is registry.asgi()


@pytest.mark.parametrize(
    ("extensions", "status"), [({"websocket.http.response": {}}, 400), ({}, None)], ids=["answer", "close"]
)
async def test_a_websocket_without_a_known_subprotocol(
    registry: Registry, extensions: dict[str, Any], status: int | None
) -> None:
    sent: list[dict[str, Any]] = []
    scope = {"type": "websocket", "path": "/connect", "subprotocols": ["chat"], "extensions": extensions}

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async with registry:
        await registry.asgi()(scope, receive, send)
    assert sent[0].get("status") == status
    assert sent[-1]["type"] == ("websocket.http.response.body" if status else "websocket.close")
