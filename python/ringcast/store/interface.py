"""The interface of a store. What it keeps is described in `records.py`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from .records import Change, ScheduledCall, StoredActor, StoredStream

__all__ = ["JournalCorrupt", "StateCorrupt", "Store"]


class JournalCorrupt(Exception):  # noqa: N818 - as the other errors of this package
    """What the store has of an actor's stream is not what was committed; the message says what is wrong.

    It will not get better: begin a new stream.
    """


class StateCorrupt(Exception):  # noqa: N818 - as the other errors of this package
    """What the store has of an actor's state is not what was committed."""


class Store(ABC):
    """Keep actors, their streams and their schedules.

    Within a store an actor's id is unique, and so is a name with a key. A store is opened before its first
    use and may be opened again after `close`. Calls come from one event loop, and may overlap: they take
    effect in the order in which they were made. A call that is cancelled may take effect all the same.
    """

    @abstractmethod
    async def open(self) -> None:
        """Make the store ready. Idempotent."""

    @abstractmethod
    async def create(self, actor: StoredActor, changes: Sequence[Change] = ()) -> None:
        """Keep a new actor together with `changes`, as `commit` would, or nothing of both.

        Raises `ActorAlreadyExists` when its id, or its name with its key, is taken, and as `commit` does.
        """

    @abstractmethod
    async def load(self, actor_id: str) -> StoredActor | None:
        """Return the actor with this id. Raises `StateCorrupt`."""

    @abstractmethod
    async def find(self, name: str, key: tuple[str, ...]) -> StoredActor | None:
        """Return the actor with this name and key. Raises `StateCorrupt`."""

    @abstractmethod
    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        """Keep all of `changes`, applied in this order, or none of them.

        They outlive the process when this returns, and a power cut if the store says so. Commits that are
        asked for while one is being written are written together; one that fails does no harm to the others.

        Raises `ActorNotFound` when there is no such actor, and `ValueError` for changes that do not fit what
        is there: an event out of turn, a stream that has not begun, a subscription in the future, a call of
        another actor.
        """

    @abstractmethod
    async def load_stream(self, actor_id: str) -> StoredStream | None:
        """Return the stream of a durable actor; None when none has begun.

        Raises `JournalCorrupt` for anything but exactly what was committed, such as a bad checksum, a missing
        or doubled offset, or a head without its event.
        """

    @abstractmethod
    async def with_sessions(self) -> list[str]:
        """Return the ids of the actors whose streams have sessions, damaged or not.

        Those that have begun to be destroyed are among them, without sessions too: they have to end as well.
        """

    async def count(self) -> int:
        """Return how many actors there are.

        Asked for when a server starts, for its limit on them; from then on the server counts itself. A store
        that cannot tell has as many as are created from then on.
        """
        return 0

    @abstractmethod
    async def schedule(self) -> list[ScheduledCall]:
        """Return the scheduled calls of all actors: the earliest first, else as they were made."""

    async def schedule_of(self, actor_id: str) -> list[ScheduledCall]:
        """Return the scheduled calls of one actor, in the same order.

        Asked for when an actor has ended before it was known what the store has. A store that can find them
        without looking at all should.
        """
        return [call for call in await self.schedule() if call.actor_id == actor_id]

    async def answer(self, actor_id: str, key: str) -> bytes | None:
        """Return the answer to the call of an actor that came with `key`; None if there is none.

        Raises `StateCorrupt` for one that is not what was committed. A store that keeps none has none to
        give: calls to its durable actors are not known any more after a restart.
        """
        return None

    @abstractmethod
    async def delete(self, actor_id: str) -> None:
        """Forget an actor with its stream and its schedule. Nothing happens when there is none."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun and let go of everything. Idempotent."""
