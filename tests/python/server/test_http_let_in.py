"""Who may not connect may not call: `on_before_connect` and calls without a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx
import pytest

from ringcast import Actor, Client, Context, MemoryStore, Registry, UserError, action
from ringcast.config import ServerConfig
from ringcast.errors import Forbidden, RingcastError, Unauthorized, ValidationError
from ringcast.server.serve import serving


@dataclass
class Log:
    lines: list[str] = field(default_factory=list)


class Door(Actor[Log, None]):
    """Lets in who has a token, in the parameters or in a header."""

    asked: ClassVar[int] = 0

    def on_before_connect(self, c: Context[Log, None], params: dict[str, str] | None) -> None:
        Door.asked += 1
        assert c.request.transport == "http"
        token = (params or {}).get("token") or c.request.headers.get("authorization", "")
        if token == "crash":
            raise RuntimeError("the secret ingredient")
        if token == "own":
            raise UserError("not before noon", code="too_early")
        if token == "mallory":
            raise Forbidden("not you")
        if token != "ann":
            raise Unauthorized("sign in first")
        c.state.lines.append("let in")

    @action
    def enter(self, c: Context[Log, None]) -> list[str]:
        c.state.lines.append("entered")
        return c.state.lines


class SlowDoor(Actor[Log, None], sleep_after_s=0.01):
    """Takes its time, for longer than it stays awake when nobody uses it."""

    async def on_before_connect(self, c: Context[Log, None], params: Any) -> None:
        await asyncio.sleep(0.05)
        if params == "hang":
            await asyncio.Event().wait()
        if params != "ann":
            raise Unauthorized("sign in first")

    @action
    def enter(self, c: Context[Log, None]) -> str:
        return "in"


class KeptDoor(Door):
    durable = True


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    Door.asked = 0
    config = ServerConfig(hook_timeout_s=0.3)
    async with Registry(Door, SlowDoor, KeptDoor, store=MemoryStore(), config=config) as registry:
        yield registry


@pytest.fixture
async def url(registry: Registry) -> AsyncIterator[str]:
    async with serving(registry) as url:
        yield url


@pytest.mark.parametrize("actor", ["door", "keptDoor"])
@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        (None, 401, "unauthorized"),
        ({"token": "made up"}, 401, "unauthorized"),
        ({"token": "mallory"}, 403, "forbidden"),
        ({"token": "own"}, 400, "too_early"),
        ({"token": "crash"}, 500, "internal_error"),
        (["no", "object"], 422, "validation_error"),
    ],
)
async def test_whom_the_hook_refuses_cannot_call(
    url: str, registry: Registry, actor: str, params: Any, status: int, code: str
) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        path, body = f"/actors/{actor}/actions/enter", {"key": ["k"], "params": params}
        response = await client.post(path, json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
        assert "secret" not in response.text
        # Nothing has run: the first one who is let in finds it so.
        allowed = await client.post(path, json={"key": ["k"], "params": {"token": "ann"}})
        assert allowed.json() == {"value": ["let in", "entered"]}


async def test_the_hook_sees_the_request(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": "ann"}) as client:
        response = await client.post("/actors/door/actions/enter", json={"key": ["k"]})
        assert response.json() == {"value": ["let in", "entered"]}
        again = await client.post("/actors/door/actions/enter", json={"key": ["k"]})
        assert len(again.json()["value"]) == 4
        assert Door.asked == 2


async def test_an_async_hook_and_an_actor_that_would_fall_asleep_meanwhile(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        for params, status in (("ann", 200), ("bob", 401), ("hang", 504)):
            body = {"key": ["k"], "params": params}
            response = await client.post("/actors/slowDoor/actions/enter", json=body)
            assert response.status_code == status


async def test_calls_of_this_process_do_without(registry: Registry) -> None:
    assert await registry.client.get_or_create(Door, "k").enter() == ["entered"]
    assert Door.asked == 0


async def test_the_client_sends_the_parameters_of_its_handle(url: str) -> None:
    given = 0

    async def token() -> dict[str, str]:
        nonlocal given
        given += 1
        return {"token": "ann"}

    async with Client(url) as client:
        for params in ({"token": "ann"}, lambda: {"token": "ann"}, token):
            assert await client.get_or_create(Door, "k", params=params).enter()
        door = client.door.get_or_create("k", params=token)
        await door.enter()
        assert await client.door.get("k", params=token).enter()
        assert await client.door.get_for_id(await door.resolve(), params=token).enter()
        assert given == 5
        # Once to be created, and once to call.
        assert await client.door.create("new", params=token).enter() == ["let in", "let in", "entered"]
        with pytest.raises(Unauthorized):
            await client.door.get_or_create("k").enter()
        with pytest.raises(ValidationError):
            await client.door.get_or_create("k", params=7).enter()
        slow = client.slow_door.get_or_create("k", params="ann")
        async with slow.connect() as connection:
            assert await connection.enter() == "in"
        with pytest.raises(RingcastError):
            await slow.connect("bob").ready()
