"""Server-sent events over a socket of this server: taken over from HTTP, and written to by the core.

With TLS the loop writes what the core has. What goes on in the stream is `event_stream.py`'s.
"""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..errors import ProtocolError
from ..request import Request as CameRequest
from .cors import allowed_lines
from .endpoint import Endpoint
from .event_stream import Answer, EventStream, Lines, Opening
from .guard import Guard, came_of

if TYPE_CHECKING:
    from .._core import Sink

__all__ = ["TAKE_OVER", "EventSocket", "TakeOver", "bound_silence", "take_over", "written"]

TAKE_OVER: Final = "ringcast.take_over"
"""The extension by which the ASGI application takes the socket of a request: a `TakeOver`."""

TakeOver = Callable[[asyncio.Protocol], asyncio.Transport | None]
"""Gives the socket to a protocol, which writes the response, and returns its transport; None if it cannot be
had. Whatever the application answers is not sent then."""

_USER_TIMEOUT: Final = getattr(sockets, "TCP_USER_TIMEOUT", None)
"""Linux: how long what was sent may stay without an acknowledgement (RFC 5482)."""
_MAX_USER_TIMEOUT_MS: Final = 2**31 - 1
"""24 days: the option is a C `int`."""


def take_over(endpoint: Endpoint, guard: Guard, request: Request, opening: Opening) -> Response:
    """Open a stream on the socket of `request`. What it writes takes the place of the response.

    Raises `ProtocolError` where something else is still to be written to that socket.
    """
    allowed = allowed_lines(guard, request.headers.get("origin"))
    stream = EventSocket(endpoint, guard, opening, came_of(request.scope, guard, "sse"), allowed)
    transport = cast(TakeOver, request.scope["extensions"][TAKE_OVER])(stream)
    if transport is None:
        raise ProtocolError("a stream of events must wait for the responses to earlier requests")
    return _Answered(stream.start_on(transport))


class _Answered(Response):
    """Stands for the response that a stream writes itself: whoever watches the application, as the access log
    does, is told its status once there is one. None of this is sent."""

    def __init__(self, status: asyncio.Future[int | None]) -> None:
        super().__init__()
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = await self._status
        if status is not None:
            self.status_code = status
            await super().__call__(scope, receive, send)


class EventSocket(EventStream, asyncio.Protocol):
    """The socket of a client that reads server-sent events; `start_on` the transport."""

    __slots__ = ("_allowed", "_heard_eof", "_status", "_transport")

    def __init__(
        self, endpoint: Endpoint, guard: Guard, opening: Opening, came: CameRequest, allowed: Lines
    ) -> None:
        super().__init__(endpoint, guard, opening, came)
        self._allowed = allowed
        """Lines of the head of any response, which let a page of another origin read it."""
        self._heard_eof = False
        self._transport: asyncio.Transport | None = None
        self._status: asyncio.Future[int | None] | None = None
        """Of the response; let go of once that has begun."""

    def start_on(self, transport: asyncio.Transport) -> asyncio.Future[int | None]:
        """Answer the request, whose socket this is now, and return what will have the status of the response.

        That is None if the client is gone before there is one. Never raises.
        """
        self._transport = transport
        self._status = status = asyncio.get_running_loop().create_future()
        self.start()
        return status

    # What `EventStream` asks of a stream.

    def begin(self, headers: Lines, body: bytes) -> None:
        assert self._sink is not None  # a connection is accepted for whoever has one
        head = _head(b"HTTP/1.1 200 OK", (*headers, *self._allowed))
        self._sink.send_framed(head + body, False)
        self._note(HTTPStatus.OK)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_watched(self) -> bool:
        known = None if self._transport is None else self._transport.get_extra_info("socket")
        return _USER_TIMEOUT is not None and known is not None and _is_remote(known.family)

    def _answer(self, answer: Answer) -> None:
        if self._transport is not None:
            self._transport.write(written(answer, self._allowed))
            self._transport.close()
            self._note(answer.status)

    def _open_sink(self) -> Sink:
        transport, router = self._transport, self._endpoint.router
        assert transport is not None  # `start_on` sets it
        # Its silence is bounded since its first request (`head.py`).
        if transport.get_extra_info("sslcontext") is None:
            return router.open_event_stream(transport.get_extra_info("socket").fileno())
        return router.open_relayed_event_stream(transport)

    def _note(self, status: int | None) -> None:
        told, self._status = self._status, None
        if told is not None and not told.done():
            told.set_result(status)

    # What the loop calls.

    def data_received(self, data: bytes) -> None:
        """Nothing that a client says here means anything: it has made its request."""

    def eof_received(self) -> bool:
        """The client is gone; return whether the socket is still needed, to write what ends it."""
        return self._hear_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._note(None)
        self.leave()

    def pause_writing(self) -> None:
        """The transport is full: its own to say with TLS, and not the socket's, to which the core writes."""
        if self._sink is not None:
            self._sink.pause_writing()

    def resume_writing(self) -> None:
        if self._sink is not None:
            self._sink.resume_writing()


def written(answer: Answer, more: Lines) -> bytes:
    """Return the bytes of a response behind which the socket is closed; `more` are lines for its head."""
    status_line = b"HTTP/1.1 %d %s" % (answer.status, answer.status.phrase.encode())
    return _head(status_line, (*answer.headers, *more)) + answer.body


def _head(status_line: bytes, lines: Lines) -> bytes:
    written_lines = (b"%b: %b\r\n" % line for line in (*lines, (b"connection", b"close")))
    return status_line + b"\r\n" + b"".join(written_lines) + b"\r\n"


def _is_remote(family: int) -> bool:
    """Tell whether the other end may be on another machine."""
    return family != getattr(sockets, "AF_UNIX", None)


def bound_silence(descriptor: int, timeout_s: float) -> None:
    """Have the system find out that the client is gone, if it says nothing itself.

    What is sent, heartbeats at least, has to be acknowledged in this time, or the socket fails.
    """
    if _USER_TIMEOUT is None:
        return
    # No duplicate: there may be no descriptor left for one.
    borrowed = sockets.socket(fileno=descriptor)
    try:
        if _is_remote(borrowed.family):
            timeout_ms = min(int(timeout_s * 1000), _MAX_USER_TIMEOUT_MS)
            borrowed.setsockopt(sockets.IPPROTO_TCP, _USER_TIMEOUT, timeout_ms)
    finally:
        borrowed.detach()
