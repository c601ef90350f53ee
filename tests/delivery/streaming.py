"""A client's server-sent events in the model-based test: the server's own stream on a real socket.

What a request would ask for is read by the server's routes, and what is posted is handed to the link as they
do. Two kinds of clients come so: those that read messages of every kind, and a browser's `EventSource`, which
knows where it is by the ids of what it has read and by nothing else.
"""

from __future__ import annotations

import asyncio
import socket as sockets
from collections import Counter
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

import orjson
from linked import Closed
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from ringcast.request import EMPTY
from ringcast.router import Router
from ringcast.server.endpoint import Endpoint
from ringcast.server.event_socket import EventSocket
from ringcast.server.event_stream import Opening
from ringcast.server.events import event_routes
from ringcast.server.guard import Guard
from ringcast.wire.encoding import Encoding
from ringcast.wire.parsing import parse_server_message
from ringcast.wire.protocol import Connect, Heartbeat, ServerMessage
from ringcast.wire.topics import to_wire

from .guest import GuestSocket

__all__ = ["StreamSocket", "Streams"]

_OPENING: Final = "delivery.opening"
"""Where a request has what it was read as."""
_TIGHT_BYTES: Final = 1
"""The system makes the least of it that it has, on both ends: a few events."""


class Streams:
    """Opens streams of one server."""

    def __init__(self, router: Router) -> None:
        self._endpoint = Endpoint(router, router.config)
        self._guard = Guard(router.config, Counter())
        self._opened_by = event_routes(router, self._guard, _note)[0].endpoint

    async def open(self, connect: Connect, *, tight: bool, browser: bool) -> StreamSocket:
        """Come as a browser's `EventSource` does, with a position in a header, or by a connect message."""
        request = _request_of(connect) if browser else _post_of(connect)
        answer = await self._opened_by(request)
        assert answer.status_code == HTTPStatus.OK, answer.body
        near, far = _socket_pair(tight)
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, near)
        stream = EventSocket(self._endpoint, self._guard, request.scope[_OPENING], EMPTY, ())
        stream.start_on(transport)
        return StreamSocket(stream, transport, far, browser=browser)


class StreamSocket(GuestSocket):
    """One stream of events, and its link."""

    def __init__(
        self, stream: EventSocket, transport: asyncio.Transport, far: sockets.socket, *, browser: bool
    ) -> None:
        # In place of what makes a socket with frames.
        self.encoding = Encoding.JSON
        self.tells_by_ids = browser
        self.last_id = ""
        """The latest id that was read: an epoch and an offset."""
        self._stream = stream
        self._transport = transport
        self._far = far
        self._buffer = b""
        self._has_begun = False
        assert stream._link is not None
        self.link = stream._link

    def lose(self, code: int | None = None) -> None:
        """Lose the network, or (with a code) end the session first. Idempotent."""
        if self._far.fileno() == -1:
            return
        if code is not None and self.link.session is not None:
            self.link.session.end(None)
        self._stream.connection_lost(None)
        self._transport.abort()
        self._far.close()

    def check_position(self, epoch: str, offset: int) -> None:
        if self.tells_by_ids:
            assert self.last_id == f"{epoch}:{offset}"

    async def _next(self) -> ServerMessage | Closed:
        if not self._has_begun:
            refused = await self._head()
            if refused is not None:
                return refused
        while True:
            found = self._read(await self._block())
            if found is not None:
                return found

    async def _head(self) -> Closed | None:
        """Read the head of the response; return what a client is told that is not to come back."""
        lines = (await self._block(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        if lines[0] == "HTTP/1.1 200 OK":
            assert fields["content-type"] == "text/event-stream"
            self._has_begun = True
            return None
        body = orjson.loads(await self._take(int(fields["content-length"])))
        return Closed(int(fields["ringcast-close"]), body["error"]["message"])

    def _read(self, block: bytes) -> ServerMessage | Closed | None:
        """Read a block of lines; None if it says nothing of events."""
        comment, fields = False, {}
        for line in block.decode().split("\n"):
            name, _, value = line.partition(":")
            comment |= not name
            fields[name] = value.removeprefix(" ")
        self.last_id = fields.get("id", self.last_id)
        if "data" not in fields:
            # The way in which an `EventSource` is told how far it has come.
            return Heartbeat(0, int(self.last_id.rpartition(":")[2])) if comment and "id" in fields else None
        data = fields["data"].encode()
        if fields.get("event") == "close":
            return Closed(*orjson.loads(data))
        return parse_server_message(Encoding.JSON, data)

    async def _block(self, end: bytes = b"\n\n") -> bytes:
        while end not in self._buffer:
            read = await asyncio.get_running_loop().sock_recv(self._far, 65536)
            if not read:
                return b'event: close\ndata: [null, ""]'
            self._buffer += read
        block, self._buffer = self._buffer.split(end, 1)
        return block


def _note(request: Request, opening: Opening) -> Response:
    """Take what a request was read as."""
    request.scope[_OPENING] = opening
    return Response()


def _request_of(connect: Connect) -> Request:
    """Return what an `EventSource` sends; the token goes with the position, where a cookie would name it."""
    topics = list(map(to_wire, connect.subscriptions))
    query: dict[str, str] = {
        "params": Encoding.JSON.encode(connect.params).decode(),
        "subscriptions": Encoding.JSON.encode(topics).decode(),
    }
    headers = []
    if connect.resume is not None:
        position = f"{connect.resume.epoch}:{connect.resume.offset}"
        headers = [
            (b"ringcast-session", connect.resume.session.encode()),
            (b"last-event-id", position.encode()),
        ]
    text = urlencode([*(("key", part) for part in connect.key), *query.items()])
    return Request({
        "type": "http", "method": "GET", "path": "/", "query_string": text.encode(), "headers": headers,
        "path_params": {"actor": connect.actor},
    })  # fmt: skip


def _post_of(connect: Connect) -> Request:
    """Return what a client sends that reads messages of every kind."""
    content = orjson.loads(Encoding.JSON.encode(connect.to_wire()))[1]
    actor, body = content.pop("actor"), orjson.dumps(content)

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return Request({
        "type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers,
        "path_params": {"actor": actor},
    }, receive)  # fmt: skip


def _socket_pair(tight: bool) -> tuple[sockets.socket, sockets.socket]:
    """Return two connected TCP sockets: the server sets options on its own that no other kind has."""
    with sockets.socket() as listener, sockets.socket() as asking:
        if tight:
            # Before they are connected, as then it is said how much may be on the way.
            listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, _TIGHT_BYTES)
            asking.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, _TIGHT_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        asking.connect(listener.getsockname())
        near, peer = listener.accept()
        assert peer == asking.getsockname()
        far = sockets.socket(fileno=asking.detach())
    near.setblocking(False)
    far.setblocking(False)
    return near, far
