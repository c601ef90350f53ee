"""The routes that are no WebSocket: health, readiness, metrics, calls without a connection, finding an actor.

Actors are the router's; this module only turns requests into calls, and errors into statuses.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from ..config import ServerConfig
from ..errors import MASKED, InternalError, ProtocolError, RingcastError, UserError
from ..faults import contained
from ..router import Router
from ..wire.encoding import Encoding, writable
from ..wire.parsing import parse_address
from ..wire.protocol import Connect
from .cors import OriginCheck
from .docs import docs_routes
from .guard import Guard, came_of
from .handshake import PATH
from .metrics import Exposition

__all__ = [
    "STATUS_BY_CODE",
    "RequestError",
    "answer",
    "create_app",
    "create_metrics_app",
    "error_response",
    "read_body",
]

_LOG: Final = logging.getLogger("ringcast.server")
_VERSION: Final = version("ringcast")

STATUS_BY_CODE: Final[dict[str, HTTPStatus]] = {
    "actor_already_exists": HTTPStatus.CONFLICT,
    "actor_destroyed": HTTPStatus.GONE,
    "actor_not_found": HTTPStatus.NOT_FOUND,
    "action_timeout": HTTPStatus.GATEWAY_TIMEOUT,
    "call_refused": HTTPStatus.FORBIDDEN,
    "connection_closed": HTTPStatus.SERVICE_UNAVAILABLE,  # the server shuts down
    "connection_gone": HTTPStatus.INTERNAL_SERVER_ERROR,
    "connection_refused": HTTPStatus.FORBIDDEN,
    "encoding_refused": HTTPStatus.INTERNAL_SERVER_ERROR,
    "event_not_json": HTTPStatus.INTERNAL_SERVER_ERROR,
    "event_too_large": HTTPStatus.INTERNAL_SERVER_ERROR,
    "events_lost": HTTPStatus.INTERNAL_SERVER_ERROR,
    "forbidden": HTTPStatus.FORBIDDEN,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "invalid_definition": HTTPStatus.INTERNAL_SERVER_ERROR,
    "invalid_event": HTTPStatus.INTERNAL_SERVER_ERROR,
    "invalid_event_name": HTTPStatus.INTERNAL_SERVER_ERROR,
    "invalid_filter": HTTPStatus.INTERNAL_SERVER_ERROR,
    "invalid_message": HTTPStatus.BAD_REQUEST,
    "message_too_big": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "not_connected": HTTPStatus.BAD_REQUEST,  # the action asks who is calling
    "not_found": HTTPStatus.NOT_FOUND,
    "offline_queue_full": HTTPStatus.INTERNAL_SERVER_ERROR,
    "origin_not_allowed": HTTPStatus.FORBIDDEN,
    "outcome_unknown": HTTPStatus.INTERNAL_SERVER_ERROR,  # not 503, which proxies and clients repeat
    "params_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "reply_too_large": HTTPStatus.INTERNAL_SERVER_ERROR,
    "request_timeout": HTTPStatus.REQUEST_TIMEOUT,
    "reserved_name": HTTPStatus.INTERNAL_SERVER_ERROR,
    "server_full": HTTPStatus.SERVICE_UNAVAILABLE,
    "store_unavailable": HTTPStatus.INTERNAL_SERVER_ERROR,  # not 503: its action may have done a part
    "subscription_refused": HTTPStatus.FORBIDDEN,
    "too_many_calls": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_connections": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_filters": HTTPStatus.FORBIDDEN,
    "try_again_later": HTTPStatus.SERVICE_UNAVAILABLE,
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "unknown_message": HTTPStatus.BAD_REQUEST,
    "unknown_session": HTTPStatus.NOT_FOUND,
    "unknown_action": HTTPStatus.NOT_FOUND,
    "unknown_actor": HTTPStatus.NOT_FOUND,
    "unknown_event": HTTPStatus.INTERNAL_SERVER_ERROR,
    "unsupported_media_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "upgrade_required": HTTPStatus.UPGRADE_REQUIRED,
    "validation_error": HTTPStatus.UNPROCESSABLE_ENTITY,
}
"""The status of every error but an author's own.

An action may let out any error of this package, also one that it got as a client of another actor.
"""


class RequestError(RingcastError):
    """The HTTP request itself cannot be served."""


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
    calls = _Calls(router, config, guard)
    own_port = config.metrics_port is not None
    app = Starlette(
        routes=[
            *([] if websocket is None else [WebSocketRoute(PATH, websocket)]),
            Route("/health", calls.health, methods=["GET"]),
            Route("/ready", calls.ready, methods=["GET"]),
            *([metrics_route(router)] if config.metrics and not own_port else []),
            Route(PATH, _upgrade_required, methods=["GET"]),
            Route("/actors/{actor}/actions/{action}", calls.call, methods=["POST"]),
            Route("/actors/{actor}/resolve", calls.resolve, methods=["POST"]),
            *(docs_routes(router.registry, STATUS_BY_CODE) if config.docs else ()),
            *routes,
        ],
        exception_handlers={HTTPException: _on_http_exception},
    )
    # No redirect, which has no body and which no client expects: an address is right or not found.
    app.router.redirect_slashes = False
    app.add_middleware(OriginCheck, guard=guard)
    return app


def metrics_route(router: Router) -> Route:
    """Return the route of `/metrics`. Raises `MetricsUnavailable`."""
    write = Exposition(router)

    async def metrics(request: Request) -> Response:
        text, media_type = write(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": media_type})

    return Route("/metrics", metrics, methods=["GET"])


def create_metrics_app(router: Router) -> Starlette:
    """Return an ASGI application with nothing but `/metrics`. Raises `MetricsUnavailable`."""
    return Starlette(routes=[metrics_route(router)], exception_handlers={HTTPException: _on_http_exception})


def _json(value: Any, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    return Response(Encoding.JSON.encode(value), status, headers, media_type="application/json")


def error_response(error: RingcastError, headers: dict[str, str] | None = None) -> Response:
    # Authors of actors choose the codes of a UserError, even ones that stand in the table: it is the
    # caller's doing.
    own = STATUS_BY_CODE.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    status = HTTPStatus.BAD_REQUEST if isinstance(error, UserError) else own
    return _json({"error": writable(Encoding.JSON, error)}, status, headers)


async def answer(work: Awaitable[Any]) -> Response:
    try:
        return await contained(_written(work), "an HTTP request")
    except RingcastError as error:
        return error_response(error)
    except ClientDisconnect:
        return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody is there to read it
    except Exception:
        _LOG.exception("an HTTP request failed")
        return error_response(InternalError(MASKED))


async def _written(work: Awaitable[Any]) -> Response:
    result = await work
    return result if isinstance(result, Response) else _json(result)


async def _upgrade_required(request: Request) -> Response:
    error = RequestError("this is a WebSocket endpoint", code="upgrade_required")
    return error_response(error, {"Upgrade": "websocket", "Connection": "Upgrade"})


_CODE_BY_STATUS: Final = {404: "not_found", 405: "method_not_allowed"}


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # the only class that this handles
    code = _CODE_BY_STATUS.get(error.status_code, "invalid_message")
    headers = None if error.headers is None else dict(error.headers)
    return error_response(RequestError(error.detail, code=code), headers)


class _Calls:
    """The requests that reach the router."""

    def __init__(self, router: Router, config: ServerConfig, guard: Guard) -> None:
        self._router = router
        self._config = config
        self._guard = guard

    async def health(self, request: Request) -> Response:
        """Tell that the server runs, and how much it has to do."""
        router = self._router
        return _json(
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
            return _json({"status": "ready"})
        return _json({"status": "unready", "reason": reason}, HTTPStatus.SERVICE_UNAVAILABLE)

    async def call(self, request: Request) -> Response:
        """Run an action without a connection."""
        return await answer(self._call(request))

    async def resolve(self, request: Request) -> Response:
        """Find an actor, creating it where the lookup says so."""
        return await answer(self._resolve(request))

    async def _call(self, request: Request) -> dict[str, Any]:
        body = await self._body(request)
        args = body.pop("args", [])
        if not isinstance(args, list):
            raise ProtocolError("args is an array")
        address, name = _address(request, body), request.path_params["action"]
        return {"value": await self._router.call(address, name, args, came_of(request.scope, self._guard))}

    async def _resolve(self, request: Request) -> dict[str, Any]:
        actor_id, key = await self._router.resolve(_address(request, await self._body(request)))
        return {"actor_id": actor_id, "key": key}

    async def _body(self, request: Request) -> dict[str, Any]:
        body = await read_body(request, self._config, self._router.limits_hit)
        if not isinstance(body, dict):
            raise ProtocolError("the body is an object")
        return body


async def read_body(request: Request, config: ServerConfig, limits_hit: Counter[str]) -> Any:
    """Return the JSON that a request carries. Raises `RingcastError` for anything else."""
    # A page of another origin may send a form or plain text without asking first, but not JSON.
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RequestError("send application/json", code="unsupported_media_type")
    try:
        async with asyncio.timeout(config.connect_timeout_s):
            data = await _read(request, config.max_message_bytes, limits_hit)
    except TimeoutError:
        limits_hit["connect_timeout_s"] += 1
        raise RequestError("the body did not come in time", code="request_timeout") from None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        raise ProtocolError("the body is not valid JSON") from None


async def _read(request: Request, max_bytes: int, limits_hit: Counter[str]) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > max_bytes:
            limits_hit["max_message_bytes"] += 1
            raise RequestError(f"the body is longer than {max_bytes} bytes", code="message_too_big")
    return bytes(data)


def _address(request: Request, body: dict[str, Any]) -> Connect:
    """Take the actor's address from the path and the body, by the rules of a connect message."""
    return parse_address(request.path_params["actor"], body)
