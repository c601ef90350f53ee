"""Posted messages whose caller has left without being noticed: under no server they are held for ever."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest
from hosting import SERVERS, Hosted, running

from ringcast.testing import eventually

REPLY_BYTES: Final = 600_000
MOST_REPLIES: Final = 100
"""More than sockets' own buffers take together, whatever the system."""
FULL_AFTER_S: Final = 0.5
TIMEOUT_S: Final = 60

pytestmark = pytest.mark.parametrize("name", [each for each in SERVERS if each != "ringcast"])
"""Our own tells it at once."""


async def listen(hosted: Hosted, stream: socket.socket) -> str:
    """Open a stream as a page does, of which nothing is asked; return the session's token."""
    loop = asyncio.get_running_loop()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stream.setblocking(False)
    await loop.sock_connect(stream, ("127.0.0.1", hosted.port))
    await loop.sock_sendall(stream, b"GET /realtime/actors/clerk/events?key=a HTTP/1.1\r\nHost: a\r\n\r\n")
    read = b""
    while b'"window_s"' not in read:
        part = await loop.sock_recv(stream, 1000)
        assert part, read
        read += part
    return read.partition(b'"session":"')[2].partition(b'"')[0].decode()


async def read_all(stream: socket.socket) -> None:
    while await asyncio.get_running_loop().sock_recv(stream, 1_048_576):
        pass


async def holds(http: httpx.AsyncClient) -> dict[str, int]:
    found: dict[str, int] = (await http.get("/holds")).json()
    return found


def call(id: int, length: int = REPLY_BYTES) -> Any:
    return ["call", id, "long", [length]]


class Poster:
    """Posts into a session."""

    def __init__(self, hosted: Hosted, http: httpx.AsyncClient, token: str) -> None:
        self._port = hosted.port
        self._http = http
        self._token = token

    async def post(self, body: Any) -> httpx.Response:
        headers = {"Ringcast-Session": self._token}
        return await self._http.post("/realtime/session/messages", json=body, headers=headers)

    async def post_until_one_waits(self) -> tuple[int, asyncio.Task[httpx.Response]]:
        """Return the id and the request of the one that does."""
        for id in range(1, MOST_REPLIES):
            posted = asyncio.create_task(self.post(call(id)))

            async def is_answered_or_waits(posted: asyncio.Task[httpx.Response] = posted) -> bool:
                return posted.done() or (await holds(self._http))["waiting"] > 0

            await eventually(is_answered_or_waits, timeout_s=TIMEOUT_S)
            # Perhaps it waits for no more than what the server is about to hand over.
            await asyncio.wait((posted,), timeout=FULL_AFTER_S)
            if not posted.done():
                return id, posted
        raise AssertionError(f"the server takes everything: {await holds(self._http)}")

    def post_with_another_behind(self, body: Any) -> socket.socket:
        """Send a post and a request behind it, in one socket."""
        content = json.dumps(body)
        lines = (
            "POST /realtime/session/messages HTTP/1.1",
            "Host: a",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            f"Ringcast-Session: {self._token}",
            "",
            f"{content}GET /realtime/health HTTP/1.1",
            "Host: a",
            "",
            "",
        )
        sock = socket.create_connection(("127.0.0.1", self._port))
        sock.sendall("\r\n".join(lines).encode())
        return sock


@contextlib.asynccontextmanager
async def listened(name: str) -> AsyncIterator[tuple[httpx.AsyncClient, socket.socket, Poster]]:
    """Give a client of the server, a stream that nobody reads, and who posts beside that."""
    with running(name, "behind_app:app") as hosted, socket.socket() as stream:
        async with (
            asyncio.timeout(TIMEOUT_S),
            httpx.AsyncClient(base_url=hosted.host_url, timeout=TIMEOUT_S) as http,
        ):
            yield http, stream, Poster(hosted, http, await listen(hosted, stream))


async def test_whoever_has_left_with_another_request_behind_is_let_go_of(name: str) -> None:
    async with listened(name) as (http, stream, poster):
        id, first = await poster.post_until_one_waits()
        left = [poster.post_with_another_behind(call(id + number, 10)) for number in (1, 2, 3)]
        asked = (await holds(http))["asked"]

        async def are_in() -> bool:
            return first.done() or (await holds(http))["waiting"] == 4

        await eventually(are_in)
        for each in left:
            each.close()
        told = await first

        async def are_out() -> bool:
            return (await holds(http))["waiting"] == 0

        await eventually(are_out, timeout_s=TIMEOUT_S)
        assert (told.status_code, told.json()["error"]["code"]) == (429, "rate_limited")
        assert told.headers["retry-after"] == "1"
        # Nothing of it has run, and what is posted again does as soon as its client reads.
        assert (await holds(http))["asked"] == asked
        reading = asyncio.create_task(read_all(stream))
        assert (await poster.post(call(id))).status_code == 204

        async def has_run() -> bool:
            return (await holds(http))["asked"] > asked

        await eventually(has_run)
        reading.cancel()
        await asyncio.wait([reading])


async def test_whoever_is_there_is_told_and_the_request_behind_is_answered(name: str) -> None:
    async with listened(name) as (_, _, poster):
        id, first = await poster.post_until_one_waits()
        sock = poster.post_with_another_behind(call(id + 1, 10))
        reader, writer = await asyncio.open_connection(sock=sock)
        heads = [await reader.readuntil(b"HTTP/1.1 ") for _ in range(2)]
        assert heads[0] == b"HTTP/1.1 "
        assert heads[1].startswith(b"429 ") and b"rate_limited" in heads[1]
        assert (await reader.readuntil(b"\r\n")).startswith(b"200 ")
        assert (await first).status_code == 429
        writer.close()
