"""One client's server-sent events: its socket from the request to the end, and its link to the session.

What the request says is read in `events.py`; the core writes everything from the response's head on. Until
the connection is accepted nothing is written, so that a refusal can have a status of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket as sockets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from ..errors import (
    CloseCode,
    ConnectionRefused,
    InternalError,
    ProtocolError,
    RingcastError,
    TryAgainLater,
    may_come_back,
)
from ..gateway.admission import find_session
from ..gateway.heartbeat import Beat
from ..gateway.link import Gateway, Link, encode_error
from ..gateway.places import NoPlace
from ..request import EMPTY, Request
from ..wire.encoding import Encoding
from ..wire.protocol import Connect, Connected, Resume
from .guard import CODE_BY_LIMIT, RETRY_AFTER_S, Guard, refusal_of
from .http import RequestError, error_response

if TYPE_CHECKING:
    from .._core import Sink
    from .websocket import WebSocketEndpoint

__all__ = ["STREAM_HEADER", "EventStream", "EventStreamLink", "Opening", "bound_silence", "no_place"]

_LOG: Final = logging.getLogger("ringcast.server")

STREAM_HEADER: Final = "Ringcast-Stream"
"""Has the number of a stream: in its response, and in requests that are for this stream and no later one."""
_FIRST_RETRY_S: Final = 0.5
"""The least that a client waits before it comes back, and as much again by chance."""
_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\n"
    b"content-type: text/event-stream\r\n"
    b"cache-control: no-store\r\n"
    # For proxies in between: nginx and those that follow it would wait for more.
    b"x-accel-buffering: no\r\n"
    b"connection: close\r\n"
)
_USER_TIMEOUT: Final = getattr(sockets, "TCP_USER_TIMEOUT", None)
"""Linux: how long what was sent may stay without an acknowledgement (RFC 5482)."""


@dataclass(slots=True, frozen=True)
class Opening:
    """What a request for events asks for."""

    connect: Connect
    speaks_protocol: bool
    """Whether the client reads messages of every kind, and says now and then that it is there: heartbeats
    are messages then, and not comments."""
    keeps_subscriptions: bool
    """Whether a session that goes on keeps those that it has, whatever the request says."""
    headers: bytes
    """Lines for the head of the response, each with its end, if the connection is accepted."""
    allowed: bytes
    """The same, of any response: they let a page of another origin read it."""
    on_accepted: Callable[[str], None]
    """Told the session's token."""


class EventStream(asyncio.Protocol):
    """The socket of a client that reads server-sent events; `start` it on the transport."""

    __slots__ = (
        "_allowed",
        "_came",
        "_closing_since",
        "_endpoint",
        "_guard",
        "_heard_eof",
        "_link",
        "_opening",
        "_place",
        "_quiet_rounds",
        "_sink",
        "_transport",
        "heard",
    )

    def __init__(self, endpoint: WebSocketEndpoint, guard: Guard, opening: Opening, came: Request) -> None:
        self._endpoint = endpoint
        self._guard = guard
        self._place: str | None = None
        """What its socket has taken of the server's places."""
        self._allowed = opening.allowed
        self._opening: Opening | None = opening
        self._came = came
        """The request, for the hooks before the connection; let go of as the link has it."""
        self._transport: asyncio.Transport | None = None
        self._sink: Sink | None = None
        self._link: EventStreamLink | None = None
        self._closing_since: float | None = None
        """When the end was queued or sent; None until then."""
        self._heard_eof = False
        self.heard = False
        """Whether something was posted since `check` last looked."""
        self._quiet_rounds: int | None = None
        """How many rounds of `Deadlines` ago that was, as for a WebSocket; None of a client that need not say
        anything."""

    def start(self, transport: asyncio.Transport) -> None:
        """Answer the request, whose socket this is now. Never raises."""
        assert self._opening is not None  # it is let go of by this
        opening, self._opening = self._opening, None
        came, self._came = self._came, EMPTY
        self._transport = transport
        self._endpoint.deadlines.add(self)
        if opening.speaks_protocol:
            self._quiet_rounds = 0
        try:
            gateway = self._endpoint.router.gateway
            self._place = self._guard.take_place(came.address)
            self._sink = self._open_sink(transport)
            self._link = link = EventStreamLink(gateway, self._sink, self, opening, came)
            if gateway.stopping:
                link.close(CloseCode.SERVER_RESTART)
            else:
                link.connect(opening.connect)
        except NoPlace as full:
            self.turn_away(_no_place(full.limit), CloseCode.TRY_AGAIN_LATER)
        except OSError as error:
            self._endpoint.warn_of_turning_away(error)
            self.turn_away(TryAgainLater("the server can take no more sockets"), CloseCode.TRY_AGAIN_LATER)
        except RingcastError as error:  # the router is not running
            self.turn_away(error, CloseCode.SERVER_RESTART)
        except Exception:
            _LOG.exception("a client could not be accepted")
            self.turn_away(InternalError("internal error"), CloseCode.INTERNAL_ERROR)

    def turn_away(self, error: RingcastError | None, code: int, reason: str = "") -> None:
        """Answer the request with what keeps its client from the events, and close.

        A browser's `EventSource` comes back after the end of a response with status 200, and never after
        another one. So the status says what a close code says otherwise.
        """
        if self._transport is None or self._closing_since is not None:
            return
        self._closing_since = asyncio.get_running_loop().time()
        if may_come_back(code):
            within_s = self._endpoint.router.reconnect_within_s
            response = _passing(error, code, reason, within_s, self._allowed)
        else:
            response = _final(error, code, reason, self._allowed)
        self._transport.write(response)
        self._transport.close()
        if self._sink is not None:
            self._sink.drop()

    # What the loop calls.

    def data_received(self, data: bytes) -> None:
        """Nothing that a client says here means anything: it has made its request."""

    def eof_received(self) -> bool:
        """The client is gone; return whether the socket is still needed, to write what ends it."""
        self._heard_eof = True
        return self._closing_since is not None and self._sink is not None and self._sink.end_reason is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._endpoint.deadlines.remove(self)
        place, self._place = self._place, None
        if place is not None:
            self._guard.places.leave(place)
        link, self._link = self._link, None
        try:
            if link is not None:
                link.on_lost(None)
        finally:
            if self._sink is not None:
                self._sink.drop()

    def pause_writing(self) -> None:
        """The transport is full: its own to say with TLS, and not the socket's, to which the core writes."""
        if self._sink is not None:
            self._sink.pause_writing()

    def resume_writing(self) -> None:
        if self._sink is not None:
            self._sink.resume_writing()

    # What `Deadlines` calls.

    def check(self, now: float) -> None:
        """Let go of a socket that takes too long to end; otherwise tell its client where it is, when due."""
        ended = self._sink is None or self._sink.end_reason is not None
        if self._closing_since is not None:
            if now - self._closing_since > self._endpoint.close_timeout_s or (self._heard_eof and ended):
                self.abort()
        elif ended:
            # The session closed it, or the core did: the client has to close as well.
            self._closing_since = now
        elif self._is_silent():
            self._endpoint.limits_hit["dead_peer_timeout_s"] += 1
            _LOG.debug("nothing comes from a client any more")
            self.abort()
        elif self._endpoint.beat is not None and self._link is not None:
            self._link.beat(self._endpoint.beat, ping=False)

    def abort(self) -> None:
        """Let go of the socket at once."""
        if self._transport is not None:
            self._transport.abort()

    # Inside.

    def _is_silent(self) -> bool:
        """Tell whether a client that has to say something now and then has not, for too long."""
        if self._quiet_rounds is None:
            return False
        self._quiet_rounds = 0 if self.heard else self._quiet_rounds + 1
        self.heard = False
        return self._quiet_rounds > self._endpoint.rounds_until_dead

    def _open_sink(self, transport: asyncio.Transport) -> Sink:
        descriptor = transport.get_extra_info("socket").fileno()
        if self._quiet_rounds is None:
            bound_silence(descriptor, self._endpoint.router.config.dead_peer_timeout_s)
        if transport.get_extra_info("sslcontext") is None:
            return self._endpoint.router.open_event_stream(descriptor)
        return self._endpoint.router.open_relayed_event_stream(transport)


class EventStreamLink(Link):
    """The link of an event stream: its connect message was the request, and the others are posted."""

    __slots__ = ("_accepted", "_opening", "_stream")

    def __init__(
        self, gateway: Gateway, sink: Sink, stream: EventStream, opening: Opening, came: Request
    ) -> None:
        super().__init__(gateway, sink, Encoding.JSON, came)
        self._stream = stream
        self._opening = opening
        self._accepted = False
        """Whether the response has begun."""

    def hear(self) -> None:
        """Something has come from the client."""
        self._stream.heard = True

    def begin(self, answer: Connected) -> None:
        self._accepted = True
        self.hear()
        self._opening.on_accepted(answer.session)
        retry = _retry(answer.reconnect_within_s or 0.0)
        number = b"%s: %d\r\n" % (STREAM_HEADER.lower().encode(), self.number)
        head = _STREAM_HEAD + number + self._opening.allowed + self._opening.headers
        self.sink.send_framed(head + b"\r\n" + retry + b"\n", False)

    def beat(self, beat: Beat, ping: bool) -> None:
        session = self.session
        if self._opening.speaks_protocol:
            super().beat(beat, ping)
        elif not self.lost and session is not None and not session.ended and not self.sink.queued_bytes:
            mark = beat.mark(session.actor.stream)
            within_s = self._gateway.reconnect_within_s
            self.sink.send_framed(_retry(within_s) + mark if within_s else mark)

    def close(self, code: int, reason: str = "") -> None:
        if self._accepted:
            super().close(code, reason)
        else:
            self._turn_away(None, code, reason)

    def fail(self, error: ProtocolError) -> None:
        if self._accepted:
            super().fail(error)
        else:
            self._turn_away(error, error.close_code)

    def refuse(self, error: RingcastError, code: CloseCode = CloseCode.CONNECT_REFUSED) -> None:
        if self._accepted:
            super().refuse(error, code)
        else:
            self._turn_away(error, code)

    def _turn_away(self, error: RingcastError | None, code: int, reason: str = "") -> None:
        if not self.lost:
            self.lost = True
            self._stream.turn_away(error, code, reason)

    def _admission(self, request: Connect) -> Coroutine[Any, Any, None]:
        if request.resume is not None and self._opening.keeps_subscriptions:
            return self._admit_as_it_was(request, request.resume)
        return super()._admission(request)

    async def _admit_as_it_was(self, request: Connect, resume: Resume) -> None:
        """Go on with the subscriptions that the session has by now: an `EventSource` always names its
        first."""
        gateway = self._gateway
        try:
            session = await find_session(gateway, request, resume)
        except Exception:
            session = None  # whatever it is: it is found again, and told
        if session is not None:
            request = replace(request, subscriptions=session.subscriptions)
        await gateway.admit(gateway, self, request)


def _retry(within_s: float) -> bytes:
    """Return the field that says how long to wait before coming back (WHATWG HTML, 9.2.6)."""
    wait_s = _FIRST_RETRY_S * (1 + random.random()) + within_s * random.random()
    return b"retry: %d\n" % (wait_s * 1000)


def _passing(error: RingcastError | None, code: int, reason: str, within_s: float, allowed: bytes) -> bytes:
    """Return a response after which its client comes back, in its time."""
    metadata = None if error is None else error.metadata
    wait_ms = metadata.get("retry_after_ms") if isinstance(metadata, dict) else None
    retry = b"retry: %d\n" % wait_ms if isinstance(wait_ms, int) else _retry(within_s)
    said = b"" if error is None else b"data: " + encode_error(Encoding.JSON, None, error) + b"\n\n"
    closing = Encoding.JSON.encode([code, reason or ("" if error is None else error.code)])
    return (
        _STREAM_HEAD + allowed + b"\r\n" + retry + b"\n" + said + b"event: close\ndata: " + closing + b"\n\n"
    )


def no_place(limit: str, allowed: bytes) -> bytes:
    """Return a response for a client for whose socket there is no place: it comes back."""
    return _passing(_no_place(limit), CloseCode.TRY_AGAIN_LATER, "", 0.0, allowed)


def _no_place(limit: str) -> RequestError:
    metadata = {"retry_after_ms": RETRY_AFTER_S * 1000}
    return RequestError(refusal_of(limit)[1], code=CODE_BY_LIMIT[limit], metadata=metadata)


def _final(error: RingcastError | None, code: int, reason: str, allowed: bytes) -> bytes:
    """Return a response after which no client comes back."""
    if error is None:
        error = ConnectionRefused(reason or f"the session has ended: {CloseCode(code).name}")
    refusal = error_response(error, {"Ringcast-Close": str(int(code)), "Connection": "close"})
    lines = [b"HTTP/1.1 %d %s\r\n" % (refusal.status_code, HTTPStatus(refusal.status_code).phrase.encode())]
    lines += [name + b": " + value + b"\r\n" for name, value in refusal.raw_headers]
    return b"".join(lines) + allowed + b"\r\n" + bytes(refusal.body)


def bound_silence(descriptor: int, timeout_s: float) -> None:
    """Have the system find out that the client is gone, if it says nothing itself.

    What is sent, heartbeats at least, has to be acknowledged in this time, or the socket fails.
    """
    if _USER_TIMEOUT is None:
        return
    duplicate = sockets.socket(fileno=os.dup(descriptor))
    try:
        duplicate.setsockopt(sockets.IPPROTO_TCP, _USER_TIMEOUT, int(timeout_s * 1000))
    finally:
        duplicate.close()
