"""A store in memory: for tests, and for actors that need not outlive the process."""

from __future__ import annotations

from dataclasses import replace

from ..errors import ActorAlreadyExists, ActorNotFound
from .interface import Store, StoredActor

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """Keep actors for as long as this object lives; `close` forgets nothing."""

    def __init__(self) -> None:
        self._by_id: dict[str, StoredActor] = {}
        self._ids: dict[tuple[str, tuple[str, ...]], str] = {}

    async def open(self) -> None:
        pass

    async def create(self, actor: StoredActor) -> None:
        if actor.actor_id in self._by_id or (actor.name, actor.key) in self._ids:
            raise ActorAlreadyExists(
                f"a {actor.name} with the key {list(actor.key)!r} or this id exists already"
            )
        self._by_id[actor.actor_id] = actor
        self._ids[actor.name, actor.key] = actor.actor_id

    async def load(self, actor_id: str) -> StoredActor | None:
        return self._by_id.get(actor_id)

    async def find(self, name: str, key: tuple[str, ...]) -> StoredActor | None:
        return self._by_id.get(self._ids.get((name, key), ""))

    async def save(self, actor_id: str, state: bytes) -> None:
        if actor_id not in self._by_id:
            raise ActorNotFound(f"the store has no actor with the id {actor_id!r}")
        self._by_id[actor_id] = replace(self._by_id[actor_id], state=state)

    async def delete(self, actor_id: str) -> None:
        actor = self._by_id.pop(actor_id, None)
        if actor is not None:
            del self._ids[actor.name, actor.key]

    async def close(self) -> None:
        pass
