"""How many connects a second a server lets in, and when those come back whom it does not: pure.

The loss of a server, or of the network before it, brings all its clients at once. They are told beforehand
over how many seconds to spread their first tries, and one that comes past the limit all the same is told when
to try again. Refusing is the link's work (`link.py`); time is handed in.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["Intake"]

_SHARE: Final = 0.8
"""Of what is let in, for those who come back; the rest is for newcomers, and for chance."""
_LONGEST_WAIT_S: Final = 30.0


class Intake:
    """A bucket of as many connects as are let in a second, `max_per_s`, full to begin with; 0 is no limit."""

    __slots__ = ("_at_s", "_max_per_s", "_next_place_s", "_room", "_session_window_s")

    def __init__(self, max_per_s: float, session_window_s: float) -> None:
        self._max_per_s = max_per_s
        self._session_window_s = session_window_s
        self._room = max(1.0, max_per_s)
        self._at_s = 0.0
        """When `_room` was what it is."""
        self._next_place_s = 0.0
        """When the next one that is refused shall come back."""

    def admit(self, now_s: float) -> int | None:
        """Let one connect in at `now_s`, and return None; or refuse it, and return when to try again, in ms.

        Everybody who is refused gets a place of its own, as far apart as they can be let in. There are only
        so many places in `_LONGEST_WAIT_S`; past the last of them they are given out from the first again.
        """
        if not self._max_per_s:
            return None
        grown = max(0.0, now_s - self._at_s) * self._max_per_s
        self._room, self._at_s = min(max(1.0, self._max_per_s), self._room + grown), now_s
        if self._room >= 1:
            self._room -= 1
            return None
        first_s = now_s + (1 - self._room) / self._max_per_s
        place_s = max(first_s, self._next_place_s)
        if place_s - now_s > _LONGEST_WAIT_S:
            place_s = first_s
        self._next_place_s = place_s + 1 / (_SHARE * self._max_per_s)
        return math.ceil((place_s - now_s) * 1000)

    def spread_s(self, sessions: int) -> float:
        """Return over how many seconds so many clients spread their first tries if all of them are lost now.

        0 where they may all come at once. At most half of what sessions wait for their clients: who comes
        too late has lost its session, who comes too early is told to try again.
        """
        if not self._max_per_s or sessions <= self._max_per_s:
            return 0.0
        spread_s = sessions / (_SHARE * self._max_per_s)
        if self._session_window_s:
            spread_s = min(spread_s, self._session_window_s / 2)
        return round(spread_s, 1)
