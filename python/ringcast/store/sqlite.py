"""The default store: one SQLite file in WAL mode, used from a thread of its own.

A database file belongs to one server at a time; nothing here arbitrates between two.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, get_args

import orjson

from ..errors import ActorAlreadyExists
from .interface import Store
from .journal import commit, delete
from .records import Change, ScheduledCall, StoredActor, StoredStream
from .recovery import find_actor, load_actor, load_schedule, load_stream
from .schema import checksum, prepare
from .transactions import DatabaseThread

__all__ = ["SqliteStore", "Synchronous"]

Synchronous = Literal["full", "normal"]

_BUSY_TIMEOUT_S: Final = 5.0


class SqliteStore(Store):
    """Keep actors in the SQLite file at `path`, which is made when it does not exist.

    With `synchronous="full"` what is committed outlives a power cut. With `"normal"` it outlives the process
    alone: a power cut may take the last commits, though it harms none before them. Clients may then have seen
    events that the stream no longer has. Raises `ValueError` for anything else.

    `open` raises `OSError` or `sqlite3.Error` when the file cannot be used, and `RuntimeError` when it was
    written by a newer version of this package.
    """

    def __init__(
        self, path: str | os.PathLike[str] = "ringcast.db", *, synchronous: Synchronous = "full"
    ) -> None:
        if synchronous not in get_args(Synchronous):
            raise ValueError(f"synchronous is 'full' or 'normal', not {synchronous!r}")
        self.path = Path(path)
        self.synchronous: Synchronous = synchronous
        self._thread: DatabaseThread | None = None

    async def open(self) -> None:
        if self._thread is not None:
            return
        self._thread = DatabaseThread(self._connect)
        try:
            await self._thread.open()
        except BaseException:
            await self.close()
            raise

    async def create(self, actor: StoredActor) -> None:
        row = (actor.actor_id, actor.name, _key_text(actor.key), actor.state)
        crc = checksum(actor.actor_id, actor.state)

        def insert(database: sqlite3.Connection) -> None:
            try:
                database.execute(
                    "insert into actor (actor_id, name, key, state, crc) values (?, ?, ?, ?, ?)", (*row, crc)
                )
            except sqlite3.IntegrityError:
                raise ActorAlreadyExists(
                    f"a {actor.name} with the key {list(actor.key)!r} or this id exists already"
                ) from None

        await self._opened.write(insert)

    async def load(self, actor_id: str) -> StoredActor | None:
        return await self._opened.read(lambda database: load_actor(database, actor_id))

    async def find(self, name: str, key: tuple[str, ...]) -> StoredActor | None:
        key_text = _key_text(key)
        return await self._opened.read(lambda database: find_actor(database, name, key_text))

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        # A copy: it is read on the thread, some time later.
        taken = tuple(changes)
        await self._opened.write(lambda database: commit(database, actor_id, taken))

    async def load_stream(self, actor_id: str) -> StoredStream | None:
        return await self._opened.read(lambda database: load_stream(database, actor_id))

    async def schedule(self) -> list[ScheduledCall]:
        return await self._opened.read(load_schedule)

    async def delete(self, actor_id: str) -> None:
        await self._opened.write(lambda database: delete(database, actor_id))

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.close()

    @property
    def _opened(self) -> DatabaseThread:
        if self._thread is None:
            raise RuntimeError(f"the store {self.path} is not open")
        return self._thread

    def _connect(self) -> sqlite3.Connection:
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
            prepare(database, self.path)
        except BaseException:
            database.close()
            raise
        return database


def _key_text(key: tuple[str, ...]) -> str:
    return orjson.dumps(key).decode()
