"""What a proxy does not pass on to the server fails by itself, and is not sent again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from ringcast import Actor, Client, Context, MemoryStore, Registry, action
from ringcast.client import ClientConfig
from ringcast.errors import (
    ConnectionRefused,
    Forbidden,
    InternalError,
    MessageTooBig,
    RingcastError,
    SubscriptionRefused,
    Unauthorized,
)
from ringcast.server.serve import serving
from ringcast.testing import eventually

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
    """Stands before a server, takes one request of a socket, and answers some itself, with a page in HTML."""

    def __init__(self, url: str) -> None:
        self._port = int(url.rpartition(":")[2])
        self.refuse: Refuse = lambda _line, _body: None
        self.refused: list[bytes] = []
        """The bodies of what was."""
        self._writers: list[asyncio.StreamWriter] = []

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
                said = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(PAGE)}\r\n"
                writer.write(said.encode() + b"Connection: close\r\n\r\n" + PAGE)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one side has gone
        finally:
            writer.close()

    async def _pass_on(self, request: bytes, client: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(writer)
        writer.write(request)
        while data := await reader.read(65_536):
            client.write(data)
            await client.drain()
        writer.close()

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

    @action
    def note(self, c: Context, text: str) -> int:
        self.heard.append(text)
        c.broadcast("noted", len(text))
        return len(text)

    @action
    def noted(self, c: Context) -> int:
        return len(self.heard)


@asynccontextmanager
async def desk() -> AsyncIterator[tuple[Any, Proxy]]:
    """Give a desk, and the proxy on the way there."""
    async with asyncio.timeout(TIMEOUT_S), serving(Registry(Desk, store=MemoryStore())) as url:
        proxy = Proxy(url)
        async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
            far = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with Client(far, transport="sse", config=IMPATIENT) as client:
                yield client.desk.get_or_create("k"), proxy
            proxy.cut()


async def refused(call: Awaitable[Any]) -> RingcastError:
    with pytest.raises(RingcastError) as refused:
        await call
    return refused.value


async def test_a_call_that_is_too_long_for_a_proxy_fails_alone() -> None:
    async with desk() as (handle, proxy), handle.connect() as connection:
        id, events = connection.id, asyncio.Queue[int]()
        connection.on("noted", events.put_nowait)
        assert await connection.note("before") == 6
        proxy.refuse = longer_than(LIMIT)
        long, short = "x" * LIMIT, "y" * (LIMIT // 2)
        # In one request, of which the proxy does not say what is wrong with it.
        answers = await asyncio.gather(
            *map(connection.note, [short, long, short, "last"]), return_exceptions=True
        )
        error = answers.pop(1)
        assert answers == [LIMIT // 2, LIMIT // 2, 4]
        assert isinstance(error, MessageTooBig) and "413" in error.message
        assert [long.encode() in body for body in proxy.refused] == [True, True]
        assert [await events.get() for _ in range(4)] == [6, LIMIT // 2, LIMIT // 2, 4]
        assert (connection.status, connection.id, connection.last_error) == ("connected", id, None)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad Request", InternalError),
        ("401 Unauthorized", Unauthorized),
        ("403 Forbidden", Forbidden),
        ("404 Not Found", InternalError),
        ("413 Content Too Large", MessageTooBig),
        ("431 Headers Too Large", InternalError),
    ],
)
async def test_a_call_that_a_proxy_refuses_is_not_repeated(status: str, kind: type[RingcastError]) -> None:
    async with desk() as (handle, proxy), handle.connect() as connection:
        id = connection.id
        proxy.refuse = posted(status)
        error = await refused(connection.note("a"))
        assert type(error) is kind and status[:3] in error.message
        assert len(proxy.refused) == 1
        proxy.refuse = longer_than(LIMIT)
        assert await connection.noted() == 0
        assert (connection.status, connection.id) == ("connected", id)


async def test_one_that_was_refused_is_none_that_was_answered() -> None:
    """A server that is told of an answer that it has not given begins the session anew."""
    async with desk() as (handle, proxy), handle.connect() as connection:
        id, gaps = connection.id, list[Any]()
        connection.on("gap", gaps.append)
        proxy.refuse = posted("413 Content Too Large")
        assert isinstance(await refused(connection.note("a")), MessageTooBig)
        for _ in range(2):
            proxy.cut()
            await eventually(lambda: connection.status == "reconnecting")
            await connection.ready()
        proxy.refuse = longer_than(LIMIT)
        assert await connection.note("b") == 1
        assert (connection.id, gaps) == (id, [])


@pytest.mark.parametrize(
    "status", ["408 Request Timeout", "425 Too Early", "429 Too Many Requests", "502 Bad Gateway"]
)
async def test_what_may_pass_is_sent_again(status: str) -> None:
    async with desk() as (handle, proxy), handle.connect() as connection:
        id = connection.id
        proxy.refuse = posted(status)
        calling = asyncio.ensure_future(connection.note("a"))
        await eventually(lambda: len(proxy.refused) > 2)
        proxy.refuse = longer_than(LIMIT)
        assert await calling == 1
        assert await connection.noted() == 1
        assert connection.id == id


async def test_a_subscription_that_is_too_long_for_a_proxy_fails_alone() -> None:
    async with desk() as (handle, proxy), handle.connect() as connection:
        id, errors = connection.id, asyncio.Queue[Any]()
        connection.on("error", errors.put_nowait)
        proxy.refuse = longer_than(LIMIT)
        connection.on("noted", lambda _length: None, where={"text": "x" * LIMIT})
        for _ in range(2):
            error = await errors.get()
            assert isinstance(error, SubscriptionRefused) and error.code == "message_too_big"
            assert await connection.note("a") == 1
            proxy.cut()
            await eventually(lambda: connection.status == "reconnecting")
            await connection.ready()
        assert connection.id == id


async def test_a_connect_that_is_too_long_for_a_proxy_is_refused_for_good() -> None:
    async with desk() as (handle, proxy):
        proxy.refuse = longer_than(LIMIT)
        connection = handle.connect(params={"token": "x" * LIMIT})
        with pytest.raises(ConnectionRefused, match="413") as refused:
            await connection.ready()
        assert refused.value.code == "message_too_big"
        assert len(proxy.refused) == 1


async def test_so_it_is_with_a_call_that_needs_no_connection() -> None:
    async with desk() as (handle, proxy):
        proxy.refuse = longer_than(LIMIT)
        assert isinstance(await refused(handle.note("x" * LIMIT)), MessageTooBig)
        assert len(proxy.refused) == 1
        proxy.refuse = longer_than(0, "404 Not Found")
        error = await refused(handle.note("a"))
        assert type(error) is InternalError and "404" in error.message
        assert len(proxy.refused) == 2
