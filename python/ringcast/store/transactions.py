"""One SQLite connection on a thread of its own, and the group commit: what waits is written together.

What is written is the business of those who ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["DatabaseThread"]

ResultT = TypeVar("ResultT")


@dataclass(slots=True, eq=False)
class _Work:
    """Something to do with the database, and who waits for it."""

    run: Callable[[sqlite3.Connection], Any]
    waiter: asyncio.Future[Any]
    writes: bool
    result: Any = None
    error: BaseException | None = None


class DatabaseThread:
    """Does work on one database in the order in which it is asked for.

    What is asked for while other work is being done goes into one transaction, reads included, and is
    answered after its commit. Work that raises is undone alone.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ringcast-sqlite")
        # Made, used and closed on the thread alone.
        self._database: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        # Both under the lock: what waits, and whether the thread will look at it without being told.
        self._waiting: list[_Work] = []
        self._is_awake = False

    async def open(self) -> None:
        """Connect. Raises what `connect` raises."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    async def read(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Return the result of `work`, which writes nothing."""
        return await self._do(work, writes=False)

    async def write(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Return the result of `work` once it is committed; nothing of it is kept if it raises."""
        return await self._do(work, writes=True)

    async def close(self) -> None:
        """Do what was asked for before, then let go of the database and the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=True)

    async def _do(self, run: Callable[[sqlite3.Connection], ResultT], writes: bool) -> ResultT:
        waiter: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.append(_Work(run, waiter, writes))
            wake, self._is_awake = not self._is_awake, True
        if wake:
            self._thread.submit(self._work_off)
        return await waiter

    # --- on the thread ------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._database = self._connect()

    def _close(self) -> None:
        self._work_off()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _work_off(self) -> None:
        while True:
            with self._lock:
                batch, self._waiting = self._waiting, []
                if not batch:
                    self._is_awake = False
                    return
            self._do_together(batch)
            # One wake-up for the batch. A loop that has been closed has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                batch[0].waiter.get_loop().call_soon_threadsafe(_answer, batch)

    def _do_together(self, batch: Sequence[_Work]) -> None:
        try:
            self._transaction(batch)
        except BaseException as error:
            if len(batch) > 1:
                # The fault of one of them, or one of all: each finds out.
                for work in batch:
                    self._do_together([work])
            else:
                batch[0].result, batch[0].error = None, error

    def _transaction(self, batch: Sequence[_Work]) -> None:
        database = self._database
        if database is None:
            raise RuntimeError("the database is not open")
        if not any(work.writes for work in batch):
            for work in batch:
                _attempt(work, database)
            return
        database.execute("begin immediate")
        try:
            for work in batch:
                if work.writes:
                    _attempt_in_savepoint(work, database)
                else:
                    _attempt(work, database)
                if work.error is not None and not database.in_transaction:
                    # SQLite has undone everything, as it does when the disk is full.
                    raise work.error
            database.execute("commit")
        except BaseException:
            if database.in_transaction:
                database.execute("rollback")
            raise


def _attempt(work: _Work, database: sqlite3.Connection) -> None:
    work.result = work.error = None
    try:
        work.result = work.run(database)
    except BaseException as error:
        work.error = error


def _attempt_in_savepoint(work: _Work, database: sqlite3.Connection) -> None:
    database.execute("savepoint work")
    _attempt(work, database)
    if not database.in_transaction:
        return
    if work.error is not None:
        database.execute("rollback to work")
    database.execute("release work")


def _answer(batch: Sequence[_Work]) -> None:
    for work in batch:
        if work.waiter.done():
            continue
        if work.error is None:
            work.waiter.set_result(work.result)
        else:
            work.waiter.set_exception(work.error)
