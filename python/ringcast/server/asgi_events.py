"""Server-sent events by way of somebody else's server: the body of a response of ASGI that has no end.

What `event_socket.py` is for a socket of our own. The core's bytes come by way of the relay: all that waits
for a client is one part of the body, and while the server takes that, nothing more is handed over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..config import ServerConfig
from ..errors import CloseCode
from ..request import Request as CameRequest
from .asgi_outgoing import Outgoing
from .asgi_stopping import StopSignals
from .endpoint import Endpoint
from .event_stream import Answer, EventStream, Lines, Opening
from .guard import Guard, came_of

if TYPE_CHECKING:
    from .._core import Sink
    from ..router import Router

__all__ = ["AsgiEndpoint", "respond"]

_LOG: Final = logging.getLogger("ringcast.server")


def respond(endpoint: AsgiEndpoint, guard: Guard, request: Request, opening: Opening) -> Response:
    """Return the response that is a stream of events."""
    return _EventResponse(endpoint, guard, opening, came_of(request.scope, guard, "sse"))


class AsgiEndpoint(Endpoint):
    """What all clients that come by way of somebody else's server share."""

    def __init__(self, router: Router, config: ServerConfig, signals: StopSignals) -> None:
        super().__init__(router, config)
        self.signals = signals
        """Whether that server is about to stop."""


class _EventResponse(Response):
    """Serves its client for as long as the response lasts."""

    def __init__(self, endpoint: AsgiEndpoint, guard: Guard, opening: Opening, came: CameRequest) -> None:
        super().__init__()
        self._parts = endpoint, guard, opening, came

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _AsgiEvents(*self._parts, send).serve(receive)


class _AsgiEvents(EventStream):
    """A client that reads server-sent events; `serve` it."""

    __slots__ = ("_ends", "_outgoing", "_over", "_server")

    def __init__(
        self, endpoint: AsgiEndpoint, guard: Guard, opening: Opening, came: CameRequest, send: Send
    ) -> None:
        super().__init__(endpoint, guard, opening, came)
        self._server = endpoint
        self._outgoing = Outgoing(send, self._on_sent, self._let_go)
        self._ends = False
        """Whether the end of the body is among what is outgoing, or sent."""
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when this side has no more to do with the response."""

    async def serve(self, receive: Receive) -> None:
        """Serve the client until the response has ended, or the client is gone."""
        reader = asyncio.get_running_loop().create_task(self._wait_gone(receive), name="events")
        self.start()
        try:
            await self._over
        finally:
            self._let_go()
            self.leave()
            reader.cancel()
            await asyncio.gather(reader, self._outgoing.stop(), return_exceptions=True)

    # What `EventStream` asks of a stream.

    def begin(self, headers: Lines, body: bytes) -> None:
        assert self._sink is not None  # a connection is accepted for whoever has one
        self._outgoing.put(_start(200, headers))
        self._sink.send_framed(body, False)

    def abort(self) -> None:
        """Let go of the client, with an end of the body if it takes one."""
        if self._ends or not self._outgoing.is_idle:
            self._let_go()
        else:
            self.close()

    def check(self, now: float) -> None:
        if self._server.signals.came and self._link is not None:
            self._link.close(CloseCode.SERVER_RESTART)
        super().check(now)

    def _answer(self, answer: Answer) -> None:
        self._ends = True
        self._outgoing.put(_start(answer.status, answer.headers), _part(answer.body, more=False))

    def _open_sink(self) -> Sink:
        return self._endpoint.router.open_event_response(self)

    # What the relay calls.

    def write(self, data: bytes) -> None:
        assert self._sink is not None  # what is written comes from it
        self._sink.pause_writing()
        self._outgoing.put(_part(data, more=True))

    def close(self) -> None:
        """End the body behind what was written."""
        if not self._ends:
            self._ends = True
            self._outgoing.put(_part(b"", more=False))

    def is_closing(self) -> bool:
        return self._ends or self._over.done()

    # Inside.

    def _on_sent(self) -> None:
        if self._ends:
            self._let_go()
        elif self._sink is not None:
            self._sink.resume_writing()

    def _let_go(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    async def _wait_gone(self, receive: Receive) -> None:
        try:
            while (await receive())["type"] != "http.disconnect":
                pass  # a body, of a request that needs none
        except Exception:
            _LOG.exception("a stream of events could not be watched")
        finally:
            self._let_go()


def _start(status: int, headers: Lines) -> MutableMapping[str, Any]:
    return {"type": "http.response.start", "status": int(status), "headers": list(headers)}


def _part(data: bytes, *, more: bool) -> MutableMapping[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}
