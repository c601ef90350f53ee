"""Whether there is room for one more actor, among those that run and those that the store has.

Only who is created is asked: an actor that is there is started whenever it is wanted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from typing import Final

from ..errors import RingcastError, TooManyActors, TryAgainLater
from ..fault_log import log_fault
from ..faults import StoreFault, contained
from ..seam import Node
from ..seldom import SeldomLog
from ..store import StateCorrupt

__all__ = ["Capacity"]

_log: Final = logging.getLogger("ringcast.directory")

_RETRY_AFTER_MS: Final = 5000
"""Actors that nobody uses go to sleep, and nobody knows when."""
_MOST_DOUBTED: Final = 1000
"""With so many in doubt, nothing is created while the store tells of none of them."""


class Capacity:
    """Counts the actors of one process, of which `running` are those that run."""

    def __init__(self, node: Node, running: Sized) -> None:
        self._node = node
        self._running = running
        self.stored = 0
        """How many the store has: what it says itself when it is opened, and what has become of it since."""
        # Those among them of which that is not certain, by their ids; each doubt is an object of its own.
        self._doubted: dict[str, object] = {}
        self._settling = asyncio.Lock()
        # Those that are being created, and the ids of those of them that the store has not been given yet.
        self._creating = 0
        self._to_store: set[str] = set()
        # One for each limit: who runs into one shall not keep the other out of the log.
        self._seldom = {limit: SeldomLog(_log) for limit in ("max_actors", "max_stored_actors")}

    def found(self, actor_id: str) -> None:
        """The store has this actor, which starts: there is no doubt of it until it is deleted."""
        self._doubted.pop(actor_id, None)

    def created(self, actor_id: str) -> None:
        """The store has taken a new actor."""
        self._to_store.discard(actor_id)
        if self._doubted.pop(actor_id, None) is None:
            self.stored += 1

    def deleted(self, actor_id: str) -> None:
        """The store has let go of an actor."""
        self._doubted.pop(actor_id, None)
        self._take_off()

    def create_failed(self, actor_id: str) -> None:
        """The store was given a new actor, which it may have taken: it counts, until that is known."""
        self._to_store.discard(actor_id)
        if actor_id not in self._doubted:
            self.stored += 1
        self._doubted[actor_id] = object()

    def delete_failed(self, actor_id: str) -> None:
        """The store was to let go of an actor, and may have: it counts, until that is known."""
        self._doubted[actor_id] = object()

    async def settle(self) -> None:
        """Ask the store for those in doubt, before one more is created. What it cannot tell stays in doubt.

        One by one, as a number of all would be wrong by what is written while it is counted. Raises
        `StoreFault` if it tells nothing, and there are many.
        """
        if not self._doubted:
            return
        async with self._settling:
            for actor_id, doubt in list(self._doubted.items()):
                try:
                    stored = await contained(self._node.store.load(actor_id), "the store")
                except StateCorrupt:
                    is_there = True
                except Exception as error:
                    log_fault(_log, error, "the store does not say whether it has the actor %s", actor_id)
                    if len(self._doubted) >= _MOST_DOUBTED:
                        # Each that is tried while the store fails would be one more.
                        raise StoreFault("the store does not say which actors it has") from error
                    return
                else:
                    is_there = stored is not None
                # It may have been created, or deleted, or been in doubt once more meanwhile.
                if self._doubted.get(actor_id) is doubt:
                    del self._doubted[actor_id]
                    if not is_there:
                        self._take_off()

    def _take_off(self) -> None:
        # One of which the store did not tell when it was opened may not have been counted.
        self.stored = max(0, self.stored - 1)

    @contextmanager
    def creating(self, actor_id: str) -> Iterator[None]:
        """Hold a place for an actor that is created, until it runs or has failed to.

        Raises `TryAgainLater` while too many run, and `TooManyActors` where there are too many for good.
        """
        config = self._node.config
        if config.max_actors and len(self._running) + self._creating >= config.max_actors:
            metadata = {"retry_after_ms": _RETRY_AFTER_MS}
            text = "as many actors run as the server takes; this one was not created"
            raise self._full("max_actors", TryAgainLater(text, metadata=metadata))
        if config.max_stored_actors and self.stored + len(self._to_store) >= config.max_stored_actors:
            text = "there are as many actors as the server keeps; this one was not created"
            raise self._full("max_stored_actors", TooManyActors(text))
        self._creating += 1
        self._to_store.add(actor_id)
        try:
            yield
        finally:
            self._creating -= 1
            self._to_store.discard(actor_id)

    def _full(self, limit: str, error: RingcastError) -> RingcastError:
        self._node.limits_hit[limit] += 1
        self._seldom[limit].warn("actors are not created: %s (%s)", error.message, limit)
        return error
