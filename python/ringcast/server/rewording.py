"""What picows gets to read of an upgrade request, and clients of what it refuses by itself: pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from ..errors import MASKED
from .handshake import Refusal

__all__ = ["reworded", "target_of", "trimmed"]

# What picows and the handshake need, or refuse. Cookies and the like would only make the read buffer grow,
# for as long as the connection lives; whoever wants them finds them in `Gate.request`.
_FORWARDED: Final = frozenset(
    {
        b"host",
        b"origin",
        b"upgrade",
        b"content-length",
        b"transfer-encoding",
        b"sec-fetch-site",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-protocol",
        b"sec-websocket-extensions",
    }
)
_SMALL_REQUEST_BYTES: Final = 1024
"""What fits into the read buffer without making it grow, with room to spare."""
_FEW_LINES: Final = 64
"""Of how many picows reads the headers, with room to spare."""


def target_of(request: bytes) -> str:
    """Return path and query of an upgrade request, which may name the whole URL (RFC 9112, section 3.2.2)."""
    target = request.split(b" ", 2)[1].decode("latin-1")
    if target.startswith("/"):
        return target
    return "/" + target.partition("://")[2].partition("/")[2]


def trimmed(request: bytes, *, has_list: bool) -> bytes:
    """Keep the headers that matter, and make `Connection` say what picows wants to read.

    picows accepts nothing but the single token "upgrade", while browsers may send a list ("keep-alive,
    Upgrade"); the token has been found in it.
    """
    if not has_list and len(request) <= _SMALL_REQUEST_BYTES and request.count(b"\n") <= _FEW_LINES:
        return request
    first_line, *headers = request[: -len(b"\r\n\r\n")].split(b"\r\n")
    kept = [b"%b HTTP/1.1" % first_line.rpartition(b" ")[0].partition(b"?")[0], b"connection: upgrade"]
    kept += [line for line in headers if line.partition(b":")[0].lower() in _FORWARDED]
    return b"\r\n".join(kept) + b"\r\n\r\n"


def reworded(response: bytes) -> bytes:
    """Return a refusal of picows' own as the upgrader would have written it, with an error in JSON."""
    head, _, text = response.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 400 "):
        return Refusal(HTTPStatus.BAD_REQUEST, "invalid_message", text.decode(errors="replace")).to_bytes()
    return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", MASKED).to_bytes()
