"""How many actions a second one connection may run: a bucket of tokens, which are filled in again: pure.

Time is handed in, and asked for seldom: tokens are taken out of the bucket a handful at a time.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["Bucket"]

_HANDFUL: Final = 32


class Bucket:
    """At most `at_once` in a moment, and at most ``at_once + per_s * t`` in any `t` seconds.

    Take one from `at_hand` if there is any (one less of it), else ask `take`. What is at hand is a part of
    the bucket: both together never hold more than `at_once`.
    """

    __slots__ = ("_at_s", "_handful", "_per_s", "_room", "_tokens", "at_hand")

    def __init__(self, per_s: float, at_once: int, now_s: float) -> None:
        self._per_s = per_s
        self._handful = min(_HANDFUL, at_once // 4)
        self._room = at_once - self._handful
        self.at_hand = self._handful
        """Tokens that may be taken without looking at the time."""
        self._tokens = float(self._room)
        self._at_s = now_s
        """When `_tokens` was what it is."""

    def take(self, now_s: float) -> int | None:
        """Take one at `now_s`, when none is at hand. Returns None; or in how many ms there will be one."""
        grown = max(0.0, now_s - self._at_s) * self._per_s
        self._tokens, self._at_s = min(float(self._room), self._tokens + grown), now_s
        if self._tokens < 1:
            return math.ceil((1 - self._tokens) / self._per_s * 1000)
        self._tokens -= 1
        self.at_hand = min(self._handful, int(self._tokens))
        self._tokens -= self.at_hand
        return None
