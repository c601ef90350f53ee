"""What every route answers with: bodies in the encoding that was asked for, and errors with their statuses.

Which encoding that is, `media.py` says.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ..config import ServerConfig
from ..errors import MASKED, InternalError, MessageTooBig, ProtocolError, RingcastError, UserError
from ..fault_log import log_fault
from ..faults import contained
from ..wire.encoding import Encoding, writable
from .media import JSON, Media, sent_as

__all__ = [
    "CHALLENGE",
    "ERROR_HEADER",
    "LATE_BODY",
    "STATUS_BY_CODE",
    "RequestError",
    "answer",
    "decoded",
    "error_headers",
    "error_response",
    "read_body",
    "read_bytes",
    "status_of",
    "written",
]

_LOG: Final = logging.getLogger("ringcast.server")

STATUS_BY_CODE: Final[dict[str, HTTPStatus]] = {
    "actor_already_exists": HTTPStatus.CONFLICT,
    "actor_destroyed": HTTPStatus.GONE,
    "actor_not_found": HTTPStatus.NOT_FOUND,
    "action_timeout": HTTPStatus.GATEWAY_TIMEOUT,
    "call_refused": HTTPStatus.FORBIDDEN,
    "connection_closed": HTTPStatus.SERVICE_UNAVAILABLE,  # the server shuts down
    "connection_gone": HTTPStatus.INTERNAL_SERVER_ERROR,
    "connection_refused": HTTPStatus.FORBIDDEN,
    "encoding_refused": HTTPStatus.NOT_ACCEPTABLE,  # server-sent events are JSON
    "event_not_json": HTTPStatus.INTERNAL_SERVER_ERROR,
    "event_too_large": HTTPStatus.INTERNAL_SERVER_ERROR,
    "events_lost": HTTPStatus.INTERNAL_SERVER_ERROR,
    "forbidden": HTTPStatus.FORBIDDEN,
    "head_too_large": HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "idempotency_key_reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "invalid_definition": HTTPStatus.INTERNAL_SERVER_ERROR,
    "invalid_event": HTTPStatus.INTERNAL_SERVER_ERROR,
    "invalid_event_name": HTTPStatus.INTERNAL_SERVER_ERROR,
    "invalid_filter": HTTPStatus.INTERNAL_SERVER_ERROR,
    "invalid_message": HTTPStatus.BAD_REQUEST,
    "message_too_big": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "not_acceptable": HTTPStatus.NOT_ACCEPTABLE,
    "not_connected": HTTPStatus.BAD_REQUEST,  # the action asks who is calling
    "not_found": HTTPStatus.NOT_FOUND,
    "not_implemented": HTTPStatus.NOT_IMPLEMENTED,  # an application's WebSocket
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
    "too_many_actors": HTTPStatus.INSUFFICIENT_STORAGE,
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


LATE_BODY: Final = "ringcast.late_body"
"""In a scope's extensions, what tells this server that a body which did not come in time has been counted."""

CHALLENGE: Final = 'Bearer realm="ringcast"'
"""Goes with 401 (RFC 9110, section 15.5.2). What an actor wants to see is its own to say; this is a scheme
for which no browser asks its user for a password."""

ERROR_HEADER: Final = "Ringcast-Error"
"""Marks a response whose body has an error of this protocol: a proxy's may look the same."""

_LONGEST_WAIT_MS: Final = 1e12


class RequestError(RingcastError):
    """The HTTP request itself cannot be served."""


def written(value: Any, status: int = HTTPStatus.OK, media: Media = JSON) -> Response:
    """Return a response with `value` as its body. Raises what cannot be written."""
    return Response(media.encoding.encode(value), status, media_type=media.type)


def status_of(error: RingcastError) -> HTTPStatus:
    """Return the status that an error goes with."""
    # Authors of actors choose the codes of a UserError, even ones that stand in the table: it is the
    # caller's doing.
    if isinstance(error, UserError):
        return HTTPStatus.BAD_REQUEST
    return STATUS_BY_CODE.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)


def error_headers(status: int, metadata: Any) -> dict[str, str]:
    """Return what the head of a response says of an error besides its status: that it is one of this
    protocol, and what to come with, or when.
    """
    found = {ERROR_HEADER: "true"}
    if status == HTTPStatus.UNAUTHORIZED:
        found["WWW-Authenticate"] = CHALLENGE
    wait_ms = metadata.get("retry_after_ms") if isinstance(metadata, dict) else None
    # It may be an author's, who may write anything there.
    if isinstance(wait_ms, bool) or not isinstance(wait_ms, int | float):
        return found
    if 0 <= wait_ms <= _LONGEST_WAIT_MS:
        found["Retry-After"] = str(math.ceil(wait_ms / 1000))
    return found


def error_response(
    error: RingcastError, headers: dict[str, str] | None = None, media: Media = JSON
) -> Response:
    """Return the response for `error`; whatever it holds, it can be written."""
    response = written({"error": writable(media.encoding, error)}, status_of(error), media)
    response.headers.update(error_headers(response.status_code, error.metadata) | (headers or {}))
    return response


async def answer(work: Awaitable[Any], media: Media = JSON) -> Response:
    """Wait for `work`, and return its response, or one for its value or its error."""
    try:
        return await contained(_written(work, media), "an HTTP request")
    except RingcastError as error:
        # Let go of this request by an error that its author keeps.
        return error_response(error.with_traceback(None), media=media)
    except ClientDisconnect:
        return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody is there to read it
    except Exception as error:
        log_fault(_LOG, error, "an HTTP request failed")
        return error_response(InternalError(MASKED), media=media)


async def _written(work: Awaitable[Any], media: Media) -> Response:
    result = await work
    return result if isinstance(result, Response) else written(result, media=media)


async def read_body(
    request: Request, config: ServerConfig, limits_hit: Counter[str], any_text: bool = False
) -> Any:
    """Return the JSON that a request carries. Raises `RingcastError` for anything else.

    With `any_text`, text in it need not be Unicode.
    """
    # A page of another origin may send a form or plain text without asking first, but not JSON.
    media = sent_as(request.headers.get("content-type", ""))
    if media is not JSON:
        raise RequestError("send application/json", code="unsupported_media_type")
    return decoded(await read_bytes(request, config, limits_hit), Encoding.JSON, any_text)


def decoded(data: bytes, encoding: Encoding, any_text: bool = False) -> Any:
    """Return what a body says. Raises `ProtocolError` for what is not in this encoding."""
    try:
        return encoding.decode(data)
    except Exception as error:  # each decoder has its own tree of errors, and MessagePack several
        if any_text:
            with suppress(Exception):  # what is wrong has been said
                return encoding.decode_any_text(data)
        raise ProtocolError(f"the body is not valid {encoding.name}: {error}") from None


async def read_bytes(request: Request, config: ServerConfig, limits_hit: Counter[str]) -> bytes:
    """Return the body of a request. Raises `MessageTooBig`, and `RequestError` for one that does not come."""
    try:
        async with asyncio.timeout(config.connect_timeout_s):
            return await _read(request, config.max_message_bytes, limits_hit)
    except TimeoutError:
        limits_hit["connect_timeout_s"] += 1
        count_no_more = (request.scope.get("extensions") or {}).get(LATE_BODY)
        if count_no_more is not None:
            count_no_more()
        raise RequestError("the body did not come in time", code="request_timeout") from None


async def _read(request: Request, max_bytes: int, limits_hit: Counter[str]) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > max_bytes:
            limits_hit["max_message_bytes"] += 1
            raise MessageTooBig(f"the body is longer than {max_bytes} bytes")
    return bytes(data)
