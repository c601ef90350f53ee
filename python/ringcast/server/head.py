"""uvicorn's HTTP protocol, with limits on the head of a request; leaves requests to the ASGI application.

uvicorn bounds neither the size of a head nor the time it may take, waits for ever for the rest of a request
that it has answered and for a client that does not take its answer, tells only the last of several pipelined
requests that their client is gone, and upgrades a socket on which an earlier response is still to be written:
two writers, where only the core may write.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from http import HTTPStatus
from typing import Any, Final, NamedTuple, NoReturn, cast

from starlette.types import Scope
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from ..gateway.places import NoPlace
from ..operations.access import is_logged, log_request
from ..request import Request
from .application import GivenUp
from .bridge import address_of
from .cors import allowed_lines
from .event_socket import TAKE_OVER, bound_silence, written
from .event_stream import no_place
from .first_read import (
    HEAD_TOO_LARGE,
    MAX_HEAD_BYTES,
    announces_body,
    has_head,
    header_value,
    plain_upgrade,
    request_line,
)
from .guard import CODE_BY_LIMIT, RETRY_AFTER_S, Guard, peer_of, refusal_of
from .handshake import refusal_body
from .newcomers import Newcomers
from .replies import ERROR_HEADER, LATE_BODY
from .upgrades import Upgrades

__all__ = ["HeadProtocol", "head_protocol_class"]

MOST_PIPELINED: Final = 64
"""How many requests of a client may wait behind the one that is being answered.

Thousands fit into one read, and everybody else would wait while they are taken apart."""
MOST_TURNED_AWAY: Final = 1000
"""How many sockets for which there is no place may wait to be told so; others are just closed."""

_LEAST_AROUND_HEADER: Final = len(b":\r\n")
_LEAST_AROUND_HEAD: Final = len(b"GET  HTTP/1.1\r\n\r\n")
_HOST_NOT_SAID: Final = (HTTPStatus.BAD_REQUEST, "invalid_message", "there must be exactly one Host header")


class _Refused(Exception):  # noqa: N818 - an answer to the client, and no fault
    """Goes through the parser, which reads no further then."""


class _Parts(NamedTuple):
    """What uvicorn makes its protocols of."""

    config: Config
    server_state: ServerState
    app_state: dict[str, Any]


class HeadProtocol(HttpToolsProtocol):
    """One connection that speaks HTTP. `timeout_s` bounds how long each request's head may take.

    Most come for a WebSocket, with a request that is whole with the first read: they are handed over without
    uvicorn's part of this object, which is made when something else comes. It costs more than all that
    accepting a client needs.
    """

    is_connected = False
    """Whether there is a transport: with TLS, once the handshake is done."""

    # Those of the class are what nearly all are handed over with.
    _address: str | None = None
    _place: str | None = None
    """What this socket has taken of the server's places, until it is handed over."""
    _has_come = False
    """Whether a place was asked for: there may have been none."""
    _turned_away: str | None = None
    """The limit for which it gets no place, as it is told once it asks for something."""
    _begun = b""
    """What has come of its request's head until then."""
    _deadline: asyncio.TimerHandle | None = None
    _rest_deadline: asyncio.TimerHandle | None = None
    """For what is still to come of a request that has been answered already."""
    _rest_is_counted = False
    """Whether it is that which did not come in time before the answer: one request, counted once."""
    _head_bytes = 0
    """How much has been read of a head that goes on."""
    _heads = 0
    """How many have been read to their end."""
    _is_in_body = False
    _refusal: tuple[HTTPStatus, str, str] | None = None
    """What a request is answered with that the parser has been told not to read any further."""
    _answering: RequestResponseCycle | None = None
    """The request that the application has, which is not the last one where some wait in the pipeline."""

    def __init__(
        self, parts: _Parts, timeout_s: float, upgrades: Upgrades, guard: Guard, newcomers: Newcomers
    ) -> None:
        self._guard = guard
        self._newcomers = newcomers
        self._parts: _Parts | None = parts
        """What uvicorn's part is to be made of; None once it is."""
        self._timeout_s = timeout_s
        self._upgrades = upgrades
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        assert self._parts is not None  # a transport is given once, and before anything comes from it
        self.transport = transport
        self.is_connected = True
        # With TLS the socket has its place since it was accepted.
        if not self._has_come and not self.take_place(address_of(transport)):
            transport.abort()
        # Whom to close at the end.
        self._parts.server_state.connections.add(self)
        self._newcomers.add(self, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        self._newcomers.remove(self)
        self._head_is_complete()
        self._rest_is_complete()
        self.leave_place()
        if self._parts is not None:
            self._parts.server_state.connections.discard(self)
            return
        if self._answering is not None:
            # uvicorn tells the last one only. This one would wait for ever, or fail when it writes.
            self._answering.disconnected = True
            self._answering.message_event.set()
            self._answering = None
        super().connection_lost(exc)

    def shutdown(self) -> None:
        if self._parts is not None:
            self.transport.close()
        else:
            super().shutdown()
        if self.transport.is_closing() and self.transport.get_extra_info("sslcontext") is not None:
            self._hear_no_more()

    def _hear_no_more(self) -> None:
        """Let the loop find that the client has closed its side, unless something is still to be written.

        With TLS a socket would stay until its client says goodbye too, and nobody reads from an idle
        connection (RFC 8446, section 6.1: it need not be waited for).
        """
        known = self.transport.get_extra_info("socket")
        # For a moment before `connection_lost` there is none, nor a buffer that could be asked for.
        if known is None or self.transport.get_write_buffer_size():
            return
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(known.fileno())) as sock:
            sock.shutdown(socket.SHUT_RD)  # or it is gone

    def data_received(self, data: bytes) -> None:
        if self._parts is not None:
            if self._turned_away is not None:
                data = self._begun + data
                if self._upgrades.health.match(data) is None:
                    if has_head(data):
                        self._say_no_place(self._turned_away, data)
                    else:
                        self._begun = data
                    return
            elif upgrade := plain_upgrade(data, self._upgrades.whole):
                self._hand_over(upgrade, self._parts)
                return
            self._become_http(self._parts)
        while data and self.parser is not None and not self.transport.is_closing():
            data = self._parse(data)
        self._wait_for_more()

    def _parse(self, data: bytes) -> bytes:
        """Have the parser take a part of `data`, and return the rest.

        It takes as much as a head may have, so that one which is too long is found to be so however it comes.
        The parser itself collects a header that never ends.
        """
        may_end_body, heads = self._is_in_body, self._heads
        size = len(data) if may_end_body else MAX_HEAD_BYTES - self._head_bytes
        part = data[:size]
        super().data_received(part)
        # What came together with the end of a body is counted by `on_headers_complete`.
        if not may_end_body and self._heads == heads and not self.transport.is_closing():
            self._head_bytes += len(part)
            if self._head_bytes >= MAX_HEAD_BYTES:
                self._refuse(*HEAD_TOO_LARGE)
        return data[size:]

    def _wait_for_more(self) -> None:
        """Bound how long a socket may wait that has said something, and nothing to be answered.

        That is an empty line, or the end of a body whose request has been answered. uvicorn would wait for
        ever.
        """
        if self.parser is None or self.transport.is_closing():
            return  # it is somebody else's, or nobody's
        is_idle = self.cycle is not None and self.cycle.response_complete and not self._is_in_body
        if is_idle and self._deadline is None:
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _hand_over(self, upgrade: re.Match[bytes], parts: _Parts) -> None:
        """Do what uvicorn does with an upgrade request. Nothing has been written to this socket."""
        self._newcomers.remove(self)
        parts.server_state.connections.discard(self)
        self.leave_place()
        assert self._upgrades.new_protocol is not None  # or `whole` were nothing
        protocol = self._upgrades.new_protocol()
        protocol.connection_made(self.transport)
        protocol.feed(upgrade.string, self._address, has_list=any(upgrade.groups()))
        self.transport.set_protocol(protocol)

    def _become_http(self, parts: _Parts) -> None:
        self._parts = None
        transport = self.transport
        due_s = self._newcomers.remove(self)
        if due_s is not None:
            self._deadline = self.loop.call_at(due_s, self.give_up)
        super().__init__(*parts)
        super().connection_made(transport)
        bound_silence(transport.get_extra_info("socket").fileno(), self._guard.dead_peer_timeout_s)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MOST_PIPELINED:
            self._read_no_further(HTTPStatus.BAD_REQUEST, "invalid_message", "too many requests wait")
        super().on_message_begin()
        # For server-sent events, which only the core writes. The type knows of ASGI's own extensions alone.
        extensions: dict[str, Any] = {TAKE_OVER: self._take_over, LATE_BODY: self._count_no_more}
        self.scope["extensions"] = extensions
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_is_complete()
        self._heads += 1
        self._is_in_body = True
        self._check_head()
        super().on_headers_complete()
        if self._turned_away is not None and self.cycle is not None:
            self.cycle.keep_alive = False

    def _check_head(self) -> None:
        headers = self.headers
        size = len(self.url) + sum(len(name) + len(value) for name, value in headers)
        if size + len(headers) * _LEAST_AROUND_HEADER + _LEAST_AROUND_HEAD > MAX_HEAD_BYTES:
            self._read_no_further(*HEAD_TOO_LARGE)
        # RFC 9112, section 3.2.
        hosts = sum(name == b"host" for name, _ in headers)
        if hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            self._read_no_further(*_HOST_NOT_SAID)

    def _read_no_further(self, status: HTTPStatus, code: str, text: str) -> NoReturn:
        """Refuse the request that is being parsed."""
        self._refusal = status, code, text
        raise _Refused

    def send_400_response(self, msg: str) -> None:
        refusal, self._refusal = self._refusal, None
        self._refuse(*(refusal or (HTTPStatus.BAD_REQUEST, "invalid_message", msg)))

    def on_message_complete(self) -> None:
        self._is_in_body = False
        self._rest_is_complete()
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self._answering = None
        # Nothing is to be read for a request that waits in the pipeline: what was before it is whole.
        has_rest = not self.pipeline and self.cycle.more_body
        super().on_response_complete()
        if has_rest and not self.transport.is_closing():
            # Read and forgotten, so that a client which sends first and reads then finds its answer.
            self._rest_deadline = self.loop.call_later(self._timeout_s, self.give_up)
            self._unset_keepalive_if_required()

    def handle_websocket_upgrade(self) -> None:
        """Hand the socket over, unless something else could still be written to it."""
        if self._turned_away is not None:
            self._say_no_place(self._turned_away, b"")
            return
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self._is_unwritten:
            self._refuse_upgrade(
                HTTPStatus.BAD_REQUEST,
                "invalid_message",
                "an upgrade must wait for the responses to earlier requests",
            )
        elif self.scope["http_version"] != "1.1":
            self._refuse_upgrade(
                HTTPStatus.BAD_REQUEST, "invalid_message", "a WebSocket upgrade needs HTTP/1.1"
            )
        elif self._upgrades.is_for_actors(self.url):
            self.leave_place()
            self._upgrade()
        elif self._upgrades.application_sockets is None:
            self._refuse_upgrade(
                HTTPStatus.NOT_IMPLEMENTED, "not_implemented", "this server has no WebSocket here"
            )
            self._upgrades.warn_of_missing_package()
        elif announces_body(self.headers):  # which would be read as frames
            self._refuse_upgrade(HTTPStatus.BAD_REQUEST, "invalid_message", "an upgrade has no body")
        else:
            self.ws_protocol_class = cast(
                type[asyncio.Protocol], self._upgrades.application_sockets(self._place)
            )  # uvicorn only calls it
            try:
                self._upgrade()
            except GivenUp as given_up:
                self.connections.add(self)  # which it was taken out of
                self._refuse_upgrade(*given_up.refusal)
            else:
                self._place = None  # it keeps its place

    def _upgrade(self) -> None:
        super().handle_websocket_upgrade()
        # As `connection_lost` does: the parser and this protocol refer to each other, and would stay until
        # the next collection of garbage.
        self.parser = None  # type: ignore[assignment]

    def _take_over(self, protocol: asyncio.Protocol) -> asyncio.Transport | None:
        """Let `protocol` have the socket, once the request has been read whole."""
        cycle, transport = self.cycle, self.transport
        busy = self.pipeline or cycle.more_body or cycle.response_started
        if busy or transport.is_closing() or self._is_unwritten:
            return None
        cycle.disconnected = True  # to uvicorn, which sends nothing any more
        self.connections.discard(self)
        self._unset_keepalive_if_required()
        self._head_is_complete()
        self._rest_is_complete()
        self.flow.resume_reading()
        transport.set_protocol(protocol)
        # They refer to each other, as at an upgrade.
        self.parser = None  # type: ignore[assignment]
        self.scope["extensions"] = {}
        self.leave_place()
        return transport

    @property
    def _is_unwritten(self) -> bool:
        """Whether the loop has still to write what the core could write into: not with TLS, where all goes by
        the loop, in order. (There the end of a handshake may wait, until the first request is read.)"""
        transport = self.transport
        return transport.get_extra_info("sslcontext") is None and transport.get_write_buffer_size() > 0

    def timeout_keep_alive_handler(self) -> None:
        """Nothing was asked for a while: uvicorn closes the socket."""
        if not self.transport.is_closing():
            self._guard.limits_hit["idle_timeout_s"] += 1
        super().timeout_keep_alive_handler()

    def take_place(self, address: str | None) -> bool:
        """Take a place for this socket, by its own address unless a proxy speaks for others.

        Return whether it may stay, be it to learn that there is no place. Who calls this before the socket is
        connected calls `leave_place` if that fails.
        """
        guard = self._guard
        self._has_come = True
        self._address = address
        try:
            self._place = guard.take_place(None if guard.proxies.trusts(address) else address)
        except NoPlace as full:
            if guard.turned_away >= MOST_TURNED_AWAY:
                return False
            guard.turned_away += 1
            self._turned_away = full.limit
        return True

    def leave_place(self) -> None:
        """Give back what `take_place` has taken, if it was not given to somebody else."""
        place, self._place = self._place, None
        if place is not None:
            self._guard.places.leave(place)
        if self._turned_away is not None:
            self._turned_away = None
            self._guard.turned_away -= 1

    def _say_no_place(self, limit: str, data: bytes) -> None:
        if self.transport.is_closing():
            return
        head = data.lower()
        allowed = allowed_lines(self._guard, header_value(head, b"origin").strip().decode("latin-1"))
        if b"text/event-stream" in header_value(head, b"accept"):
            # A browser's `EventSource` would never come back after another status.
            status = HTTPStatus.OK
            self.transport.write(written(no_place(limit), allowed))
            self.transport.close()
            self._log_unread(HTTPStatus.OK, data)
            return
        status, text = refusal_of(limit)
        more = b"".join(b"%b: %b\r\n" % line for line in allowed)
        self._answer(status, CODE_BY_LIMIT[limit], text, more + b"retry-after: %d\r\n" % RETRY_AFTER_S)
        self._log_unread(status, data)

    def _log_unread(self, status: HTTPStatus, data: bytes) -> None:
        # Last, as wherever something is logged here: a log has filters and handlers of the user's, which may
        # raise. In a flood of sockets without a place, nothing is looked up for nobody.
        if is_logged():
            line = request_line(data)
            came = Request("http", self._address, "" if line is None else line[1], data)
            client = self._guard.peer(came.address, came.headers).address
            log_request(status, client, *(() if line is None else (line[0], came.path)))

    def _refuse(self, status: HTTPStatus, code: str, text: str) -> None:
        """Answer what cannot be read, or not all of it."""
        self._answer(status, code, text)
        if is_logged():
            log_request(status, self._address)

    def _refuse_upgrade(self, status: HTTPStatus, code: str, text: str) -> None:
        self._answer(status, code, text)
        if is_logged():
            address = peer_of(cast(Scope, self.scope), self._guard).address
            came = Request("websocket", address, self.url.decode("latin-1"))
            log_request(status, address, self.scope["method"], came.path)

    def _answer(self, status: HTTPStatus, code: str, text: str, more: bytes = b"") -> None:
        """Answer by ourselves, and close; only close where it would be in the middle of another response."""
        if self._answering is not None and self._answering.response_started:
            self.transport.close()
            return
        body = refusal_body(code, text)
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/json\r\nconnection: close\r\n"
            + b"%b: true\r\n" % ERROR_HEADER.lower().encode()
            + more
            + b"content-length: %d\r\n\r\n" % len(body)
            + body
        )
        self.transport.close()

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._timeout_s, self.give_up)

    def _head_is_complete(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._head_bytes = 0

    def _count_no_more(self) -> None:
        self._rest_is_counted = True

    def _rest_is_complete(self) -> None:
        self._rest_is_counted = False
        if self._rest_deadline is not None:
            self._rest_deadline.cancel()
            self._rest_deadline = None

    def give_up(self) -> None:
        """Nothing has come in time. (`Newcomers` calls this, and the timers of what comes later.)"""
        self._deadline = self._rest_deadline = None
        if not self.transport.is_closing() and not self._rest_is_counted:
            self._guard.limits_hit["connect_timeout_s"] += 1
        self.transport.close()


def head_protocol_class(timeout_s: float, upgrades: Upgrades, guard: Guard) -> type[asyncio.Protocol]:
    """Return what goes into uvicorn's configuration as `http`."""
    newcomers = Newcomers(timeout_s)

    def make(
        config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: object = None
    ) -> HeadProtocol:
        return HeadProtocol(_Parts(config, server_state, app_state), timeout_s, upgrades, guard, newcomers)

    # uvicorn only calls it.
    return cast(type[asyncio.Protocol], make)
