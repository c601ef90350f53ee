"""The requests of one session: numbered, waiting, sent again, settled. Pure: it sends nothing itself.

Ids count up by one within a session, over calls and subscriptions together. A request that was sent keeps its
id and its bytes until it is answered, so that it can be sent again after a lost network and the server can
tell that it is the same. A call that was never sent has no id yet, only its encoded arguments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import OfflineQueueFull, OutcomeUnknown, RingcastError
from ..protocol import Call, Encoding, Subscribe, Unsubscribe

__all__ = ["Request", "Requests", "Settle"]

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
    id: int = 0
    """0 until it is sent in the present session."""
    payload: bytes = b""
    """What was sent, for sending it again."""

    @property
    def is_call(self) -> bool:
        return self.kind is Call


class Requests:
    """Everything asked of the server that has no answer yet."""

    def __init__(self, encoding: Encoding, max_queued: int) -> None:
        self._encoding = encoding
        self._max_queued = max_queued
        self._last_id = 0
        self._sent: dict[int, Request] = {}
        """By id, and so in the order of sending."""
        self._queued: deque[Request] = deque()
        """Calls made while there was no network, in order; never sent in any session."""

    @property
    def unanswered(self) -> int:
        """Number of requests that were sent and not answered."""
        return len(self._sent)

    @property
    def queued(self) -> int:
        return len(self._queued)

    def send(self, request: Request) -> bytes:
        """Number a request and return its payload: send it at once.

        Raises `TypeError` or `ValueError` if an argument cannot be encoded; then no id is used up.
        """
        id = self._last_id + 1
        message = (
            Call(id, request.name, request.args or []).to_wire()
            if request.is_call
            else [request.kind.__name__.lower(), id, request.name]
        )
        request.payload = self._encoding.encode(message)
        request.id = self._last_id = id
        self._sent[id] = request
        return request.payload

    def queue(self, request: Request) -> None:
        """Keep a call until there is a network.

        Its arguments are encoded now: what the caller does to them later changes nothing, and what cannot be
        encoded is raised now. Raises `OfflineQueueFull` past the bound.
        """
        if len(self._queued) >= self._max_queued:
            raise OfflineQueueFull(f"{len(self._queued)} calls wait for the network already; try again later")
        # In an array, as the message will have them: what is nested too deep by then is raised now as well.
        [request.args] = self._encoding.decode(self._encoding.encode([request.args or []]))
        self._queued.append(request)

    def abandon(self, request: Request) -> None:
        """Forget a request whose caller has gone: it is not sent any more, and its answer is ignored."""
        # By identity: in a new session another request may have the same id.
        if self._sent.get(request.id) is request:
            del self._sent[request.id]
        elif not request.id and request in self._queued:
            self._queued.remove(request)

    def answer(self, id: int, value: Any, error: RingcastError | None) -> None:
        """Settle the request `id`; an id that nobody waits for is ignored."""
        request = self._sent.pop(id, None)
        if request is not None:
            request.settle(value, error)

    def lost(self) -> None:
        """Forget subscriptions that were not answered: the next connect message carries the whole set."""
        self._sent = {id: request for id, request in self._sent.items() if request.is_call}

    def resend(self) -> list[bytes]:
        """Return the payloads of unanswered calls, to be sent again in a session that was resumed."""
        return [request.payload for request in self._sent.values()]

    def replace_session(self) -> None:
        """Start the ids of a new session; calls sent in the old one reject with `OutcomeUnknown`."""
        sent, self._sent, self._last_id = self._sent, {}, 0
        for request in sent.values():
            request.settle(
                None,
                OutcomeUnknown(
                    f"{request.name} was sent, but the session that would have its result has ended: "
                    "it ran once or not at all"
                ),
            )

    def send_queued(self) -> list[bytes]:
        """Number the calls that waited and return their payloads, in order: send them at once."""
        queued, self._queued = self._queued, deque()
        return [self.send(request) for request in queued]

    def reject_all(self, error: RingcastError) -> None:
        """Settle everything with `error`: the connection has ended."""
        requests = [*self._sent.values(), *self._queued]
        self._sent.clear()
        self._queued.clear()
        for request in requests:
            request.settle(None, error)
