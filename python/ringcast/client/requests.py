"""The requests of one session: numbered, waiting, sent again, settled. Pure: it sends nothing itself.

Ids count up by one within a session, over calls and subscriptions together. A request that was sent keeps its
id and its bytes until it is answered, so that it can be sent again after a lost network and the server can
tell that it is the same. A call that was never sent has no id yet, only its encoded arguments.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ..errors import MessageTooBig, OfflineQueueFull, OutcomeUnknown, RingcastError, TooManyCalls
from ..wire.encoding import Encoding
from ..wire.protocol import Call, Connect, Received, Subscribe, Unsubscribe
from ..wire.topics import to_wire

__all__ = ["Request", "Requests", "Settle"]

# The server keeps an answer until it is told that it has arrived: seldom enough to cost little, often enough
# to keep little there.
_ACKNOWLEDGE_AT: Final = 32
_ACKNOWLEDGE_AT_BYTES: Final = 65_536

Settle = Callable[[Any, RingcastError | None], None]
"""Takes the value of a reply, or the error that came instead of one."""


@dataclass(slots=True, eq=False)
class Request:
    """One message to the server that is answered, and who waits for the answer."""

    kind: type[Call] | type[Subscribe] | type[Unsubscribe]
    name: str
    settle: Settle
    args: list[Any] | None = None
    """The arguments of a call."""
    by_consumer: bool = False
    """Whether no event is handled before the answer is there."""
    id: int = 0
    """0 until it is sent in the present session."""
    payload: bytes = b""
    """What was sent, for sending it again."""
    sent_again: bool = False
    """Whether it may have arrived before, over a link that was lost."""
    refused: bool = False
    """Whether something on the way to the server did not take it."""

    @property
    def is_call(self) -> bool:
        return self.kind is Call


def _too_big(has: int, may_have: int) -> MessageTooBig:
    return MessageTooBig(f"it was not sent: the server takes at most {may_have} bytes, and it has {has}")


class Requests:
    """Everything asked of the server that has no answer yet."""

    def __init__(self, encoding: Encoding, max_queued: int, max_unanswered: int = 512) -> None:
        self._encoding = encoding
        self._max_queued = max_queued
        self._max_unanswered = max_unanswered
        self.max_bytes: int | None = None
        """Of one message, as the server has said; None where it says nothing."""
        self._last_id = 0
        self.answered = 0
        """The highest id that was answered in the present session; 0 if none was."""
        self._sent: dict[int, Request] = {}
        """By id, and so in the order of sending."""
        self._queued: deque[Request] = deque()
        """Calls made while there was no network, or too many were unanswered; never sent in any session."""
        self._abandoned: set[int] = set()
        """Sent, and nobody waits any more: each takes a place at the server until its answer comes."""
        self._told: tuple[int, ...] | None = ()
        """What the latest connect message called unanswered; None if it did not say."""
        self._received: list[int] = []
        """Answers that the server does not know to have arrived, or that nobody wants if there are any."""
        self._received_bytes = 0

    @property
    def unanswered(self) -> int:
        """Number of requests that were sent and not answered."""
        return len(self._sent)

    @property
    def queued(self) -> int:
        return len(self._queued)

    @property
    def may_send(self) -> bool:
        """Whether a new call may be sent now; otherwise it is queued."""
        return not self._queued and self._has_room

    @property
    def _has_room(self) -> bool:
        return len(self._sent) + len(self._abandoned) < self._max_unanswered

    def fits(self, connect: Connect) -> bool:
        """Tell whether the server takes a connect message that is so long."""
        return self.max_bytes is None or len(self._encoding.encode(connect.to_wire())) <= self.max_bytes

    def send(self, request: Request) -> list[bytes]:
        """Number a request and return its payload: send it at once.

        One that is longer than the server takes is settled with `MessageTooBig` instead: sent, it would end
        the whole connection. Raises `TypeError` or `ValueError` if an argument cannot be encoded. In neither
        case an id is used up.
        """
        id = self._last_id + 1
        message = (
            Call(id, request.name, request.args or []).to_wire()
            if request.is_call
            else [request.kind.__name__.lower(), id, to_wire(request.name)]
        )
        payload = self._encoding.encode(message)
        if self.max_bytes is not None and len(payload) > self.max_bytes:
            request.settle(None, _too_big(len(payload), self.max_bytes))
            return []
        request.payload = payload
        request.id = self._last_id = id
        self._sent[id] = request
        return [payload]

    def queue(self, request: Request, *, offline: bool = True) -> None:
        """Keep a call until there is a network, or room for it.

        Its arguments are encoded now: what the caller does to them later changes nothing, and what cannot be
        encoded is raised now. Raises `OfflineQueueFull` past the bound on those that wait for the network.
        """
        if offline and len(self._queued) >= self._max_queued:
            raise OfflineQueueFull(f"{len(self._queued)} calls wait for the network already; try again later")
        # In an array, as the message will have them: what is nested too deep by then is raised now as well.
        [request.args] = self._encoding.decode(self._encoding.encode([request.args or []]))
        self._queued.append(request)

    def abandon(self, request: Request) -> None:
        """Forget a request whose caller has gone: it is not sent any more, and its answer is ignored."""
        # By identity: in a new session another request may have the same id.
        if self._sent.get(request.id) is request:
            del self._sent[request.id]
            self._abandoned.add(request.id)
        elif not request.id and request in self._queued:
            self._queued.remove(request)

    def answer(self, id: int, value: Any, error: RingcastError | None, size_bytes: int = 0) -> None:
        """Settle the request `id`, whose answer took `size_bytes`; if nobody waits for it, only note it."""
        self._abandoned.discard(id)
        if self.answered < id <= self._last_id:
            self.answered = id
        self._received.append(id)
        self._received_bytes += size_bytes
        request = self._sent.pop(id, None)
        if request is not None:
            request.settle(value, error)

    def refuse(self, id: int, error: RingcastError) -> None:
        """Settle the request `id`, which something on the way to the server did not take.

        One that was sent for the first time did not run, and to the server its id has never been. Another one
        may have run: it is settled with `OutcomeUnknown`.
        """
        self._abandoned.discard(id)
        # The server may have run it before the network was lost.
        self._received.append(id)
        request = self._sent.pop(id, None)
        if request is None:
            return
        request.refused = True
        if request.sent_again:
            why = f"{request.name} was sent before the network was lost, and was not taken again"
            unknown = OutcomeUnknown(f"{why} ({error.message}): it ran once or not at all")
            unknown.__cause__ = error
            error = unknown
        request.settle(None, error)

    def give_up_consumers(self) -> None:
        """Reject the calls of those who handle events: so many wait that no answer behind them can be had."""
        for request in [request for request in self._sent.values() if request.by_consumer]:
            self.abandon(request)
            message = f"so many events wait that the answer to {request.name} is not read: it may still run"
            request.settle(None, OutcomeUnknown(message))
        for request in [request for request in self._queued if request.by_consumer]:
            self._queued.remove(request)
            message = f"so many events wait that {request.name} was not sent: it did not run"
            request.settle(None, TooManyCalls(message))

    def acknowledgement(self) -> bytes | None:
        """Return the message that says which answers have arrived, if it is time for one: send it at once."""
        if len(self._received) < _ACKNOWLEDGE_AT and self._received_bytes < _ACKNOWLEDGE_AT_BYTES:
            return None
        # No more at a time: it is a message like any other, and has to be short enough.
        ids, self._received = self._received[:_ACKNOWLEDGE_AT], self._received[_ACKNOWLEDGE_AT:]
        self._received_bytes = 0
        return self._encoding.encode(Received(ids).to_wire())

    def lost(self) -> None:
        """Forget subscriptions that were not answered: the next connect message carries the whole set."""
        for request in [request for request in self._sent.values() if not request.is_call]:
            self._drop(request)

    def unanswered_ids(self) -> tuple[int, ...]:
        """Return what a connect message may say about the past: all other answers have arrived."""
        return tuple(self._sent)

    def tell(self, unanswered: tuple[int, ...] | None) -> None:
        """A connect message is sent that calls these unanswered, or does not say which are."""
        self._told = unanswered

    def resend(self) -> list[bytes]:
        """Return the payloads of unanswered calls, to be sent again in a session that was resumed.

        Those that are longer than the server takes now, as it has been restarted with another limit, are
        settled with `OutcomeUnknown`: sent, they would end the whole connection.
        """
        self._received += self._abandoned
        self._abandoned.clear()
        self._give_up_longer(sys.maxsize if self.max_bytes is None else self.max_bytes)
        if self._told is not None:
            # The server has no answers but to these; those whose callers have gone since are not wanted.
            self._received = [id for id in self._told if id not in self._sent]
            self._received_bytes = 0
        for request in self._sent.values():
            request.sent_again = True
        return [request.payload for request in self._sent.values()]

    def replace_session(self) -> None:
        """Start the ids of a new session; calls sent in the old one reject with `OutcomeUnknown`."""
        self._last_id = self.answered = 0
        self._told = ()
        self._reject_sent("the session that would have its result has ended: it ran once or not at all")

    def send_queued(self) -> list[bytes]:
        """Number the calls that waited, as far as there is room, and return their payloads, in order.

        Send them at once.
        """
        payloads = []
        while self._queued and self._has_room:
            payloads += self.send(self._queued.popleft())
        return payloads

    def end(self, closed: RingcastError) -> None:
        """Reject everything, as the connection has ended: calls that were sent, which may have run, with
        `OutcomeUnknown`, and what was never sent with `closed`.
        """
        self._reject_sent(f"it has no answer: it ran once or not at all ({closed.message})", closed)
        queued, self._queued = self._queued, deque()
        for request in queued:
            request.settle(None, closed)

    def _give_up_longer(self, than_bytes: int) -> None:
        for request in [request for request in self._sent.values() if len(request.payload) > than_bytes]:
            self._drop(request)
            why = f"is not sent again: the server takes at most {than_bytes} bytes now"
            request.settle(None, OutcomeUnknown(f"{request.name} was sent, and {why}; it may have run"))

    def _drop(self, request: Request) -> None:
        """Take out a request that is not sent again; if it was answered meanwhile, nobody wants that."""
        del self._sent[request.id]
        self._received.append(request.id)

    def _reject_sent(self, why: str, cause: RingcastError | None = None) -> None:
        sent, self._sent = self._sent, {}
        for request in sent.values():
            error = OutcomeUnknown(f"{request.name} was sent, but {why}")
            error.__cause__ = cause
            request.settle(None, error)
