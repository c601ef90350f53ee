"""An application of the user's under this server: which paths are whose, and what it is told of requests.

Ringcast has everything below one path, its mount, and the application has the rest. Where the application
has mounted the registry itself, HTTP requests for actors come by way of it, with all of its middleware. The
sockets are this server's, so WebSocket clients of actors get the same sink as without an application. How an
application says where it has mounted what is `mounting.py`'s to know.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
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
from .mounting import Middleware, Place, before, places
from .replies import LATE_BODY
from .stack import stack_of

try:
    from websockets.exceptions import SecurityError
except ImportError:
    _TOO_LONG: tuple[type[Exception], ...] = ()  # wsproto bounds neither lines nor their number
else:
    _TOO_LONG = (SecurityError,)

if TYPE_CHECKING:
    from ..registry import Registry

__all__ = [
    "DEFAULT_MOUNT",
    "NOTHING_BESIDE",
    "Application",
    "ApplicationFailed",
    "Beside",
    "Divided",
    "GivenUp",
    "NewSocket",
    "application_sockets",
    "mounted",
]

_LOG: Final = logging.getLogger("ringcast.server")

DEFAULT_MOUNT: Final = "/realtime"
_MOUNT: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_LAST_MOMENT_S: Final = 0.5
"""For what is cut off to end: a request, which the server waits for later if it goes on even so, or the
lifespan."""
_HTTP_ONLY: Final = (BaseHTTPMiddleware.__call__, CORSMiddleware.__call__, GZipMiddleware.__call__)
"""How middleware is called that lets WebSockets pass under any server. A class that derives from one of these
and is called in its own way may do anything with them."""
_OURS: Final = (TAKE_OVER, LATE_BODY)
"""Extensions that are not for an application."""
_WEBSOCKET_SCHEME: Final = {"http": "ws", "https": "wss"}

NewSocket = Callable[..., asyncio.Protocol]
"""Makes the protocol of a WebSocket, of what uvicorn gives it."""


class ApplicationFailed(RuntimeError):  # noqa: N818 - named for what has happened
    """The application has said that it could not start; its log says why."""


class GivenUp(Exception):  # noqa: N818 - named for what has happened
    """A request to upgrade was not answered by the library that serves WebSockets, nor given to the
    application. `refusal` is what its client is told: a status, a code and a text."""

    def __init__(self, *refusal: Any) -> None:
        super().__init__(*refusal)
        self.refusal: tuple[HTTPStatus, str, str] = refusal


@dataclass(slots=True, frozen=True)
class Application:
    """An ASGI application, and the path below which everything is Ringcast's."""

    app: ASGIApp
    mount: str | None
    """None where the actors are what the application has mounted, at a path that it does not tell."""
    registry: Registry | None = None
    """What it may have mounted itself: its HTTP requests are handed on to this server by that."""
    goes_through: bool = False
    """Whether HTTP requests below the mount are the application's first."""
    warning: str = ""
    """Says what nobody would expect, such as middleware that does not see all that it would; or empty."""


class Beside(NamedTuple):
    """What a server serves besides a registry."""

    routes: Sequence[Route] = ()
    """Beside Ringcast's own."""
    application: Application | None = None


NOTHING_BESIDE: Final = Beside()


def mounted(registry: Registry, app: ASGIApp, mount: str | None = None) -> Application:
    """Return `app` as it is served beside `registry`.

    Without a `mount` that is where the application has mounted `registry.asgi()`, itself or in what it has
    mounted. Where nobody has asked for that, it is `DEFAULT_MOUNT`; where somebody has and it is not found,
    it is nowhere: the application has it, and may guard it. Raises `ValueError` for a mount that is no path
    of one part or more, and for one below which the application has what nobody would reach, as far as it
    says what it has.
    """
    hosted = registry.hosted
    found = list(places(app))
    own = [place for place in found if hosted is not None and place.app is hosted]
    if mount is None:
        usable = [place for place in own if _MOUNT.fullmatch(place.path)]
        if hosted is not None and not usable:
            return Application(app, None, registry, warning=_not_found(own))
        mount = min(usable, key=lambda place: place.depth).path if usable else DEFAULT_MOUNT
    elif not _MOUNT.fullmatch(mount):
        raise ValueError(f"{mount!r} is no mount: give a path such as {DEFAULT_MOUNT}")
    there = next((place for place in own if place.path == mount), None)
    around = [] if there is None else list(there.around)
    if there is None and hosted is not None and not own:
        # Inside of something that does not say what it is around: the mount says that this is the place.
        there = next((place for place in found if place.path == mount and place.is_opaque), None)
        around = [] if there is None else [*there.around, (type(there.app), there.app)]
    for place in found:
        is_here = place is there or (place in own and place.path == mount)
        if not is_here and _is_lost(place, mount, there is not None):
            raise ValueError(
                f"the application has {place.path}, and all below {mount} is Ringcast's: choose another mount"
            )
    if there is None:
        around = list(dict.fromkeys([*before(app), *(each for place in own for each in place.around)]))
    warning = _bypassed(around, mount, there is not None)
    if there is None and hosted is not None and not own:
        warning = "; ".join(filter(None, (warning, _UNSEEN.format(mount=mount))))
    return Application(app, mount, None if hosted is None else registry, there is not None, warning)


def _is_lost(place: Place, mount: str, mounts: bool) -> bool:
    """Tell whether a route of the application would get no requests, or no WebSockets, below the mount.

    An application that `mounts` the actors there is asked first for HTTP requests.
    """
    if not f"{place.path}/".startswith(f"{mount}/"):
        return False
    if place.path == mount:
        return place.is_opaque
    return not (mounts and (isinstance(place.route, Route) or (place.is_mount and not place.is_opaque)))


_UNSEEN: Final = (
    "registry.asgi() has been asked for, and the application's routes do not show it: what stands before it "
    "there is not run for anything below {mount}"
)


def _not_found(own: Sequence[Place]) -> str:
    """Say why the application alone serves the actors, and what helps."""
    where = ", ".join(place.path or "/" for place in own)
    why = (
        f"registry.asgi() is mounted at {where}, which is no plain path below the root"
        if own
        else "registry.asgi() has been asked for, and the application's routes do not show it"
    )
    return (
        f"{why}: actors are where the application serves them, and nowhere else. Their WebSockets go through "
        "it, and the core does not write to those by itself. A mount says at which path they are"
    )


def _bypassed(middleware: Sequence[Middleware], mount: str, mounts: bool) -> str:
    """Say which of an application's middleware is not run below `mount`, and what helps; empty if all is."""
    names = [
        getattr(function if inspect.isroutine(function) else kind, "__name__", repr(kind))
        for kind, function in middleware
        if not (mounts and isinstance(kind, type) and kind.__call__ in _HTTP_ONLY)
    ]
    if not names:
        return ""
    said = f"of the application's middleware, {', '.join(names)} {'is' if len(names) == 1 else 'are'}"
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
        self._below = None if application.mount is None else f"{application.mount}/"
        self._root_path = application.mount or ""
        self._mounted = application.registry
        self._goes_through = application.goes_through
        self._guard = guard
        self._lifespan: asyncio.Task[Any] | None = None
        """What the server runs the application's in, from the start to the end."""
        self._living: Awaitable[None] | None = None
        """The application's own part of that."""
        self._requests: set[asyncio.Task[Any]] = set()
        """Those of the application that are not answered yet, by the tasks of the server that they run in."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._lifespan = asyncio.current_task()
            assert self._lifespan is not None  # as with requests
            self._lifespan.set_name("lifespan of the application")  # for the log
            self._living = self._app(scope, receive, send)
            await self._living
            return
        is_websocket = scope["type"] == "websocket"
        is_below = self._below is not None and scope["path"].startswith(self._below)
        if is_below and (is_websocket or not self._goes_through):
            await self._own({**scope, "root_path": self._root_path}, receive, send)
        elif is_websocket:
            await self._app(self._for_own_asgi(scope), receive, send)
        elif is_below:
            await self._app(self._for_own(scope), receive, send)
        else:
            task = asyncio.current_task()
            assert task is not None  # the server runs each request in one
            self._requests.add(task)
            try:
                await self._app(self._for_own(scope), receive, send)
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

    async def cut_off_lifespan(self, had_s: float) -> None:
        """End the application's lifespan where it is, and log where that is; one that goes on is left."""
        _LOG.error(
            "the application's shutdown took longer than %g s, and is cut off here:\n%s",
            had_s,
            stack_of(self._living),
        )
        if self._lifespan is not None:
            self._lifespan.cancel()
            await asyncio.wait({self._lifespan}, timeout=_LAST_MOMENT_S)

    def _for_own(self, scope: Scope) -> Scope:
        """Return what the application is told of a request that it may hand on to what it has mounted."""
        return self._handed_on_by(scope, self._own, "client", "scheme", "extensions")

    def _for_own_asgi(self, scope: Scope) -> Scope:
        """The same of a WebSocket, which what it has mounted serves by itself."""
        hosted = None if self._mounted is None else self._mounted.hosted
        return self._handed_on_by(scope, None if hosted is None else hosted.answer, "client", "scheme")

    def _handed_on_by(self, scope: Scope, to: ASGIApp | None, *names: str) -> Scope:
        given = self._for_application(scope)
        if self._mounted is None or to is None:
            return given
        # What is needed once it is through, and was the proxy's or is not for the application.
        kept = {name: scope.get(name) for name in names}

        async def hand_on(scope: Scope, receive: Receive, send: Send) -> None:
            await to({**scope, **kept}, receive, send)

        given["extensions"][HANDED_ON] = HandedOn(self._mounted, hand_on)
        return given

    def _for_application(self, scope: Scope) -> Scope:
        """Return what the application is told: where a trusted proxy says so, who is behind that."""
        extensions = {k: v for k, v in scope.get("extensions", {}).items() if k not in _OURS}
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
            self._is_begun = False

        def data_received(self, data: bytes) -> None:
            """Take what has come: first the whole request, which uvicorn gives before the transport has this
            protocol. Raises `GivenUp` then if nothing becomes of it, and the socket is the caller's again."""
            if self._is_begun:
                super().data_received(data)
                return
            refusal = None
            try:
                super().data_received(data)
            except Exception as error:  # whatever the library has not expected of a head
                refusal = _refusal(error)
            else:
                # uvicorn does not look whether its library has given up, and would do nothing more.
                if not hasattr(self, "scope") and not self.transport.is_closing():
                    refusal = _refusal(getattr(self.conn, "handshake_exc", None))
            if refusal is not None:
                self.connections.discard(self)
                raise GivenUp(*refusal)
            self._is_begun = True

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            place, self._place = self._place, None
            if place is not None:
                guard.places.leave(place)

    def with_place(place: str | None) -> NewSocket:
        return partial(ApplicationSocket, place)

    return with_place


def _refusal(fault: BaseException | None) -> tuple[HTTPStatus, str, str]:
    """Return what a client is told whose request to upgrade the library cannot take, for this reason."""
    if isinstance(fault, _TOO_LONG):
        return (
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head_too_large",
            "a line of the head is longer than WebSockets may have here, or there are too many",
        )
    return HTTPStatus.BAD_REQUEST, "invalid_message", "the request to upgrade cannot be read"
