"""Tickets: what stands for somebody in a place where a token must not be, once, and for some seconds.

A URL is such a place: it ends up in logs and histories. `EventSource` can send nothing else, so its page
gets a ticket first, with a POST that has the token, and puts that into the URL.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from .errors import TryAgainLater, Unauthorized

__all__ = ["Tickets"]

_TICKET_BYTES: Final = 24

ValueT = TypeVar("ValueT")


def _loop_time_s() -> float:
    return asyncio.get_running_loop().time()


class Tickets(Generic[ValueT]):
    """Give out tickets in this process, and take each back once.

    Of more than `most` that are neither used nor past their `lifetime_s`, none is given: who may ask for one
    should be known. `now_s` tells the time in seconds.
    """

    def __init__(
        self, lifetime_s: float = 30.0, most: int = 10_000, *, now_s: Callable[[], float] = _loop_time_s
    ) -> None:
        self.lifetime_s = lifetime_s
        self._most = most
        self._now_s = now_s
        # In the order in which they were given, which is that in which they end.
        self._given: dict[str, tuple[float, ValueT]] = {}

    def __len__(self) -> int:
        return len(self._given)

    def give(self, value: ValueT) -> str:
        """Return a new ticket that stands for `value`: URL-safe text that cannot be guessed.

        Raises `TryAgainLater` if there are too many.
        """
        now_s = self._now_s()
        self._forget_old(now_s)
        if len(self._given) >= self._most:
            wait_s = next(iter(self._given.values()))[0] - now_s
            metadata = {"retry_after_ms": max(1, round(wait_s * 1000))}
            raise TryAgainLater("too many tickets wait to be used", metadata=metadata)
        ticket = secrets.token_urlsafe(_TICKET_BYTES)
        self._given[ticket] = now_s + self.lifetime_s, value
        return ticket

    def take(self, ticket: object) -> ValueT:
        """Return what `ticket` stands for; it stands for nothing from then on.

        Raises `Unauthorized` for one that is unknown, was used or is too old: they all look the same.
        """
        now_s = self._now_s()
        self._forget_old(now_s)
        # By hash, of a secret that is gone after one use: how long it takes tells nothing of use.
        found = self._given.pop(ticket, None) if isinstance(ticket, str) else None
        if found is None:
            raise Unauthorized("the ticket is not valid, or no longer")
        return found[1]

    def _forget_old(self, now_s: float) -> None:
        while self._given:
            ticket = next(iter(self._given))
            if self._given[ticket][0] > now_s:
                return
            del self._given[ticket]
