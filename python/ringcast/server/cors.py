"""Requests of pages in browsers, before any route: those of foreign origins are refused.

It stands around the whole ASGI application, so that no route can forget it. Upgrades of this server's own
port do not come by here: `websocket.py` asks the same guard.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..request import Headers
from .guard import Guard, foreign_page, peer_of, refuse_websocket

__all__ = ["OriginCheck", "allowed_lines"]

_METHODS: Final = b"GET, POST, DELETE"
_ASKED_FOR: Final = b"access-control-request-method"
_HEADERS: Final = (
    b"authorization, cache-control, content-type, idempotency-key, last-event-id, ringcast-answers, "
    b"ringcast-session, ringcast-stream"
)
_EXPOSED: Final = (
    b"idempotent-replayed, retry-after, ringcast-answers, ringcast-close, ringcast-error, ringcast-stream"
)
_HARMLESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods without effects: the one route of GET that has some, `events.py`'s, asks the guard by itself."""
_MAX_AGE_S: Final = b"600"


class OriginCheck:
    """Wrap `app`; `guard` says which pages may use it."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope.get("headers", ()))
        if "origin" not in headers and "sec-fetch-site" not in headers:
            await self._app(scope, receive, send)
            return
        origin = headers.get("origin")
        is_websocket = scope["type"] == "websocket"
        has_effects = is_websocket or scope["method"] not in _HARMLESS
        if not self._guard.allows(headers, peer_of(scope, self._guard), has_effects=has_effects):
            await _refuse(scope, receive, send)
        elif is_websocket or origin is None:
            await self._app(scope, receive, send)
        else:
            await self._answer(origin, scope, receive, send)

    async def _answer(self, origin: str, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = _allowed(self._guard, origin)
        asked = scope["method"] == "OPTIONS" and any(
            name == _ASKED_FOR for name, _ in scope.get("headers", ())
        )
        if asked:
            response = Response(status_code=HTTPStatus.NO_CONTENT)
            response.raw_headers = [
                *allowed,
                (b"access-control-allow-methods", _METHODS),
                (b"access-control-allow-headers", _HEADERS),
                (b"access-control-max-age", _MAX_AGE_S),
            ]
            await response(scope, receive, send)
            return

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *allowed]
            await send(message)

        await self._app(scope, receive, send_allowed)


def _allowed(guard: Guard, origin: str) -> list[tuple[bytes, bytes]]:
    """Return the headers by which a page of `origin`, which may use the server, can read a response."""
    # A page of the same origin needs none of this, and is not harmed by it.
    listed = guard.origins.lists(origin)
    allowed = [
        # Not with a wildcard: any page could use the cookies of whoever looks at it.
        (b"access-control-allow-origin", origin.encode("latin-1") if listed else b"*"),
        *([(b"access-control-allow-credentials", b"true")] if listed else []),
        (b"access-control-expose-headers", _EXPOSED),
    ]
    return [*(allowed if listed or guard.origins.any else ()), (b"vary", b"Origin")]


def allowed_lines(guard: Guard, origin: str | None) -> list[tuple[bytes, bytes]]:
    """Return what `OriginCheck` adds to the head of a response, for those that no ASGI application sends."""
    return [] if not origin else _allowed(guard, origin)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    refusal = foreign_page()
    if scope["type"] == "websocket":
        await refuse_websocket(refusal, scope, send)
        return
    headers = {**refusal.headers, "Vary": "Origin, Sec-Fetch-Site"}
    await Response(refusal.body, refusal.status, headers)(scope, receive, send)
