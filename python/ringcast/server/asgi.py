"""The ASGI application, by which servers of others serve a registry, alone or mounted in an application.

HTTP is `http.py`'s, a WebSocket `asgi_websocket.py`'s, and events over HTTP are `asgi_events.py`'s; here they
are brought together with the start and the stop of the registry, which only its process can know.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from .asgi_events import AsgiEndpoint, respond
from .asgi_stopping import StopSignals
from .asgi_websocket import AsgiWebSocket
from .events import event_routes
from .guard import Guard
from .http import create_app

if TYPE_CHECKING:
    from ..registry import Registry
    from ..router import Router

__all__ = ["HANDED_ON", "Asgi", "HandedOn"]

HANDED_ON: Final = "ringcast.handed_on"
"""The extension of a request that has come through an application which Ringcast's own server serves: a
`HandedOn`."""

_LOG: Final = logging.getLogger("ringcast.server")
_NOT_RUNNING: Final = (
    "the registry is not running: a mounted application is not told when the process starts and stops. "
    "Give the outermost one the lifespan, as in FastAPI(lifespan=registry.lifespan), or enter "
    "`async with registry.lifespan(app)` in the one that it has"
)


class HandedOn(NamedTuple):
    """What answers a request for the actors of `registry` in the place of its own ASGI application."""

    registry: Registry
    app: ASGIApp


class Asgi:
    """An ASGI 3 application: all that a registry's own server has at its root.

    Raises `RuntimeError` for a request while the registry is not running. It is not started by the first one,
    because then nobody would stop it, which is what saves the actors.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._served: _Served | None = None
        """What is made for the present router."""
        self._signals = StopSignals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        handed_on = (scope.get("extensions") or {}).get(HANDED_ON)
        if handed_on is not None and handed_on.registry is self._registry:
            await handed_on.app(scope, receive, send)
        else:
            await self.answer(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or serve a WebSocket, whoever has handed it on."""
        await self._present().app(scope, receive, send)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the registry for as long as the context lasts."""
        await self._registry.start()
        self._signals.watch(self._hurry)
        try:
            yield
        finally:
            self._signals.forget()
            served, self._served = self._served, None
            await self._registry.stop()
            if served is not None:
                await served.endpoint.deadlines.wait_all_closed(self._registry.config.close_timeout_s)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        running = self.running()
        await receive()  # lifespan.startup
        try:
            await running.__aenter__()
        except Exception as error:
            _LOG.exception("the registry could not be started")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
        await running.__aexit__(None, None, None)
        await send({"type": "lifespan.shutdown.complete"})

    def _hurry(self) -> None:
        """The process is to end: nobody knows whether, and how soon, the server lets the registry stop."""
        router = self._registry.running
        if router is not None:
            # It goes on: requests of the host that have not ended may use it, and so may the host's end.
            router.hurry()
        if self._served is not None:
            self._served.endpoint.deadlines.look_at_all()

    def _present(self) -> _Served:
        router = self._registry.running
        if router is None:
            raise RuntimeError(_NOT_RUNNING)
        if self._served is None or self._served.router is not router:
            self._served = _Served(router, self._signals)
        return self._served


class _Served:
    """One router, as it is served."""

    def __init__(self, router: Router, signals: StopSignals) -> None:
        self.router = router
        guard = Guard(router.config, router.limits_hit)
        self.endpoint = AsgiEndpoint(router, router.config, signals)
        self.app: ASGIApp = create_app(
            router,
            router.config,
            _WebSockets(self.endpoint, guard),
            guard,
            routes=event_routes(router, guard, partial(respond, self.endpoint, guard)),
        )


class _WebSockets:
    """Serves the WebSocket endpoint. An object, as Starlette takes functions for no application."""

    def __init__(self, endpoint: AsgiEndpoint, guard: Guard) -> None:
        self._endpoint = endpoint
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await AsgiWebSocket(self._endpoint, self._guard, scope, receive, send).serve()
