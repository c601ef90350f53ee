"""The default store: one SQLite file in WAL mode, used from a thread of its own.

A database file belongs to one server at a time; nothing here arbitrates between two.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import orjson

from ..errors import ActorAlreadyExists, ActorNotFound
from .interface import Store, StoredActor

__all__ = ["SqliteStore"]

SCHEMA_VERSION: Final = 1

_SCHEMA: Final = """
create table if not exists ringcast_schema (version integer not null);
create table if not exists actor (
    actor_id text primary key,
    name text not null,
    key text not null,
    state blob not null,
    unique (name, key)
) without rowid;
"""
_BUSY_TIMEOUT_S: Final = 5.0

ResultT = TypeVar("ResultT")


class SqliteStore(Store):
    """Keep actors in the SQLite file at `path`, which is made when it does not exist.

    Raises `OSError` or `sqlite3.Error` from `open` when the file cannot be used, and `RuntimeError` when it
    was written by a newer version of this package.
    """

    def __init__(self, path: str | os.PathLike[str] = "ringcast.db") -> None:
        self.path = Path(path)
        self._thread: ThreadPoolExecutor | None = None
        # Made, used and closed on the thread alone.
        self._database: sqlite3.Connection | None = None

    async def open(self) -> None:
        if self._thread is not None:
            return
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ringcast-sqlite")
        try:
            await self._run(self._open)
        except BaseException:
            await self.close()
            raise

    async def create(self, actor: StoredActor) -> None:
        row = actor.actor_id, actor.name, _key_text(actor.key), actor.state

        def insert(database: sqlite3.Connection) -> None:
            try:
                database.execute("insert into actor (actor_id, name, key, state) values (?, ?, ?, ?)", row)
            except sqlite3.IntegrityError:
                raise ActorAlreadyExists(
                    f"a {actor.name} with the key {list(actor.key)!r} or this id exists already"
                ) from None

        await self._run(insert)

    async def load(self, actor_id: str) -> StoredActor | None:
        return await self._one("actor_id = ?", (actor_id,))

    async def find(self, name: str, key: tuple[str, ...]) -> StoredActor | None:
        return await self._one("name = ? and key = ?", (name, _key_text(key)))

    async def save(self, actor_id: str, state: bytes) -> None:
        def update(database: sqlite3.Connection) -> int:
            return database.execute(
                "update actor set state = ? where actor_id = ?", (state, actor_id)
            ).rowcount

        if await self._run(update) == 0:
            raise ActorNotFound(f"the store has no actor with the id {actor_id!r}")

    async def delete(self, actor_id: str) -> None:
        def remove(database: sqlite3.Connection) -> None:
            database.execute("delete from actor where actor_id = ?", (actor_id,))

        await self._run(remove)

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        # The single thread runs in order: what was begun before is done when this is.
        await asyncio.get_running_loop().run_in_executor(thread, self._close)
        thread.shutdown(wait=True)

    async def _one(self, where: str, values: tuple[str, ...]) -> StoredActor | None:
        def select(database: sqlite3.Connection) -> tuple[str, str, str, bytes] | None:
            found = database.execute(f"select actor_id, name, key, state from actor where {where}", values)
            row: tuple[str, str, str, bytes] | None = found.fetchone()
            return row

        row = await self._run(select)
        return (
            None if row is None else StoredActor(row[0], row[1], tuple(orjson.loads(row[2])), bytes(row[3]))
        )

    async def _run(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        if self._thread is None:
            raise RuntimeError(f"the store {self.path} is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._on_thread, work)

    def _on_thread(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        if self._database is None:
            # Autocommit: each statement is a transaction of its own.
            self._database = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        return work(self._database)

    def _open(self, database: sqlite3.Connection) -> None:
        database.execute("pragma journal_mode = wal")
        # Durable over a crash of the process; a power cut may take the last transactions, and harms none
        # before.
        database.execute("pragma synchronous = normal")
        database.executescript(_SCHEMA)
        row = database.execute("select version from ringcast_schema").fetchone()
        if row is None:
            database.execute("insert into ringcast_schema (version) values (?)", (SCHEMA_VERSION,))
        elif row[0] != SCHEMA_VERSION:
            raise RuntimeError(
                f"{self.path} has schema version {row[0]}; this Ringcast reads version {SCHEMA_VERSION}"
            )

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _key_text(key: tuple[str, ...]) -> str:
    return orjson.dumps(key).decode()
