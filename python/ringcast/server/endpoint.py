"""What all sockets of one server share: how long they may take, when heartbeats are due, how far ahead of the
server a client may be."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from ..config import ServerConfig
from ..errors import CloseCode, InternalError, RingcastError, TryAgainLater
from ..gateway.heartbeat import Beat
from ..seldom import SeldomLog
from .deadlines import Deadlines

if TYPE_CHECKING:
    from .._core import Sink
    from ..gateway.link import Link
    from ..router import Router

__all__ = ["FIRST_LOOK_S", "Endpoint", "has_caught_up", "is_ahead", "later", "looks"]

_LOG: Final = logging.getLogger("ringcast.server")

MAX_QUEUED_BYTES: Final = 1_048_576
"""How many bytes of replies may wait for a client before nothing more is read from it."""
FIRST_LOOK_S: Final = 0.01
"""When to look for the first time whether that is over."""
_LONGEST_LOOK_S: Final = 1.0


class Endpoint:
    """The limits of a server as its sockets are held against them."""

    def __init__(self, router: Router, config: ServerConfig) -> None:
        self.router = router
        self.limits_hit = router.limits_hit
        self.max_message_bytes = config.max_message_bytes
        self.connect_timeout_s = config.connect_timeout_s
        self.close_timeout_s = config.close_timeout_s
        shortest_s = min(config.connect_timeout_s, config.close_timeout_s, config.heartbeat_s)
        self.deadlines = Deadlines(shortest_s, self._begin_round)
        # Rounded down, so that nobody waits longer than the server has said; not for an inexact division.
        self.rounds_per_beat = int(config.heartbeat_s / self.deadlines.interval_s + 0.01)
        self.rounds_until_dead = math.ceil(config.dead_peer_timeout_s / self.deadlines.interval_s)
        self.beat: Beat | None = None
        """The heartbeat of this round, if it is one in which everybody gets one."""
        self._rounds = 0
        self._full = SeldomLog(_LOG)

    def is_dead(self, quiet_rounds: int) -> bool:
        """Tell whether a client is to be given up of which nothing was heard for so many rounds; counts
        those."""
        if quiet_rounds <= self.rounds_until_dead:
            return False
        self.limits_hit["dead_peer_timeout_s"] += 1
        _LOG.debug("nothing comes from a client any more")
        return True

    def turned_away_for(self, error: Exception) -> tuple[CloseCode, RingcastError]:
        """Return what a client is told that could not be accepted because of `error`, and note it in the
        log."""
        if isinstance(error, OSError):
            # Most likely descriptors have run out.
            self._full.warn("connections are turned away: %s", error)
            return CloseCode.TRY_AGAIN_LATER, TryAgainLater("the server can take no more sockets")
        if isinstance(error, RingcastError):  # the router is not running
            return CloseCode.SERVER_RESTART, error
        _LOG.error("a client could not be accepted", exc_info=error)
        return CloseCode.INTERNAL_ERROR, InternalError("internal error")

    def _begin_round(self) -> None:
        self._rounds += 1
        due = self._rounds % self.rounds_per_beat == 0
        self.beat = Beat(self.router.reconnect_within_s) if due else None


def is_ahead(sink: Sink, link: Link | None) -> bool:
    """Tell whether so many replies wait for a client, or messages of it for a hook, that no more should be
    read.

    Who reads slowly shall call slowly, and not be cut off.
    """
    return sink.queued_bytes > MAX_QUEUED_BYTES or (link is not None and link.is_behind)


def has_caught_up(sink: Sink, link: Link | None) -> bool:
    """Tell whether a client that was ahead may go on."""
    return sink.queued_bytes <= MAX_QUEUED_BYTES // 2 and not (link is not None and link.is_behind)


def later(delay_s: float) -> float:
    """Return after how long to look again, when a look after `delay_s` was too early."""
    return min(2 * delay_s, _LONGEST_LOOK_S)


def looks() -> Iterator[float]:
    """Give the delays between looks whether a client may go on."""
    delay_s = FIRST_LOOK_S
    while True:
        yield delay_s
        delay_s = later(delay_s)
