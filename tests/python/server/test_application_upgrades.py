"""Upgrades for WebSockets of an application that the library behind them gives up, and sockets that cannot be
ended in order: a client is answered, its place is given back, and the server ends as ever."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
import websockets
from loops import Run
from raw_socket import UPGRADE
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

import programs
from certificates import Certificates
from ringcast import Actor, MemoryStore, Registry, ServerConfig
from ringcast.server.application import Beside, mounted
from ringcast.server.serve import serving
from ringcast.server.tls import server_context

TIMEOUT_S: Final = 25
CLOSE_FRAME: Final = b"\x88\x80mask"


class Room(Actor):
    """Beside the application."""


class Site:
    """An application with WebSockets, which notes what becomes of it."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.app = Starlette(
            routes=[WebSocketRoute("/ws", self.echo), WebSocketRoute("/full", self.fill)], lifespan=self.live
        )
        self.has_left = asyncio.Event()

    @contextlib.asynccontextmanager
    async def live(self, app: Starlette) -> AsyncIterator[None]:
        yield
        self.ended.append("in order")

    async def echo(self, client: WebSocket) -> None:
        await client.accept()
        async for text in client.iter_text():
            await client.send_text(text)

    async def fill(self, client: WebSocket) -> None:
        """Send more than any socket holds, and wait for the client to close."""
        await client.accept()
        await client.send_bytes(b"x" * 2**26)
        while (await client.receive())["type"] != "websocket.disconnect":
            pass
        self.has_left.set()


def asking(target: str = "/ws", *more: str, **changes: str) -> bytes:
    """Return a request to upgrade."""
    lines = {**UPGRADE, **{name.replace("_", "-"): value for name, value in changes.items()}}
    head = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()), *more]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n"


GIVEN_UP: Final = {
    "a body that comes": (asking(content_length="5") + b"hello", 400, "invalid_message"),
    "a body that does not": (asking(content_length="5"), 400, "invalid_message"),
    "no body, said oddly": (asking(content_length="00"), 400, "invalid_message"),
    "chunks": (asking(transfer_encoding="chunked") + b"0\r\n\r\n", 400, "invalid_message"),
    "chunks that do not come": (asking(transfer_encoding="chunked"), 400, "invalid_message"),
    "a long cookie": (asking(cookie="c" * 9000), 431, "head_too_large"),
    "many lines": (asking("/ws", *["a: b"] * 150), 431, "head_too_large"),
    "a long target": (asking("/ws?" + "q" * 9000), 431, "head_too_large"),
    "a target that is no ASCII": (asking("/ws?\xff"), 400, "invalid_message"),
}


class Client:
    """A socket to a server, closed at the end."""

    def __init__(self, url: str, trust: ssl.SSLContext | None) -> None:
        self._address = urlsplit(url)
        self._trust = trust

    async def __aenter__(self) -> Client:
        name = None if self._trust is None else "localhost"
        self._reader, self._writer = await asyncio.open_connection(
            self._address.hostname, self._address.port, ssl=self._trust, server_hostname=name
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def answer(self, request: bytes) -> tuple[int, bytes]:
        """Send a request that is answered with `connection: close`; return the status and the body."""
        self._writer.write(request)
        head, _, body = (await self._reader.read()).partition(b"\r\n\r\n")
        return int(head.split()[1]), body


async def is_free(url: str, trust: ssl.SSLContext | None) -> bool:
    ready = b"GET /realtime/ready HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"
    async with Client(url, trust) as client:
        return (await client.answer(ready))[0] == 200


@pytest.mark.parametrize("speaks_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", GIVEN_UP)
def test_what_is_given_up_is_refused_and_leaves_its_place(
    run: Run, certificates: Certificates, speaks_tls: bool, name: str
) -> None:
    request, status, code = GIVEN_UP[name]

    async def scenario() -> None:
        tls = trust = None
        if speaks_tls:
            tls = server_context(str(certificates.certificate), str(certificates.key))
            trust = certificates.client_context()
        config = ServerConfig(max_connections=1, uncounted_networks=(), close_timeout_s=60)
        registry, site = Registry(Room, store=MemoryStore(), config=config), Site()
        async with asyncio.timeout(TIMEOUT_S):
            async with serving(registry, tls=tls, beside=Beside((), mounted(registry, site.app))) as url:
                async with Client(url, trust) as client:
                    answered, body = await client.answer(request)
                    [(key, error)] = json.loads(body).items()
                    assert (answered, key, error["code"]) == (status, "error", code)
                while not await is_free(url, trust):
                    pass
                address, said = url.replace("http", "ws") + "/ws", {"Content-Length": "0"}
                async with websockets.connect(address, ssl=trust, additional_headers=said) as served:
                    await served.send("x")
                    assert await served.recv() == "x"
            assert site.ended == ["in order"]
        assert registry.router.limits_hit["connect_timeout_s"] == 0

    run(scenario())


def test_a_websocket_that_cannot_be_ended_in_order_costs_nobody_else_anything(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """One that its client has closed without reading: it is there still, and can be told nothing more."""

    async def scenario() -> None:
        config = ServerConfig(close_timeout_s=1)
        registry, site = Registry(Room, store=MemoryStore(), config=config), Site()
        async with asyncio.timeout(TIMEOUT_S), contextlib.AsyncExitStack() as stack:
            async with serving(registry, beside=Beside((), mounted(registry, site.app))) as url:
                # As many that the stuck one is most likely not the last to be ended.
                address = url.replace("http", "ws") + "/ws"
                others = [await stack.enter_async_context(websockets.connect(address)) for _ in range(4)]
                deaf = stack.enter_context(socket.socket())
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(deaf, ("127.0.0.1", urlsplit(url).port))
                await loop.sock_sendall(deaf, asking("/full"))
                assert (await loop.sock_recv(deaf, 100)).startswith(b"HTTP/1.1 101 ")
                await loop.sock_sendall(deaf, CLOSE_FRAME)
                await site.has_left.wait()
            assert site.ended == ["in order"]
            for other in others:
                with pytest.raises(websockets.ConnectionClosed):
                    await other.recv()
                assert other.close_code == 1012
        assert registry.running is None

    with caplog.at_level(logging.WARNING, "ringcast.server"):
        run(scenario())
    assert "a connection could not be told that the server stops" in caplog.messages


WITHOUT_WEBSOCKETS: Final = (
    "import sys; sys.modules['websockets'] = None; import ringcast.cli; ringcast.cli.main()"
)
SOURCE: Final = """
import contextlib
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol
from ringcast import Actor, MemoryStore, Registry


class Room(Actor): ...


@contextlib.asynccontextmanager
async def lifespan(app):
    yield
    print("ended in order", flush=True)


async def ws(client):
    await client.accept()
    await client.send_text(AutoWebSocketsProtocol.__module__)
    await client.close()


registry = Registry(Room, store=MemoryStore())
app = Starlette(routes=[WebSocketRoute("/ws", ws)], lifespan=lifespan)
"""


async def test_with_wsproto_it_is_the_same(tmp_path: Path) -> None:
    """It fails at a name of a host that cannot be one, and waits for a body that is announced."""
    (tmp_path / "site_of_wsproto.py").write_text(SOURCE)
    options = ("--port", "0", "--app", "site_of_wsproto:app", "--max-connections", "1")
    server = programs.start(
        *(sys.executable, "-c", WITHOUT_WEBSOCKETS, "serve", "site_of_wsproto:registry", *options),
        cwd=tmp_path,
    )
    said = server.err.until("serving ")
    url = f"http://127.0.0.1:{said.rpartition('http://')[2].partition('/')[0].rpartition(':')[2]}"
    try:
        async with asyncio.timeout(TIMEOUT_S):
            for request in (asking(host="xn--99999999"), asking(content_length="5")):
                async with Client(url, None) as client:
                    status, body = await client.answer(request)
                assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_message")
                while not await is_free(url, None):
                    pass
            async with websockets.connect(url.replace("http", "ws") + "/ws") as served:
                assert await served.recv() == "uvicorn.protocols.websockets.wsproto_impl"
    finally:
        ended = server.finish(signal.SIGTERM)
    assert (ended.code, ended.out) == (0, ["ended in order"])
    assert not [line for line in ended.err if "Traceback" in line], ended.err
