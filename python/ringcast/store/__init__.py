"""Where actors are kept while they do not run: the interface, the in-memory store and the SQLite store.

What a state means is the actor's business: a store keeps bytes.
"""

from __future__ import annotations

from .interface import Store, StoredActor
from .memory import MemoryStore
from .sqlite import SqliteStore

__all__ = ["MemoryStore", "SqliteStore", "Store", "StoredActor"]
