"""Whether there is room for one more actor, among those that run and those that the store has.

Only who is created is asked: an actor that is there is started whenever it is wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from typing import Final

from ..errors import RingcastError, TooManyActors, TryAgainLater
from ..seam import Node
from ..seldom import SeldomLog

__all__ = ["Capacity"]

_log: Final = logging.getLogger("ringcast.directory")

_RETRY_AFTER_MS: Final = 5000
"""Actors that nobody uses go to sleep, and nobody knows when."""


class Capacity:
    """Counts the actors of one process, of which `running` are those that run."""

    def __init__(self, node: Node, running: Sized) -> None:
        self._node = node
        self._running = running
        self.stored = 0
        """How many the store has: what it says itself when it is opened, and what has become of it since."""
        self._creating = 0
        self._seldom = SeldomLog(_log)

    @contextmanager
    def creating(self) -> Iterator[None]:
        """Hold a place for an actor that is created, until it runs or has failed to.

        Raises `TryAgainLater` while too many run, and `TooManyActors` where there are too many for good.
        """
        config = self._node.config
        if config.max_actors and len(self._running) + self._creating >= config.max_actors:
            metadata = {"retry_after_ms": _RETRY_AFTER_MS}
            text = "as many actors run as the server takes; this one was not created"
            raise self._full("max_actors", TryAgainLater(text, metadata=metadata))
        if config.max_stored_actors and self.stored + self._creating >= config.max_stored_actors:
            text = "there are as many actors as the server keeps; this one was not created"
            raise self._full("max_stored_actors", TooManyActors(text))
        self._creating += 1
        try:
            yield
        finally:
            self._creating -= 1

    def _full(self, limit: str, error: RingcastError) -> RingcastError:
        self._node.limits_hit[limit] += 1
        self._seldom.warn("actors are not created: %s (%s)", error.message, limit)
        return error
