"""Compression of messages, permessage-deflate (RFC 7692): what is agreed on, and single messages. Pure.

Each message is compressed by itself, *without context takeover*: that is what lets a server compress an
event once for all its clients, and what spares both sides a compressor for each connection. Frames, and what
becomes of one that is wrong, are the sockets' business. What the core sends, the core compresses.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from ..errors import CloseCode

__all__ = [
    "OFFER",
    "BrokenMessage",
    "MalformedExtensions",
    "accept_answer",
    "answer_offers",
    "deflate",
    "inflate",
]

_NAME: Final = "permessage-deflate"
_AGREED: Final = f"{_NAME}; server_no_context_takeover; client_no_context_takeover"

OFFER: Final = _AGREED
"""What the Python client asks for: the very thing that this server agrees to."""

_WINDOW_BITS: Final = 12
"""What the core compresses with: a client that has less room cannot take frames that all share."""

# What ends a flushed block, left out on the wire (RFC 7692, section 7.2.2), and a last block that is empty:
# with it the decompressor tells that the message did not stop half-way.
_FLUSHED: Final = b"\x00\x00\xff\xff"
_END: Final = _FLUSHED + b"\x03\x00"
_BEHIND_A_LAST_BLOCK: Final = frozenset({b"", _END, b"\x00" + _END})
"""What may be left over: some write their last block as such (section 7.2.3.4)."""

# RFC 6455, section 9.1; a quoted value has to be a token too.
_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER: Final = re.compile(rf'[ \t]*;[ \t]*({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|"({_TOKEN})"))?')
_EXTENSION: Final = re.compile(rf"[ \t]*({_TOKEN})((?:{_PARAMETER.pattern})*)[ \t]*(?:,|$)")
_EMPTY: Final = re.compile(r"[ \t]*(?:,|$)")

_Parameters = dict[str, str | None]


class MalformedExtensions(Exception):  # noqa: N818 - what the peer did, told with the peer's own close code or status
    """A `Sec-WebSocket-Extensions` header breaks RFC 6455, or an answer is not one to what was offered."""


class BrokenMessage(Exception):  # noqa: N818 - as above
    """A compressed message cannot be taken; `code` is the close code that says so."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def answer_offers(lines: Iterable[str]) -> str | None:
    """Return the answer to a client's `Sec-WebSocket-Extensions` headers; None to agree to nothing.

    The client's offers are in the order of its preference, and the first that the shared frames can honour is
    taken (RFC 7692, section 5). Raises `MalformedExtensions`.
    """
    answers = [_answer(parameters) for name, parameters in list(_parse(lines)) if name == _NAME]
    return next((answer for answer in answers if answer is not None), None)


def accept_answer(lines: Iterable[str]) -> bool:
    """Tell from a server's answer to `OFFER` whether it agrees.

    Raises `MalformedExtensions` for anything that was not offered.
    """
    agreed = list(_parse(lines))
    if not agreed:
        return False
    name, parameters = agreed[0]
    # What the server compresses with may be said, also where it was not asked for (section 7.1.2.1).
    if (
        len(agreed) > 1
        or name != _NAME
        or parameters is None
        or not _are_valid(parameters)
        or "server_no_context_takeover" not in parameters
        or "client_max_window_bits" in parameters
    ):
        raise MalformedExtensions("the server answers with an extension that was not offered")
    return True


def _parse(lines: Iterable[str]) -> Iterator[tuple[str, _Parameters | None]]:
    """Give each extension's name, with its parameters: None where one of them is there twice."""
    for line in lines:
        position, found = 0, False
        while position < len(line):
            match = _EMPTY.match(line, position)
            if match is None:
                match = _EXTENSION.match(line, position)
                if match is None:
                    raise MalformedExtensions("the Sec-WebSocket-Extensions header is malformed")
                found = True
                yield match[1], _parameters(match[2])
            position = match.end()
        if not found:
            raise MalformedExtensions("the Sec-WebSocket-Extensions header names no extension")


def _parameters(text: str) -> _Parameters | None:
    parameters: _Parameters = {}
    for match in _PARAMETER.finditer(text):
        if match[1] in parameters:
            return None
        parameters[match[1]] = match[2] or match[3]
    return parameters


def _answer(parameters: _Parameters | None) -> str | None:
    if parameters is None or not _are_valid(parameters):
        return None
    bits = parameters.get("server_max_window_bits")
    if bits is None:
        return _AGREED
    return f"{_AGREED}; server_max_window_bits={_WINDOW_BITS}" if int(bits) >= _WINDOW_BITS else None


def _are_valid(parameters: _Parameters) -> bool:
    """Tell whether all of them are known and have values that they may have (section 7.1)."""
    for name, value in parameters.items():
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            valid = value is None
        elif name == "server_max_window_bits":
            valid = value in _BITS
        elif name == "client_max_window_bits":
            valid = value is None or value in _BITS
        else:
            valid = False
        if not valid:
            return False
    return True


_BITS: Final = frozenset(map(str, range(8, 16)))


def inflate(payload: bytes, max_bytes: int) -> bytes:
    """Return what a compressed message says, which is at most `max_bytes`.

    No more than that is worked out or held, whatever the message would become. Raises `BrokenMessage`.
    """
    inflater = zlib.decompressobj(wbits=-15)
    try:
        message = inflater.decompress(payload + _END, max_bytes + 1)
    except zlib.error:
        raise BrokenMessage(CloseCode.INVALID_TEXT, "a compressed message is broken") from None
    if len(message) > max_bytes:
        raise BrokenMessage(CloseCode.MESSAGE_TOO_BIG, f"the message is longer than {max_bytes} bytes")
    if not inflater.eof or inflater.unused_data not in _BEHIND_A_LAST_BLOCK:
        raise BrokenMessage(CloseCode.INVALID_TEXT, "a compressed message is broken")
    return message


def deflate(payload: bytes) -> bytes | None:
    """Return `payload` compressed as a message; None where that is not smaller."""
    deflater = zlib.compressobj(zlib.Z_BEST_SPEED, zlib.DEFLATED, -_WINDOW_BITS, 6)
    compressed = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
    compressed = compressed.removesuffix(_FLUSHED)
    return compressed if len(compressed) < len(payload) else None
