"""Who is let in at all: where it comes from, what page its user is on, whether there is a place for it.

The rules are in `gateway/peers.py`, `gateway/origins.py` and `gateway/places.py`; here they are asked, for
every way into a server.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.types import Scope, Send

from ..config import ServerConfig
from ..gateway.origins import OPAQUE, Origins
from ..gateway.peers import Networks, Peer, Proxies
from ..gateway.places import NoPlace, Places
from ..request import Headers, Request, Transport
from ..seldom import SeldomLog
from .handshake import Refusal

if TYPE_CHECKING:
    from picows import WSUpgradeRequest

    from .bridge import Gate

__all__ = [
    "CODE_BY_LIMIT",
    "FOREIGN_PAGE",
    "RETRY_AFTER_S",
    "Guard",
    "MetricsGuard",
    "came_of",
    "foreign_page",
    "let_in",
    "peer_of",
    "refusal_of",
    "refuse_websocket",
    "take_place",
]

_LOG: Final = logging.getLogger("ringcast.server")

CODE_BY_LIMIT: Final = {
    "max_connections": "server_full",
    "max_connections_per_address": "too_many_connections",
}
"""The error code of a socket for which there is no place."""

STATUS_BY_LIMIT: Final = {
    "max_connections": HTTPStatus.SERVICE_UNAVAILABLE,
    "max_connections_per_address": HTTPStatus.TOO_MANY_REQUESTS,
}
MOST_FOR_METRICS: Final = 100
"""How many sockets a port for metrics takes."""
RETRY_AFTER_S: Final = 5
"""When somebody for whom there is no place may try again: nobody knows when there will be one."""

FOREIGN_PAGE: Final = "pages of this origin may not use this server"

_OPAQUE_ALLOWED: Final = (
    "allowed_origins has null, which is any page without an origin: every site can show one, in a frame in a "
    "sandbox, and that can use this server with the cookies of its users"
)
_NAMED_ORIGIN: Final = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")
"""Origins that the log names: a developer's own. In another one a client can write anything, a token too."""
_MOST_ORIGINS_NAMED: Final = 16

_TEXT_BY_LIMIT: Final = {
    "max_connections": "the server has as many connections as it takes",
    "max_connections_per_address": "there are too many connections from this address",
}


class Guard:
    """What all sockets of one server are held against."""

    def __init__(self, config: ServerConfig, limits_hit: Counter[str], tls: bool = False) -> None:
        self.places = Places(config, limits_hit)
        self.calls = Places(config, limits_hit, "calls")
        """Those of calls over HTTP that run, which is not to say that somebody waits for them."""
        self.origins = Origins(config.allowed_origins)
        if self.origins.lists(OPAQUE):
            # Not refused: it is what a local page has, and the way to try one. But few know what else it is.
            _LOG.warning("%s", _OPAQUE_ALLOWED)
        self.proxies = Proxies(Networks(config.trusted_proxies), config.forwarded_header)
        self.limits_hit = limits_hit
        self.dead_peer_timeout_s = config.dead_peer_timeout_s
        self.turned_away = 0
        """How many sockets are open without a place, until they are told so."""
        self._tls = tls
        self._full = {limit: SeldomLog(_LOG) for limit in CODE_BY_LIMIT}
        self._refused_origins: set[str] = set()
        """Those that the log has named."""

    def peer(self, address: str | None, headers: Mapping[str, str]) -> Peer:
        """Return who has sent these headers over a socket from `address`."""
        found = self.proxies.client_behind(address, headers)
        return found._replace(scheme="https") if self._tls and found.scheme is None else found

    def allows(self, headers: Mapping[str, str], peer: Peer, *, has_effects: bool = True) -> bool:
        """Tell whether the page that a request comes from may use this server; counts those that may not.

        A request without effects may come from a page that has no name: somebody follows a link.
        """
        origin = headers.get("origin")
        if origin is None:
            allowed = not has_effects or self.origins.allows_unnamed(headers.get("sec-fetch-site"))
        else:
            allowed = self.origins.allows(origin, peer.host or headers.get("host"), peer.scheme)
        if not allowed:
            self.limits_hit["allowed_origins"] += 1
            if origin is not None:
                self._say_refused(origin)
        return allowed

    def _say_refused(self, origin: str) -> None:
        """Say in the log, once, what would let a page in: a browser does not show the page why it is not."""
        who = origin if _NAMED_ORIGIN.fullmatch(origin) else "another origin"
        if who in self._refused_origins or len(self._refused_origins) >= _MOST_ORIGINS_NAMED:
            return
        self._refused_origins.add(who)
        # With the next turn, as `SeldomLog` does.
        asyncio.get_running_loop().call_soon(
            _LOG.warning, "a page of %s is refused: allowed_origins (--allowed-origins) does not list it", who
        )

    def take_place(self, address: str | None) -> str:
        """Take a place for a socket; as `Places.take`, and says in the log that there is none."""
        try:
            return self.places.take(address)
        except NoPlace as refused:
            self._warn(refused.limit)
            raise

    def _warn(self, limit: str) -> None:
        hint = "" if limit == "max_connections" else "; is it a proxy's, which trusted_proxies lacks?"
        self._full[limit].warn("connections are turned away: %s (%s)%s", _TEXT_BY_LIMIT[limit], limit, hint)


class MetricsGuard(Guard):
    """What the sockets of a port for metrics are held against: those who read them are few, and known."""

    def __init__(self, config: ServerConfig) -> None:
        super().__init__(
            replace(
                config,
                max_connections=MOST_FOR_METRICS,
                max_connections_per_address=0,
                allowed_origins=(),
                trusted_proxies=(),
            ),
            # Not among the server's: whoever reads them runs into `idle_timeout_s` each time.
            Counter(),
        )

    def _warn(self, limit: str) -> None:
        self._full[limit].warn(
            "connections to the port for metrics are turned away: it takes %d", MOST_FOR_METRICS
        )


def refusal_of(limit: str) -> tuple[HTTPStatus, str]:
    """Return status and text for a socket that has run into `limit`."""
    return STATUS_BY_LIMIT[limit], _TEXT_BY_LIMIT[limit]


def peer_of(scope: Scope, guard: Guard) -> Peer:
    """Return who has sent the request of an ASGI scope."""
    client = scope.get("client")
    return guard.peer(client[0] if client else None, Headers(scope.get("headers", ())))


def came_of(scope: Scope, guard: Guard, transport: Transport = "http") -> Request:
    """Return the request of an ASGI scope as actors see it."""
    raw, peer = tuple(scope.get("headers", ())), peer_of(scope, guard)
    query = scope.get("query_string", b"").decode("latin-1")
    path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
    return Request(transport, peer.address, f"{path}?{query}" if query else path, raw)


def let_in(guard: Guard, request: WSUpgradeRequest, gate: Gate) -> str:
    """Take a place for a client, and note with its request where it comes from. Raises `Refusal`."""
    came = gate.request
    address = None if came is None else came.address
    headers: Mapping[str, str] = request.headers
    if came is not None and guard.proxies.trusts(address):
        headers = came.headers
    peer = guard.peer(address, headers)
    if not guard.allows(headers, peer):
        raise foreign_page()
    if came is not None and peer.address != address:
        gate.request = replace(came, address=peer.address)
    return take_place(guard, peer.address)


def foreign_page() -> Refusal:
    """Return what a page is told that may not use this server."""
    return Refusal(HTTPStatus.FORBIDDEN, "origin_not_allowed", FOREIGN_PAGE)


def take_place(guard: Guard, address: str | None) -> str:
    """Take a place for a socket that is to be upgraded. Raises `Refusal` where there is none."""
    try:
        return guard.take_place(address)
    except NoPlace as full:
        status, text = refusal_of(full.limit)
        raise Refusal(status, CODE_BY_LIMIT[full.limit], text, {"Retry-After": str(RETRY_AFTER_S)}) from None


async def refuse_websocket(refusal: Refusal, scope: Scope, send: Send) -> None:
    """Answer a WebSocket's request under a server of others, if that lets an application do so."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})  # which the server makes a 403 of
        return
    headers = [(k.lower().encode(), v.encode()) for k, v in refusal.headers.items()]
    start = {"type": "websocket.http.response.start", "status": int(refusal.status), "headers": headers}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": refusal.body})
