"""The default store: one SQLite file in WAL mode, used from a thread of its own.

A database file belongs to one server at a time: it is locked for as long as the store is open.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, get_args

from .interface import Store
from .journal import Journal
from .lock import FileLock
from .records import Change, ScheduledCall, StoredActor, StoredStream
from .recovery import (
    count_actors,
    find_actor,
    load_actor,
    load_answer,
    load_schedule,
    load_stream,
    load_with_sessions,
)
from .schema import prepare
from .transactions import JournalThread

__all__ = ["SqliteStore", "Synchronous"]

Synchronous = Literal["full", "normal"]

_BUSY_TIMEOUT_S: Final = 5.0
_CACHE_KIB: Final = 16 * 1024
"""The ends of many streams are written in turn: their pages should be at hand."""


class SqliteStore(Store):
    """Keep actors in the SQLite file at `path`, which is made when it does not exist.

    With `synchronous="full"` what is committed outlives a power cut. With `"normal"` it outlives the process
    alone: a power cut may take the last commits, though it harms none before them. Clients that have seen
    more are told of a gap. Raises `ValueError` for anything else.

    `open` raises `OSError` or `sqlite3.Error` when the file cannot be used (`BlockingIOError` when another
    server uses it), and `RuntimeError` when it was written by a newer version of this package.
    """

    def __init__(
        self, path: str | os.PathLike[str] = "ringcast.db", *, synchronous: Synchronous = "full"
    ) -> None:
        if synchronous not in get_args(Synchronous):
            raise ValueError(f"synchronous is 'full' or 'normal', not {synchronous!r}")
        self.path = Path(path)
        self.synchronous: Synchronous = synchronous
        self._thread: JournalThread | None = None
        self._lock: FileLock | None = None

    async def open(self) -> None:
        if self._thread is not None:
            return
        if str(self.path) != ":memory:":
            self._lock = FileLock(self.path)
        self._thread = JournalThread(self._connect)
        try:
            await self._thread.open()
        except BaseException:
            await self.close()
            raise

    async def create(self, actor: StoredActor, changes: Sequence[Change] = ()) -> None:
        taken = tuple(changes)
        await self._opened.write(lambda journal: journal.create(actor, taken))

    async def load(self, actor_id: str) -> StoredActor | None:
        return await self._opened.read(lambda journal: load_actor(journal.database, actor_id))

    async def find(self, name: str, key: tuple[str, ...]) -> StoredActor | None:
        return await self._opened.read(lambda journal: find_actor(journal.database, name, key))

    async def count(self) -> int:
        return await self._opened.read(lambda journal: count_actors(journal.database))

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        # A copy: it is read on the thread, some time later.
        taken = tuple(changes)
        await self._opened.write(lambda journal: journal.change(actor_id, taken))

    async def load_stream(self, actor_id: str) -> StoredStream | None:
        return await self._opened.read(lambda journal: load_stream(journal.database, actor_id))

    async def with_sessions(self) -> list[str]:
        return await self._opened.read(lambda journal: load_with_sessions(journal.database))

    async def schedule(self) -> list[ScheduledCall]:
        return await self._opened.read(lambda journal: load_schedule(journal.database))

    async def schedule_of(self, actor_id: str) -> list[ScheduledCall]:
        return await self._opened.read(lambda journal: load_schedule(journal.database, actor_id))

    async def answer(self, actor_id: str, key: str) -> bytes | None:
        return await self._opened.read(lambda journal: load_answer(journal.database, actor_id, key))

    async def delete(self, actor_id: str) -> None:
        await self._opened.write(lambda journal: journal.delete(actor_id))

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.close()
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    @property
    def _opened(self) -> JournalThread:
        if self._thread is None:
            raise RuntimeError(f"the store {self.path} is not open")
        return self._thread

    def _connect(self) -> Journal:
        # Autocommit: transactions begin and end where this package says so.
        database = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        try:
            database.execute("pragma journal_mode = wal")
            database.execute(f"pragma synchronous = {self.synchronous}")
            # On macOS, a disk keeps what it was told to sync in its cache unless asked this way; elsewhere it
            # changes nothing.
            database.execute(f"pragma fullfsync = {self.synchronous == 'full':d}")
            # A damaged page is noticed when it is read, and not by what comes of it.
            database.execute("pragma cell_size_check = on")
            database.execute(f"pragma cache_size = -{_CACHE_KIB}")
            prepare(database, self.path)
        except BaseException:
            database.close()
            raise
        return Journal(database)
