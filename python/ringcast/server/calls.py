"""The routes of calls without a connection: an action is run, an actor found, and the answer written.

Actors are the router's, and what is remembered of calls with a key is `gateway/answers.py`'s.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..config import ServerConfig
from ..errors import ProtocolError, RingcastError
from ..gateway.answers import Keyed, Outcome
from ..gateway.places import NoPlace
from ..request import Caller, CallFromOutside, Keep
from ..router import Router
from ..wire.parsing import parse_address
from ..wire.protocol import Connect
from .guard import Guard, came_of
from .media import JSON, MEDIA_TYPES, Media, sent_as, wanted
from .replies import (
    ERROR_HEADER,
    RequestError,
    answer,
    decoded,
    error_headers,
    error_response,
    read_bytes,
    written,
)

__all__ = ["KEY_HEADER", "MARK_HEADER", "REPLAYED_HEADER", "call_routes"]

KEY_HEADER: Final = "Idempotency-Key"
"""Names a call, so that it does not run again when it is repeated."""
MARK_HEADER: Final = "Ringcast-Answers"
"""In answers to calls with a key: what the server remembers. In a repeat: what it said before the first try,
or nothing where the client does not know."""
REPLAYED_HEADER: Final = "Idempotent-Replayed"
"""In an answer that was recorded."""

_TURNED_AWAY: Final = {
    "max_calls": ("try_again_later", "as many calls run as the server takes; this request did nothing"),
    "max_calls_per_address": (
        "too_many_calls",
        "too many calls from this address run; this request did nothing",
    ),
}
"""The code and the text for a call that runs into a limit. It may be a repeat of one that runs."""
_RETRY_AFTER_MS: Final = 1000
"""When it may come again: nobody knows when another one ends."""

_OF_ERRORS: Final = (ERROR_HEADER, "WWW-Authenticate", "Retry-After")
"""What the head of an answer says of an error."""
_MAX_KEY_CHARS: Final = 255
_CREDENTIALS: Final = ("authorization", "cookie")


def call_routes(router: Router, config: ServerConfig, guard: Guard) -> list[Route]:
    """Return the routes."""
    calls = _Calls(router, config, guard)
    return [
        Route("/actors/{actor}/actions/{action}", calls.call, methods=["POST"]),
        Route("/actors/{actor}/resolve", calls.resolve, methods=["POST"]),
    ]


class _Calls:
    """The requests that reach the router."""

    def __init__(self, router: Router, config: ServerConfig, guard: Guard) -> None:
        self._router = router
        self._config = config
        self._guard = guard
        self._running: set[asyncio.Task[Response]] = set()

    async def call(self, request: Request) -> Response:
        """Run an action without a connection."""
        return await self._in_place(request, self._call)

    async def resolve(self, request: Request) -> Response:
        """Find an actor, creating it where the lookup says so."""
        return await self._in_place(request, self._resolve)

    async def _in_place(self, request: Request, work: Callable[[Request, Media], Awaitable[Any]]) -> Response:
        """Have `work` answer where there is a place for it, which it has until it has ended.

        Some servers cancel what serves a caller that has gone; its action goes on, and counts.
        """
        calls = self._guard.calls
        try:
            place = calls.take(came_of(request.scope, self._guard).address)
        except NoPlace as full:
            return _turned_away(request, full.limit)
        task = asyncio.get_running_loop().create_task(_answered(request, work), name="HTTP call")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: calls.leave(place))
        return await asyncio.shield(task)

    async def _call(self, request: Request, media: Media) -> Any:
        data, body = await self._body(request)
        args = body.get("args", [])
        if not isinstance(args, list):
            raise ProtocolError("args is an array")
        address = parse_address(request.path_params["actor"], body)
        call = CallFromOutside(0, request.path_params["action"], args)
        call.came, call.params = came_of(request.scope, self._guard), body.get("params")
        if KEY_HEADER not in request.headers:
            return await self._value(address, call)
        keyed = self._keyed(request, address, data)
        call.keep = Keep(_digest(*map(str, keyed.scope)).hex(), partial(_recorded, keyed))

        async def run() -> Outcome:
            response = await answer(self._value(address, call), media)
            return Outcome((response, media), len(response.body), call.has_begun)

        async def recall() -> Outcome | None:
            kept = await self._router.kept_answer(address, call)
            return None if kept is None else _recalled(keyed, kept)

        if self._router.answers.knows(keyed):
            # As if it ran: what lets callers in may look at more than `_CREDENTIALS`.
            await self._router.let_in(address, call)
        outcome, was_known = await self._router.answers.once(keyed, run, recall)
        return self._again(outcome, media, was_known)

    async def _value(self, address: Connect, call: CallFromOutside) -> dict[str, Any]:
        return {"value": await self._router.call_from_outside(address, call)}

    def _again(self, outcome: Outcome, media: Media, was_known: bool) -> Response:
        """Return the response that was given to the first request, in what this one has asked for."""
        first, written_in = outcome.answer
        body = bytes(first.body)
        if media.encoding is not written_in.encoding:
            body = media.encoding.encode(written_in.encoding.decode(body))
        response = Response(body, first.status_code, media_type=media.type)
        for name in _OF_ERRORS:
            if name in first.headers:
                response.headers[name] = first.headers[name]
        response.headers[MARK_HEADER] = self._router.answers.mark
        if was_known:
            response.headers[REPLAYED_HEADER] = "true"
        return response

    def _keyed(self, request: Request, address: Connect, data: bytes) -> Keyed:
        """Read what makes a request the same one as another. Raises `ProtocolError` for what is no key."""
        key = request.headers[KEY_HEADER]
        if not (0 < len(key) <= _MAX_KEY_CHARS and key.isascii() and key.isprintable()):
            raise ProtocolError(f"{KEY_HEADER} has 1 to {_MAX_KEY_CHARS} characters of printable ASCII")
        name = self._router.registry.definition(address.actor).name
        at = address.actor_id if address.lookup == "id" else address.key
        shown = [text for header in _CREDENTIALS for text in (header, *request.headers.getlist(header))]
        return Keyed(
            scope=(name, at, key),
            content=_digest(request.path_params["action"], request.headers.get("content-type", ""), data),
            caller=_digest(*shown),
            repeats_since=request.headers.get(MARK_HEADER),
        )

    async def _resolve(self, request: Request, media: Media) -> dict[str, Any]:
        _, body = await self._body(request)
        caller = Caller(came_of(request.scope, self._guard), body.get("params"))
        address = parse_address(request.path_params["actor"], body)
        actor_id, key = await self._router.resolve(address, caller)
        return {"actor_id": actor_id, "key": key}

    async def _body(self, request: Request) -> tuple[bytes, dict[Any, Any]]:
        media = sent_as(request.headers.get("content-type", ""))
        if media is None:
            text = "send application/json or application/msgpack"
            raise RequestError(text, code="unsupported_media_type")
        data = await read_bytes(request, self._config, self._router.limits_hit)
        body = decoded(data, media.encoding)
        if not isinstance(body, dict):
            raise ProtocolError("the body is an object")
        return data, body


def _recorded(keyed: Keyed, value: Any, error: RingcastError | None) -> bytes:
    """Return an answer as it is kept over a restart, with what tells for what and for whom it is."""
    media = MEDIA_TYPES["application/msgpack"]
    response = written({"value": value}, media=media) if error is None else error_response(error, media=media)
    parts = (keyed.content, keyed.caller, response.status_code, bytes(response.body))
    return media.encoding.encode(parts)


def _recalled(keyed: Keyed, kept: bytes) -> Outcome:
    """Return what was kept of a call. Raises `KeyReused` if that is another one, or somebody else's."""
    media = MEDIA_TYPES["application/msgpack"]
    content, caller, status, body = media.encoding.decode(kept)
    keyed.require_same(content, caller)
    headers = {}
    if status >= HTTPStatus.BAD_REQUEST:
        headers = error_headers(status, media.encoding.decode(body)["error"].get("metadata"))
    first = Response(body, status, headers)
    return Outcome((first, media), len(body), has_begun=True)


def _turned_away(request: Request, limit: str) -> Response:
    """Return the response to a request for which there is no place: it has done nothing.

    Of an earlier one with its key it says nothing, and so has no `MARK_HEADER`.
    """
    code, text = _TURNED_AWAY[limit]
    error = RequestError(text, code=code, metadata={"retry_after_ms": _RETRY_AFTER_MS})
    media = wanted(",".join(request.headers.getlist("accept")), JSON) or JSON
    return error_response(error, media=media)


async def _answered(request: Request, work: Callable[[Request, Media], Awaitable[Any]]) -> Response:
    """Have `work` answer in the encoding that the client takes, which is that of its body if it does not say.

    Nothing is done for one that could not read the answer.
    """
    sent = sent_as(request.headers.get("content-type", ""))
    media = wanted(",".join(request.headers.getlist("accept")), sent or JSON)
    if media is None:
        text = "answers are application/json or application/msgpack"
        return error_response(RequestError(text, code="not_acceptable"))
    return await answer(work(request, media), media)


def _digest(*parts: str | bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        # With its length, so that what stands before another part cannot pass for a part of it.
        digest.update(len(data).to_bytes(8) + data)
    return digest.digest()
