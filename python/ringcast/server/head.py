"""uvicorn's HTTP protocol, with limits on the head of a request; leaves requests to the ASGI application.

uvicorn bounds neither the size of a head nor the time it may take, and upgrades a socket on which an earlier
response is still to be written: two writers, where only the core may write.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

__all__ = ["MAX_HEAD_BYTES", "HeadProtocol", "head_protocol_class"]

MAX_HEAD_BYTES: Final = 16_384
"""About how many bytes of a head are collected before its end."""


class HeadProtocol(HttpToolsProtocol):
    """One connection that speaks HTTP. `timeout_s` bounds how long each request's head may take."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], timeout_s: float
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._timeout_s = timeout_s
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_complete()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        deadline = self._deadline
        super().data_received(data)
        # Counted here and not per header: the parser itself collects a header that never ends. What came
        # together with the end of the request before is not counted, nor is a head that is complete.
        if deadline is not None and self._deadline is deadline:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse("the request's head is too large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_is_complete()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand the socket over, unless something else could still be written to it."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self.transport.get_write_buffer_size():
            self._refuse("an upgrade must wait for the responses to earlier requests")
        elif self.scope["http_version"] != "1.1":
            self._refuse("a WebSocket upgrade needs HTTP/1.1")
        else:
            super().handle_websocket_upgrade()
            # As `connection_lost` does: the parser and this protocol refer to each other, and would stay
            # until the next collection of garbage.
            self.parser = None  # type: ignore[assignment]

    def _refuse(self, text: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        body = text.encode()
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            + b"content-length: %d\r\n\r\n" % len(body)
            + body
        )
        self.transport.close()

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._timeout_s, self._give_up)

    def _head_is_complete(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._head_bytes = 0

    def _give_up(self) -> None:
        self._deadline = None
        self.transport.close()


def head_protocol_class(timeout_s: float) -> type[asyncio.Protocol]:
    """Return what goes into uvicorn's configuration as `http`."""

    def make(
        config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: object = None
    ) -> HeadProtocol:
        return HeadProtocol(config, server_state, app_state, timeout_s)

    # uvicorn only calls it.
    return cast(type[asyncio.Protocol], make)
