"""How many sockets a server has open, in all and for each address: each takes a place and gives it back.

Addresses of networks that are not counted, as those of a company's own, are counted in all only: behind one
of them may stand a proxy with everybody.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal

from ..config import ServerConfig
from .peers import Networks, network_of

__all__ = ["NoPlace", "Places"]

UNCOUNTED: Final = ""
"""The place of one whose address is not counted."""


class NoPlace(Exception):  # noqa: N818 - an answer to the client, not a fault
    """None is taken any more; `limit` is the name of the limit in `ServerConfig`."""

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit


class Places:
    """The sockets of one server, or its calls ; who runs into a limit is counted in `limits_hit`."""

    def __init__(
        self,
        config: ServerConfig,
        limits_hit: Counter[str],
        what: Literal["connections", "calls"] = "connections",
    ) -> None:
        self.taken = 0
        """How many there are."""
        self._limit, self._limit_per_address = f"max_{what}", f"max_{what}_per_address"
        self._most: int = getattr(config, self._limit)
        self._most_per_address: int = getattr(config, self._limit_per_address)
        self._uncounted = Networks(config.uncounted_networks)
        self._by_network: dict[str, int] = {}
        self._limits_hit = limits_hit

    def take(self, address: str | None) -> str:
        """Take a place for one from `address` and return what to give to `leave`. Raises `NoPlace`."""
        if self._most and self.taken >= self._most:
            raise self._none(self._limit)
        place = UNCOUNTED
        if self._most_per_address and address is not None and not self._uncounted.has(address):
            place = network_of(address)
            there = self._by_network.get(place, 0)
            if there >= self._most_per_address:
                raise self._none(self._limit_per_address)
            self._by_network[place] = there + 1
        self.taken += 1
        return place

    def leave(self, place: str) -> None:
        """Give a place back: its socket is gone, or its call has ended."""
        self.taken -= 1
        if place:
            left = self._by_network[place] - 1
            if left:
                self._by_network[place] = left
            else:
                del self._by_network[place]

    def _none(self, limit: str) -> NoPlace:
        self._limits_hit[limit] += 1
        return NoPlace(limit)
