"""One client's socket, as far as all kinds of them are alike: how long it may take, and how it is let go of.

What it speaks, and how it is closed, is for its kind to say: `websocket.py`, `event_stream.py`,
`asgi_websocket.py`. What all of one server share is in `endpoint.py`.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from ..errors import CloseCode

if TYPE_CHECKING:
    from .._core import Sink
    from ..gateway.link import Link
    from .endpoint import Endpoint
    from .guard import Guard

__all__ = ["CLOSING", "CONNECTING", "OPEN", "ClientSocket", "Phase"]

_OF_ITS_KIND: Final[tuple[str, ...]] = ()
"""A kind has the fields in slots of its own: picows' listener cannot be joined with another base that has
some."""


class Phase(Enum):
    """What a socket is at."""

    CONNECTING = auto()
    """The connect message has not been accepted yet."""
    OPEN = auto()
    CLOSING = auto()
    """The end is queued or sent: whatever still comes is ignored."""


# Looked up once: until Python 3.12, to look up a member of an enum takes as long as a call.
CONNECTING: Final = Phase.CONNECTING
OPEN: Final = Phase.OPEN
CLOSING: Final = Phase.CLOSING


class ClientSocket:
    """A client that is served. Whoever makes one adds it to the endpoint's deadlines, and calls `_leave`."""

    __slots__ = _OF_ITS_KIND

    heard: bool
    """Set to True whenever something comes from the client."""
    _endpoint: Endpoint
    _place: str | None = None
    """What it has taken of the server's places; None if it takes none."""
    _sink: Sink | None
    _link: Link | None
    _phase: Phase
    _since: float
    """When the phase began; not kept for OPEN."""
    _quiet_rounds: int | None = None
    """While OPEN: how many rounds of `Deadlines` ago something came from the client; None of one that need
    not say anything. Rounds and not a time, because small numbers cost no memory, and for the reason that is
    given there."""
    _heard_eof: bool = False
    """Whether the client has closed its side."""

    def abort(self) -> None:
        """Let go of the client at once."""
        raise NotImplementedError

    def check(self, now: float) -> None:
        """Let go of a client that has kept us waiting for too long; tell others where they are, when that is
        due."""
        endpoint = self._endpoint
        if self._phase is CLOSING:
            if now - self._since > endpoint.close_timeout_s or (self._heard_eof and self._is_ended):
                self.abort()
        elif self._is_ended:
            # The router closed it, or the core did: the client has as long to go as if we had.
            self._note_closing()
        elif self._phase is OPEN:
            self._check_life()
        elif self._link is not None and self._link.connected:
            self._phase, self._since = OPEN, 0.0
        elif now - self._since > endpoint.connect_timeout_s:
            endpoint.limits_hit["connect_timeout_s"] += 1
            self._close(CloseCode.CONNECT_TIMEOUT, "no connect message came in time")

    @property
    def _is_ended(self) -> bool:
        """Whether the core writes nothing more."""
        return self._sink is None or self._sink.end_reason is not None

    def _check_life(self) -> None:
        """Give up a client that has gone without a word; otherwise tell it where it is, when that is due."""
        endpoint, quiet_rounds = self._endpoint, self._quiet_rounds
        if quiet_rounds is not None:
            quiet_rounds = 0 if self.heard else quiet_rounds + 1
            self.heard, self._quiet_rounds = False, quiet_rounds
            if endpoint.is_dead(quiet_rounds):
                self._note_closing()
                self.abort()
                return
        if endpoint.beat is not None and self._link is not None:
            ping = quiet_rounds is not None and quiet_rounds >= endpoint.rounds_per_beat
            self._link.beat(endpoint.beat, ping)

    def _close(self, code: int | None, reason: str) -> None:
        """Have the core end it, behind what is queued."""
        if self._phase is not CLOSING:
            assert self._sink is not None  # before that, the phase is CLOSING
            self._note_closing()
            self._sink.close(code, reason)

    def _note_closing(self) -> None:
        if self._phase is not CLOSING:
            self._phase, self._since = CLOSING, asyncio.get_running_loop().time()

    def _hear_eof(self) -> bool:
        """The client has closed its side; return whether the socket is still needed, for what ends it."""
        self._heard_eof = True
        return self._phase is CLOSING and not self._is_ended

    def _leave(self, guard: Guard | None, code: int | None) -> None:
        """The client is gone, or was let go of. `code` is what its close frame said. Idempotent."""
        self._phase = CLOSING
        self._endpoint.deadlines.remove(self)
        if self._place is not None and guard is not None:
            guard.places.leave(self._place)
            self._place = None
        link, self._link = self._link, None
        try:
            if link is not None:
                link.on_lost(code)
        finally:
            if self._sink is not None:
                self._sink.drop()
