"""The access log: who comes and goes, and each HTTP request. Off unless the settings ask for it.

Written by the logger `ringcast.access`, with the fields of `logs.FIELDS`. Params, arguments,
queries and tokens are never in it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from .logs import ACCESS, fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ..gateway.session import Session

__all__ = ["AccessLogged", "log_connected", "log_ended"]


def log_connected(session: Session, outcome: str) -> None:
    """A client is attached to a session: a new one, or one that it has resumed."""
    if ACCESS.isEnabledFor(logging.INFO):
        ACCESS.info("%s connection of %s", outcome, _name(session), extra=_of(session, outcome))


def log_ended(session: Session | None, code: int | None, *, by_server: bool) -> None:
    """A socket is over, with the close code of the one who has ended it; None if there was none."""
    if not ACCESS.isEnabledFor(logging.INFO):
        return
    event = "closed_by_server" if by_server else "closed_by_client" if code is not None else "lost"
    text = "%s with %s: a connection of %s"
    name = "no actor" if session is None else _name(session)
    extra = fields(event) if session is None else _of(session, event)
    ACCESS.info(text, event.replace("_", " "), code, name, extra={**extra, "code": code})


def _name(session: Session) -> str:
    extra = session.actor.log.extra or {}
    return f"{extra['actor']} {extra['actor_id']}"


def _of(session: Session, event: str) -> dict[str, Any]:
    return {**(session.actor.log.extra or {}), **fields(event, connection=session.member.id)}


class AccessLogged:
    """An ASGI application whose HTTP requests are logged once they are answered.

    `address_of` tells where one comes from, which trusted proxies may have a say in.
    """

    def __init__(self, app: ASGIApp, address_of: Callable[[Scope], str | None]) -> None:
        self._app = app
        self._address_of = address_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not ACCESS.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        status, began = 0, time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            extra = fields(
                "request",
                method=scope["method"],
                path=scope["path"],
                code=status or None,
                client=self._address_of(scope),
                duration_ms=round((time.perf_counter() - began) * 1000, 3),
            )
            ACCESS.info("%s %r: %d", scope["method"], scope["path"], status, extra=extra)
