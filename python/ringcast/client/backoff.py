"""How long to wait before the next attempt to connect: pure, with the random source handed in.

Full jitter: each delay is drawn from zero up to a bound that grows exponentially, so that clients that lost
the same server at the same moment do not come back at the same moment. The server may ask for more room than
that, and may tell a client that it turns away when to come. Waiting itself is the connection's work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["Backoff", "doubled_s"]

_LONGEST_SPREAD_S: Final = 3600.0
"""Who asks for more is no busy server but a broken one."""


def doubled_s(base_s: float, times: int) -> float:
    """Return a bound in seconds that has doubled so often."""
    # The exponent is capped because a float overflows after a thousand attempts, and a series may have no
    # end.
    return base_s * 2.0 ** min(times, 64)


class Backoff:
    """The delays of one series of attempts; `reset` starts a new series."""

    def __init__(
        self, first_s: float, base_s: float, max_s: float, random_source: Callable[[], float]
    ) -> None:
        self._first_s = first_s
        self._base_s = base_s
        self._max_s = max_s
        self._random_source = random_source
        self._attempt = 0
        self.spread_s = 0.0
        """Over how many seconds the server wants its clients to come back. No bound is below it, up to an
        hour, not even where the longest of the client's own is: the server knows how many come."""

    @property
    def bound_s(self) -> float:
        """Upper bound of the next delay, in seconds."""
        grown_s = doubled_s(self._base_s, self._attempt - 1)
        own_s = min(grown_s if self._attempt else self._first_s, self._max_s)
        return max(own_s, min(self.spread_s, _LONGEST_SPREAD_S))

    def next_delay_s(self) -> float:
        """Draw the next delay, in seconds, and move on in the series."""
        delay_s = self._random_source() * self.bound_s
        self._attempt += 1
        return delay_s

    def told_delay_s(self, retry_after_s: float) -> float:
        """Return the delay of a client that the server has told to wait so long; chance adds a little.

        Not a failure: the series stays where it is.
        """
        return retry_after_s + self._random_source() * min(self._first_s, self._max_s)

    def reset(self) -> None:
        """Start again with the short first delay: the connection was good."""
        self._attempt = 0
