"""What an application sends to one client by way of somebody else's server: one message after the other.

Such a server takes its time for each: while it does, nothing more is handed over to it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from starlette.types import Send

__all__ = ["Outgoing"]

_LOG: Final = logging.getLogger("ringcast.server")


class Outgoing:
    """Sends what is put in, in order, with `send`; calls `on_sent` whenever there is nothing left.

    Where something is not sent, that is the end: `on_failed` is called instead, and nothing more is sent.
    """

    __slots__ = ("_began_s", "_messages", "_on_failed", "_on_sent", "_send", "_sender", "_stopped")

    def __init__(self, send: Send, on_sent: Callable[[], None], on_failed: Callable[[], None]) -> None:
        self._send = send
        self._on_sent = on_sent
        self._on_failed = on_failed
        self._messages: deque[MutableMapping[str, Any]] = deque()
        self._sender: asyncio.Task[None] | None = None
        """While there is something."""
        self._began_s = 0.0
        """When the message that is being sent was handed over."""
        self._stopped = False

    @property
    def is_idle(self) -> bool:
        """Whether everything is sent."""
        return self._sender is None

    @property
    def stands_still_s(self) -> float:
        """How long the server has been at the present message; 0 when everything is sent."""
        return 0.0 if self._sender is None else asyncio.get_running_loop().time() - self._began_s

    def put(self, *messages: MutableMapping[str, Any]) -> None:
        """Send these as well; does nothing once it is stopped."""
        if self._stopped:
            return
        self._messages.extend(messages)
        if self._sender is None:
            loop = asyncio.get_running_loop()
            self._began_s = loop.time()
            self._sender = loop.create_task(self._send_all(), name="outgoing")

    def give_up(self) -> None:
        """Send nothing more, whatever is left; the server is told that what it is at is not wanted."""
        self._stopped = True
        if self._sender is not None:
            self._sender.cancel()

    async def stop(self) -> None:
        """Do that, and wait until the server has let go of it."""
        self.give_up()
        if self._sender is not None:
            await asyncio.gather(self._sender, return_exceptions=True)

    async def _send_all(self) -> None:
        all_sent, loop = False, asyncio.get_running_loop()
        try:
            while self._messages:
                self._began_s = loop.time()
                await self._send(self._messages.popleft())
            all_sent = True
        except Exception as error:
            # Each server has an error of its own for a client that has gone. Reading tells that as well, but
            # nothing need be reading.
            _LOG.debug("a client could not be sent to: %r", error)
        finally:
            self._sender = None
            if not all_sent:  # also where it was cancelled, by whomever
                self._stopped = True
                self._messages.clear()
                self._on_failed()
        if all_sent:
            self._on_sent()
