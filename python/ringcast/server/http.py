"""The application of all that is no WebSocket: health, readiness and metrics here, and the routes of others.

Calls are `calls.py`'s; what answers look like is in `replies.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from ..config import ServerConfig
from ..gateway.places import Places
from ..router import Router
from .calls import call_routes
from .cors import OriginCheck
from .docs import docs_routes
from .first_read import HEALTH_PATH
from .guard import Guard
from .handshake import PATH
from .media import JSON, wanted
from .metrics import Exposition
from .replies import STATUS_BY_CODE, RequestError, error_response, written

__all__ = ["create_app", "create_metrics_app"]

_VERSION: Final = version("ringcast")


def create_app(
    router: Router,
    config: ServerConfig,
    websocket: ASGIApp | None = None,
    guard: Guard | None = None,
    *,
    routes: Sequence[Route] = (),
) -> Starlette:
    """Return the ASGI application. Whoever serves it starts and stops `router`.

    `websocket` serves the WebSocket endpoint, if that is not the server's own; `guard` is that of all ways
    into the server, where there are others; `routes` are those that not every server can serve. Raises
    `MetricsUnavailable` where `/metrics` is wanted here and cannot be had.
    """
    if guard is None:
        guard = Guard(config, router.limits_hit)
    own_port = config.metrics_port is not None
    app = Starlette(
        routes=[
            *([] if websocket is None else [WebSocketRoute(PATH, websocket)]),
            *_state_routes(router),
            *([metrics_route(router, guard.places)] if config.metrics and not own_port else []),
            Route(PATH, _upgrade_required, methods=["GET"]),
            *call_routes(router, config, guard),
            *(docs_routes(router.registry, STATUS_BY_CODE) if config.docs else ()),
            *routes,
        ],
        exception_handlers={HTTPException: _on_http_exception},
    )
    # No redirect, which has no body and which no client expects: an address is right or not found.
    app.router.redirect_slashes = False
    app.add_middleware(OriginCheck, guard=guard)
    return app


def metrics_route(router: Router, places: Places) -> Route:
    """Return the route of `/metrics`. Raises `MetricsUnavailable`."""
    write = Exposition(router, places)

    async def metrics(request: Request) -> Response:
        text, media_type = write(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": media_type})

    return Route("/metrics", metrics, methods=["GET"])


def create_metrics_app(router: Router, places: Places) -> Starlette:
    """Return what a port for metrics has: them, and how the server is. `places` are those of its other port.

    Raises `MetricsUnavailable`.
    """
    return Starlette(
        routes=[metrics_route(router, places), *_state_routes(router)],
        exception_handlers={HTTPException: _on_http_exception},
    )


async def _upgrade_required(request: Request) -> Response:
    error = RequestError("this is a WebSocket endpoint", code="upgrade_required")
    return error_response(error, {"Upgrade": "websocket", "Connection": "Upgrade"})


_CODE_BY_STATUS: Final = {404: "not_found", 405: "method_not_allowed"}


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # the only class that this handles
    code = _CODE_BY_STATUS.get(error.status_code, "invalid_message")
    headers = None if error.headers is None else dict(error.headers)
    media = wanted(request.headers.get("accept", ""), JSON) or JSON
    return error_response(RequestError(error.detail, code=code), headers, media)


def _state_routes(router: Router) -> list[Route]:
    state = _State(router)
    return [
        Route(HEALTH_PATH, state.health, methods=["GET"]),
        Route("/ready", state.ready, methods=["GET"]),
    ]


class _State:
    """How the server is."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def health(self, request: Request) -> Response:
        """Tell that the server runs, and how much it has to do."""
        router = self._router
        return written(
            {
                "status": "ok",
                "version": _VERSION,
                "actors": router.actors,
                "connections": router.connections,
            }
        )

    async def ready(self, request: Request) -> Response:
        """Tell whether clients should be sent here."""
        reason = self._router.unready
        if reason is None:
            return written({"status": "ready"})
        return written({"status": "unready", "reason": reason}, HTTPStatus.SERVICE_UNAVAILABLE)
