"""Sockets that have said nothing yet, given up after a while: one timer for all of them.

Most say at once what they want. A timer for each would cost more than to read its request.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Protocol

__all__ = ["Newcomer", "Newcomers"]


class Newcomer(Protocol):
    """A socket from which something is to come."""

    def give_up(self) -> None:
        """Nothing has come in time."""


class Newcomers:
    """Gives up each socket that was added, unless it is removed within `timeout_s` seconds."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        # A plain dict looks for its first again among all that have been removed.
        self._due_s: OrderedDict[Newcomer, float] = OrderedDict()
        """When each is given up, by the loop's clock: the first is the next."""
        self._timer: asyncio.TimerHandle | None = None

    def add(self, socket: Newcomer, loop: asyncio.AbstractEventLoop) -> None:
        self._due_s[socket] = due_s = loop.time() + self._timeout_s
        if self._timer is None:
            self._timer = loop.call_at(due_s, self._look, loop)

    def remove(self, socket: Newcomer) -> float | None:
        """Forget a socket; return when it would have been given up, None for one that is not there."""
        return self._due_s.pop(socket, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        overdue = []
        while self._due_s:
            socket, due_s = next(iter(self._due_s.items()))
            if due_s > loop.time():
                # Not stopped when a socket is removed: it fires once more for nobody.
                self._timer = loop.call_at(due_s, self._look, loop)
                break
            del self._due_s[socket]
            overdue.append(socket)
        for socket in overdue:
            socket.give_up()
