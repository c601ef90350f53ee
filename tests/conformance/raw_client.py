"""A WebSocket client on a bare, blocking socket, with its own frame builder: it can do everything wrong.

What it reads it checks against RFC 6455: a frame that a server may not send fails the test.
"""

from __future__ import annotations

import base64
import hashlib
import json
import select
import socket
import struct
import time
import zlib
from dataclasses import dataclass, field
from typing import Any, Final, Self

import msgpack  # type: ignore[import-untyped]  # it ships no types

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "Frame",
    "RawClient",
    "Response",
    "deflate",
    "frame",
    "inflate",
]

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY: Final = base64.b64encode(b"0123456789abcdef").decode()
ACCEPT: Final = base64.b64encode(hashlib.sha1(KEY.encode() + _GUID).digest()).decode()
TIMEOUT_S: Final = 10.0


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x37\xfa\x21\x3d",
    length_bytes: int | None = None,
) -> bytes:
    """Build a frame. `rsv` is the three reserved bits as a number; `mask` None leaves the frame unmasked.

    `length_bytes` 0, 2 or 8 forces the form of the length, None takes the shortest.
    """
    length = len(payload)
    if length_bytes is None:
        length_bytes = 0 if length < 126 else 2 if length < 65536 else 8
    masked = 0 if mask is None else 0x80
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if length_bytes == 0:
        head += bytes([masked | length])
    elif length_bytes == 2:
        head += bytes([masked | 126]) + struct.pack(">H", length)
    else:
        head += bytes([masked | 127]) + struct.pack(">Q", length)
    if mask is None:
        return head + payload
    key = mask * (length // 4 + 1)
    return head + mask + bytes(a ^ b for a, b in zip(payload, key, strict=False))


def inflate(payload: bytes) -> bytes:
    """Decompress a message (RFC 7692, section 7.2.2): with what is left out, and an empty last block."""
    inflater = zlib.decompressobj(wbits=-12)
    message = inflater.decompress(payload + b"\x00\x00\xff\xff\x03\x00")
    assert inflater.eof and not inflater.unused_data, "not whole blocks"
    return message


def deflate(payload: bytes, *, final: bool = False) -> bytes:
    """Compress a message (section 7.2.1). `final` writes its last block as such (section 7.2.3.4)."""
    deflater = zlib.compressobj(wbits=-15)
    compressed = deflater.compress(payload)
    if final:
        return compressed + deflater.flush() + b"\x00"
    return (compressed + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


@dataclass(frozen=True)
class Frame:
    """A frame that the server sent."""

    opcode: int
    payload: bytes
    compressed: bool = False
    """It came compressed (RFC 7692); `payload` is not so any more."""

    @property
    def close_code(self) -> int | None:
        """The code of a close frame; None when it is empty."""
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2], "big") if self.payload else None


@dataclass(frozen=True)
class Response:
    """The answer to an HTTP request; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class RawClient:
    """One TCP connection to the server under test."""

    address: tuple[str, int]
    encoding: str = "json"
    sock: socket.socket = field(init=False)
    next_id: int = 1
    compression: bool = False
    """Whether permessage-deflate was agreed on."""
    _buffer: bytes = b""

    def __post_init__(self) -> None:
        self.sock = socket.create_connection(self.address, TIMEOUT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    # Bytes.

    def send(self, *chunks: bytes) -> None:
        """Send bytes; each chunk in a write of its own."""
        for chunk in chunks:
            self.sock.sendall(chunk)

    def _fill(self) -> bool:
        data = self.sock.recv(65536)
        self._buffer += data
        return bool(data)

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            assert self._fill(), f"the server closed the socket inside a frame: {self._buffer!r}"
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def expect_eof(self) -> None:
        """Wait until the server has closed its side; nothing may come before."""
        while self._fill():
            pass
        assert self._buffer == b"", f"unexpected bytes before the end: {self._buffer!r}"

    def expect_gone(self, timeout_s: float) -> None:
        """Keep sending until the server has let go of the socket, within `timeout_s`."""
        errors = select.poll()
        errors.register(self.sock, 0)  # nothing but errors and the end of both directions
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                self.sock.sendall(b"still talking")
            except OSError:
                return
            errors.poll(10)
        raise AssertionError(f"the server still has the socket after {timeout_s} s")

    def reset(self) -> None:
        """Leave without a goodbye: the server gets a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # HTTP.

    def read_response(self) -> Response:
        """Read one HTTP response; its body by its length."""
        while b"\r\n\r\n" not in self._buffer:
            assert self._fill(), f"the server closed the socket inside a response: {self._buffer!r}"
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = self._take(int(headers.get("content-length", "0")))
        return Response(int(status_line.split(" ")[1]), headers, body)

    def request_bytes(
        self, *, path: str = "/connect", method: str = "GET", version: str = "1.1", **changes: Any
    ) -> bytes:
        """Build an upgrade request. `changes` are headers, underscores for hyphens: None leaves one out, a
        list repeats it."""
        headers: dict[str, Any] = {
            "host": "{}:{}".format(*self.address),
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-key": KEY,
            "sec-websocket-version": "13",
            "sec-websocket-protocol": f"ringcast.v1.{self.encoding}",
        }
        headers |= {name.replace("_", "-"): value for name, value in changes.items()}
        lines = [f"{method} {path} HTTP/{version}"]
        for name, value in headers.items():
            values = value if isinstance(value, list) else [] if value is None else [value]
            lines += [f"{name}: {one}" for one in values]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def upgrade(self, **changes: Any) -> Response:
        """Send an upgrade request and read the answer."""
        self.send(self.request_bytes(**changes))
        return self.read_response()

    # Frames.

    def read_frame(self) -> Frame:
        """Read a frame and check that a server may send it (RFC 6455, sections 5.1, 5.2 and 5.5)."""
        first, second = self._take(2)
        assert first & 0x80, "fragmented, though it need not be"
        assert not first & (0x30 if self.compression else 0x70), "a reserved bit is set"
        assert not second & 0x80, "a server must not mask"
        opcode, length = first & 0x0F, second
        assert opcode in {TEXT, BINARY, CLOSE, PING, PONG}
        if length == 126:
            length = struct.unpack(">H", self._take(2))[0]
            assert length >= 126, "not the shortest form of a length"
        elif length == 127:
            length = struct.unpack(">Q", self._take(8))[0]
            assert length >= 65536, "not the shortest form of a length"
        assert opcode < CLOSE or length <= 125, "a control frame is too long"
        compressed = bool(first & 0x40)
        assert opcode < CLOSE or not compressed, "a control frame is compressed"
        payload = self._take(length)
        return Frame(opcode, inflate(payload) if compressed else payload, compressed)

    def expect_close(self, code: int | None) -> Frame:
        """Read a close frame with `code`, as the last thing before the end of the socket."""
        got = self.read_frame()
        assert got.opcode == CLOSE, f"expected a close frame, got {got}"
        assert got.close_code == code, f"expected code {code}, got {got.close_code}: {got.payload[2:]!r}"
        self.expect_eof()
        return got

    # Messages.

    @property
    def data_opcode(self) -> int:
        """The kind of frame that this connection's messages travel in."""
        return TEXT if self.encoding == "json" else BINARY

    def encode(self, message: Any) -> bytes:
        """Write a message in this connection's encoding."""
        if self.encoding == "json":
            return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        packed: bytes = msgpack.packb(message)
        return packed

    def send_message(self, message: Any) -> None:
        """Send a message in one frame."""
        self.send(frame(self.data_opcode, self.encode(message)))

    def read_message(self) -> Any:
        """Read a message."""
        got = self.read_frame()
        assert got.opcode == self.data_opcode, f"expected a message, got {got}"
        return self.decode(got.payload)

    def decode(self, payload: bytes) -> Any:
        """Read a message in this connection's encoding."""
        return json.loads(payload) if self.encoding == "json" else msgpack.unpackb(payload)

    def connect(
        self, *subscriptions: str, key: str = "conformance", actor: str = "echo", **changes: Any
    ) -> Self:
        """Upgrade, send the connect message and read its answer. `changes` are as in `request_bytes`."""
        response = self.upgrade(**changes)
        assert response.status == 101
        self.compression = "sec-websocket-extensions" in response.headers
        body = {"actor": actor, "key": [key], "subscriptions": list(subscriptions)}
        self.send_message(["connect", body])
        assert self.read_message()[0] == "connected"
        return self

    def new_call(self, action: str, *args: Any) -> tuple[int, list[Any]]:
        """Return a call with the next id, and that id."""
        id_, self.next_id = self.next_id, self.next_id + 1
        return id_, ["call", id_, action, list(args)]

    def new_echo(self, total: int) -> tuple[int, bytes, str]:
        """Return a call of `echo` as a message of `total` bytes, with its id before and its text behind."""
        id_, message = self.new_call("echo", "")
        for size in range(total, total - 40, -1):
            text = "x" * size
            payload = self.encode([*message[:3], [text]])
            if len(payload) <= total:
                break
        assert len(payload) == total
        return id_, payload, text

    def call(self, action: str, *args: Any) -> Any:
        """Call an action and return the value of its reply, which must be the next message."""
        id_, message = self.new_call(action, *args)
        self.send_message(message)
        return self.expect_reply(id_)

    def expect_reply(self, id_: int) -> Any:
        """Read the reply to `id_` and return its value."""
        kind, got, value = self.read_message()
        assert (kind, got) == ("reply", id_), (kind, got, value)
        return value
