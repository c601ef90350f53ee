"""Accepts sockets for TLS: each takes its place before its handshake, and gives it back however that ends.

asyncio's own server tells of a socket once its handshake is done: nothing would bound those that never come
so far. What is spoken then is the protocol's (`head.py`), and certificate files are `tls.py`'s.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ..config import ServerConfig
from ..seldom import SeldomLog
from .head import HeadProtocol

__all__ = ["TlsServer"]

_LOG: Final = logging.getLogger("ringcast.server")

MOST_AT_ONCE: Final = 100
"""How many sockets are accepted before all others have their turn."""
PAUSE_S: Final = 0.1
"""How long nothing is accepted where that has failed: most likely descriptors have run out, and the system
would say at once again that somebody waits."""


class TlsServer:
    """One listening socket, with TLS; to uvicorn what `loop.create_server` returns.

    Accepts from `start` until `close`. A handshake may take `connect_timeout_s`, and runs into that limit.
    """

    def __init__(
        self,
        new_protocol: Callable[[], HeadProtocol],
        listening: socket.socket,
        tls: ssl.SSLContext,
        config: ServerConfig,
        limits_hit: Counter[str],
    ) -> None:
        self._new_protocol = new_protocol
        self._listening = listening
        self._tls = tls
        self._handshake_timeout_s = config.connect_timeout_s
        self._shutdown_timeout_s = config.close_timeout_s
        self._limits_hit = limits_hit
        self._handshakes: dict[asyncio.Task[None], HeadProtocol] = {}
        """Those under way, and whom each is for."""
        self._pause: asyncio.TimerHandle | None = None
        """Until it is over, nothing is accepted."""
        self._failing = SeldomLog(_LOG)
        self._loop = asyncio.get_running_loop()

    def start(self, backlog: int) -> None:
        """Begin to accept; `backlog` may wait for that. Raises `OSError` where that cannot be."""
        self._listening.setblocking(False)
        self._listening.listen(backlog)
        self._loop.add_reader(self._listening, self._accept)

    def close(self) -> None:
        """Accept nothing any more, and drop the handshakes under way. Idempotent."""
        if self._listening.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()
        for handshake, protocol in self._handshakes.items():
            # One that is done is the protocol's to end, which tells its client.
            if not protocol.is_connected:
                handshake.cancel()

    async def wait_closed(self) -> None:
        """Wait, after `close`, until no handshake holds a place: for no client."""
        if self._handshakes:
            await asyncio.wait(self._handshakes)

    def _accept(self) -> None:
        for _ in range(MOST_AT_ONCE):
            try:
                sock, address = self._listening.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue  # it has left before its turn
            except OSError as error:
                self._failing.warn("connections have to wait: %s", error)
                self._loop.remove_reader(self._listening)
                self._pause = self._loop.call_later(PAUSE_S, self._go_on)
                return
            self._begin(sock, address)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def _begin(self, sock: socket.socket, address: Any) -> None:
        sock.setblocking(False)
        protocol = self._new_protocol()
        if not protocol.take_place(address[0] if isinstance(address, tuple) else None):
            sock.close()
            return
        handshake = self._loop.create_task(self._shake_hands(sock, protocol))
        self._handshakes[handshake] = protocol
        handshake.add_done_callback(partial(self._end, sock, protocol))

    async def _shake_hands(self, sock: socket.socket, protocol: HeadProtocol) -> None:
        """Encrypt a socket, and connect the protocol to it.

        That has not come about where this raises, nor always where it returns: not if the socket was lost.
        """
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                sock,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_timeout_s,
                ssl_shutdown_timeout=self._shutdown_timeout_s,
            )
        except ConnectionAbortedError as error:
            # The loop's own, for the time it took, has no number; the system's has.
            if error.errno is None:
                self._limits_hit["connect_timeout_s"] += 1
        except OSError:
            pass  # the client has left, or speaks something else: `ssl.SSLError` is one too

    def _end(self, sock: socket.socket, protocol: HeadProtocol, handshake: asyncio.Task[None]) -> None:
        del self._handshakes[handshake]
        if not protocol.is_connected:
            # The loop has closed it, unless the task was cancelled before it began.
            sock.close()
            protocol.leave_place()
        if not handshake.cancelled() and (error := handshake.exception()) is not None:
            _LOG.error("a socket could not be accepted", exc_info=error)
