"""What a session remembers of its requests, so that one that is sent again is answered and never run again.

Requests carry ids that count up. A client sends those without an answer again after it came back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum

__all__ = ["RequestRecord", "Standing"]


class Standing(Enum):
    """What is known of a request that has not been answered from the record."""

    NEW = 1
    RUNNING = 2
    """It runs: its reply goes to whoever is attached when it ends."""
    FORGOTTEN = 3
    """It was answered, so long ago that the reply is no longer kept."""


class RequestRecord:
    """The requests of one session: those that run, and the latest replies, bounded by count and bytes."""

    __slots__ = ("_bytes", "_max_bytes", "_max_replies", "_newest", "_order", "_replies", "_running")

    def __init__(self, max_replies: int, max_bytes: int) -> None:
        self._max_replies = max_replies
        self._max_bytes = max_bytes
        self._newest = 0
        self._running: set[int] = set()
        self._replies: dict[int, bytes] = {}
        # Ids of `_replies`, the oldest reply first.
        self._order: deque[int] = deque()
        self._bytes = 0

    @property
    def running(self) -> int:
        """How many requests run."""
        return len(self._running)

    def begin(self, id: int) -> Standing | bytes:
        """Take a request that arrived: its reply if it has one, otherwise where it stands (NEW: run it)."""
        # A client counts up by one, and one socket keeps order: all ids up to the newest have been here.
        if id > self._newest and id not in self._replies:
            self._newest = id
            self._running.add(id)
            return Standing.NEW
        if id in self._running:
            return Standing.RUNNING
        return self._replies.get(id, Standing.FORGOTTEN)

    def restore(self, replies: Sequence[tuple[int, bytes]]) -> None:
        """Begin with the latest replies of an earlier process, the oldest first.

        A request without a reply had done nothing that was kept: it is new. Except where older replies may
        have been forgotten, of which nothing can be told.
        """
        for id, reply in replies:
            self.finish(id, reply)
        if len(replies) >= self._max_replies or len(self._order) < len(replies):
            self._newest = min(self._order) - 1

    def finish(self, id: int, reply: bytes) -> None:
        """Keep the reply of a request that ran; forget the oldest ones beyond the bounds."""
        self._running.discard(id)
        self._replies[id] = reply
        self._order.append(id)
        self._bytes += len(reply)
        while len(self._order) > self._max_replies or (
            self._bytes > self._max_bytes and len(self._order) > 1
        ):
            self._bytes -= len(self._replies.pop(self._order.popleft()))
