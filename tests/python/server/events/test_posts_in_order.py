"""Messages posted while their client reads nothing: they are handled in the order in which they came."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
from collections.abc import AsyncIterator
from typing import ClassVar
from urllib.parse import urlsplit

from streamed import post

from event_source import Response, request
from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.server.serve import serving
from ringcast.testing import eventually

TIMEOUT_S = 60
POSTS = 12
REPLY_CHARS = 600_000
READS_EVERY_S = 0.03
DEAD_AFTER_S = 3.0


class Desk(Actor):
    taken: ClassVar[list[int]] = []

    @action
    def long(self, c: Context) -> str:
        return "x" * REPLY_CHARS

    @action
    def take(self, c: Context, number: int) -> int:
        self.taken.append(number)
        return number


def waiting() -> int:
    """Return how many posts wait for their client to read."""
    return sum(task.get_name() == "waiting post" for task in asyncio.all_tasks())


class Client:
    """Has a stream of events that it reads when it is told to."""

    def __init__(self, url: str, stream: socket.socket) -> None:
        self.token = ""
        self._url = url
        self._stream = stream
        self._ids = itertools.count(1)
        self._read = bytearray()

    async def read(self, pattern: bytes, count: int) -> list[str]:
        """Read until there are so many of these, and return them."""
        while len(found := re.findall(pattern, self._read)) < count:
            part = await asyncio.get_running_loop().sock_recv(self._stream, 1_048_576)
            assert part, "the stream has ended"
            # What is long says nothing.
            self._read += part.replace(b"x" * 1000, b"")
        return [each.decode() for each in found]

    async def read_slowly(self, for_s: float) -> None:
        """Read so little for so long that the system takes nothing more for it meanwhile."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + for_s
        while loop.time() < until_s:
            self._read += (await loop.sock_recv(self._stream, 4096)).replace(b"x" * 1000, b"")
            await asyncio.sleep(READS_EVERY_S)

    def post(self, *call: object) -> asyncio.Task[Response]:
        return asyncio.create_task(post(self._url, self.token, ["call", next(self._ids), *call]))


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    address, loop = urlsplit(url), asyncio.get_running_loop()
    body = b'{"key":["a"]}'
    head = "POST /actors/desk/events HTTP/1.1", "Host: a", "Content-Type: application/json"
    lines = *head, f"Content-Length: {len(body)}", "", ""
    with socket.socket() as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        stream.setblocking(False)
        await loop.sock_connect(stream, (address.hostname, address.port))
        await loop.sock_sendall(stream, "\r\n".join(lines).encode() + body)
        client = Client(url, stream)
        [client.token] = await client.read(b'"session":"([^"]+)"', 1)
        yield client


async def test_the_order_in_which_they_came_is_that_in_which_they_are_handled() -> None:
    Desk.taken.clear()
    config = ServerConfig(heartbeat_s=0.1, dead_peer_timeout_s=TIMEOUT_S)
    registry = Registry(Desk, store=MemoryStore(), config=config)
    async with asyncio.timeout(TIMEOUT_S), serving(registry) as url, connected(url) as client:
        clock = await request(url, "/actors/desk/events?key=clock")
        posted: list[asyncio.Task[Response]] = []

        async def post_and_wait(*call: object) -> None:
            """Post one; return when all that have no answer wait, and have waited for different times."""
            posted.append(client.post(*call))
            await eventually(lambda: waiting() == sum(not each.done() for each in posted))
            if waiting():
                while b"heartbeat" not in await clock.part():
                    pass

        while not waiting():
            await post_and_wait("long", [])
        for number in range(POSTS):
            await post_and_wait("take", [number])
        answers = await client.read(rb'data: \["(?:reply|error)",\d+', len(posted))
        assert answers == [f'data: ["reply",{id}' for id in range(1, len(posted) + 1)]
        assert Desk.taken == list(range(POSTS))
        assert [(await each).status for each in posted] == [204] * len(posted)
        assert not waiting()
        clock.writer.close()


async def test_those_of_a_client_that_reads_slowly_wait() -> None:
    config = ServerConfig(heartbeat_s=DEAD_AFTER_S / 3, dead_peer_timeout_s=DEAD_AFTER_S)
    registry = Registry(Desk, store=MemoryStore(), config=config)
    async with asyncio.timeout(TIMEOUT_S), serving(registry) as url, connected(url) as client:
        posted: list[asyncio.Task[Response]] = []
        while not waiting():
            posted.append(client.post("long", []))
            await eventually(lambda: waiting() or posted[-1].done())
        await client.read_slowly(2 * DEAD_AFTER_S)
        assert waiting() == 1
        await client.read(rb'data: \["reply",\d+', len(posted))
        assert [(await each).status for each in posted] == [204] * len(posted)
