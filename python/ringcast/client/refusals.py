"""What a response that is no success says: an error of the server's, or that something on the way refused.

A server marks its own errors. Whatever else comes is a proxy's, whose body may look like anything: it is not
even read. So it is with an error of the server's that has not come as it was written.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

import httpx

from ..errors import (
    AccessDenied,
    Forbidden,
    InternalError,
    MessageTooBig,
    ReplyTooLarge,
    RingcastError,
    Unauthorized,
)
from ..errors.received import is_wire_error
from ..wire.encoding import Encoding

__all__ = [
    "DENIED",
    "MEDIA_TYPES",
    "foreign_error",
    "is_marked",
    "is_of_a_lost_server",
    "read_body",
    "read_error",
    "turns_away",
    "wait_asked_for_s",
    "would_be_refused_again",
]

_ERROR_HEADER: Final = "Ringcast-Error"

MEDIA_TYPES: Final = {Encoding.JSON: "application/json", Encoding.MSGPACK: "application/msgpack"}

DENIED: Final[dict[int, type[AccessDenied]]] = {401: Unauthorized, 403: Forbidden}
"""What a status says by itself of whoever asks."""

_MAY_PASS: Final = frozenset(
    {
        HTTPStatus.NOT_FOUND,  # as while what stands behind a proxy is replaced
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.MISDIRECTED_REQUEST,  # to another socket it may be said
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
"""Of the statuses that blame the client, those that would not be there for ever."""

_LOST: Final = (HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT)
"""Of the statuses of proxies, those that they give after they have passed a request on."""

_TURNED_AWAY: Final = frozenset(
    {
        "connection_closed",  # of a server that stops
        "rate_limited",
        "server_full",
        "too_many_calls",
        "too_many_connections",
        "try_again_later",
    }
)
"""The errors with which a server does nothing, for now."""

_LONGEST_WAIT_MS: Final = 3_600_000


async def read_body(response: httpx.Response, max_bytes: int) -> Any:
    """Return what a body says; None for one that nobody can read.

    Raises `ReplyTooLarge` for one that is longer than `max_bytes`, and `httpx.TransportError` or `OSError`
    where the network is lost before its end.
    """
    content = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > max_bytes:
                raise ReplyTooLarge(f"the answer takes more than {max_bytes} bytes, and no more are taken")
    except httpx.DecodingError:
        return None  # it is not in the `Content-Encoding` that it says
    # Not always in the encoding of the request: what stands before the server's routes answers in JSON.
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    encoding = Encoding.MSGPACK if kind == MEDIA_TYPES[Encoding.MSGPACK] else Encoding.JSON
    try:
        return encoding.decode(bytes(content))
    except Exception:  # each decoder has its own tree of errors, and MessagePack several
        return None


def is_marked(response: httpx.Response) -> bool:
    """Tell whether a response says that it is an error of the server's."""
    return _ERROR_HEADER in response.headers


async def read_error(response: httpx.Response, max_bytes: int, until_s: float) -> dict[str, Any] | None:
    """Return the server's error in a response; None where it has none, or none that can be read.

    No longer than to the time `until_s` of the loop. Raises what `read_body` does where the network is lost.
    """
    if not is_marked(response):
        return None
    try:
        async with asyncio.timeout_at(until_s):
            body = await read_body(response, max_bytes)
    except (TimeoutError, httpx.TimeoutException, ReplyTooLarge):
        return None
    error = body.get("error") if isinstance(body, dict) else None
    return error if is_wire_error(error) else None


def would_be_refused_again(status: int) -> bool:
    """Tell whether what something on the way has answered so would be answered so once more.

    Who answers 401 or 403 has something against the client, or against what it says: nobody knows. Either
    lasts.
    """
    return 400 <= status < 500 and status not in _MAY_PASS


def is_of_a_lost_server(status: int) -> bool:
    """Tell whether something on the way says with this that it has lost the server, perhaps while it ran."""
    return status in _LOST


def foreign_error(response: httpx.Response) -> RingcastError:
    """Return what a response says by its status alone to whoever has asked."""
    status = response.status_code
    kind = (
        MessageTooBig if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else DENIED.get(status, InternalError)
    )
    return kind(f"{response.request.url} answered with status {status}, not as Ringcast does")


def turns_away(error: RingcastError) -> bool:
    """Tell whether a server says with this that it has done nothing, and may do it later."""
    return error.code in _TURNED_AWAY


def wait_asked_for_s(error: RingcastError) -> float | None:
    """Return after how many seconds a server that turns away wants to be asked again, if it says so."""
    wait_ms = error.metadata.get("retry_after_ms") if isinstance(error.metadata, dict) else None
    # No more than an hour: that would be no busy server but a broken one.
    return wait_ms / 1000 if type(wait_ms) is int and 0 <= wait_ms <= _LONGEST_WAIT_MS else None
