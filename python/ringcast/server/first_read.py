"""What the first bytes of a socket are, before anything is made for it: pure functions.

Most clients come for a WebSocket, with a request that is whole with the first read. What is not recognised
here is left to uvicorn's parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from .handshake import PATH

__all__ = [
    "HEAD_TOO_LARGE",
    "HEALTH_PATH",
    "MAX_HEAD_BYTES",
    "NOTHING",
    "announces_body",
    "has_head",
    "header_value",
    "health_request",
    "plain_upgrade",
    "request_line",
    "whole_upgrade",
]

MAX_HEAD_BYTES: Final = 16_384
"""How long the head of a request may be, from its first line to the empty one, both included."""
HEAD_TOO_LARGE: Final = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "head_too_large",
    f"the request's head is longer than {MAX_HEAD_BYTES} bytes",
)
"""What one is refused with that is longer."""
HEALTH_PATH: Final = "/health"
"""Where the server tells that it runs, below the path at which a registry is served."""
NOTHING: Final = re.compile(rb"(?!)")
"""Matches nothing."""

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_UPGRADE: Final = rb"(?i:upgrade:[\t ]*websocket)\r\n"
_CONNECTION: Final = rb"(?i:connection):[\t ]*((?:%b[\t ]*,[\t ]*)*)(?i:upgrade)[\t ]*\r\n" % _TOKEN
# A body would follow where its length is said.
_OTHERS: Final = (
    rb"(?:(?!(?i:connection|upgrade|content-length|transfer-encoding):)%b:[\t -~\x80-\xff]*+\r\n)*+" % _TOKEN
)
_HEADERS: Final = b"%(o)b(?:%(c)b%(o)b%(u)b|%(u)b%(o)b%(c)b)%(o)b" % {
    b"o": _OTHERS,
    b"c": _CONNECTION,
    b"u": _UPGRADE,
}
_TO_CONNECT: Final = b"GET %b(?:\\?[!-~]*+)? HTTP/1\\.1\r\n%b\r\n"
_REQUEST_LINE: Final = re.compile(rb"([A-Z-]{1,32}) ([!-~]+) HTTP/1\.[01]\r?\n")
_FOR_HEALTH: Final = b"(?:GET|HEAD) %b(?:\\?[!-~]*)? HTTP/1\\.[01]\r?\n"


def whole_upgrade(path: str = PATH) -> re.Pattern[bytes]:
    """Return what `plain_upgrade` takes: requests for `path`."""
    return re.compile(_TO_CONNECT % (re.escape(path.encode()), _HEADERS))


def health_request(mount: str = "") -> re.Pattern[bytes]:
    """Return how a request begins that asks whether the server runs, below `mount`."""
    return re.compile(_FOR_HEALTH % re.escape((mount + HEALTH_PATH).encode()))


def plain_upgrade(data: bytes, whole: re.Pattern[bytes]) -> re.Match[bytes] | None:
    """Return a match if `data` is one whole request to upgrade, without anything unusual about it.

    Only if uvicorn's parser would take it for the same; it decides about all others. Any group of the match
    that is not empty is what `Connection` says before the upgrade.
    """
    return whole.fullmatch(data) if len(data) <= MAX_HEAD_BYTES else None


def has_head(data: bytes) -> bool:
    """Tell whether the head of a request is whole, or as long as it may be."""
    return b"\n\r\n" in data or b"\n\n" in data or len(data) >= MAX_HEAD_BYTES


def request_line(data: bytes) -> tuple[str, str] | None:
    """Return method and target of a request of which this is the beginning; None if it cannot be read."""
    matched = _REQUEST_LINE.match(data)
    return None if matched is None else (matched[1].decode(), matched[2].decode())


def announces_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether headers, with names in small letters, say that a body follows; one of no length may."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )


def header_value(head: bytes, name: bytes) -> bytes:
    """Return what a header of a head in small letters says that is there once; nothing otherwise."""
    parts = head.split(b"\r\n" + name + b":", 2)
    return parts[1].partition(b"\r\n")[0] if len(parts) == 2 else b""
