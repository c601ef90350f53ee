"""From uvicorn's upgrade request to picows' frame parser, with picows kept from writing to the socket.

uvicorn makes an `UpgradeProtocol` where it would make a protocol of its own WebSocket implementations,
feeds it the request, and installs it as the transport's protocol. `FrameProtocol` is picows' own protocol
class, so that no object stands between uvloop and the parser. What to do with frames is the listener's
business.

Both libraries' parts that this module relies on are pinned by `tests/python/server/test_bridge.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any, Final, Protocol, cast

from picows import WSAutoPingStrategy, WSListener, WSUpgradeRequest, WSUpgradeResponseWithListener
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # the inner class has no stub

from ..request import Request
from .first_read import HEAD_TOO_LARGE, MAX_HEAD_BYTES
from .handshake import Refusal
from .rewording import reworded, target_of, trimmed

__all__ = [
    "FrameListener",
    "FrameProtocol",
    "Gate",
    "UpgradeProtocol",
    "Upgrader",
    "address_of",
    "upgrade_protocol_class",
]

READ_BUFFER_BYTES: Final = 256
"""picows takes at least 2048; more would cost every idle connection."""
MAX_READ_BYTES: Final = 16_384
"""Most bytes read at once. picows doubles its buffer when a read fills it and never gives memory back, so
without a bound one client that sends fast could make it grow to the size of the kernel's buffer."""

_CLOSE_FRAME: Final = 0x88
_ACCEPTED: Final = b"HTTP/1.1 101 "


class _QuietLog(logging.LoggerAdapter[logging.Logger]):
    """picows' log. Not a `Logger`, for which picows would make a child per connection.

    picows reports every connection at INFO and every fault of a client at ERROR; here both are DEBUG. What
    comes with a traceback is a fault of ours and keeps its level.
    """

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        super().log(level if kwargs.get("exc_info") else logging.DEBUG, msg, *args, **kwargs)

    def info(self, msg: object, *args: Any, **kwargs: Any) -> None:
        # For each client that comes and goes: nothing is put together for nobody.
        if self.logger.isEnabledFor(logging.DEBUG):
            super().info(msg, *args, **kwargs)

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the adapter's name
        # Below DEBUG, picows logs all that is read and written, and with it the tokens of clients.
        return level >= logging.DEBUG and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, kwargs


_LOG: Final = _QuietLog(logging.getLogger("ringcast.server.picows"))
_FAULTS: Final = logging.getLogger("ringcast.server")


class FrameListener(WSListener):
    """picows' listener, and what the bridge reports beyond it. In `on_ws_connected` call `Gate.shut`."""

    __slots__ = ("heard",)

    heard: bool
    """Set to True whenever bytes come from the client, be it a part of a frame only."""

    def on_broken_frame(self, code: int, reason: str) -> None:
        """Called when the parser gave up, after every frame before the broken one was delivered."""
        raise NotImplementedError

    def on_eof(self) -> bool:
        """Called when the client will send nothing more; return whether to keep the socket for writing."""
        raise NotImplementedError


class _NoSocket:
    """What picows gets for the socket, and does not need.

    It would set options that `serve.py` has set where it listens (TCP_NODELAY) or that last for one packet
    (TCP_QUICKACK), and look up addresses and options for a line of its log: seventeen system calls for each
    client.
    """

    __slots__ = ()

    def fileno(self) -> int:
        # picows would write to it, if the gate's write buffer were ever empty.
        return -1

    def setsockopt(self, *option: object) -> None:
        pass

    def getsockopt(self, *option: object) -> int:
        return 0


_NO_SOCKET: Final = _NoSocket()


class Upgrader(Protocol):
    """Answers requests to upgrade.

    What picows has of a request is trimmed; all of it is with the gate, where the request was at hand.
    """

    def accept(self, request: WSUpgradeRequest, gate: Gate) -> WSUpgradeResponseWithListener:
        """Return a 101 response and a `FrameListener`, or a refusal."""

    def log_refused(self, status: int, request: Request) -> None:
        """Called once a request that was at hand has been refused, by `accept` or by picows."""


class Gate:
    """The transport that picows sees: lets its HTTP response out, and after the upgrade nothing.

    All bytes after the 101 response are the core's to write. The only frame that picows sends by itself,
    with pings and pongs switched off and a listener that never raises, is the close frame for what it
    cannot parse; that one reaches the listener as `on_broken_frame`.
    """

    __slots__ = ("_listener", "_refused", "_upgrader", "is_shut", "request", "transport")

    def __init__(self, transport: asyncio.Transport, upgrader: Upgrader) -> None:
        self.transport = transport
        self._upgrader = upgrader
        self._refused = False
        """Whether the upgrader has refused the request, so that picows' response is the upgrader's."""
        self._listener: FrameListener | None = None
        self.is_shut = False
        """Whether nothing gets out any more, since the socket was upgraded or is gone."""
        self.request: Request | None = None
        """The request to upgrade; the listener takes it, so that nothing of it is kept with the socket."""

    def answer(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        """Have the upgrader answer, for picows to send."""
        try:
            answer = self._upgrader.accept(request, self)
        except Exception:
            # picows makes a response of it, which becomes one of ours: it tells strangers what went wrong.
            _FAULTS.exception("a request to upgrade could not be answered")
            raise
        self._refused = answer.listener is None
        return answer

    def refuse(self, refusal: bytes | bytearray) -> None:
        """Send a response that refuses the upgrade."""
        self.transport.write(refusal)
        if self.request is not None:
            # Once it is out, and by itself: a log has filters and handlers of the user's, which may raise.
            status = int(refusal[len("HTTP/1.1 ") :][:3])
            asyncio.get_running_loop().call_soon(self._upgrader.log_refused, status, self.request)

    def shut(self, listener: FrameListener) -> None:
        """Let nothing out from now on."""
        self._listener = listener
        self.is_shut = True

    def release(self) -> None:
        """Let go of the listener: the socket is gone. Nothing gets out after this either."""
        self._listener = None
        self.is_shut = True

    @property
    def is_plain(self) -> bool:
        """Whether what is written to the socket itself reaches the client: there is no TLS."""
        return self.transport.get_extra_info("sslcontext") is None

    def turn_away(self, code: int) -> None:
        """Send a close frame with `code` and close the socket. Only where the core does not write to it."""
        self.transport.write(bytes((_CLOSE_FRAME, 2)) + code.to_bytes(2, "big"))
        self.transport.close()

    def discard_input(self) -> None:
        """Read and forget what the client still sends, without parsing it (RFC 6455, section 7.1.7)."""
        protocol = self.transport.get_protocol()
        if isinstance(protocol, FrameProtocol):
            self.transport.set_protocol(_Discard(protocol))
        if not self.transport.is_closing() and not self.transport.is_reading():
            self.transport.resume_reading()

    # What picows calls on a transport.

    def write(self, data: bytes) -> None:
        if not self.is_shut:
            if data.startswith(_ACCEPTED):
                self.transport.write(data)
            else:
                self.refuse(data if self._refused else reworded(data))
        elif self._listener is not None and data[0] == _CLOSE_FRAME:
            # The parser stands still at the broken frame; what follows would only pile up before it.
            self.discard_input()
            # picows parses one frame ahead: the frame before the broken one is delivered after this call.
            asyncio.get_running_loop().call_soon(
                self._listener.on_broken_frame,
                int.from_bytes(data[2:4], "big"),
                data[4:].decode(errors="replace"),
            )

    def close(self) -> None:
        # After the upgrade the listener decides when the socket goes: the client shall get its close frame.
        if not self.is_shut:
            self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    @staticmethod
    def get_write_buffer_size() -> int:
        # Never empty, or picows would bypass `write` and send to the descriptor. It keeps this method for the
        # life of the connection: static, so that there is one for all.
        return 1

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        # What picows asks for besides: both addresses, and whether there is TLS, which is nothing to it.
        return _NO_SOCKET if name == "socket" else default


class FrameProtocol(WSProtocol):  # type: ignore[misc]  # the inner class has no stub
    """picows' protocol on a socket that speaks WebSocket from its first byte.

    `max_frame_bytes` bounds one frame's payload. `handshake_timeout_s` bounds the time until the upgrade
    request is complete; None if it is at hand.
    """

    __slots__ = ("_upgrader",)

    def __init__(
        self, upgrader: Upgrader, max_frame_bytes: int, handshake_timeout_s: float | None = None
    ) -> None:
        self._upgrader = upgrader
        super().__init__(
            None,  # host_port: for clients
            None,  # ws_path: for clients
            False,  # is_client_side
            self._on_request,  # ws_listener_factory: picows lets go of it after the request
            _LOG,
            True,  # disconnect_on_exception
            handshake_timeout_s,
            False,  # enable_auto_ping
            20.0,  # auto_ping_idle_timeout: unused
            20.0,  # auto_ping_reply_timeout: unused
            WSAutoPingStrategy.PING_WHEN_IDLE,  # unused
            False,  # enable_auto_pong: pings are the listener's, so that their RSV bits are checked
            max_frame_bytes,
            None,  # extra_headers: for clients
            READ_BUFFER_BYTES,
        )

    def _on_request(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        gate: Gate = self.transport.underlying_transport
        return gate.answer(request)

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start on `transport`, a socket's or one with TLS over it."""
        super().connection_made(Gate(transport, self._upgrader))

    @staticmethod
    def data_received(data: bytes) -> None:
        """Never called: the loop reads into `get_buffer`.

        uvloop would otherwise keep this method of the protocol before, and with it all of that protocol.
        """

    def get_buffer(self, size_hint: int) -> memoryview:
        # Asked for when there is something to read. One call a read less than to override `buffer_updated`.
        listener: FrameListener | None = self.listener
        if listener is not None:
            listener.heard = True
        buffer: memoryview = super().get_buffer(size_hint)
        return buffer[:MAX_READ_BYTES]

    def feed(self, request: bytes, address: str | None, *, has_list: bool = True) -> None:
        """Take a whole upgrade request that was read by somebody else, from a socket at `address`.

        `has_list` is False where its one `Connection` is known to say "upgrade" and nothing else.
        """
        gate: Gate = self.transport.underlying_transport
        gate.request = Request("websocket", address, target_of(request), request)
        request = trimmed(request, has_list=has_list)
        if len(request) > MAX_HEAD_BYTES:  # picows would close without a word
            gate.refuse(Refusal(*HEAD_TOO_LARGE).to_bytes())
            gate.close()
            return
        rest = memoryview(request)
        while rest:
            buffer = self.get_buffer(len(rest))
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            rest = rest[count:]
            self.buffer_updated(count)
        listener: FrameListener | None = self.listener
        if listener is not None and not gate.is_shut:
            # It was accepted here, but not by picows, which looks at the key last, and tells nobody.
            listener.on_ws_disconnected(self.transport)

    def eof_received(self) -> bool:
        """Return whether to keep the socket open for writing."""
        listener: FrameListener | None = self.listener
        return listener is not None and listener.on_eof()


def address_of(transport: asyncio.BaseTransport) -> str | None:
    """Return the address at the other end of a socket; None if that is no IP address."""
    peer: Any = transport.get_extra_info("peername")
    return peer[0] if isinstance(peer, tuple) else None


class _Discard(asyncio.Protocol):
    """Stands in for a `FrameProtocol` whose input no longer matters."""

    __slots__ = ("_replaced",)

    def __init__(self, replaced: FrameProtocol) -> None:
        self._replaced = replaced

    def data_received(self, data: bytes) -> None:
        pass

    def eof_received(self) -> bool:
        return self._replaced.eof_received()

    def pause_writing(self) -> None:
        self._replaced.pause_writing()

    def resume_writing(self) -> None:
        self._replaced.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._replaced.connection_lost(exc)


class UpgradeProtocol(FrameProtocol):
    """A `FrameProtocol` that gets its upgrade request from uvicorn instead of from the socket."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:  # type: ignore[override]
        """Take the whole upgrade request. uvicorn calls this once, before it sets the transport's
        protocol."""
        self.feed(data, address_of(self.transport.underlying_transport.transport))


def upgrade_protocol_class(upgrader: Upgrader, max_frame_bytes: int) -> type[asyncio.Protocol]:
    """Return what goes into uvicorn's configuration as `ws`.

    The protocols are not entered in uvicorn's set of connections: at shutdown it would wait for each of
    them to be closed before the application hears of the shutdown, and it is the application that closes
    them.
    """

    def make(config: object, server_state: object, app_state: object) -> UpgradeProtocol:
        return UpgradeProtocol(upgrader, max_frame_bytes)

    # uvicorn only calls it.
    return cast(type[asyncio.Protocol], make)
