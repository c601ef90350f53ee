"""What a session remembers of its requests, so that one that is sent again is answered and never run again.

Requests carry ids that count up. A client sends those without an answer again after it came back. One that
says which answers have arrived keeps what is remembered small, and never finds one forgotten.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final, NamedTuple

from .bucket import Bucket

__all__ = ["NEW", "RequestRecord", "Span", "Standing"]

_LAST_RESORT: Final = 4
"""So many times the bounds are kept for a client that acknowledged replies and does so no more."""
_FLOOR_BYTES: Final = 8
_NONE: Final = 0
"""No request has this id."""


class Standing(Enum):
    """What is known of a request that has not been answered from the record."""

    NEW = 1
    RUNNING = 2
    """It runs: its reply goes to whoever is attached when it ends."""
    FORGOTTEN = 3
    """It was answered, so long ago that the reply is no longer kept; or a later one came before it."""


NEW: Final = Standing.NEW
"""Looked up once: until Python 3.12, to look up a member of an enum takes as long as a call."""

_NOTHING: Final = frozenset[int]()
"""Shared: an empty frozenset of one's own takes 216 bytes."""


class Span(NamedTuple):
    """What has to be kept of a record to restore it: the latest replies, from the oldest that is held on."""

    replies: int
    """How many, those in between that have arrived counted."""
    floor: int
    """Requests up to this id have all been answered: without a reply among those they are forgotten."""

    def mark(self, reply: bytes) -> bytes:
        """Return a reply as it is to be kept, with what `RequestRecord.restore` needs to know besides."""
        return self.floor.to_bytes(_FLOOR_BYTES) + reply


class RequestRecord:
    """The requests of one session: those that run, and the replies that may not have arrived.

    Past the bounds the oldest replies are forgotten; those of a client that acknowledges are kept, and it has
    to be refused new requests while `is_full`. `spans` has it know its span, for which nobody else shall pay.
    """

    __slots__ = (
        "_acknowledges",
        "_answered",
        "_answered_before",
        "_bytes",
        "_floor",
        "_halved",
        "_max_bytes",
        "_max_replies",
        "_newest",
        "_replies",
        "_running",
        "_span",
        "_span_bytes",
        "_spans",
        "bucket",
    )

    def __init__(self, max_replies: int, max_bytes: int, *, spans: bool = False) -> None:
        self.bucket: Bucket | None = None
        """How many requests may begin now; None is no limit. Its session asks it, and sees to it."""
        self._spans = spans
        self._max_replies = max_replies
        self._max_bytes = max_bytes
        self._newest = 0
        self._answered = 0
        # In the order in which they came, which is that of their ids: the first one is the lowest.
        self._running: dict[int, None] = {}
        # The oldest reply first. In a plain dict it would be looked for behind the places of those forgotten.
        self._replies: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0
        self._acknowledges = False
        # What an earlier process had answered: those it had not may come in between.
        self._answered_before = _NOTHING
        # Id and size of each reply that was kept from the oldest held one on, arrived or not; everything
        # before it has an id of `_floor` at most. So nothing goes from here while an older request runs.
        self._span: deque[tuple[int, int]] = deque()
        self._span_bytes = 0
        self._floor = 0
        # Of those in the span, what stands for the reply of a request that still runs.
        self._halved: set[int] = set()

    @property
    def running(self) -> int:
        """How many requests run."""
        return len(self._running)

    @property
    def answered(self) -> int:
        """The highest id of a request that was answered; 0 if there is none."""
        return self._answered

    @property
    def span(self) -> Span:
        """What to keep outside of this process, together with the reply that was added last."""
        return Span(len(self._span), self._floor)

    def begin(self, id: int) -> Standing | bytes:
        """Take a request that arrived: its reply if it has one, otherwise where it stands (NEW: run it)."""
        # A client counts up, and keeps the order: an id below the newest that has not been here, as a proxy
        # did not take it, never comes.
        if id > self._newest and id not in self._answered_before:
            self._newest = id
            self._running[id] = None
            return NEW
        if id in self._running:
            return Standing.RUNNING
        return self._replies.get(id, Standing.FORGOTTEN)

    def restore(self, marked: Sequence[tuple[int, bytes]]) -> None:
        """Begin with the latest replies of an earlier process, the oldest first, as `Span.mark` made them.

        A request without a reply had done nothing that was kept, and is new, unless it was forgotten.
        """
        for id, each in marked:
            self._floor = int.from_bytes(each[:_FLOOR_BYTES])
            reply = each[_FLOOR_BYTES:]
            self._extend(id, reply)
            self._replies[id] = reply
            self._bytes += len(reply)
        self._newest = self._floor
        self._answered = max(self._floor, *self._replies, 0)
        self._answered_before = frozenset(self._replies)
        # Only for one that does has so much been kept.
        self._acknowledges = len(self._replies) > self._max_replies or (
            self._bytes > self._max_bytes and len(self._replies) > 1
        )

    def finish(self, id: int, reply: bytes) -> Sequence[tuple[int, bytes]]:
        """Keep the reply of a request that ran; forget the oldest ones beyond the bounds.

        Returns older replies that `span` counts as added once more, behind this one.
        """
        self._running.pop(id, None)
        self._answered = max(self._answered, id)
        if self._spans:
            self._extend(id, reply)
        replies = self._replies
        replies[id] = reply
        self._bytes += len(reply)
        if len(replies) > self._max_replies or self._bytes > self._max_bytes:
            self._forget_oldest()
        if not self._spans:
            return ()
        self._shorten()
        return self._carry()

    def halve(self, id: int, reply: bytes) -> None:
        """Keep `reply`, beyond this process alone, for a request that still runs."""
        self._halved.add(id)
        self._span.append((id, len(reply)))
        self._span_bytes += len(reply)

    def has_room(self, most_running: int) -> bool:
        """Tell whether no more requests run than that, and the replies that have to be kept are not past the
        bounds."""
        # Asked for every call: nearly always the first half of `is_full` says it.
        return len(self._running) <= most_running and not (self._acknowledges and self.is_full)

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
        if self._spans:
            self._shorten()

    def keep_only(self, ids: Iterable[int]) -> None:
        """The client wants these replies only: the others have arrived, or nobody waits for them."""
        wanted = frozenset(ids)
        self.acknowledge([id for id in self._replies if id not in wanted])

    def _extend(self, id: int, reply: bytes) -> None:
        if id in self._halved or id in self._replies:
            # The one before goes when its turn comes, and stands for nothing until then.
            self._halved.discard(id)
            self._forget(id)
            self._span = deque((_NONE if each == id else each, size) for each, size in self._span)
        self._span.append((id, len(reply)))
        self._span_bytes += len(reply)

    def _forget_oldest(self) -> None:
        """Forget until the bounds are kept, or for a client that acknowledges, those of the last resort."""
        factor = _LAST_RESORT if self._acknowledges else 1
        most, most_bytes, replies = self._max_replies * factor, self._max_bytes * factor, self._replies
        while len(replies) > most or (self._bytes > most_bytes and len(replies) > 1):
            self._bytes -= len(replies.popitem(last=False)[1])

    def _forget(self, id: int) -> None:
        self._bytes -= len(self._replies.pop(id, b""))

    def _shorten(self) -> None:
        """Let the span begin with a reply that is held, or with one that an older request has to precede."""
        span, replies = self._span, self._replies
        lowest = next(iter(self._running), self._newest + 1)
        while span and span[0][0] not in replies and span[0][0] < lowest:
            self._drop()

    def _carry(self) -> list[tuple[int, bytes]]:
        """Let no more in the span be of no use than the bounds allow: move what is held to its end."""
        carried = []
        span, replies = self._span, self._replies
        while (
            len(span) - len(replies) > self._max_replies or self._span_bytes - self._bytes > self._max_bytes
        ):
            id = span[0][0]
            if id in replies:
                span.rotate(-1)
                carried.append((id, replies[id]))
            else:
                # Perhaps while an older request runs: should that be lost, its outcome is unknown.
                self._drop()
        return carried

    def _drop(self) -> None:
        id, size = self._span.popleft()
        self._span_bytes -= size
        self._halved.discard(id)
        self._floor = max(self._floor, id)
