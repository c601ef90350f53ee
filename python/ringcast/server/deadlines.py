"""The open WebSockets of one server, looked at a few times a second for what has taken too long.

One timer for all of them: a timer each would cost every idle connection memory. What is too long, and what
happens then, is each socket's own to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["Deadlines", "Watched"]

_LOOKS_PER_TIMEOUT: Final = 5
_LONGEST_INTERVAL_S: Final = 1.0
_AT_ONCE: Final = 250
"""How many sockets are looked at in one go: few enough that events and calls do not wait for it."""


class Watched(Protocol):
    """A socket with deadlines."""

    def check(self, now: float) -> None:
        """Act on what is overdue at `now`, a time of the event loop in seconds."""

    def abort(self) -> None:
        """Let go of the socket at once."""


class Deadlines:
    """Look after the sockets that were added, until they are removed.

    `shortest_timeout_s` is the shortest time that any of them waits for; it is overrun by at most a fifth,
    or a second. Everybody is looked at once in each round, and a round takes `interval_s`; `on_round` is
    called before it. A loop that was held up has had fewer rounds, so who counts rounds does not blame a
    client for what the loop could not read meanwhile.
    """

    def __init__(self, shortest_timeout_s: float, on_round: Callable[[], None] | None = None) -> None:
        self.interval_s = min(shortest_timeout_s / _LOOKS_PER_TIMEOUT, _LONGEST_INTERVAL_S)
        self._on_round = on_round
        self._watched: set[Watched] = set()
        self._round: list[Watched] = []
        """Those that are still to be looked at in this round."""
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        """When the timer is to fire."""
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, socket: Watched) -> None:
        """Look after `socket` from now on."""
        self._watched.add(socket)
        self._empty.clear()
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._due_s = loop.time() + self.interval_s
            self._timer = loop.call_at(self._due_s, self._look)

    def remove(self, socket: Watched) -> None:
        """Forget `socket`: it is closed."""
        self._watched.discard(socket)
        if not self._watched:
            self._empty.set()
            self._round = []
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def look_at_all(self) -> None:
        """Look at everybody now, besides the rounds: there is news for them."""
        now = asyncio.get_running_loop().time()
        for socket in list(self._watched):
            socket.check(now)

    async def wait_all_closed(self, timeout_s: float) -> None:
        """Wait until every socket is closed; abort those that are not after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            for socket in list(self._watched):
                socket.abort()
            # Their `connection_lost` is scheduled; it must run before the loop ends.
            await self._empty.wait()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not self._round:
            self._round = list(self._watched)
            if self._on_round is not None:
                self._on_round()
        step_s = self.interval_s / -(-len(self._watched) // _AT_ONCE)
        # Counted from when this look was due, so that rounds do not take longer and longer; but never made
        # up for: what came while the loop was held up has to be read first.
        self._due_s += step_s
        if self._due_s <= now:
            self._due_s = now + step_s
        self._timer = loop.call_at(self._due_s, self._look)
        batch, self._round = self._round[:_AT_ONCE], self._round[_AT_ONCE:]
        for socket in batch:
            if socket in self._watched:
                socket.check(now)
