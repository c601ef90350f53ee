"""A proxy that does not pass everything on, and an actor behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from ringcast import Actor, Client, Context, MemoryStore, Registry, action
from ringcast.client import ClientConfig
from ringcast.errors import RingcastError
from ringcast.server.serve import serving
from ringcast.testing import eventually

__all__ = ["IMPATIENT", "LIMIT", "Proxy", "Refuse", "come_back", "desk", "longer_than", "posted", "refused"]

TIMEOUT_S: Final = 20
LIMIT: Final = 2000
"""Of what the proxy passes on, by far below that of the server."""
IMPATIENT: Final = ClientConfig(
    reconnect_first_s=0.01, reconnect_base_s=0.01, reconnect_max_s=0.05, max_call_attempts=3
)
PAGE: Final = b"<html><body>nginx</body></html>"

Refuse = Callable[[str, bytes], str | None]
"""Takes the first line of a request and its body, and returns the status with which to refuse it, if any."""


class Proxy:
    """Stands before a server, takes one request of a socket, and answers some itself, with a page."""

    def __init__(self, url: str) -> None:
        self._port = int(url.rpartition(":")[2])
        self.refuse: Refuse = lambda _line, _body: None
        self.page = PAGE
        """What it says then."""
        self.headers: tuple[str, ...] = ()
        """What its head says besides."""
        self.pause_s: float | None = None
        """Says the page again and again, so long after another, and never ends; None: once."""
        self.without_server: str | None = None
        """The status with which it answers where the server is lost; None: it hangs up."""
        self.refused: list[bytes] = []
        """The bodies of what was."""
        self._writers: list[asyncio.StreamWriter] = []
        self._to_server: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            line, *lines = head.decode().strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            status = self.refuse(line, body)
            if status is None:
                lines = [each for each in lines if not each.lower().startswith("connection:")]
                await self._pass_on(
                    "\r\n".join([line, *lines, "Connection: close", "", ""]).encode() + body, writer
                )
            else:
                self.refused.append(body)
                await self._answer(status, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one side has gone
        finally:
            writer.close()

    async def _answer(self, status: str, writer: asyncio.StreamWriter) -> None:
        told = self.pause_s is not None or any(each.startswith("Content-Length:") for each in self.headers)
        length = [] if told else [f"Content-Length: {len(self.page)}"]
        lines = [f"HTTP/1.1 {status}", *self.headers, *length, "Connection: close", "", ""]
        writer.write("\r\n".join(lines).encode() + self.page)
        await writer.drain()
        while self.pause_s is not None:
            await asyncio.sleep(self.pause_s)
            writer.write(self.page)
            await writer.drain()

    async def _pass_on(self, request: bytes, client: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(writer)
        self._to_server.append(writer)
        writer.write(request)
        answered = False
        while data := await reader.read(65_536):
            answered = True
            client.write(data)
            await client.drain()
        writer.close()
        if not answered and self.without_server is not None:
            await self._answer(self.without_server, client)

    def lose_server(self) -> None:
        """Lose every socket to the server, and none to a client."""
        for writer in self._to_server:
            writer.transport.abort()
        self._to_server.clear()

    def cut(self) -> None:
        """Lose every socket."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


def longer_than(limit: int, status: str = "413 Request Entity Too Large") -> Refuse:
    return lambda line, body: status if line.startswith("POST ") and len(body) > limit else None


def posted(status: str) -> Refuse:
    return lambda line, body: status if "/session/messages" in line and b"call" in body else None


class Desk(Actor):
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.signed = asyncio.Event()

    @action
    def note(self, c: Context, text: str) -> int:
        self.heard.append(text)
        c.broadcast("noted", len(text))
        return len(text)

    @action
    async def note_and_wait(self, c: Context, text: str) -> int:
        self.heard.append(text)
        await self.signed.wait()
        return len(text)

    @action
    def sign(self, c: Context) -> None:
        self.signed.set()

    @action
    def noted(self, c: Context) -> int:
        return len(self.heard)


@asynccontextmanager
async def desk(config: ClientConfig = IMPATIENT) -> AsyncIterator[tuple[Any, Proxy]]:
    """Give a desk, and the proxy on the way there."""
    async with asyncio.timeout(TIMEOUT_S), serving(Registry(Desk, store=MemoryStore())) as url:
        proxy = Proxy(url)
        async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
            far = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with Client(far, transport="sse", config=config) as client:
                yield client.desk.get_or_create("k"), proxy
            proxy.cut()


async def refused(call: Awaitable[Any]) -> RingcastError:
    """Return the error that a call ends with."""
    with pytest.raises(RingcastError) as refused:
        await call
    return refused.value


async def come_back(connection: Any, proxy: Proxy) -> None:
    """Lose the network, and wait until the connection has come back."""
    proxy.cut()
    await eventually(lambda: connection.status == "reconnecting")
    await connection.ready()
