"""What hooks and actions see of the request that a client came with, and what is left of it afterwards."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_socket import TIMEOUT_S, Raw, opened

from ringcast import Actor, Context, MemoryStore, Registry, action
from ringcast.errors import RingcastError
from ringcast.request import EMPTY, Headers, Request
from ringcast.server.serve import serving

SECRET = "s3cret-" + "x" * 40


@dataclass
class Came:
    """What was seen, kept in the connection's state as an application would."""

    seen: list[Any]


def look(request: Request) -> list[Any]:
    return [
        request.transport,
        request.address,
        request.path,
        request.query,
        request.headers.get("X-Client"),
        request.cookies.get("sid"),
        request.origin,
    ]


class Porch(Actor[None, Came]):
    def __init__(self) -> None:
        self.before: list[Any] = []

    def on_before_connect(self, c: Context[None, Came], params: Any) -> None:
        self.before = look(c.request)
        if params == "later":
            raise RingcastError("no", code="no")

    def create_conn_state(self, c: Context[None, Came], params: Any) -> Came:
        assert look(c.request) == self.before
        assert c.has_request
        return Came(look(c.request))

    @action
    def seen(self, c: Context[None, Came]) -> list[Any]:
        return c.conn.state.seen

    @action
    def mine(self, c: Context[None, Came]) -> list[Any] | None:
        return look(c.request) if c.has_request else None

    @action
    def must(self, c: Context[None, Came]) -> list[Any]:
        return look(c.request)


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with Registry(Porch, store=MemoryStore()) as registry:
        yield registry


@pytest.fixture
async def url(registry: Registry) -> AsyncIterator[str]:
    async with serving(registry) as url:
        yield url


@pytest.mark.parametrize("padding", [0, 3000], ids=["short", "long"])
async def test_over_a_websocket(url: str, padding: int) -> None:
    headers = {
        "X-Client": "größe".encode().decode("latin-1"),
        "Cookie": f"a=1; sid={SECRET}; b={'x' * padding}",
    }
    async with opened(url, {**headers, "Origin": url}) as socket:
        await socket.connect("porch")
        seen = await socket.ask("call", "seen", [])
        assert seen == [
            "websocket", "127.0.0.1", "/connect", {}, headers["X-Client"], SECRET, url,
        ]  # fmt: skip
        # Afterwards there is none.
        assert await socket.ask("call", "mine", []) is None
        assert (await socket.ask("call", "must", []))["code"] == "internal_error"


@pytest.mark.parametrize(
    "target", ["/connect?ticket=t%201&ticket=t2&x=", "http://here/connect?ticket=t%201&ticket=t2&x="]
)
async def test_path_and_query_by_either_way_of_upgrading(url: str, target: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    writer.write(
        f"GET {target} HTTP/1.1\r\nhost: here\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
        "sec-websocket-protocol: ringcast.v1.json\r\n\r\n".encode()
    )
    message = b'["connect",{"actor":"porch","key":["k"]}]'
    async with asyncio.timeout(TIMEOUT_S):
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(bytes([0x81, 0x80 | len(message)]) + bytes(4) + message)
        assert b"connected" in await reader.read(2000)
    async with opened(url) as other:
        await other.connect("porch")
    writer.close()
    async with httpx.AsyncClient(base_url=url) as client:
        response = await client.post("/actors/porch/actions/mine?ticket=1", json={"key": ["k"]})
        assert response.json()["value"][:4] == [
            "http", "127.0.0.1", "/actors/porch/actions/mine", {"ticket": "1"},
        ]  # fmt: skip


async def test_in_an_action_over_http(url: str) -> None:
    headers = {"X-Client": "curl", "Cookie": f"sid={SECRET}"}
    async with httpx.AsyncClient(base_url=url) as client:
        response = await client.post("/actors/porch/actions/must", json={"key": ["k"]}, headers=headers)
    path = "/actors/porch/actions/must"
    assert response.json()["value"] == ["http", "127.0.0.1", path, {}, "curl", SECRET, None]


async def test_a_client_in_this_process_comes_with_an_empty_one(registry: Registry) -> None:
    empty = look(EMPTY)
    assert empty == ["in_process", None, "", {}, None, None, None]
    porch = registry.client.get_or_create("porch", ["k"])
    assert await porch.must() == empty
    async with porch.connect() as connection:
        assert await connection.seen() == empty


def requests() -> list[Request]:
    return [each for each in gc.get_objects() if type(each) is Request]


async def test_nothing_of_it_is_kept(url: str) -> None:
    # What other tests have left is not of interest.
    before = requests()

    async def hold(socket: Raw) -> None:
        await socket.connect("porch")

    headers = {"Cookie": f"sid={SECRET}"}
    async with opened(url, headers) as first, opened(url, {**headers, "X-Pad": "x" * 3000}) as second:
        await hold(first)
        await hold(second)
        async with opened(url, headers) as refused:
            assert (await refused.connect("porch", params="later"))[2]["code"] == "no"
            gc.collect()
            assert [each for each in requests() if all(each is not other for other in before)] == []


class Locked(Actor):
    """Takes calls of connections, and of who has the right header."""

    def can_call(self, c: Context, action: str) -> bool:
        return c.has_conn or c.request.headers.get("authorization") == SECRET

    @action
    def enter(self, c: Context) -> str:
        return "in"


async def test_a_call_over_http_is_allowed_by_what_it_came_with() -> None:
    async with (
        serving(Registry(Locked, store=MemoryStore())) as url,
        httpx.AsyncClient(base_url=url) as client,
        opened(url) as socket,
    ):
        path, body = "/actors/locked/actions/enter", {"key": ["k"]}
        assert (await client.post(path, json=body)).status_code == 403
        response = await client.post(path, json=body, headers={"Authorization": SECRET})
        assert response.json() == {"value": "in"}
        await socket.connect("locked")
        assert await socket.ask("call", "enter", []) == "in"


def test_nothing_of_it_gets_into_a_log() -> None:
    head = f"GET /connect?ticket={SECRET} HTTP/1.1\r\nauthorization: {SECRET}\r\n\r\n".encode()
    request = Request("websocket", "192.0.2.7", f"/connect?ticket={SECRET}", head)
    assert repr(request) == "<Request websocket from 192.0.2.7>"
    assert repr(request.headers) == "<Headers authorization>"
    assert request.headers["Authorization"] == SECRET


def test_headers_that_are_there_more_than_once() -> None:
    lines = [(b"X-A", b"1"), (b"cookie", b"a=1"), (b"x-a", b" 2\t"), (b"Cookie", b'b="2"; a=3; broken')]
    headers = Headers(lines)
    assert headers["x-A"] == "1, 2"
    assert "X-a" in headers and "other" not in headers and 1 not in headers
    assert (list(headers), len(headers)) == (["x-a", "cookie"], 2)
    assert Request(raw_headers=lines).cookies == {"a": "1", "b": "2"}


@settings(deadline=None)
@given(st.binary(max_size=200), st.text(max_size=60))
def test_whatever_comes_can_be_looked_at(head: bytes, target: str) -> None:
    look(Request("websocket", None, target, head))
