"""Which way a connection takes to its server: a WebSocket, or server-sent events where none gets through.

Networks that block WebSockets refuse the upgrade, or never answer it, or take it and hand nothing on. A
server that is down looks much the same; it is told from that by whether it answers a plain request.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, Literal, cast, get_args

import httpx

from ..errors import AccessDenied, ConnectionFailure, ReplyTooLarge
from ..wire.encoding import Encoding
from .config import ClientConfig
from .event_stream import EventStreamSocket, PostReceiver
from .refusals import read_body
from .socket import Socket, open_socket

__all__ = ["KEPT_SOCKETS", "AnySocket", "Transport", "Ways", "checked_transport"]

_log: Final = logging.getLogger("ringcast.client")

Transport = Literal["auto", "websocket", "sse"]
AnySocket = Socket | EventStreamSocket

KEPT_SOCKETS: Final = httpx.Limits(keepalive_expiry=2.0)
"""Well below the 5 s of uvicorn: a request on a socket that the server is closing has no certain outcome."""

_SHARE: Final = 0.25
"""Of the time for connecting, for one upgrade, and half of it for one plain request: both are tried twice at
most, and the stream of events has to be opened in what is left."""
_TRIES: Final = 2
"""Upgrades that fail, each while the server answers otherwise, until they count as blocked."""
_MAX_HEALTH_BYTES: Final = 65_536
"""Of what answers a plain request; the server's takes a hundred."""
_FULL: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_MOST_UNANSWERED: Final = 3
"""WebSockets in a row over which nothing came from the server, until they count as blocked."""


def checked_transport(transport: str, encoding: Encoding) -> Transport:
    """Return `transport`. Raises `ValueError` for one that there is not, or not in this encoding."""
    if transport not in get_args(Transport):
        raise ValueError(f"the transport is auto, websocket or sse, not {transport!r}")
    if transport == "sse" and encoding is not Encoding.JSON:
        raise ValueError("server-sent events carry JSON: give no other encoding")
    return cast(Transport, transport)


class Ways:
    """The ways to one server, and what is known about them; shared by all connections of a client."""

    def __init__(self, base_url: str, websocket_url: str, config: ClientConfig, transport: Transport) -> None:
        self._base_url = base_url
        self._websocket_url = websocket_url
        self._config = config
        self._transport = transport
        self._blocked_until_s = 0.0
        """Until when no WebSocket is tried, in the loop's time."""
        self._unanswered = 0
        """WebSockets, the latest ones, over which nothing came from the server."""
        self._tls: ssl.SSLContext | bool | None = None

    async def open(self, receiver: PostReceiver, encoding: Encoding, config: ClientConfig) -> AnySocket:
        """Open a socket of either kind. Raises as `open_socket`; a stream reports all to its receiver."""
        until_s = asyncio.get_running_loop().time() + config.connect_timeout_s
        if self._transport == "sse":
            return self._open_stream(receiver, config, until_s)
        if self._transport == "websocket" or encoding is not Encoding.JSON:
            return await open_socket(self._websocket_url, receiver, encoding, config)
        if asyncio.get_running_loop().time() < self._blocked_until_s:
            return self._open_stream(_FirstMessage(self, receiver, is_websocket=False), config, until_s)
        return await self._open_either(receiver, encoding, config, until_s)

    def worked(self) -> None:
        """Something came from the server over a WebSocket."""
        self._unanswered = 0

    def was_silent(self, is_websocket: bool) -> None:
        """A socket is lost over which nothing came from the server."""
        if is_websocket:
            self._unanswered += 1
        else:
            # That is no way either: perhaps the other one is by now.
            self._blocked_until_s = 0.0

    async def _open_either(
        self, receiver: PostReceiver, encoding: Encoding, config: ClientConfig, until_s: float
    ) -> AnySocket:
        quick = replace(config, connect_timeout_s=config.connect_timeout_s * _SHARE)
        why: Exception | str = "nothing comes over WebSockets"
        if self._unanswered < _MOST_UNANSWERED:
            for _ in range(_TRIES):
                first = _FirstMessage(self, receiver, is_websocket=True)
                try:
                    first.socket = await open_socket(self._websocket_url, first, encoding, quick)
                except (OSError, ConnectionFailure, AccessDenied) as error:
                    # Also one that is final: some proxies say so of all WebSockets, and let the rest through.
                    first.opened = False
                    if _is_of_the_server(error) or not await self._answers(config):
                        raise
                    why = error
                else:
                    return first.socket
        elif not await self._answers(config):
            raise ConnectionFailure("the server does not answer", code="unreachable")
        _log.warning(
            "WebSockets do not get through to %s (%s): using server-sent events", self._base_url, why
        )
        self._unanswered = 0
        self._blocked_until_s = asyncio.get_running_loop().time() + config.websocket_retry_s
        return self._open_stream(_FirstMessage(self, receiver, is_websocket=False), config, until_s)

    async def _answers(self, config: ClientConfig) -> bool:
        """Tell whether a Ringcast server answers plain requests."""
        timeout_s = config.connect_timeout_s * _SHARE / 2
        url = f"{self._base_url}/health"
        async with self._client(config) as http:
            try:
                async with asyncio.timeout(timeout_s), http.stream("GET", url, timeout=None) as response:
                    answer = await read_body(response, _MAX_HEALTH_BYTES)
            except (httpx.HTTPError, OSError, ReplyTooLarge):
                return False
        return isinstance(answer, dict) and answer.get("status") == "ok"

    def _open_stream(self, receiver: PostReceiver, config: ClientConfig, until_s: float) -> EventStreamSocket:
        return EventStreamSocket(self._base_url, receiver, config, self._client(config), until_s)

    def _client(self, config: ClientConfig) -> httpx.AsyncClient:
        if self._tls is None:
            # Once for all: the system's certificates take long to read.
            is_tls = self._base_url.startswith("https:")
            self._tls = config.ssl_context or (httpx.create_ssl_context() if is_tls else False)
        return httpx.AsyncClient(verify=self._tls, limits=KEPT_SOCKETS)


def _is_of_the_server(error: Exception) -> bool:
    """Tell whether this says nothing about WebSockets: nobody listens, or there is no place at the moment."""
    status = error.metadata.get("status") if isinstance(error, ConnectionFailure) and error.metadata else None
    return isinstance(error, ConnectionRefusedError) or status in _FULL


class _FirstMessage:
    """Stands before a receiver until something has come from the server, or the socket is lost."""

    def __init__(self, ways: Ways, receiver: PostReceiver, *, is_websocket: bool) -> None:
        self._ways = ways
        self._receiver = receiver
        self._is_websocket = is_websocket
        self._heard = False
        self.opened = True
        """False for a socket that could not be opened: that it is gone is no news, to nobody."""
        self.socket: Socket | None = None
        """Where it gives its place to the receiver, so that messages take no longer."""

    def on_message(self, payload: bytes) -> None:
        self._heard = True
        if self._is_websocket:
            self._ways.worked()
        if self.socket is not None:
            self.socket.receiver, self.socket = self._receiver, None
        self._receiver.on_message(payload)

    def on_refused(self, id: int, error: dict[str, Any]) -> None:
        self._receiver.on_refused(id, error)

    def on_lost(self, code: int | None, reason: str) -> None:
        self.socket = None
        if not self.opened:
            return
        if code is None and not self._heard:
            self._ways.was_silent(self._is_websocket)
        self._receiver.on_lost(code, reason)
