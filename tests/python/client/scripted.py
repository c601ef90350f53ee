"""A server that does what a test tells it: real sockets and real frames, no actors.

It speaks `ringcast.protocol` over the `websockets` library, so that a test can produce any order of messages,
cuts, duplicates, gaps and refusals that a real server gives only by accident.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from ringcast.client import Connection
from ringcast.wire.encoding import Encoding
from ringcast.wire.parsing import parse_client_message
from ringcast.wire.protocol import Call, ClientMessage, Connect, Connected, Event, Gap, ServerMessage

TIMEOUT_S = 5.0
"""How long a test waits for something that must happen."""


class Peer:
    """The server's end of one client socket."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self.path = "" if socket.request is None else socket.request.path
        self.encoding = next(e for e in Encoding if e.subprotocol == socket.subprotocol)
        self.done = asyncio.Event()

    async def receive(self) -> ClientMessage:
        """Return the client's next message."""
        async with asyncio.timeout(TIMEOUT_S):
            payload = await self._socket.recv()
        assert isinstance(payload, str) is self.encoding.is_text
        return parse_client_message(self.encoding, payload.encode() if isinstance(payload, str) else payload)

    async def receive_call(self) -> Call:
        message = await self.receive()
        assert isinstance(message, Call), message
        return message

    def send(self, *messages: Any) -> None:
        """Send messages in one write, so that the client gets them in one read."""
        self.send_raw(b"".join(map(self.frame, messages)))

    def frame(self, message: Any) -> bytes:
        """Return the frame of a message, or of a list or dict as it is."""
        if isinstance(message, Gap):
            message = ["gap", message.to_wire()]
        payload = self.encoding.encode(message if isinstance(message, list | dict) else message.to_wire())
        return Frame(Opcode.TEXT if self.encoding.is_text else Opcode.BINARY, payload).serialize(mask=False)

    def send_raw(self, data: bytes) -> None:
        self._socket.transport.write(data)

    async def welcome(self, *then: ServerMessage, **fields: Any) -> Connect:
        """Receive the connect message and accept it; `then` goes out in the same write."""
        connect = await self.receive()
        assert isinstance(connect, Connect), connect
        self.send(self.answer(**fields), *then)
        return connect

    def answer(self, **fields: Any) -> Connected:
        """Return the answer to a connect message; `fields` go before the usual ones."""
        usual = {
            "stream": 1, "epoch": "e1", "offset": 0, "connection": "c1", "session": "s1", "actor_id": "a1",
            "window_s": 30.0,
        }  # fmt: skip
        return Connected(**{**usual, **fields})

    async def turn_away(self, metadata: Any) -> None:
        """Receive the connect message and refuse it for now."""
        await self.receive()
        error = {"code": "try_again_later", "message": "busy", "metadata": metadata}
        self.send(["error", None, error])
        await self.close(1013)

    def cut(self) -> None:
        """Lose the network: no close frame."""
        self._socket.transport.abort()
        self.done.set()

    def stop_reading(self) -> None:
        """Play dead: the socket stays open, and nothing is answered any more."""
        self._socket.transport.pause_reading()

    async def close(self, code: int, reason: str = "") -> None:
        await self._socket.close(code, reason)
        self.done.set()

    async def closed(self) -> int | None:
        """Wait until the client has closed; return its close code."""
        async with asyncio.timeout(TIMEOUT_S):
            await self._socket.wait_closed()
        self.done.set()
        return self._socket.close_code


class ScriptedServer:
    """Listens on a free port and hands every socket that was upgraded to the test."""

    def __init__(self) -> None:
        self._server: Server | None = None
        self._accepted: asyncio.Queue[Peer] = asyncio.Queue()
        self._peers: list[Peer] = []
        self.refuse_upgrades = False
        self.agree_on_subprotocol = True
        self.upgrading = asyncio.Event()
        self.upgrading.set()
        """Clear it to leave upgrade requests without an answer."""
        self.attempts = 0
        """Upgrade requests so far, refused ones too."""

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            select_subprotocol=self._select,
            process_request=self._on_request,
            compression=None,
            ping_interval=None,
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for peer in self._peers:
            peer.cut()
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def accept(self) -> Peer:
        """Return the next client socket."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self._accepted.get()

    async def _on_request(self, socket: ServerConnection, request: Request) -> Response | None:
        self.attempts += 1
        await self.upgrading.wait()
        if self.refuse_upgrades:
            return socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "not now")
        return None

    def _select(self, _socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return offered[0] if self.agree_on_subprotocol else None

    async def _serve(self, socket: ServerConnection) -> None:
        if socket.subprotocol is None:
            await socket.wait_closed()
            return
        peer = Peer(socket)
        self._peers.append(peer)
        self._accepted.put_nowait(peer)
        await peer.done.wait()


def event(offset: int, name: str, *args: Any, stream: int = 1) -> Event:
    return Event(stream, offset, name, list(args))


_LIFECYCLE: Final = ("connected", "disconnected", "reconnected", "error", "replayed", "gap")


def record(connection: Connection, *names: str) -> list[tuple[Any, ...]]:
    """Return a list that grows by what the connection emits: lifecycle events and `names`."""
    log: list[tuple[Any, ...]] = []

    def listener(name: str) -> Callable[..., None]:
        return lambda *args: log.append((name, *args))

    for name in (*_LIFECYCLE, *names):
        connection.on(name, listener(name))
    return log


async def until(condition: Any) -> None:
    """Wait until `condition()` holds: other tasks run, no time is guessed."""
    async with asyncio.timeout(TIMEOUT_S):
        # Conditions are about things that have no event to wait for.
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)
