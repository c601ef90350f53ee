"""Which WebSocket upgrade requests are accepted: pure functions over the request's line and headers.

Parsing the request is left to picows, which also answers the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from multidict import CIMultiDict
from picows import WSTransport, WSUpgradeRequest, WSUpgradeResponse

from ..wire.deflate import MalformedExtensions, answer_offers
from ..wire.encoding import Encoding
from .media import JSON
from .replies import ERROR_HEADER

__all__ = [
    "PATH",
    "Accepted",
    "Refusal",
    "choose_encoding",
    "choose_extension",
    "first_known",
    "forget_handshake",
    "refusal_body",
]

PATH: Final = "/connect"
"""Where the WebSocket endpoint is, below the path at which a registry is served."""

_VERSION: Final = "13"
_KEY: Final = re.compile("[+/0-9A-Za-z]{22}==")
"""16 bytes in base64."""
_END_OF_LINE: Final = b"\r\n"
_ANSWER: Final = "Sec-WebSocket-Accept"
_NO_HEADERS: Final[CIMultiDict[str]] = CIMultiDict()
_BY_SUBPROTOCOL: Final = {encoding.subprotocol: encoding for encoding in Encoding}


class Refusal(Exception):  # noqa: N818 - an answer to the client, not a fault
    """The request is answered with this HTTP status and error instead of being upgraded."""

    def __init__(
        self, status: HTTPStatus, code: str, text: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.body = refusal_body(code, text)
        self.headers = {"Content-Type": JSON.type, ERROR_HEADER: "true", **(headers or {})}

    def to_response(self) -> WSUpgradeResponse:
        """Return the response that picows sends."""
        response: WSUpgradeResponse = WSUpgradeResponse.create_error_response(
            self.status, self.body, self.headers
        )
        return response

    def to_bytes(self) -> bytes:
        """Return that response as it is written to a socket that is closed then."""
        response = self.to_response()
        response.headers["Connection"] = "close"
        return bytes(response.to_bytes())


def refusal_body(code: str, text: str) -> bytes:
    """Return what a refusal says behind its head: an error, as any other answer has it."""
    return Encoding.JSON.encode({"error": {"code": code, "message": text}})


def choose_encoding(request: WSUpgradeRequest, path: str = PATH) -> Encoding:
    """Tell in which encoding the client wants to talk.

    The client's first preference that is known wins (RFC 6455, section 4.2.2). Raises `Refusal` if the
    request is not for the endpoint at `path`, breaks RFC 6455, section 4.2.1, or offers no known subprotocol.
    """
    _check_path(request.path, path)
    headers = request.headers
    if len(headers.getall("host", ())) != 1:  # RFC 9112, section 3.2
        raise _malformed("there must be exactly one Host header")
    # Of several the last one counts to uvicorn.
    if headers.get("upgrade", "").lower() != "websocket":
        raise _malformed("the first Upgrade header must be for websocket, and nothing else")
    _check_version(headers)
    _check_key(headers)
    return first_known(",".join(headers.getall("sec-websocket-protocol", ())).split(","))


def first_known(offered: Iterable[str]) -> Encoding:
    """Return the encoding of the first subprotocol that is known. Raises `Refusal` if none is."""
    for name in offered:
        encoding = _BY_SUBPROTOCOL.get(name.strip())
        if encoding is not None:
            return encoding
    raise _malformed(
        f"offer one of the WebSocket subprotocols {', '.join(_BY_SUBPROTOCOL)} in Sec-WebSocket-Protocol"
    )


def choose_extension(request: WSUpgradeRequest, compression: bool) -> str | None:
    """Return the answer to the extensions that the client offers; None to agree to nothing.

    Raises `Refusal` if they are malformed (RFC 6455, section 9.1), also where `compression` is off.
    """
    lines = request.headers.getall("sec-websocket-extensions", None)
    if lines is None:
        return None
    try:
        answer = answer_offers(lines)
    except MalformedExtensions as error:
        raise _malformed(str(error)) from None
    return answer if compression else None


class Accepted(WSUpgradeResponse):
    """The response that accepts upgrades with one encoding and extension: one for all clients of a loop.

    picows notes what answers a client's key in `headers`, and writes the response before it does anything
    else. The rest of it is the same for all, and put together once.
    """

    __slots__ = ("_beginning",)

    def __init__(self, encoding: Encoding, extension: str | None) -> None:
        headers = {"Sec-WebSocket-Protocol": encoding.subprotocol}
        if extension is not None:
            headers["Sec-WebSocket-Extensions"] = extension
        whole: WSUpgradeResponse = WSUpgradeResponse.create_101_response(headers)
        self.version, self.status, self.body = whole.version, whole.status, whole.body
        self.headers = CIMultiDict()
        self._beginning = bytes(whole.to_bytes()).removesuffix(_END_OF_LINE) + f"{_ANSWER}: ".encode()

    def to_bytes(self) -> bytearray:
        """Return the response to the client whose key has just been answered."""
        return bytearray(b"%b%b\r\n\r\n" % (self._beginning, self.headers.pop(_ANSWER).encode()))


def _check_path(target: bytes, wanted: str) -> None:
    if target == wanted.encode():  # as nearly always
        return
    try:
        path = urlsplit(target.decode("ascii")).path
    except ValueError:
        raise _malformed("the request target is not a valid URL") from None
    if path != wanted:
        raise Refusal(HTTPStatus.NOT_FOUND, "not_found", f"no WebSocket endpoint here: connect to {wanted}")


def _check_key(headers: CIMultiDict[str]) -> None:
    keys = headers.getall("sec-websocket-key", ())
    if len(keys) != 1:
        raise _malformed("there must be exactly one Sec-WebSocket-Key header")
    if _KEY.fullmatch(keys[0]) is None:
        raise _malformed("Sec-WebSocket-Key must be 16 bytes in base64")


def _malformed(text: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "invalid_message", text)


def _check_version(headers: CIMultiDict[str]) -> None:
    # RFC 6455, section 4.4: an unsupported version is answered with the supported ones.
    if headers.getall("sec-websocket-version", ()) != [_VERSION]:
        raise Refusal(
            HTTPStatus.UPGRADE_REQUIRED,
            "upgrade_required",
            f"only WebSocket version {_VERSION} is supported",
            {"Sec-WebSocket-Version": _VERSION, "Upgrade": "websocket"},
        )


def forget_handshake(transport: WSTransport) -> None:
    """Let go of what came with the request: picows keeps it for the life of the connection."""
    request = transport.request
    request.headers = _NO_HEADERS
    request.method = request.path = request.version = b""
