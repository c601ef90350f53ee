"""How long the head of a request may be, to the byte and however it comes, and what must be in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from raw_socket import TIMEOUT_S
from served_here import ServedHere
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from ringcast import Actor, MemoryStore, Registry, ServerConfig
from ringcast.server.application import NOTHING_BESIDE, Beside, mounted
from ringcast.server.first_read import MAX_HEAD_BYTES
from ringcast.server.serve import serving

HEALTH: Final = b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
UPGRADE: Final = (
    b"GET /connect HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-protocol: ringcast.v1.json\r\n"
)
BODY: Final = b'{"key":["k"],"args":[]}'
CALL: Final = (
    b"POST /actors/room/actions/none HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n" % len(BODY)
)


class Room(Actor):
    """Somebody to call."""


def padded(head: bytes, size: int, line: bytes = b"x: %b\r\n", behind: bytes = b"") -> bytes:
    """Return `head` with one more line in it, so that it is so long."""
    return head + line % (b"a" * (size - len(head) - len(line % b"") - 2)) + b"\r\n" + behind


def many_lines(size: int) -> bytes:
    lines = b"a:b\r\n" * ((size - len(HEALTH) - 100) // 5)
    return padded(HEALTH + lines, size)


def wide(size: int) -> bytes:
    """Nothing but spaces, which no header has that has been read."""
    return HEALTH + b"x:" + b" " * (size - len(HEALTH) - 7) + b"y\r\n\r\n"


def long_query(size: int) -> bytes:
    around = b"GET /health? HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    return around.replace(b"?", b"?" + b"q" * (size - len(around)))


KINDS: Final[dict[str, tuple[Any, int]]] = {
    "one header": (lambda size: padded(HEALTH, size), 200),
    "many headers": (many_lines, 200),
    "spaces": (wide, 200),
    "query": (long_query, 200),
    "body behind it": (lambda size: padded(CALL, size, behind=BODY), 404),
    "upgrade": (lambda size: padded(UPGRADE, size), 101),
    "upgrade with something unusual": (lambda size: padded(UPGRADE + b"upgrade: websocket\r\n", size), 101),
    # As long as a header that has been read is at least: what came before it hides where it began.
    "behind a body": (
        lambda size: CALL + b"\r\n" + BODY + padded(HEALTH.replace(b": ", b":"), size, b"x:%b\r\n"),
        200,
    ),
}


@asynccontextmanager
async def served(app: ASGIApp | None = None, **limits: Any) -> AsyncIterator[ServedHere]:
    registry = Registry(Room, store=MemoryStore(), config=ServerConfig(**limits))
    beside = NOTHING_BESIDE if app is None else Beside(application=mounted(registry, app))
    async with serving(registry, beside=beside) as url:
        yield ServedHere(url, registry)


def exchanged(url: str, data: bytes, most: int, wanted: int = 1) -> bytes:
    """Send `data`, in writes of at most so many bytes, and return what comes until there are so many answers
    or the end."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), TIMEOUT_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Refused before all of it was sent. What has been answered can be read all the same.
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(data), most):
                sock.sendall(data[start : start + most])
        said = b""
        with contextlib.suppress(ConnectionError):
            while said.count(b"HTTP/1.1 ") < wanted or b"\r\n\r\n" not in said.rpartition(b"HTTP/1.1 ")[2]:
                part = sock.recv(65_536)
                if not part:
                    break
                said += part
        return said


async def answers(url: str, data: bytes, most: int = 1 << 20, wanted: int = 1) -> list[int]:
    """Return the statuses of all answers."""
    said = await asyncio.to_thread(exchanged, url, data, most, wanted)
    return [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("name", KINDS)
async def test_heads_are_so_long_at_most_however_they_come(name: str) -> None:
    make, status = KINDS[name]
    before = [404] if name == "behind a body" else []
    async with served() as server:
        for size, expected in (
            (MAX_HEAD_BYTES - 1, status),
            (MAX_HEAD_BYTES, status),
            (MAX_HEAD_BYTES + 1, 431),
            (MAX_HEAD_BYTES + 1000, 431),
            (2 * MAX_HEAD_BYTES, 431),
            (60_000, 431),
        ):
            data = make(size)
            assert len(data.removesuffix(BODY)) >= size
            for most in (1 << 20, 8000, 1000):
                wanted = len(before) + 1
                found = await answers(server.url, data, most, wanted)
                # The answer to what was before it may be overtaken by a refusal, and nothing comes behind it.
                assert found in ([*before, expected], [expected]), (size, most)
                assert found[-1] == expected


async def test_each_head_on_a_socket_counts_by_itself() -> None:
    head = padded(HEALTH.replace(b"connection: close\r\n", b""), MAX_HEAD_BYTES)
    async with served() as server:
        assert await answers(server.url, head * 4, 5000, 4) == [200] * 4
        assert await answers(server.url, head * 4, wanted=4) == [200] * 4


async def test_a_refusal_says_why() -> None:
    async with served() as server:
        said = await asyncio.to_thread(exchanged, server.url, padded(HEALTH, MAX_HEAD_BYTES + 1), 1 << 20)
        head, _, body = said.partition(b"\r\n\r\n")
        assert b"content-type: application/json" in head
        assert json.loads(body)["error"]["code"] == "head_too_large"


async def test_a_refusal_is_not_written_in_the_middle_of_another_response() -> None:
    async def endless(request: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"begun"
            await asyncio.Event().wait()

        return StreamingResponse(parts())

    async with served(Starlette(routes=[Route("/endless", endless)]), close_timeout_s=1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
        async with asyncio.timeout(TIMEOUT_S):
            writer.write(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n")
            await reader.readuntil(b"begun\r\n")
            writer.write(b"GET /endless HTTP/1.1\r\n\r\n")
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    ("first", "lines", "status"),
    [
        (b"GET /health HTTP/1.1", [], 400),
        (b"GET /health HTTP/1.1", [b"host: a", b"Host: a"], 400),
        (b"GET /health HTTP/1.1", [b"host: a"], 200),
        (b"GET /health HTTP/1.1", [b"HOST:"], 200),
        (b"GET http://a/health HTTP/1.1", [], 400),
        (b"GET /health HTTP/1.0", [], 200),
        (b"GET /health HTTP/1.0", [b"host: a", b"host: b"], 400),
        (b"GET /connect HTTP/1.1", [*UPGRADE.split(b"\r\n")[2:-1]], 400),
        (b"GET /connect HTTP/1.1", [b"host: a", *UPGRADE.split(b"\r\n")[1:-1]], 400),
        (b"GET /connect HTTP/1.1", [*UPGRADE.split(b"\r\n")[1:-1]], 101),
    ],
)
async def test_a_request_says_its_host_once(first: bytes, lines: list[bytes], status: int) -> None:
    async with served() as server:
        request = b"\r\n".join([first, *lines, b"\r\n"]) if lines else first + b"\r\n\r\n"
        assert await answers(server.url, request) == [status]
        said = await asyncio.to_thread(exchanged, server.url, request, 1 << 20)
        if status == 400:
            assert b"Host" in said and b'"invalid_message"' in said


@pytest.mark.parametrize(
    "parts",
    [
        (HEALTH.replace(b"connection: close\r\n", b"\r\n"), b"\r\n"),
        (CALL.replace(b"application/json", b"text/plain") + b"\r\n", BODY),
    ],
    ids=["an empty line", "the end of a body that nobody waited for"],
)
async def test_who_says_nothing_that_can_be_answered_is_not_waited_for_for_ever(
    parts: tuple[bytes, bytes],
) -> None:
    async with served(idle_timeout_s=0.5, connect_timeout_s=TIMEOUT_S) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
        async with asyncio.timeout(TIMEOUT_S):
            writer.write(parts[0])
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 ")
            writer.write(parts[1])
            await reader.read()  # to its end
        writer.close()
        assert server.hit == {"idle_timeout_s": 1}


@pytest.mark.parametrize(
    ("head", "status", "limits"),
    [
        (CALL, 408, {"connect_timeout_s": 1}),
        (CALL.replace(b"application/json", b"text/plain"), 415, {"connect_timeout_s": 1}),
    ],
    ids=["waited for", "refused before"],
)
async def test_a_body_that_does_not_come_counts_once(
    head: bytes, status: int, limits: dict[str, int]
) -> None:
    async with served(connect_timeout_s=0.2, idle_timeout_s=0.1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
        async with asyncio.timeout(TIMEOUT_S):
            writer.write(head + b"\r\n")
            answer = await reader.read()  # to its end
        writer.close()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert server.hit == limits
