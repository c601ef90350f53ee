"""What the first bytes of a socket are, before anything is made for it: pure functions.

Most clients come for a WebSocket, with a request that is whole with the first read. What is not recognised
here is left to uvicorn's parser.
"""

from __future__ import annotations

import re
from typing import Final

from .handshake import PATH

__all__ = [
    "HEALTH_PATH",
    "MAX_HEAD_BYTES",
    "NOTHING",
    "header_value",
    "health_request",
    "is_plain_upgrade",
    "whole_upgrade",
]

MAX_HEAD_BYTES: Final = 16_384
"""How long the head of a request may be, from its first line to the empty one, both included."""
HEALTH_PATH: Final = "/health"
"""Where the server tells that it runs, below the path at which a registry is served."""
NOTHING: Final = re.compile(rb"(?!)")
"""Matches nothing."""

_TO_CONNECT: Final = b"GET %b(?:\\?[!-~]*)? HTTP/1\\.1\r\n"
_HEADERS: Final = rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)+\r\n"
_FOR_HEALTH: Final = b"(?:GET|HEAD) %b(?:\\?[!-~]*)? HTTP/1\\.[01]\r?\n"


def whole_upgrade(path: str = PATH) -> re.Pattern[bytes]:
    """Return what `is_plain_upgrade` takes: requests for `path`."""
    return re.compile(_TO_CONNECT % re.escape(path.encode()) + _HEADERS)


def health_request(mount: str = "") -> re.Pattern[bytes]:
    """Return how a request begins that asks whether the server runs, below `mount`."""
    return re.compile(_FOR_HEALTH % re.escape((mount + HEALTH_PATH).encode()))


def is_plain_upgrade(data: bytes, whole: re.Pattern[bytes]) -> bool:
    """Tell whether `data` is one whole request to upgrade, without anything unusual about it.

    True only for what uvicorn's parser would take for the same; it decides about all others.
    """
    if len(data) > MAX_HEAD_BYTES or whole.fullmatch(data) is None:
        return False
    head = data.lower()
    return (
        b"upgrade" in [token.strip() for token in header_value(head, b"connection").split(b",")]
        and header_value(head, b"upgrade").strip() == b"websocket"
        # A body would follow.
        and b"\r\ncontent-length:" not in head
        and b"\r\ntransfer-encoding:" not in head
    )


def header_value(head: bytes, name: bytes) -> bytes:
    """Return what a header of a head in small letters says that is there once; nothing otherwise."""
    parts = head.split(b"\r\n" + name + b":", 2)
    return parts[1].partition(b"\r\n")[0] if len(parts) == 2 else b""
