"""Calls over HTTP in JSON and in MessagePack, by Content-Type and Accept; over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from ringcast import Actor, Context, MemoryStore, Registry, UserError, action
from ringcast.server.serve import serving
from ringcast.wire.encoding import Encoding

JSON, MSGPACK = "application/json", "application/msgpack"
ENCODINGS = {JSON: Encoding.JSON, MSGPACK: Encoding.MSGPACK}


class Echo(Actor):
    @action
    def back(self, c: Context, value: Any) -> Any:
        return value

    @action
    def refuse(self, c: Context) -> None:
        raise UserError("not today", code="closed", metadata={"until": 7})


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    registry = Registry(Echo, store=MemoryStore())
    async with serving(registry) as url, httpx.AsyncClient(base_url=url) as opened:
        yield opened


async def post(
    client: httpx.AsyncClient, path: str, body: Any, sent: str = JSON, accept: str = "*/*"
) -> tuple[int, str, Any]:
    content = body if isinstance(body, bytes) else ENCODINGS[sent].encode(body)
    response = await client.post(path, content=content, headers={"Content-Type": sent, "Accept": accept})
    written_in = response.headers["content-type"]
    return response.status_code, written_in, ENCODINGS[written_in].decode(response.content)


@pytest.mark.parametrize("sent", [JSON, MSGPACK])
@pytest.mark.parametrize("accept", ["*/*", JSON, MSGPACK])
async def test_an_answer_is_in_what_was_asked_for(client: httpx.AsyncClient, sent: str, accept: str) -> None:
    expected = sent if accept == "*/*" else accept
    value = {"a": [1, "ä", None, 2.5]}
    body = {"key": ["k"], "args": [value]}
    answer = await post(client, "/actors/echo/actions/back", body, sent, accept)
    assert answer == (200, expected, {"value": value})
    status, written_in, found = await post(client, "/actors/echo/resolve", {"key": ["k"]}, sent, accept)
    assert (status, written_in, found["key"]) == (200, expected, ["k"])
    error = {"code": "closed", "message": "not today", "metadata": {"until": 7}}
    answer = await post(client, "/actors/echo/actions/refuse", {"key": ["k"]}, sent, accept)
    assert answer == (400, expected, {"error": error})
    status, written_in, fault = await post(client, "/actors/nobody/resolve", {}, sent, accept)
    assert (status, written_in, fault["error"]["code"]) == (404, expected, "unknown_actor")
    status, written_in, fault = await post(client, "/actors/echo/actions/a/b", {}, sent, accept)
    wanted = JSON if accept == "*/*" else accept  # no route has read its Content-Type
    assert (status, written_in, fault["error"]["code"]) == (404, wanted, "not_found")


async def test_bytes_go_both_ways_in_messagepack(client: httpx.AsyncClient) -> None:
    body = {"key": ["k"], "args": [b"\xff\x00"]}
    assert await post(client, "/actors/echo/actions/back", body, MSGPACK) == (
        200, MSGPACK, {"value": b"\xff\x00"},
    )  # fmt: skip
    status, _, fault = await post(client, "/actors/echo/actions/back", body, MSGPACK, JSON)
    assert (status, fault["error"]["code"]) == (500, "internal_error")


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"\x93\x01", b"\x81\xa1", b"\x90", b"\x91" * 2000 + b"\x90", b"\x80\x80"]
)
async def test_a_body_that_is_no_messagepack_or_no_object(client: httpx.AsyncClient, body: bytes) -> None:
    status, written_in, fault = await post(client, "/actors/echo/actions/back", body, MSGPACK)
    assert (status, written_in, fault["error"]["code"]) == (400, MSGPACK, "invalid_message")


async def test_a_client_that_could_not_read_the_answer_is_refused_before_anything_is_done(
    client: httpx.AsyncClient,
) -> None:
    body = {"key": ["k"], "args": [1]}
    for path in ("/actors/echo/actions/back", "/actors/echo/resolve"):
        status, written_in, fault = await post(client, path, body, JSON, "text/html, image/*;q=0.5")
        assert (status, written_in, fault["error"]["code"]) == (406, JSON, "not_acceptable")
    assert (await client.get("/health")).json()["actors"] == 0


async def test_what_is_sent_as_something_else_is_refused_in_what_was_asked_for(
    client: httpx.AsyncClient,
) -> None:
    headers = {"Content-Type": "text/plain", "Accept": MSGPACK}
    response = await client.post("/actors/echo/actions/back", content=b"{}", headers=headers)
    assert response.status_code == 415
    assert Encoding.MSGPACK.decode(response.content)["error"]["code"] == "unsupported_media_type"
