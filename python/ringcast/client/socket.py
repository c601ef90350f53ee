"""One client WebSocket on picows: whole messages in and out, and one report when it is gone.

picows parses frames. Here fragments are put together, what RFC 6455 forbids is refused, the close
handshake is kept, and a server that has gone without a word is given up, when `liveness.py` says so. What
messages mean, and whether to come back, is decided by the receiver.
"""

from __future__ import annotations

import asyncio
from functools import partial
from socket import socket as OsSocket  # noqa: N812 - `socket` would hide this module's own name
from traceback import walk_tb
from typing import Final, Protocol, cast

import picows
from multidict import CIMultiDict
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from ..errors import CloseCode, ConnectionFailure, RingcastError
from ..wire.deflate import OFFER, BrokenMessage, MalformedExtensions, accept_answer, deflate, inflate
from ..wire.encoding import Encoding
from .config import ClientConfig
from .liveness import Liveness, Step
from .refusals import DENIED
from .tcp import forget_next_descriptor
from .ticks import Ticks

__all__ = ["Receiver", "Socket", "open_socket"]

_NO_STATUS: Final = 1005
"""What RFC 6455 section 7.1.5 has a close frame without a code mean."""


class Receiver(Protocol):
    """What a socket reports to. Neither method may raise."""

    def on_message(self, payload: bytes) -> None:
        """Take one whole message."""

    def on_lost(self, code: int | None, reason: str) -> None:
        """Learn, once, that the socket is gone.

        `code` is the peer's; None if it sent none, or did not close first.
        """


class Socket(WSListener):
    """A WebSocket to a server, from its upgrade to its end."""

    def __init__(self, receiver: Receiver, encoding: Encoding, config: ClientConfig) -> None:
        self.receiver = receiver
        """Who is reported to."""
        self._config = config
        self._encoding = encoding
        self._batched = False
        """Whether a message may be several."""
        self.refusal: str | None = "the server closed the connection"
        """What is wrong with the server's answer to the upgrade request."""
        self._data_type = WSMsgType.TEXT if encoding.is_text else WSMsgType.BINARY
        self._transport: WSTransport | None = None
        self._fragments: list[bytes] | None = None
        """The parts of a message whose last frame has not come."""
        self._parts_compressed = False
        self._compression = False
        """Whether both sides may compress messages."""
        self._closing = False
        """No more messages are sent or taken."""
        self._failure: str | None = None
        """Why this side gave up on the peer."""
        self._reading = True
        self._liveness: Liveness | None = None
        self._ticks: Ticks | None = None
        # What has happened since its last tick.
        self._heard = False
        self._sent = False
        self._room = 0
        """Left in picows' read buffer at that tick."""
        self._gone = asyncio.get_running_loop().create_future()

    def send(self, payload: bytes) -> None:
        """Send one message. Does nothing once the socket is closing: `on_lost` follows or has come."""
        if self._transport is not None and not self._closing:
            self._sent = True
            if self._compression and len(payload) >= self._config.compress_min_bytes:
                compressed = deflate(payload)
                if compressed is not None:
                    self._transport.send(self._data_type, compressed, True, True)
                    return
            self._transport.send(self._data_type, payload)

    def watch(self, heartbeat_s: float | None) -> None:
        """Look after the server from now on, which has promised a heartbeat so often (None: none at all).

        Once nothing comes from it any more, `on_lost` reports no code.
        """
        if self._liveness is None:
            self._liveness = Liveness(self._config, heartbeat_s)
            self._ticks = Ticks(self._liveness.tick_s, partial(self._tick, self._liveness))

    async def close(self) -> None:
        """Close with code 1000 and wait for the server, but not longer than the close timeout."""
        self._start_closing(CloseCode.NORMAL, "")
        try:
            async with asyncio.timeout(self._config.close_timeout_s):
                await asyncio.shield(self._gone)
        except TimeoutError:
            self.abort()

    def fail(self, code: int, reason: str) -> None:
        """Give up on a peer that broke the protocol: tell it `code`, and `on_lost` only `reason`."""
        if not self._closing:
            self._failure = reason
            self._start_closing(code, reason)
            self._disconnect()

    def abort(self) -> None:
        """Drop the socket at once, also while it is still being opened."""
        self._closing = True
        if self._transport is not None:
            self._transport.disconnect(False)

    def set_reading(self, reading: bool) -> None:
        """Stop or go on reading. While not reading, a silent peer is not taken for dead, nor are we by it.

        Once it has lasted, `stalled` says so. A peer that has closed is noticed meanwhile if it is shown now
        and then that we are there: event loops tell of an end or a reset only when something is sent.
        """
        if reading is self._reading or self._transport is None or self._closing:
            return
        self._reading = reading
        transport = self._transport.underlying_transport
        if reading:
            transport.resume_reading()
        else:
            transport.pause_reading()

    @property
    def stalled(self) -> bool:
        """Whether so long nothing has been read that nobody can tell if the server is there.

        Until something comes, or the server is given up.
        """
        return self._liveness is not None and self._liveness.stalled and not self._heard

    # What picows calls.

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        # Before the first frame, which may have come with the answer.
        self.refusal = self._agree(transport.response.headers)
        if self._closing:  # aborted while it was being opened
            transport.disconnect(False)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self._heard = True
        if frame.msg_type is WSMsgType.CLOSE:
            self._answer_close(transport, frame)
        elif self._closing:
            return  # picows hands on what it had read already
        elif (frame.rsv1 or frame.rsv2 or frame.rsv3) and not self._may_be_compressed(frame):
            self.fail(CloseCode.PROTOCOL_ERROR, "a reserved bit is set")
        elif frame.msg_type is self._data_type and frame.fin and self._fragments is None:
            self._take_message(frame.get_payload_as_bytes(), bool(frame.rsv1))
        elif frame.msg_type is not WSMsgType.PONG:
            self._take_fragment(frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._closing = True
        if self._ticks is not None:
            self._ticks.stop()
            self._ticks = None
        if not self._gone.done():
            self._gone.set_result(None)
            self.receiver.on_lost(*self._end(transport))

    def pause_writing(self) -> None:
        """Nothing: what a client writes is bounded by the calls that its user awaits."""

    def resume_writing(self) -> None:
        """Nothing; see `pause_writing`."""

    # Inner parts.

    def _agree(self, headers: CIMultiDict[str]) -> str | None:
        """Learn from the server's answer what was agreed on; return what is wrong with it."""
        chosen = headers.get("Sec-WebSocket-Protocol")
        self._batched = chosen == self._encoding.batched_subprotocol
        if chosen != self._encoding.subprotocol and not self._batched:
            return f"the server does not speak {self._encoding.subprotocol}"
        try:
            agreed = accept_answer(headers.getall("Sec-WebSocket-Extensions", []))
        except MalformedExtensions as error:
            return str(error)
        if agreed and not self._config.compression:
            return "the server answers with an extension that was not offered"
        self._compression = agreed
        return None

    def _tick(self, liveness: Liveness, missed: int) -> None:
        transport = self._transport
        if transport is None or self._closing:
            return
        heard = self._has_heard(transport)
        step = liveness.tick(heard=heard, reading=self._reading, sent=self._sent, missed=missed)
        self._sent = False
        if step is Step.PING:
            transport.send_ping()
        elif step is Step.PONG:
            transport.send_pong()
        elif step is Step.GIVE_UP:
            self._start_closing(CloseCode.GOING_AWAY, "nothing comes from the server")
            self._failure = f"nothing came from the server for {liveness.lost_after_s:g} s"
            transport.disconnect(False)

    def _has_heard(self, transport: WSTransport) -> bool:
        """Tell whether anything came since this was last asked, a part of a frame included."""
        heard, self._heard = self._heard, False
        # picows reports whole frames only, and a large one may take its time: what is left of the buffer that
        # it reads into changes with every part.
        protocol = cast(asyncio.BufferedProtocol | None, transport.underlying_transport.get_protocol())
        if protocol is None:  # so with TLS, once the socket is gone: `on_ws_disconnected` comes next
            return heard
        before, self._room = self._room, memoryview(protocol.get_buffer(-1)).nbytes
        return heard or self._room != before

    def _may_be_compressed(self, frame: WSFrame) -> bool:
        begins = frame.msg_type is WSMsgType.TEXT or frame.msg_type is WSMsgType.BINARY
        return self._compression and begins and not (frame.rsv2 or frame.rsv3)

    def _take_message(self, payload: bytes, compressed: bool) -> None:
        if compressed:
            try:
                payload = inflate(payload, self._config.max_message_bytes)
            except BrokenMessage as broken:
                self.fail(broken.code, broken.reason)
                return
        if not self._batched:
            self.receiver.on_message(payload)
            return
        for message in self._encoding.split(payload):
            # One of them may end the socket.
            if not self._closing:
                self.receiver.on_message(message)

    def _take_fragment(self, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CONTINUATION:
            if self._fragments is None:
                self.fail(CloseCode.PROTOCOL_ERROR, "a continuation without a message")
                return
        elif self._fragments is not None:
            self.fail(CloseCode.PROTOCOL_ERROR, "a new message inside a fragmented one")
            return
        elif frame.msg_type is not self._data_type:
            self.fail(CloseCode.UNSUPPORTED_DATA, "the frame type does not fit the encoding")
            return
        else:
            self._fragments = []
            self._parts_compressed = bool(frame.rsv1)
        self._fragments.append(frame.get_payload_as_bytes())
        if sum(map(len, self._fragments)) > self._config.max_message_bytes:
            self.fail(CloseCode.MESSAGE_TOO_BIG, f"a message exceeds {self._config.max_message_bytes} bytes")
        elif frame.fin:
            message, self._fragments = b"".join(self._fragments), None
            self._take_message(message, self._parts_compressed)

    def _answer_close(self, transport: WSTransport, frame: WSFrame) -> None:
        if not self._closing:
            self._closing = True
            # An empty close frame is answered with an empty one: `send_close` would put the code 0 on the
            # wire.
            transport.send(WSMsgType.CLOSE, frame.get_payload_as_bytes()[:2])
        self._disconnect()

    def _start_closing(self, code: int, reason: str) -> None:
        if self._closing or self._transport is None:
            self._closing = True
            return
        # The answer to the close frame has to be read.
        self.set_reading(True)
        self._closing = True
        payload = code.to_bytes(2, "big") + reason.encode()[:120]
        self._transport.send(WSMsgType.CLOSE, payload)

    def _disconnect(self) -> None:
        """Close the transport after what is queued has gone out, or without it if the peer takes nothing."""
        if self._transport is not None:
            self._transport.disconnect(True)
            asyncio.get_running_loop().call_later(
                self._config.close_timeout_s, self._transport.disconnect, False
            )

    def _end(self, transport: WSTransport) -> tuple[int | None, str]:
        if self._failure is not None:
            # As without a close frame: a code of the other side's may be final, a fault of it never is.
            return None, self._failure
        handshake = transport.close_handshake
        if handshake is None:
            return None, ""
        if handshake.recv is not None:
            return handshake.recv.code.value or _NO_STATUS, handshake.recv.reason or ""
        # picows itself gave up: a malformed or oversized frame.
        return None, (handshake.sent.reason or "") if handshake.sent is not None else ""


async def open_socket(
    url: str,
    receiver: Receiver,
    encoding: Encoding,
    config: ClientConfig,
    connected: OsSocket | None = None,
) -> Socket:
    """Open a WebSocket that speaks `encoding`. Raises `AccessDenied` when the server wants none with us.

    `connected` is a socket to the server, if there is one already. Raises `OSError` when the server cannot be
    reached, and `ConnectionFailure` when it does not upgrade.
    """
    socket = Socket(receiver, encoding, config)
    forget_next_descriptor()
    try:
        _, listener = await picows.ws_connect(
            lambda: socket,
            url,
            ssl_context=config.ssl_context,
            websocket_handshake_timeout=config.connect_timeout_s,
            max_frame_size=config.max_message_bytes,
            extra_headers=_headers(encoding, config),
            socket_factory=None if connected is None else lambda _url: connected,
            # The loop's own transports. Those of aiofastnet (1.2.0) begin to read also after the write of the
            # upgrade request has failed: their descriptor is closed while the loop watches it (see `tcp.py`).
            # And uvloop (0.23) tells a watcher of a reset once: they read the data that came before it, and
            # never learn that the connection has ended. With TLS, they have the loop log an error for every
            # handshake that is cut off.
            use_aiofastnet=False,
        )
    except picows.WSInvalidStatusError as error:
        raise _refused(error) from error
    except picows.WSError as error:
        raise ConnectionFailure(
            f"the server does not accept the connection: {error}", code="upgrade_refused"
        ) from error
    except BaseException as error:
        # A cancelled `ws_connect` leaves its socket open.
        socket.abort()
        _let_go(error)
        raise
    if listener is None:
        if connected is not None:
            # uvloop (0.23) closes the descriptor behind the object's back when a connection ends in the turn
            # of the loop in which it begins; the object would close it again, when it may be somebody else's.
            connected.detach()
        raise ConnectionResetError("the server closed the connection before the upgrade")
    if socket.refusal is not None:
        socket.abort()
        raise ConnectionFailure(socket.refusal, code="upgrade_refused")
    return socket


def _let_go(cancelled: BaseException) -> None:
    """Drop the socket of a `ws_connect` that has ended in the midst of its upgrade.

    picows itself does so when `websocket_handshake_timeout` is over, and tells nobody else of the socket
    before the server has answered: it is found where the wait for that was broken off.
    """
    for frame, _ in walk_tb(cancelled.__traceback__):
        transport = getattr(frame.f_locals.get("ws_protocol"), "transport", None)
        if isinstance(transport, WSTransport):
            transport.disconnect(False)


def _refused(error: picows.WSInvalidStatusError) -> RingcastError:
    """Return why a server does not upgrade: for good, where it says that this client may not."""
    status = None if error.response is None else error.response.status
    said = f"the server does not accept the connection: it answered with status {status}"
    denied = None if status is None else DENIED.get(status)
    if denied is not None:
        return denied(said)
    return ConnectionFailure(said, code="upgrade_refused", metadata={"status": status})


def _headers(encoding: Encoding, config: ClientConfig) -> dict[str, str]:
    headers = {"Sec-WebSocket-Protocol": f"{encoding.subprotocol}, {encoding.batched_subprotocol}"}
    if config.compression:
        headers["Sec-WebSocket-Extensions"] = OFFER
    return headers
