"""One socket of a connection: from its connect message to its loss, messages decoded on the way in.

A link is used once. It hands everything to the connection that owns it, for as long as it is that
connection's present link; what an abandoned socket still brings is dropped.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import (
    CloseCode,
    ConnectionClosed,
    ConnectionRefused,
    MessageTooBig,
    ProtocolError,
    RingcastError,
    TryAgainLater,
    from_wire,
)
from ..wire.encoding import Encoding
from ..wire.parsing import parse_server_message
from ..wire.protocol import Connect, Error, ServerMessage
from .config import ClientConfig
from .endpoint import Endpoint
from .fallback import AnySocket
from .refusals import wait_asked_for_s

__all__ = ["Link", "LinkOwner", "Loss"]


@dataclass(slots=True, frozen=True)
class Loss:
    """How a socket ended."""

    code: int | None
    """The close code of the server; None when none came, or this side gave up on what did come."""
    reason: str
    error: RingcastError | None
    """What the server said before it closed, or what was wrong with what it said."""

    @property
    def text(self) -> str:
        """What to tell people."""
        if self.error is not None:
            return self.error.message
        return self.reason or ("no close frame came" if self.code is None else f"close code {self.code}")

    @property
    def retry_after_s(self) -> float | None:
        """How many seconds a server that is busy has asked for, if it has."""
        return wait_asked_for_s(self.error) if isinstance(self.error, TryAgainLater) else None

    def final_error(self, was_connected: bool) -> RingcastError:
        """Return what the connection ends with, if this is its end."""
        kind = ConnectionClosed if was_connected else ConnectionRefused
        said = self.error
        if said is None and self.code == CloseCode.MESSAGE_TOO_BIG:
            # The one such code that says more of the client than that it is not wanted.
            said = MessageTooBig(self.text)
        error = (
            kind(self.text) if said is None else kind(said.message, code=said.code, metadata=said.metadata)
        )
        error.__cause__ = said
        return error


class LinkOwner(Protocol):
    """What a link reports to. No method may raise."""

    def on_server_message(self, message: ServerMessage, size_bytes: int) -> None:
        """Take a message of this size, in the order of arrival."""

    def on_request_refused(self, id: int, error: RingcastError) -> None:
        """Learn that the request `id` has not arrived, and would not if it were sent again."""

    def on_link_lost(self, loss: Loss) -> None:
        """Learn, once, that the socket is gone."""


class Link:
    """A socket and what is known about its end. Set `answered` when the connect answer was accepted."""

    def __init__(self, owner: LinkOwner, encoding: Encoding) -> None:
        self._owner = owner
        self._encoding = encoding
        self._socket: AnySocket | None = None
        self._error: RingcastError | None = None
        self._abandoned = False
        self._answered_or_lost = asyncio.Event()
        self._lost = asyncio.Event()
        self.requested: frozenset[str] = frozenset()
        """The event names in the connect message."""

    async def open(self, endpoint: Endpoint, config: ClientConfig) -> None:
        """Open the socket. Raises what `Endpoint.open_socket` raises."""
        self._socket = await endpoint.open_socket(self, self._encoding, config)

    async def start(self, connect: Connect) -> None:
        """Send the connect message and wait for its answer, or for the loss of the socket."""
        self.requested = frozenset(connect.subscriptions)
        self.send(self._encoding.encode(connect.to_wire()))
        await self._answered_or_lost.wait()

    def answered(self, heartbeat_s: float | None) -> None:
        """The connect message was accepted, by a server that sends heartbeats this often (None: none)."""
        if self._socket is not None:
            self._socket.watch(heartbeat_s)
        self._answered_or_lost.set()

    async def wait_lost(self) -> None:
        """Wait for the end of the socket."""
        await self._lost.wait()

    def send(self, *payloads: bytes) -> None:
        if self._socket is not None:
            for payload in payloads:
                self._socket.send(payload)

    def set_reading(self, reading: bool) -> None:
        if self._socket is not None:
            self._socket.set_reading(reading)

    @property
    def stalled(self) -> bool:
        """Whether so long nothing has been read that nobody can tell if the server is there."""
        return self._socket is not None and self._socket.stalled

    def abandon(self) -> None:
        """Drop the socket at once; nothing is reported any more."""
        self._abandoned = True
        if self._socket is not None:
            self._socket.abort()

    async def close(self) -> None:
        """Close the socket for good and wait for the server; nothing is reported any more."""
        self._abandoned = True
        if self._socket is not None:
            await self._socket.close()

    # What the socket calls.

    def on_message(self, payload: bytes) -> None:
        if self._abandoned:
            return
        try:
            message = parse_server_message(self._encoding, payload)
        except ProtocolError as error:
            self._error = error
            if self._socket is not None:
                self._socket.fail(error.close_code, error.message)
            return
        if isinstance(message, Error) and message.id is None:
            # A close frame follows, and says whether this was final.
            self._error = from_wire(message.error)
        elif message is not None:
            self._owner.on_server_message(message, len(payload))

    def on_refused(self, id: int, error: dict[str, Any]) -> None:
        if not self._abandoned:
            self._owner.on_request_refused(id, from_wire(error))

    def on_lost(self, code: int | None, reason: str) -> None:
        if not self._abandoned:
            self._abandoned = True
            self._owner.on_link_lost(Loss(code, reason, self._error))
        self._lost.set()
        self._answered_or_lost.set()
