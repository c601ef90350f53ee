"""What RFC 6455 asks of a server beyond parsing frames: messages, control frames and the closing handshake.

Frames come from picows by way of `bridge.py`; whole messages go to the router's `Link`; whatever is
answered goes through the core's `Sink`. Nothing here writes to a socket.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import socket
from functools import lru_cache
from typing import Final

from picows import WSFrame, WSMsgType, WSTransport, WSUpgradeRequest, WSUpgradeResponseWithListener

from ..config import ServerConfig
from ..errors import CloseCode, is_valid_close_code
from ..operations.access import is_logged, log_request
from ..request import EMPTY, Request
from ..router import Router
from ..wire.deflate import BrokenMessage, inflate
from ..wire.encoding import Encoding
from .bridge import FrameListener, FrameProtocol, Gate
from .client_socket import CLOSING, CONNECTING, ClientSocket
from .endpoint import FIRST_LOOK_S, Endpoint, has_caught_up, is_ahead, later
from .first_read import request_line
from .guard import Guard, let_in
from .handshake import PATH, Accepted, Refusal, choose_encoding, choose_extension, forget_handshake

__all__ = ["WebSocketEndpoint", "accept_socket"]

_LOG: Final = logging.getLogger("ringcast.server")
_NEW_UTF8_DECODER: Final = codecs.getincrementaldecoder("utf-8")
_MOST_RESPONSES: Final = 64
"""There are as many as there are answers to what clients offer for compression."""
# Looked up once, as in `client_socket.py`.
_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_CONTINUATION: Final = WSMsgType.CONTINUATION
_PING: Final = WSMsgType.PING
_PONG: Final = WSMsgType.PONG
_CLOSE: Final = WSMsgType.CLOSE


async def accept_socket(router: Router, sock: socket.socket) -> None:
    """Serve the WebSocket client at the other end of `sock`, a connected TCP socket, which this takes over.

    The client sends its upgrade request as it would to the server's port. Returns at once; `router` must have
    been started.
    """
    await WebSocketEndpoint(router, router.config).accept_socket(sock)


class WebSocketEndpoint(Endpoint):
    """What all WebSockets of one server share; `path` is where they are opened."""

    def __init__(
        self, router: Router, config: ServerConfig, guard: Guard | None = None, path: str = PATH
    ) -> None:
        super().__init__(router, config)
        self.guard = guard
        """None for clients of this process, who are let in whoever they are."""
        self.compression = config.compression
        self._path = path
        self._accepted = lru_cache(_MOST_RESPONSES)(Accepted)

    async def accept_socket(self, sock: socket.socket) -> None:
        """Serve the client at the other end of `sock`, a connected TCP socket, which this takes over."""
        await asyncio.get_running_loop().connect_accepted_socket(self.new_protocol, sock)

    def new_protocol(self) -> FrameProtocol:
        """Return a protocol for a socket whose upgrade request is still to be read."""
        return FrameProtocol(self, self.max_message_bytes, self.connect_timeout_s)

    def upgraded_protocol(self) -> FrameProtocol:
        """Return a protocol for a socket whose upgrade request is at hand."""
        return FrameProtocol(self, self.max_message_bytes)

    def accept(self, request: WSUpgradeRequest, gate: Gate) -> WSUpgradeResponseWithListener:
        """Answer an upgrade request."""
        try:
            encoding = choose_encoding(request, self._path)
            extension = choose_extension(request, self.compression)
            place = None if self.guard is None else let_in(self.guard, request, gate)
        except Refusal as refusal:
            return WSUpgradeResponseWithListener(refusal.to_response(), None)
        listener = WebSocket(self, encoding, extension is not None, place)
        return WSUpgradeResponseWithListener(self._accepted(encoding, extension), listener)

    def log_refused(self, status: int, request: Request) -> None:
        """Write the line of a request that was not upgraded."""
        if self.guard is None or not is_logged():
            return
        head = request.raw_headers
        line = request_line(head) if isinstance(head, bytes) else None
        client = self.guard.peer(request.address, request.headers).address
        log_request(status, client, *(() if line is None else (line[0], request.path)))


class _Violation(Exception):  # noqa: N818 - caught where it is turned into a close frame
    """The client broke a rule; the connection fails with this close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _CompressedParts(bytearray):
    """The fragments of a message that is compressed as a whole (RFC 7692, section 6.1)."""

    __slots__ = ()


class WebSocket(ClientSocket, FrameListener):
    """One client's WebSocket, from the upgrade on."""

    __slots__ = (
        "_compressed",
        "_data_kind",
        "_decoder",
        "_encoding",
        "_endpoint",
        "_gate",
        "_heard_eof",
        "_link",
        "_parts",
        "_peer_code",
        "_phase",
        "_place",
        "_quiet_rounds",
        "_since",
        "_sink",
    )

    _endpoint: WebSocketEndpoint

    def __init__(
        self,
        endpoint: WebSocketEndpoint,
        encoding: Encoding,
        compressed: bool = False,
        place: str | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._place = place
        self._encoding = encoding
        self._data_kind = _TEXT if encoding.is_text else _BINARY
        self._compressed = compressed
        """Whether messages may be compressed, in both directions."""
        self._gate: Gate | None = None
        self._sink = None
        self._link = None
        self._phase, self._since = CONNECTING, 0.0
        self.heard = False
        self._quiet_rounds = 0
        self._parts: bytearray | None = None
        """The fragments of an unfinished message so far (RFC 6455, section 5.4)."""
        self._decoder: codecs.IncrementalDecoder | None = None
        """Checks those fragments, where they are text."""
        self._peer_code: int | None = None
        """What its close frame said, unless that answers ours."""
        self._heard_eof = False

    # What the bridge and picows call.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The 101 response has been handed to the transport."""
        gate = transport.underlying_transport
        assert isinstance(gate, Gate)  # the bridge put it there
        self._gate = gate
        gate.shut(self)
        forget_handshake(transport)
        self._since = asyncio.get_running_loop().time()
        self._endpoint.deadlines.add(self)
        if gate.is_plain and gate.transport.get_write_buffer_size():
            # The core must not write before the response is out. The kernel takes it at once unless the
            # client has stopped reading, before it even began: not worth waiting for.
            self._phase = CLOSING
            gate.abort()
            return
        self._open(gate)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come. Never raises: picows would write a close frame of its own."""
        if self._phase is CLOSING:
            return
        try:
            self._on_frame(frame)
            if frame.last_in_buffer:
                self._pause_if_behind()
        except _Violation as violation:
            self._close(violation.code, violation.reason)
        except Exception:
            _LOG.exception("a WebSocket message could not be handled")
            self._close(CloseCode.INTERNAL_ERROR, "")

    def on_broken_frame(self, code: int, reason: str) -> None:
        """picows could not parse what came."""
        self._close(code, reason)

    def on_eof(self) -> bool:
        """The client has closed its side of the socket; return whether ours is still needed."""
        # TLS has no half of a connection to keep.
        return self._hear_eof() and self._gate is not None and self._gate.is_plain

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The socket is gone, or was not upgraded after all."""
        if self._gate is not None:
            self._gate.release()
            self._gate = None
        self._leave(self._endpoint.guard, self._peer_code)

    def pause_writing(self) -> None:
        """The transport is full. Only its own to say, not the socket's, to which the core writes itself."""
        if self._sink is not None:
            self._sink.pause_writing()

    def resume_writing(self) -> None:
        """The transport takes bytes again."""
        if self._sink is not None:
            self._sink.resume_writing()

    # What `Deadlines` calls.

    def abort(self) -> None:
        """Let go of the socket at once."""
        if self._gate is not None:
            self._gate.abort()

    # Inside.

    def _open(self, gate: Gate) -> None:
        router, encoding = self._endpoint.router, self._encoding
        came, gate.request = gate.request, None
        if _LOG.isEnabledFor(logging.DEBUG):
            _LOG.debug("a socket from %s", gate.transport.get_extra_info("peername"))
        try:
            if gate.is_plain:
                fd = gate.transport.get_extra_info("socket").fileno()
                self._sink = router.open_sink(fd, encoding, self._compressed)
            else:
                self._sink = router.open_relayed_sink(gate.transport, encoding, self._compressed)
            if came is None or self._endpoint.guard is None:
                came = EMPTY
            self._link = router.accept(self._sink, encoding, came)
        except Exception as error:
            code, _ = self._endpoint.turned_away_for(error)
            if self._sink is not None:
                self._close(code, "")
            else:  # the core writes nothing to this socket
                self._note_closing()
                gate.turn_away(code)

    def _close(self, code: int | None, reason: str) -> None:
        if (
            code == CloseCode.MESSAGE_TOO_BIG
            and self._phase is not CLOSING
            and self._peer_code is None  # otherwise it is the client's
        ):
            self._endpoint.limits_hit["max_message_bytes"] += 1
        super()._close(code, reason)

    def _note_closing(self) -> None:
        super()._note_closing()
        self._parts = self._decoder = None
        if self._gate is not None:
            self._gate.discard_input()

    def _on_frame(self, frame: WSFrame) -> None:
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._on_reserved(frame)
            return
        kind = frame.msg_type  # looked up once: picows makes it anew each time
        if kind is self._data_kind and frame.fin and self._parts is None:
            payload = frame.get_payload_as_bytes()
            if kind is _TEXT and not payload.isascii():
                _check_utf8(payload)
            assert self._link is not None  # frames come after the link was made
            self._link.on_message(payload, bool(frame.last_in_buffer))  # `_deliver`, for every message
        elif kind is _PING:
            assert self._sink is not None  # frames come after the sink was opened
            self._sink.pong(frame.get_payload_as_bytes())
        elif kind is _PONG:
            pass  # nobody waits for it
        elif kind is _CLOSE:
            self._on_close_frame(frame)
        else:
            self._on_fragment(frame)

    def _on_reserved(self, frame: WSFrame) -> None:
        """Take a frame that begins a compressed message (RFC 7692, section 6), and no other."""
        kind = frame.msg_type
        if not self._compressed or frame.rsv2 or frame.rsv3:
            raise _Violation(CloseCode.PROTOCOL_ERROR, "a reserved bit is set for no agreed extension")
        if kind is not _TEXT and kind is not _BINARY:
            raise _Violation(CloseCode.PROTOCOL_ERROR, "the mark of compression is on the first frame only")
        if kind is self._data_kind and frame.fin and self._parts is None:
            self._deliver(self._inflated(frame.get_payload_as_bytes()), frame)
        else:
            self._on_fragment(frame)

    def _inflated(self, payload: bytes) -> bytes:
        try:
            message = inflate(payload, self._endpoint.max_message_bytes)
        except BrokenMessage as broken:
            raise _Violation(broken.code, broken.reason) from None
        if self._encoding.is_text:
            _check_utf8(message)
        return message

    def _on_fragment(self, frame: WSFrame) -> None:
        if frame.msg_type is _CONTINUATION:
            if self._parts is None:
                raise _Violation(
                    CloseCode.PROTOCOL_ERROR, "a continuation frame without a message to continue"
                )
        elif self._parts is not None:
            raise _Violation(CloseCode.PROTOCOL_ERROR, "a new message before the last fragment of another")
        elif frame.msg_type is not self._data_kind:
            wanted = self._data_kind.name.lower()
            raise _Violation(
                CloseCode.UNSUPPORTED_DATA,
                f"messages of {self._encoding.subprotocol} travel in {wanted} frames",
            )
        elif frame.rsv1:
            self._parts = _CompressedParts()
        else:
            self._parts = bytearray()
            self._decoder = _NEW_UTF8_DECODER() if self._encoding.is_text else None
        self._append(frame)
        if frame.fin:
            parts, self._parts, self._decoder = self._parts, None, None
            payload = bytes(parts)
            self._deliver(self._inflated(payload) if isinstance(parts, _CompressedParts) else payload, frame)

    def _append(self, frame: WSFrame) -> None:
        assert self._parts is not None  # the caller began it
        if len(self._parts) + frame.payload_size > self._endpoint.max_message_bytes:
            raise _Violation(
                CloseCode.MESSAGE_TOO_BIG,
                f"the message is longer than {self._endpoint.max_message_bytes} bytes",
            )
        part = frame.get_payload_as_bytes()
        if self._decoder is not None:
            try:
                self._decoder.decode(part, final=bool(frame.fin))
            except UnicodeDecodeError:
                raise _not_utf8() from None
        self._parts += part

    def _on_close_frame(self, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        if not payload:
            self._close(None, "")  # an empty close frame is answered with one
            return
        # A payload of one byte and a reason that is not UTF-8 have not got past picows.
        code = int.from_bytes(payload[:2], "big")
        if not is_valid_close_code(code):
            raise _Violation(CloseCode.PROTOCOL_ERROR, f"{code} may not be sent as a close code")
        assert self._sink is not None  # frames come after the sink was opened
        if self._sink.end_reason is None:
            # Otherwise it answers a close frame of ours, and says nothing about what the client wants.
            self._peer_code = code
        self._close(code, "")

    def _deliver(self, payload: bytes, frame: WSFrame) -> None:
        assert self._link is not None  # frames come after the link was made
        self._link.on_message(payload, bool(frame.last_in_buffer))

    def _pause_if_behind(self) -> None:
        """Read no more while the client is ahead of us."""
        if self._sink is None or self._gate is None or not is_ahead(self._sink, self._link):
            return
        # Nothing is heard from it then: a client that does not take its replies counts as lost after a while.
        self._gate.transport.pause_reading()
        self._resume_later(FIRST_LOOK_S)

    def _resume_later(self, delay_s: float) -> None:
        asyncio.get_running_loop().call_later(delay_s, self._resume_if_caught_up, delay_s)

    def _resume_if_caught_up(self, delay_s: float) -> None:
        gate, sink = self._gate, self._sink
        if gate is None or sink is None or self._phase is CLOSING:
            return  # closing has resumed reading
        if self._link is not None and self._link.is_behind:
            self.heard = True  # perhaps: it waits for us
        if has_caught_up(sink, self._link):
            gate.transport.resume_reading()
        else:
            self._resume_later(later(delay_s))


def _check_utf8(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise _not_utf8() from None


def _not_utf8() -> _Violation:
    return _Violation(CloseCode.INVALID_TEXT, "a text message is not UTF-8")
