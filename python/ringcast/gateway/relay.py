"""The event loop's side of sinks that only the loop can write to: their bytes, from the core to transports.

Which bytes those are is the core's to say, once for each connection and sweep; see `Core.take_relayed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final, Literal, Protocol

from .wake import empty

if TYPE_CHECKING:
    from .._core import Core, Sink
    from ..wire.encoding import Encoding

__all__ = ["Relay", "ResponseBody", "WebSocket"]

_log: Final = logging.getLogger("ringcast.server")

Parting = Literal["close", "abort", "forget"]
"""What becomes of a transport behind its last bytes; `Core.take_relayed` says what each means."""

MAX_BUFFERED_BYTES: Final = 65_536
"""How many bytes a transport may hold before it says that it is full; uvloop would take eight times as many
for each client that does not read."""


class WebSocket(Protocol):
    """A WebSocket whose frames somebody else makes."""

    def send(self, messages: list[str] | list[bytes]) -> None:
        """Send all of them, and call `Sink.resume_writing` then. Nothing more comes before that."""

    def close(self, code: int | None, reason: str) -> None:
        """Close behind what was given to `send`."""

    def abort(self) -> None:
        """Give up: nobody waits any more for what was given to `send`."""


class ResponseBody(Protocol):
    """The body of a response that somebody else sends, in parts."""

    def write(self, data: bytes) -> None:
        """Send it: call `Sink.pause_writing`, and `Sink.resume_writing` once it is sent."""

    def close(self) -> None:
        """End the body behind what was given to `write`."""

    def abort(self) -> None:
        """Give up: nobody waits any more for what was given to `write`."""

    def is_closing(self) -> bool:
        """Tell whether it is over: nothing can be written."""


class Relay:
    """Writes what the core hands over. Lives on one event loop; all its methods are called there."""

    def __init__(self, core: Core, loop: asyncio.AbstractEventLoop) -> None:
        self._core = core
        self._loop = loop
        self._descriptor = core.relay_fd
        self._transports: dict[int, asyncio.WriteTransport | ResponseBody] = {}
        """By key, for as long as something may come for them."""
        self._websockets: dict[int, WebSocket] = {}
        """The same for those that take messages."""
        self._responses: set[int] = set()
        """The keys of response bodies among the transports."""
        self._keys = count(1)
        self._parted = asyncio.Event()
        """Set when the last WebSocket and the last response have got their close."""
        self._writing = False
        self.writes = 0
        """How often something was written to a transport or response, or sent to a WebSocket."""
        loop.add_reader(self._descriptor, self._wake)
        # Weakly: the core would keep what keeps the core.
        core.write_relayed_with(partial(_write_once, weakref.ref(self)))

    def open_sink(self, transport: asyncio.WriteTransport, encoding: Encoding, compressed: bool) -> Sink:
        """Return a sink whose bytes go through `transport`, to which nobody else writes from now on.

        Tell it when the transport is full and when it is not (`Sink.pause_writing`, `Sink.resume_writing`).
        """
        key = next(self._keys)
        transport.set_write_buffer_limits(high=MAX_BUFFERED_BYTES)
        sink = self._core.open_relayed_sink(key, encoding.index, compressed)
        self._transports[key] = transport
        return sink

    def open_event_stream(self, transport: asyncio.WriteTransport) -> Sink:
        """Return a sink whose server-sent events go through `transport`, as with `open_sink`."""
        key = next(self._keys)
        transport.set_write_buffer_limits(high=MAX_BUFFERED_BYTES)
        self._transports[key] = transport
        return self._core.open_relayed_event_stream(key)

    def open_response(self, body: ResponseBody) -> Sink:
        """Return a sink whose server-sent events are the body of a response."""
        key = next(self._keys)
        self._transports[key] = body
        self._responses.add(key)
        return self._core.open_relayed_event_stream(key)

    def open_messages(self, websocket: WebSocket, encoding: Encoding, joined: bool) -> Sink:
        """Return a sink whose messages go through `websocket`: with `joined`, all that wait are one."""
        key = next(self._keys)
        self._websockets[key] = websocket
        return self._core.open_message_sink(key, encoding.index, joined)

    def write(self) -> bool:
        """Write what there is now, for a few clients. Returns whether there was anything."""
        if self._writing:
            return False  # what comes later must not overtake what is being written
        self._writing = True
        try:
            taken = self._core.take_relayed()
            transports = self._transports
            for key, data, parting, closing in taken:
                if not isinstance(data, bytes):
                    self._send_to(key, data, parting, closing)
                    continue
                transport = transports.get(key) if parting is None else transports.pop(key, None)
                if parting is not None:
                    self._responses.discard(key)
                    self._note_parted()
                if transport is None:
                    continue
                try:
                    self._write_to(transport, data, parting)
                except Exception:
                    _log.exception("a transport could not be written to")
                    transport.abort()
            return bool(taken)
        finally:
            self._writing = False

    def _write_to(
        self, transport: asyncio.WriteTransport | ResponseBody, data: bytes, parting: Parting | None
    ) -> None:
        if parting == "abort":
            transport.abort()
        elif not transport.is_closing():  # else its `connection_lost` is on its way
            if data:
                self.writes += 1
                transport.write(data)
            if parting == "close":
                transport.close()

    def _send_to(
        self,
        key: int,
        messages: list[str] | list[bytes],
        parting: Parting | None,
        closing: tuple[int | None, str] | None,
    ) -> None:
        websockets = self._websockets
        websocket = websockets.get(key) if parting is None else websockets.pop(key, None)
        self._note_parted()
        if websocket is None:
            return
        try:
            if parting == "abort":
                websocket.abort()
                return
            if messages:
                self.writes += len(messages)
                websocket.send(messages)
            if parting == "close":
                websocket.close(*(closing or (None, "")))
        except Exception:
            _log.exception("a WebSocket could not be sent to")
            websocket.abort()

    async def wait_parted(self, timeout_s: float) -> None:
        """Wait until WebSockets and responses whose sinks are closed have got that: it may wait for what is
        being sent."""
        self._parted.clear()
        if self._websockets or self._responses:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._parted.wait()

    def _note_parted(self) -> None:
        if not self._websockets and not self._responses:
            self._parted.set()

    def write_all(self) -> None:
        """Write all that there is, as far as transports take it."""
        while self.write():
            pass

    def close(self) -> None:
        """Write what there is, and stop: nothing comes any more once the core is closed."""
        self._loop.remove_reader(self._descriptor)
        self.write_all()
        self._core.write_relayed_with(None)
        self._transports.clear()
        self._websockets.clear()
        self._responses.clear()

    def _wake(self) -> None:
        empty(self._descriptor)
        self.write()


def _write_once(relay: weakref.ref[Relay]) -> bool:
    found = relay()
    return found is not None and found.write()
