"""What a response that is no success says: an error of the server's, or that something on the way refused.

A server marks its own errors. Whatever else comes is a proxy's, whose body may look like anything.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import httpx

from ..errors import AccessDenied, Forbidden, InternalError, MessageTooBig, RingcastError, Unauthorized

__all__ = ["DENIED", "foreign_error", "is_error_of_the_server", "is_wire_error", "would_be_refused_again"]

_ERROR_HEADER: Final = "Ringcast-Error"

DENIED: Final[dict[int, type[AccessDenied]]] = {401: Unauthorized, 403: Forbidden}
"""What a status says by itself of whoever asks."""

_MAY_PASS: Final = frozenset(
    {
        HTTPStatus.NOT_FOUND,  # as while what stands behind a proxy is replaced
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
"""Those that blame the client, and not what it says."""


def is_error_of_the_server(response: httpx.Response) -> bool:
    """Tell whether a response has an error of this protocol in its body, from a server of it."""
    return _ERROR_HEADER in response.headers


def is_wire_error(error: Any) -> bool:
    """Tell whether this is the object that stands for an error on the wire."""
    return isinstance(error, dict) and isinstance(error.get("code"), str)


def would_be_refused_again(status: int) -> bool:
    """Tell whether something on the way that answers so blames what was said, and not who, or when."""
    return 400 <= status < 500 and status not in _MAY_PASS


def foreign_error(response: httpx.Response) -> RingcastError:
    """Return what a response that is no server's means to whoever has asked."""
    status = response.status_code
    kind = (
        MessageTooBig if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else DENIED.get(status, InternalError)
    )
    return kind(f"{response.request.url} answered with status {status}, not as Ringcast does")
