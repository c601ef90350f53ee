"""Whether the store takes what it is given: noted as commits go, for `/ready` and for metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..errors import RingcastError
from ..store import JournalCorrupt, Store

if TYPE_CHECKING:
    from ..clock import Clock, Timer
    from ..store import Change, ScheduledCall, StoredActor, StoredStream

__all__ = ["WatchedStore"]

_FORGET_S: Final = 60.0
"""An actor whose commit fails tries again much sooner. If none does, nobody knows of the store any more."""


class WatchedStore(Store):
    """A store, with what became of its latest write. All else is the other store's."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # Until when the failure of the latest write counts; None if it went well.
        self._failing: Timer | None = None
        self.failures = 0
        """Writes that have failed so far."""

    @property
    def is_failing(self) -> bool:
        """Whether the latest write has failed, and not long ago."""
        return self._failing is not None

    async def create(self, actor: StoredActor, changes: Sequence[Change] = ()) -> None:
        try:
            await self._store.create(actor, changes)
        except Exception as error:
            self._note(error)
            raise
        self._forget()

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        try:
            await self._store.commit(actor_id, changes)
        except Exception as error:
            self._note(error)
            raise
        self._forget()

    def _note(self, error: Exception) -> None:
        # What it refuses by its rules says nothing about the others: one actor is wrong, not the store.
        if not isinstance(error, RingcastError | ValueError | JournalCorrupt):
            self.failures += 1
            self._forget()
            self._failing = self._clock.call_later(_FORGET_S, self._forget)

    def _forget(self) -> None:
        if self._failing is not None:
            self._failing.cancel()
            self._failing = None

    async def open(self) -> None:
        await self._store.open()

    async def load(self, actor_id: str) -> StoredActor | None:
        return await self._store.load(actor_id)

    async def find(self, name: str, key: tuple[str, ...]) -> StoredActor | None:
        return await self._store.find(name, key)

    async def load_stream(self, actor_id: str) -> StoredStream | None:
        return await self._store.load_stream(actor_id)

    async def with_sessions(self) -> list[str]:
        return await self._store.with_sessions()

    async def count(self) -> int:
        return await self._store.count()

    async def schedule(self) -> list[ScheduledCall]:
        return await self._store.schedule()

    async def schedule_of(self, actor_id: str) -> list[ScheduledCall]:
        return await self._store.schedule_of(actor_id)

    async def answer(self, actor_id: str, key: str) -> bytes | None:
        return await self._store.answer(actor_id, key)

    async def delete(self, actor_id: str) -> None:
        await self._store.delete(actor_id)

    async def close(self) -> None:
        self._forget()
        await self._store.close()
