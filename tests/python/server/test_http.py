"""The HTTP routes, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
import pytest

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, UserError, action, errors
from ringcast.errors import RingcastError
from ringcast.server.replies import STATUS_BY_CODE
from ringcast.server.serve import serving

BODY_TIMEOUT_S = 0.3


@dataclass
class Total:
    value: int = 0


class Counter(Actor[Total, None]):
    """Adds up, and fails in every way."""

    def create_state(self, c: Context[Total, None], input: int | None) -> Total:
        return Total(input or 0)

    @action
    def add(self, c: Context[Total, None], amount: int) -> int:
        """Add `amount` and return the total."""
        c.state.value += amount
        return c.state.value

    @action
    def refuse(self, c: Context[Total, None], code: str) -> None:
        """Fail as authors of actors do."""
        raise UserError("not today", code=code, metadata={"why": "because"})

    @action
    def crash(self, c: Context[Total, None]) -> None:
        """Fail as nobody meant to."""
        raise RuntimeError("the secret ingredient")

    @action(timeout_s=0.05)
    async def dawdle(self, c: Context[Total, None]) -> None:
        """Take too long."""
        await asyncio.Event().wait()

    @action
    def blurt(self, c: Context[Total, None]) -> None:
        """Fail with what JSON cannot write."""
        raise UserError("no \ud800", metadata=object())

    @action
    def unwritable(self, c: Context[Total, None]) -> Any:
        """Return what no encoding can write."""
        return object()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a running server."""
    config = ServerConfig(connect_timeout_s=BODY_TIMEOUT_S, max_message_bytes=2000)
    registry = Registry(Counter, store=MemoryStore(), config=config)
    async with serving(registry) as url, httpx.AsyncClient(base_url=url) as opened:
        yield opened


async def call(client: httpx.AsyncClient, name: str, *args: Any, **address: Any) -> httpx.Response:
    body = {"key": ["k"], "args": list(args)} | address
    return await client.post(f"/actors/counter/actions/{name}", json=body)


def fault(response: httpx.Response) -> tuple[int, str]:
    content = response.json()
    assert set(content) == {"error"}
    assert content["error"]["message"]
    return response.status_code, content["error"]["code"]


async def test_health(client: httpx.AsyncClient) -> None:
    content = (await client.get("/health")).json()
    assert content.pop("version")
    assert content == {"status": "ok", "actors": 0, "connections": 0}
    await call(client, "add", 1)
    assert (await client.get("/health")).json()["actors"] == 1


async def test_call_creates_and_finds_the_actor(client: httpx.AsyncClient) -> None:
    assert (await call(client, "add", 2, input=40)).json() == {"value": 42}
    assert (await call(client, "add", 1)).json() == {"value": 43}
    assert (await call(client, "add", 1, lookup="get")).json() == {"value": 44}
    assert (await call(client, "add", 1, key=["other"])).json() == {"value": 1}


async def test_resolve_gives_the_id_by_which_it_can_be_called(client: httpx.AsyncClient) -> None:
    found = (await client.post("/actors/counter/resolve", json={"key": ["a", "b"], "input": 5})).json()
    assert found["key"] == ["a", "b"]
    by_id = {"lookup": "id", "actor_id": found["actor_id"], "args": [1]}
    assert (await client.post("/actors/counter/actions/add", json=by_id)).json() == {"value": 6}


@pytest.mark.parametrize(
    ("name", "args", "address", "status", "code"),
    [
        ("add", ["x"], {}, 422, "validation_error"),
        ("add", [], {}, 422, "validation_error"),
        ("subtract", [], {}, 404, "unknown_action"),
        ("add", [1], {"key": ["never made"], "lookup": "get"}, 404, "actor_not_found"),
        ("add", [1], {"key": None, "lookup": "id", "actor_id": "x"}, 400, "invalid_message"),
        ("add", [1], {"lookup": "sideways"}, 400, "invalid_message"),
        ("add", [1], {"key": "k"}, 400, "invalid_message"),
        ("add", [1], {"args": {"amount": 1}}, 400, "invalid_message"),
        ("refuse", ["too_late"], {}, 400, "too_late"),
        ("refuse", ["internal_error"], {}, 400, "internal_error"),
        ("crash", [], {}, 500, "internal_error"),
        ("unwritable", [], {}, 500, "internal_error"),
        ("dawdle", [], {}, 504, "action_timeout"),
    ],
)
async def test_failed_call(
    client: httpx.AsyncClient, name: str, args: list[Any], address: dict[str, Any], status: int, code: str
) -> None:
    response = await call(client, name, *args, **address)
    assert fault(response) == (status, code)
    assert "secret" not in response.text
    assert (await call(client, "add", 1)).status_code == 200


async def test_body_with_half_of_a_character(client: httpx.AsyncClient) -> None:
    given = {"headers": {"Content-Type": "application/json"}, "content": rb'{"key":["k"],"args":["\ud83d"]}'}
    response = await client.post("/actors/counter/actions/add", **given)
    assert fault(response) == (400, "invalid_message")
    assert "surrogate" in response.json()["error"]["message"]


async def test_create_of_an_existing_actor(client: httpx.AsyncClient) -> None:
    await call(client, "add", 1)
    assert fault(await call(client, "add", 1, lookup="create")) == (409, "actor_already_exists")


async def test_unknown_actor(client: httpx.AsyncClient) -> None:
    response = await client.post("/actors/nobody/actions/add", json={})
    assert fault(response) == (404, "unknown_actor")


async def test_metadata_of_a_user_error_arrives(client: httpx.AsyncClient) -> None:
    response = await call(client, "refuse", "x")
    assert response.json()["error"] == {
        "code": "x",
        "message": "not today",
        "metadata": {"why": "because"},
    }


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_message"),
        (b"", "application/json", 400, "invalid_message"),
        (b"[]", "application/json; charset=utf-8", 400, "invalid_message"),
        (b'{"args":["\xff"]}', "application/json", 400, "invalid_message"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"args=1", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"args":["' + b"x" * 2000 + b'"]}', "application/json", 413, "message_too_big"),
    ],
)
async def test_body_that_is_no_call(
    client: httpx.AsyncClient, content: bytes, content_type: str, status: int, code: str
) -> None:
    response = await client.post(
        "/actors/counter/actions/add", content=content, headers={"content-type": content_type}
    )
    assert fault(response) == (status, code)


async def test_body_that_does_not_come(client: httpx.AsyncClient) -> None:
    port = client.base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /actors/counter/actions/add HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: 100\r\n\r\n{"
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert head.startswith(b"HTTP/1.1 408 ")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/actors/counter/actions/add", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("GET", "/connect", 426, "upgrade_required"),
        ("POST", "/connect", 405, "method_not_allowed"),
        ("GET", "/health/", 404, "not_found"),
        ("POST", "/actors/counter/actions/add/", 404, "not_found"),
    ],
)
async def test_route_that_is_not_there(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    assert fault(await client.request(method, path)) == (status, code)


async def test_error_that_cannot_be_written(client: httpx.AsyncClient) -> None:
    response = await call(client, "blurt")
    assert response.json() == {"error": {"code": "user_error", "message": "no ?"}}
    assert response.status_code == 400
    assert (await call(client, "add", 1)).json() == {"value": 1}


def test_every_error_that_an_action_can_raise_has_a_status() -> None:
    codes = {
        cls.code
        for name in errors.__all__
        if isinstance(cls := getattr(errors, name), type) and issubclass(cls, RingcastError)
    }
    # The root's own code stands for nothing, and a `UserError` has its status whatever its code.
    assert codes - {"error", "user_error"} - set(STATUS_BY_CODE) == set()
    assert all(status >= HTTPStatus.BAD_REQUEST for status in STATUS_BY_CODE.values())
