"""The routes of clients without a WebSocket: events as they come, and messages into their session.

What a request asks for is read here; the stream itself is `event_stream.py`'s, and how the server that this
runs in writes it is given as an `OpenStream`. A session is named by its
token, in a header or by a cookie, and never in the address, which logs have.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..config import ServerConfig
from ..errors import ProtocolError
from ..gateway.link import Gateway
from ..gateway.session import Session
from ..request import Headers
from ..router import Router
from ..wire.encoding import Encoding
from ..wire.parsing import parse_client_message, parse_connect
from ..wire.protocol import MAX_NAME_CHARS, MAX_NESTING, Connect, Unreadable
from .endpoint import FIRST_LOOK_S, is_ahead, later
from .event_stream import STREAM_HEADER, STREAM_HEADERS, EventStreamLink, Lines, Opening
from .guard import FOREIGN_PAGE, Guard, peer_of
from .replies import RequestError, answer, read_body
from .waiting_posts import Poster, WaitingPosts

__all__ = ["COOKIE", "SESSION_HEADER", "OpenStream", "event_routes"]

OpenStream = Callable[[Request, Opening], Response]
"""Answers a request for events: `event_socket.take_over` and `asgi_events.respond`."""

SESSION_HEADER: Final = "Ringcast-Session"
"""Has the token of a session, in requests."""
COOKIE: Final = "ringcast"
"""Names sessions together with the `session_name` of the address: see `_Names`."""
_COOKIE_BYTES: Final = 24

_TEXT: Final = ("lookup", "actor_id", "attempt")
_JSON: Final = ("input", "params", "subscriptions")
_ONCE: Final = (*_TEXT, *_JSON, "session_name", "last_event_id")


def event_routes(router: Router, guard: Guard, open_stream: OpenStream) -> list[Route]:
    """Return the routes."""
    events = _Events(router, guard, open_stream)
    return [
        Route("/actors/{actor}/events", events.open, methods=["GET", "POST"]),
        Route("/session/messages", events.post, methods=["POST"]),
        Route("/session", events.end, methods=["DELETE"]),
    ]


class _Names:
    """Which sessions go by a name that their client has made up, beside the cookie that it was given.

    A browser's `EventSource` comes back with the address that it began with, and can add no header. The name
    in the address tells its sessions apart, and is no secret, as without the cookie it is nothing.
    """

    def __init__(self) -> None:
        self._tokens: dict[tuple[str, str], str] = {}
        self._prune_at = 64

    def token(self, cookie: str, name: str) -> str:
        """Return the token of the latest session of this name; empty if there was none."""
        return self._tokens.get((cookie, name), "")

    def keep(self, cookie: str, name: str, gateway: Gateway, token: str) -> None:
        """Name a session. It is forgotten some time after it has ended."""
        self._tokens[cookie, name] = token
        if len(self._tokens) > self._prune_at:
            known = gateway.sessions.keys() | gateway.farewells.keys() | {token}
            self._tokens = {named: each for named, each in self._tokens.items() if each in known}
            self._prune_at = 2 * len(self._tokens) + 64


class _Events:
    """The requests, each answered by a method."""

    def __init__(self, router: Router, guard: Guard, open_stream: OpenStream) -> None:
        self._router = router
        self._guard = guard
        self._open_stream = open_stream
        self._config: ServerConfig = router.config
        self._names = _Names()
        self._waiting = WaitingPosts(router.config, router.limits_hit)

    async def open(self, request: Request) -> Response:
        """Open a stream of events."""
        return await answer(self._head(request) if request.method == "HEAD" else self._open(request))

    async def post(self, request: Request) -> Response:
        """Take messages into a session."""
        return await answer(self._post(request))

    async def end(self, request: Request) -> Response:
        """End a session at once: its client is done."""
        return await answer(self._end(request))

    async def _open(self, request: Request) -> Response:
        # Also a GET, which any page can cause: hooks run, and an actor may be created.
        if not self._guard.allows(Headers(request.scope["headers"]), peer_of(request.scope, self._guard)):
            raise RequestError(FOREIGN_PAGE, code="origin_not_allowed")
        opening = await (self._opening_from_body if request.method == "POST" else self._opening)(request)
        return self._open_stream(request, opening)

    async def _head(self, request: Request) -> Response:
        """Answer as for a GET, as far as that can be told without an effect: nobody is asked, or begun."""
        connect = (await self._opening(request)).connect
        self._router.registry.definition(connect.actor).require_encoding(Encoding.JSON)
        response = Response()
        response.raw_headers = list(STREAM_HEADERS)
        return response

    async def _opening_from_body(self, request: Request) -> Opening:
        body = await read_body(request, self._config, self._router.limits_hit)
        if not isinstance(body, dict):
            raise ProtocolError("the body is an object, that of a connect message")
        connect = parse_connect(request.path_params["actor"], body)
        return Opening(connect, True, False, (), _nothing)

    async def _opening(self, request: Request) -> Opening:
        query = _Query(request)
        position = request.headers.get("last-event-id") or query.once.get("last_event_id")
        token, headers, on_accepted = self._session_of(request, query.once.get("session_name"))
        resume = None
        if position:
            epoch, colon, offset = position.rpartition(":")
            if not colon or not (offset.isascii() and offset.isdigit() and len(offset) < 20):
                raise ProtocolError("Last-Event-ID is the id of an event: an epoch, a colon and an offset")
            resume = {"session": token, "epoch": epoch, "offset": int(offset)}
        elif request.headers.get(SESSION_HEADER):
            raise ProtocolError("a session goes on from a position: say which in Last-Event-ID")
        elif token and request.method == "GET":
            self._replace(token)
        connect = parse_connect(request.path_params["actor"], {**query.body, "resume": resume})
        return Opening(connect, False, True, headers, on_accepted)

    def _session_of(self, request: Request, name: str | None) -> tuple[str, Lines, Callable[[str], None]]:
        """Return the token of the session that a request names, and what follows if it is accepted.

        That is, lines of the response's head, and what to do with the token of the session.
        """
        token = request.headers.get(SESSION_HEADER)
        if token is not None or name is None:
            return token or "", (), _nothing
        if not 0 < len(name) <= MAX_NAME_CHARS:
            raise ProtocolError(f"session_name has 1 to {MAX_NAME_CHARS} characters")
        cookie = request.cookies.get(COOKIE)
        headers: Lines = ()
        if not cookie:
            cookie = secrets.token_urlsafe(_COOKIE_BYTES)
            # Without a path it goes to the actors of this class alone, also behind a proxy with a prefix.
            scheme = peer_of(request.scope, self._guard).scheme or request.url.scheme
            secure = "; Secure" if scheme == "https" else ""
            value = f"{COOKIE}={cookie}; HttpOnly; SameSite=Strict{secure}"
            headers = ((b"set-cookie", value.encode()),)
        keep = partial(self._names.keep, cookie, name, self._router.gateway)
        return self._names.token(cookie, name), headers, keep

    def _replace(self, token: str) -> None:
        """End a session whose client has seen nothing of it, and begins again."""
        session = self._router.gateway.sessions.get(token)
        if session is not None:
            session.end(None)

    async def _post(self, request: Request) -> Response:
        session = self._session(request)
        # What was read is let go of before it may have to wait: it can take many times its text.
        messages = _messages(await read_body(request, self._config, self._router.limits_hit, any_text=True))
        for message in messages:
            # All of them before the first is handled: a request is taken whole or not at all.
            if isinstance(parse_client_message(Encoding.JSON, message), Connect):
                raise ProtocolError("a session is connected already")
        link = _link_for(request, session)
        link.hear()
        if is_ahead(link.sink, link) or self._waiting.are_there(session.token):
            # A WebSocket would not be read meanwhile; this request is not answered.
            async with self._waiting.first(request, session.token, messages) as poster:
                _take(await _link_with_room(request, session, poster), messages)
        else:
            _take(link, messages)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _end(self, request: Request) -> Response:
        self._session(request).end(None)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    def _session(self, request: Request) -> Session:
        token = request.headers.get(SESSION_HEADER)
        if not token:
            raise ProtocolError(f"name the session by its token, in the header {SESSION_HEADER}")
        session = self._router.gateway.sessions.get(token)
        # Compared again in constant time, as for a resume.
        if session is None or not hmac.compare_digest(session.token.encode(), token.encode()):
            raise RequestError("there is no such session, or it has ended", code="unknown_session")
        return session


def _link_for(request: Request, session: Session) -> EventStreamLink:
    """Return the stream of a session that a request is for.

    It may say by its number which: what was held up on its way until after the next one began is too late.
    """
    link, number = session.link, request.headers.get(STREAM_HEADER)
    if not isinstance(link, EventStreamLink) or number not in (None, str(link.number)):
        raise RequestError("this stream of events is over: open it again", code="not_connected")
    return link


async def _link_with_room(request: Request, session: Session, poster: Poster) -> EventStreamLink:
    """Return the stream that a session has at the moment, once its client is not too far ahead."""
    link = _link_for(request, session)
    delay_s, written_bytes = FIRST_LOOK_S, link.sink.written_bytes
    while is_ahead(link.sink, link):
        await poster.wait(delay_s)
        link = _link_for(request, session)
        delay_s, before, written_bytes = later(delay_s), written_bytes, link.sink.written_bytes
        # That it waits says nothing of its client, unless that reads; or perhaps waits for us. It may read
        # for minutes what the system has taken for it, which tells of one that does not.
        if written_bytes != before or link.is_behind or link.is_watched:
            link.hear()
            poster.hear()
    return link


def _take(link: EventStreamLink, messages: Sequence[bytes]) -> None:
    for number, message in enumerate(messages, 1):
        link.on_message(message, number == len(messages))


class _Query:
    """What the query of an address says, as a connect message would."""

    def __init__(self, request: Request) -> None:
        self.once: dict[str, str] = {}
        params = request.query_params
        for name in _ONCE:
            values = params.getlist(name)
            if len(values) > 1:
                raise ProtocolError(f"{name} is there once")
            if values:
                self.once[name] = values[0]
        self.body: dict[str, Any] = {name: self.once[name] for name in _TEXT if name in self.once}
        for name in _JSON:
            if name in self.once:
                self.body[name] = _decoded(name, self.once[name])
        if "key" in params:
            self.body["key"] = params.getlist("key")
        names = params.getlist("subscribe")
        if names:
            given = self.body.get("subscriptions", [])
            self.body["subscriptions"] = [*given, *names] if isinstance(given, list) else given


def _decoded(name: str, text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ProtocolError(f"{name} is JSON") from None


def _messages(body: Any) -> list[bytes]:
    """Return the messages in a body, which is one or an array of them, as they come on a WebSocket."""
    if not isinstance(body, list) or not body:
        raise ProtocolError("the body is a message, or an array of them")
    return [_written(message) for message in ([body] if isinstance(body[0], str) else body)]


def _written(message: Any) -> bytes:
    try:
        return Encoding.JSON.encode(message)
    except TypeError:
        # It may have text that is no Unicode: then it is taken as it came, and answered with that.
        with suppress(RecursionError, ProtocolError):
            payload = json.dumps(message).encode()
            if isinstance(parse_client_message(Encoding.JSON, payload), Unreadable):
                return payload
        raise ProtocolError(f"a message nests at most {MAX_NESTING} deep") from None


def _nothing(_token: str) -> None:
    """Nobody but the client itself knows the session."""
