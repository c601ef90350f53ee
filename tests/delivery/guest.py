"""The sockets of the model-based test's clients: as full as is wanted, and looked into."""

from __future__ import annotations

import asyncio
import socket
from typing import ClassVar, Final

from linked import TIMEOUT_S, Closed, LinkedSocket

from ringcast.router import Router
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import ServerMessage

__all__ = ["GuestSocket"]

ROOMY_BYTES: Final = 1 << 20
"""More than is ever unread on a socket that is read."""
TIGHT_BYTES: Final = 1
"""The system makes the least of it that it has: a few events."""


class GuestSocket(LinkedSocket):
    """A socket that takes much or little of what is written to it and not read."""

    tells_by_ids = False
    """Whether its client knows where it is by the ids of what it reads alone, as an `EventSource`."""

    patience_s: ClassVar[float] = TIMEOUT_S
    """Lowered once something has failed: what follows only looks for a shorter way to the same failure."""

    def __init__(self, router: Router, encoding: Encoding, *, tight: bool) -> None:
        super().__init__(router, encoding)
        size = TIGHT_BYTES if tight else ROOMY_BYTES
        self._near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

    async def next(self) -> ServerMessage | Closed:
        async with asyncio.timeout(self.patience_s):
            return await self._next()

    async def _next(self) -> ServerMessage | Closed:
        return await super().next()

    def check_position(self, epoch: str, offset: int) -> None:
        """Find that a client which knows where it is from the socket alone is at this position."""

    def at_rest(self) -> bytes:
        """Return what has arrived and was not asked for."""
        try:
            return self._buffer + self._far.recv(65536)
        except BlockingIOError:
            return self._buffer
