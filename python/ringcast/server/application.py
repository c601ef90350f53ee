"""An application of the user's under this server: which paths are whose, and what it is told of requests.

Ringcast has everything below one path, its mount, and the application has the rest. Where the application
has mounted the registry itself, HTTP requests for actors come by way of it, with all of its middleware. The
sockets are this server's, so WebSocket clients of actors get the same sink as without an application.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

from ..request import Headers
from .asgi import HANDED_ON, HandedOn
from .event_socket import TAKE_OVER
from .guard import Guard

if TYPE_CHECKING:
    from ..registry import Registry

__all__ = [
    "DEFAULT_MOUNT",
    "NOTHING_BESIDE",
    "Application",
    "ApplicationFailed",
    "Beside",
    "Divided",
    "NewSocket",
    "application_sockets",
    "mounted",
]

_LOG: Final = logging.getLogger("ringcast.server")

DEFAULT_MOUNT: Final = "/realtime"
_MOUNT: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_LAST_MOMENT_S: Final = 0.5
"""For what a request that is cut off does in the end. Later the server waits for one that goes on even so."""
_MOST_LAYERS: Final = 100
"""Of middleware around an application: more is taken for a circle."""
_HTTP_ONLY: Final = (BaseHTTPMiddleware, CORSMiddleware, GZipMiddleware)
"""Middleware that lets WebSockets pass under any server."""
_WEBSOCKET_SCHEME: Final = {"http": "ws", "https": "wss"}

NewSocket = Callable[..., asyncio.Protocol]
"""Makes the protocol of a WebSocket, of what uvicorn gives it."""


class ApplicationFailed(RuntimeError):  # noqa: N818 - named for what has happened
    """The application has said that it could not start; its log says why."""


@dataclass(slots=True, frozen=True)
class Application:
    """An ASGI application, and the path below which everything is Ringcast's."""

    app: ASGIApp
    mount: str
    registry: Registry | None = None
    """What it has mounted there itself: HTTP requests go through it. None where it has nothing there."""
    bypassed: str = ""
    """Says which of its middleware does not see what, for a warning; empty if it sees all that it would."""


class Beside(NamedTuple):
    """What a server serves besides a registry."""

    routes: Sequence[Route] = ()
    """Beside Ringcast's own."""
    application: Application | None = None


NOTHING_BESIDE: Final = Beside()


def mounted(registry: Registry, app: ASGIApp, mount: str | None = None) -> Application:
    """Return `app` as it is served beside `registry`.

    Without a `mount` that is where the application has mounted `registry.asgi()`, or `DEFAULT_MOUNT`. Raises
    `ValueError` for a mount that is no path of one part or more, and for one below which the application has
    routes of its own, as far as it says which it has: nobody would reach them.
    """
    inside = list(_layers(app))
    routes = [
        route for route in getattr(inside[-1], "routes", ()) if isinstance(getattr(route, "path", None), str)
    ]
    own = [route for route in routes if registry.asgi() in _layers(getattr(route, "app", None))]
    if mount is None:
        mount = own[0].path if own and own[0].path else DEFAULT_MOUNT
    if not _MOUNT.fullmatch(mount):
        raise ValueError(f"{mount!r} is no mount: give a path such as {DEFAULT_MOUNT}")
    for route in routes:
        if route not in own and f"{route.path}/".startswith(f"{mount}/") and route.path != mount:
            raise ValueError(
                f"the application has {route.path}, and all below {mount} is Ringcast's: choose another mount"
            )
    there = [route for route in own if route.path == mount]
    around = [*inside[:-1], *(layer for route in there for layer in list(_layers(route.app))[:-1])]
    middleware = [
        *((type(layer), getattr(layer, "dispatch_func", None)) for layer in around),
        *((each.cls, each.kwargs.get("dispatch")) for each in getattr(inside[-1], "user_middleware", ())),
    ]
    return Application(app, mount, registry if there else None, _bypassed(middleware, mount, bool(there)))


def _layers(app: Any) -> Iterator[Any]:
    """Give an application, and what is inside of the middleware around it, as far as that says so."""
    for _ in range(_MOST_LAYERS):
        if app is None:
            return
        yield app
        app = getattr(app, "app", None)


def _bypassed(middleware: Sequence[tuple[Any, Any]], mount: str, mounts: bool) -> str:
    """Say which of an application's middleware is not run below `mount`, and what helps; empty if all is."""
    names = [
        getattr(function if inspect.isroutine(function) else kind, "__name__", repr(kind))
        for kind, function in middleware
        if not (mounts and isinstance(kind, type) and issubclass(kind, _HTTP_ONLY))
    ]
    if not names:
        return ""
    said = f"of the application's middleware, {', '.join(names)} is"
    if mounts:
        return (
            f"{said} run for HTTP requests below {mount}, and not for WebSockets of actors, which do not go "
            "through the application: check those in on_before_connect"
        )
    return (
        f"{said} not run for anything below {mount}: mount registry.asgi() there to have HTTP requests go "
        "through the application, and check WebSockets in on_before_connect"
    )


class Divided:
    """The ASGI application that is both; `own` is Ringcast's."""

    def __init__(self, own: ASGIApp, application: Application, guard: Guard) -> None:
        self._own = own
        self._app = application.app
        self._mount = application.mount
        self._mounted = application.registry
        self._guard = guard
        self._requests: set[asyncio.Task[Any]] = set()
        """Those of the application that are not answered yet, by the tasks of the server that they run in."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["path"].startswith(f"{self._mount}/"):
            if self._mounted is None or scope["type"] == "websocket":
                await self._own({**scope, "root_path": self._mount}, receive, send)
            else:
                await self._app(self._for_own(scope, self._mounted), receive, send)
        elif scope["type"] == "websocket":
            await self._app(self._for_application(scope), receive, send)
        else:
            task = asyncio.current_task()
            assert task is not None  # the server runs each request in one
            self._requests.add(task)
            try:
                await self._app(self._for_application(scope), receive, send)
            finally:
                self._requests.discard(task)

    async def end_requests(self, timeout_s: float) -> None:
        """Wait for the application's requests, and cut off those that last longer: some have no end.

        The server would wait for them a second time otherwise, with the actors gone. Nothing is to come anew.
        """
        over_at = asyncio.get_running_loop().time() + timeout_s
        while self._requests and (left_s := over_at - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._requests, timeout=left_s)
        late = set(self._requests)
        if late:
            _LOG.warning("the server stops, and requests of the application are cut off: %d", len(late))
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=_LAST_MOMENT_S)

    def _for_own(self, scope: Scope, registry: Registry) -> Scope:
        """Return what the application is told of a request that it hands on to what it has mounted."""
        given = self._for_application(scope)
        # What is needed once it is through, and was the proxy's or is not for the application.
        kept = {name: scope.get(name) for name in ("client", "scheme", "extensions")}

        async def hand_on(scope: Scope, receive: Receive, send: Send) -> None:
            await self._own({**scope, **kept}, receive, send)

        given["extensions"][HANDED_ON] = HandedOn(registry, hand_on)
        return given

    def _for_application(self, scope: Scope) -> Scope:
        """Return what the application is told: where a trusted proxy says so, who is behind that."""
        extensions = {k: v for k, v in scope.get("extensions", {}).items() if k != TAKE_OVER}
        given: dict[str, Any] = {**scope, "extensions": extensions}
        client = scope.get("client")
        address = client[0] if client else None
        if self._guard.proxies.trusts(address):
            peer = self._guard.peer(address, Headers(scope["headers"]))
            given["client"] = None if peer.address is None else (peer.address, 0)
            if peer.scheme is not None:
                is_websocket = scope["type"] == "websocket"
                given["scheme"] = _WEBSOCKET_SCHEME[peer.scheme] if is_websocket else peer.scheme
        return given


def application_sockets(guard: Guard) -> Callable[[str | None], NewSocket] | None:
    """Return what makes the protocols of the application's WebSockets, which are uvicorn's own; None where no
    package for them is installed.

    It is given the place that a socket has taken, which is left once that is closed.
    """
    if AutoWebSocketsProtocol is None:
        return None
    # What it is called, and that it is a class, is uvicorn's to decide.
    uvicorns: Any = AutoWebSocketsProtocol

    class ApplicationSocket(uvicorns):  # type: ignore[misc]
        def __init__(self, place: str | None, **parts: Any) -> None:
            super().__init__(**parts)
            self._place = place

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            place, self._place = self._place, None
            if place is not None:
                guard.places.leave(place)

    def with_place(place: str | None) -> NewSocket:
        return partial(ApplicationSocket, place)

    return with_place
