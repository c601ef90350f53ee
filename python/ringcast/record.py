"""What a session remembers of its requests, so that one that is sent again is answered and never run again.

Requests carry ids that count up. A client sends those without an answer again after it came back. One that
says which answers have arrived keeps what is remembered small, and never finds one forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final

__all__ = ["RequestRecord", "Standing", "most_kept"]

_LAST_RESORT: Final = 4
"""So many times the bounds are kept for a client that acknowledged replies and does so no more."""


class Standing(Enum):
    """What is known of a request that has not been answered from the record."""

    NEW = 1
    RUNNING = 2
    """It runs: its reply goes to whoever is attached when it ends."""
    FORGOTTEN = 3
    """It was answered, so long ago that the reply is no longer kept."""


def most_kept(max_replies: int) -> int:
    """Return how many replies a record of this bound has at most."""
    return max_replies * _LAST_RESORT


class RequestRecord:
    """The requests of one session: those that run, and the replies that may not have arrived.

    Past the bounds the oldest replies are forgotten; those of a client that acknowledges are kept, and it has
    to be refused new requests while `is_full`.
    """

    __slots__ = ("_acknowledges", "_bytes", "_max_bytes", "_max_replies", "_newest", "_replies", "_running")

    def __init__(self, max_replies: int, max_bytes: int) -> None:
        self._max_replies = max_replies
        self._max_bytes = max_bytes
        self._newest = 0
        self._running: set[int] = set()
        # The oldest reply first.
        self._replies: dict[int, bytes] = {}
        self._bytes = 0
        self._acknowledges = False

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
        self._replies = dict(replies)
        self._bytes = sum(len(reply) for reply in self._replies.values())
        if len(replies) >= most_kept(self._max_replies):
            self._newest = min(self._replies) - 1

    def finish(self, id: int, reply: bytes) -> None:
        """Keep the reply of a request that ran; forget the oldest ones beyond the bounds."""
        self._running.discard(id)
        self._replies[id] = reply
        self._bytes += len(reply)
        factor = _LAST_RESORT if self._acknowledges else 1
        while len(self._replies) > self._max_replies * factor or (
            self._bytes > self._max_bytes * factor and len(self._replies) > 1
        ):
            self._forget(next(iter(self._replies)))

    @property
    def is_full(self) -> bool:
        """Whether replies that have to be kept are past the bounds."""
        return self._acknowledges and (
            len(self._replies) >= self._max_replies or self._bytes > self._max_bytes
        )

    def acknowledge(self, ids: Iterable[int]) -> None:
        """These replies have arrived: forget them, and from now on no others."""
        self._acknowledges = True
        for id in ids:
            self._forget(id)

    def keep_only(self, ids: Iterable[int]) -> None:
        """The client wants these replies only: the others have arrived, or nobody waits for them."""
        wanted = frozenset(ids)
        self.acknowledge([id for id in self._replies if id not in wanted])

    def _forget(self, id: int) -> None:
        self._bytes -= len(self._replies.pop(id, b""))
