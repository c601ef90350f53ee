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

__all__ = ["AccessLogged", "is_logged", "log_connected", "log_ended", "log_request"]


def is_logged() -> bool:
    """Whether anybody wants to know: what a line says need not be looked up for nobody."""
    return ACCESS.isEnabledFor(logging.INFO)


def log_connected(session: Session, outcome: str, client: str | None) -> None:
    """A client is attached to a session: a new one, or one that it has resumed."""
    if is_logged():
        extra = _of(session, outcome, client)
        ACCESS.info("%s connection of %s", outcome, _name(session), extra=extra)


def log_ended(
    session: Session | None, code: int | None, *, by_server: bool, client: str | None = None
) -> None:
    """A socket is over, with the close code of the one who has ended it; None if there was none.

    `client` is where it came from, where that is still known: it is kept until there is a connection, and no
    longer.
    """
    if not is_logged():
        return
    event = "closed_by_server" if by_server else "closed_by_client" if code is not None else "lost"
    text = "%s with %s: a connection of %s"
    name = "no actor" if session is None else _name(session)
    extra = fields(event, client=client) if session is None else _of(session, event, client)
    ACCESS.info(text, event.replace("_", " "), code, name, extra={**extra, "code": code})


def _name(session: Session) -> str:
    extra = session.actor.log.extra or {}
    return f"{extra['actor']} {extra['actor_id']}"


def _of(session: Session, event: str, client: str | None) -> dict[str, Any]:
    more = fields(event, connection=session.member.id, client=client)
    return {**(session.actor.log.extra or {}), **more}


def log_request(
    code: int | None,
    client: str | None,
    method: str | None = None,
    path: str | None = None,
    duration_ms: float | None = None,
) -> None:
    """A request is answered; without `method` and `path` one that could not be read."""
    extra = fields("request", method=method, path=path, code=code, client=client, duration_ms=duration_ms)
    if method is None:
        ACCESS.info("a request that cannot be read: %d", code or 0, extra=extra)
    else:
        ACCESS.info("%s %r: %d", method, path, code or 0, extra=extra)


class AccessLogged:
    """An ASGI application whose HTTP requests are logged once they are answered.

    `address_of` tells where one comes from, which trusted proxies may have a say in.
    """

    def __init__(self, app: ASGIApp, address_of: Callable[[Scope], str | None]) -> None:
        self._app = app
        self._address_of = address_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_logged():
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
            duration_ms = round((time.perf_counter() - began) * 1000, 3)
            client = self._address_of(scope)
            log_request(status or None, client, scope["method"], scope["path"], duration_ms)
