"""Whether the server is still there, and when to show it that we are: pure, told of each tick of a timer.

Bytes that come show that the server lives, be they a heartbeat, an event or a part of one. When none come
for a while it is pinged, and given up when that brings nothing either: a server that sends heartbeats a
little after the second one has stayed out. While the socket is not read nothing can come, and the server is
not blamed for it; after as long a time nobody can tell whether it is still there (`stalled`). What has to be
done is the socket's work (`socket.py`).
"""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import Final

from .config import ClientConfig

__all__ = ["Liveness", "Step"]

_LONGEST_MARGIN_S: Final = 5.0
"""How late a heartbeat may come, or half of the time between two if that is less."""
_TICKS: Final = 4
"""In the shortest time that has to be told apart: what is said here is overrun by that little."""


class Step(Enum):
    """What to do now."""

    NOTHING = auto()
    PING = auto()
    PONG = auto()
    """Send a pong that nobody asked for (RFC 6455, section 5.5.3), so that the server hears something."""
    GIVE_UP = auto()


class Liveness:
    """Count the time in which nothing came from the server, and in which nothing was sent to it.

    Time is counted in ticks of `tick_s`, not read from a clock: a process that was stopped, or a machine that
    slept, has had few of them, and is not to blame the server for what it could not read itself.
    """

    def __init__(self, config: ClientConfig, heartbeat_s: float | None) -> None:
        ping_after_s = config.ping_idle_s
        lost_after_s = config.ping_idle_s + config.ping_reply_s
        if heartbeat_s is not None:
            margin_s = min(heartbeat_s / 2, _LONGEST_MARGIN_S)
            ping_after_s = min(ping_after_s, heartbeat_s + margin_s)
            lost_after_s = min(lost_after_s, 2 * heartbeat_s + margin_s)
        self.lost_after_s = lost_after_s
        """A server of which nothing came for this long, and a tick, is given up."""
        self.tick_s = min(ping_after_s, lost_after_s - ping_after_s) / _TICKS
        self._ping_ticks = _ticks(ping_after_s, self.tick_s)
        self._lost_ticks = _ticks(lost_after_s, self.tick_s)
        # Well before the server misses something: it pings whom it has not heard for a heartbeat.
        self._pong_ticks = None if heartbeat_s is None else max(1, _ticks(heartbeat_s, self.tick_s) - 1)
        self._quiet_ticks = 0
        """For which nothing came although the socket was read: the server is to blame."""
        self._unheard_ticks = 0
        """For which nothing came."""
        self._unsaid_ticks = 0

    @property
    def stalled(self) -> bool:
        """Whether nothing came for `lost_after_s`, as the socket was not read for a part of it or for all."""
        return self._unheard_ticks >= self._lost_ticks

    def tick(self, *, heard: bool, reading: bool, sent: bool, missed: int = 0) -> Step:
        """Say what to do now. `heard` and `sent`: whether anything came, or went, since the last tick.

        `reading`: whether the socket is read. `missed` ticks are those that would have been by now, did this
        one not come too late: by too much, and the server may have given us up, so it is asked at once.
        """
        self._unsaid_ticks = 0 if sent else self._unsaid_ticks + 1
        if heard:
            self._quiet_ticks = self._unheard_ticks = 0
        elif reading:
            self._quiet_ticks = self._ping_ticks if missed >= self._lost_ticks else self._quiet_ticks + 1
            self._unheard_ticks += 1
        else:
            self._quiet_ticks = 0
            # The missed ones as well: this blames nobody, and handlers that hold up the loop are behind, too.
            self._unheard_ticks += 1 + missed
        step = Step.NOTHING
        if self._quiet_ticks >= self._lost_ticks:
            step = Step.GIVE_UP
        elif self._quiet_ticks == self._ping_ticks:
            step = Step.PING
        elif self._pong_ticks is not None and self._unsaid_ticks >= self._pong_ticks:
            step = Step.PONG
        if step is not Step.NOTHING:
            self._unsaid_ticks = 0
        return step


def _ticks(time_s: float, tick_s: float) -> int:
    # Rounded up, but not for what an inexact division leaves.
    return math.ceil(time_s / tick_s - 0.01)
