"""The interface of a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

__all__ = ["Store", "StoredActor"]


@dataclass(slots=True, frozen=True)
class StoredActor:
    """One actor as it is kept: `name` is its class's, `state` is serialised."""

    actor_id: str
    name: str
    key: tuple[str, ...]
    state: bytes


class Store(ABC):
    """Keep actors. Within a store an id is unique, and so is a name with a key.

    A store is opened before its first use and may be opened again after `close`. Calls come from one event
    loop, and may overlap.
    """

    @abstractmethod
    async def open(self) -> None:
        """Make the store ready. Idempotent."""

    @abstractmethod
    async def create(self, actor: StoredActor) -> None:
        """Keep a new actor. Raises `ActorAlreadyExists` when its id, or its name with its key, is taken."""

    @abstractmethod
    async def load(self, actor_id: str) -> StoredActor | None:
        """Return the actor with this id."""

    @abstractmethod
    async def find(self, name: str, key: tuple[str, ...]) -> StoredActor | None:
        """Return the actor with this name and key."""

    @abstractmethod
    async def save(self, actor_id: str, state: bytes) -> None:
        """Replace the state; it outlives the process when this returns. Raises `ActorNotFound`."""

    @abstractmethod
    async def delete(self, actor_id: str) -> None:
        """Forget an actor. Nothing happens when there is none."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun and let go of everything. Idempotent."""
