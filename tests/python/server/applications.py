"""What tests of applications under the own server share: a room, middleware, and how both are served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ringcast import Actor, Context, Registry, action
from ringcast.server.application import Beside, mounted
from ringcast.server.serve import serving

__all__ = ["LET_IN", "Plain", "Room", "guarded", "relayed", "under"]

LET_IN = {"Authorization": "Bearer good"}


class Room(Actor):
    @action
    def say(self, c: Context, text: str) -> str:
        c.broadcast("said", text)
        return text

    @action
    def seen(self, c: Context) -> list[Any]:
        return [c.request.transport, c.request.address, c.request.path]


class Plain:
    """Middleware that is nobody's, and says what it is around: it would see WebSockets as well."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.seen: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope["type"])
        await self.app(scope, receive, send)


def guarded() -> FastAPI:
    """Return an application that lets in who has a token."""
    app = FastAPI()

    @app.middleware("http")
    async def check_token(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        if request.headers.get("authorization") != LET_IN["Authorization"]:
            return JSONResponse({"detail": "no"}, 401)
        response = await call_next(request)
        response.headers["X-Checked"] = "yes"
        return response

    return app


def under(registry: Registry, app: Any, mount: str | None = None) -> Any:
    """Serve both, in this loop."""
    return serving(registry, beside=Beside(application=mounted(registry, app, mount)))


def relayed(registry: Registry) -> int:
    """Return how often the event loop has written for the core."""
    relay = registry.router._relay
    assert relay is not None
    return relay.writes
