"""A thread that works on a database, and the group commit: what waits is done in one transaction.

What is done is the business of those who ask; how a transaction begins and ends is `journal.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from .journal import Journal
from .recovery import is_damage
from .repair import repair

__all__ = ["JournalThread"]

_log = logging.getLogger("ringcast.store")

ResultT = TypeVar("ResultT")


@dataclass(slots=True, eq=False)
class _Work:
    """Something to do with the journal, and who waits for it."""

    run: Callable[[Journal], Any]
    writes: bool
    waiter: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class JournalThread:
    """Does work on one journal in the order in which it is asked for.

    What is asked for while other work is being done goes into one transaction, reads included, and is
    answered once that is on the disk. Work that raises harms no other.
    """

    def __init__(self, connect: Callable[[], Journal]) -> None:
        self._connect = connect
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ringcast-sqlite")
        # Made, used and closed on the thread alone.
        self._journal: Journal | None = None
        self._lock = threading.Lock()
        # Both under the lock: what waits, and whether the thread will look at it without being told.
        self._waiting: list[_Work] = []
        self._is_awake = False

    async def open(self) -> None:
        """Connect. Raises what `connect` raises."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    async def read(self, work: Callable[[Journal], ResultT]) -> ResultT:
        """Return the result of `work`, which writes nothing."""
        return await self._do(work, writes=False)

    async def write(self, work: Callable[[Journal], ResultT]) -> ResultT:
        """Return the result of `work` once it is committed; nothing of it is kept if it raises."""
        return await self._do(work, writes=True)

    async def close(self) -> None:
        """Do what was asked for before, then let go of the journal and the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=True)

    async def _do(self, run: Callable[[Journal], ResultT], *, writes: bool) -> ResultT:
        waiter: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.append(_Work(run, writes, waiter))
            wake, self._is_awake = not self._is_awake, True
        if wake:
            self._thread.submit(self._work_off)
        return await waiter

    # --- on the thread ------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._journal = self._connect()

    def _close(self) -> None:
        self._work_off()
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _work_off(self) -> None:
        while True:
            with self._lock:
                batch, self._waiting = self._waiting, []
                if not batch:
                    self._is_awake = False
                    return
            self._do_together(batch)
            # One wake-up for all. A loop that has been closed has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                batch[0].waiter.get_loop().call_soon_threadsafe(_answer, batch)

    def _do_together(self, batch: Sequence[_Work], *, may_repair: bool = True) -> None:
        try:
            if self._journal is None:
                raise RuntimeError("the database could not be opened")
            _transact(self._journal, batch)
        except BaseException as error:
            if len(batch) > 1:
                # The fault of one of them, or of none: each finds out.
                for work in batch:
                    self._do_together([work])
            elif (
                may_repair and self._journal is not None and is_damage(error) and _is_repaired(self._journal)
            ):
                self._do_together(batch, may_repair=False)
            else:
                batch[0].result, batch[0].error = None, error


def _transact(journal: Journal, batch: Sequence[_Work]) -> None:
    """Do all the work, and note what each gives or raises. Raises when nothing of it has been kept."""
    writes = any(work.writes for work in batch)
    try:
        if writes and (error := _begin(journal)) is not None:
            for work in batch:
                work.error = error
            return
        for work in batch:
            if not work.writes:
                journal.flush()
            try:
                work.result, work.error = work.run(journal), None
            except BaseException as error:
                if writes and _ends_transaction(journal, error):
                    raise
                work.error = error
        if writes:
            journal.commit()
    except BaseException:
        journal.rollback()
        raise


def _ends_transaction(journal: Journal, error: BaseException) -> bool:
    # SQLite undoes everything when, for example, the disk is full; and it writes no more in a transaction in
    # which it has met a broken page.
    return journal.is_torn or not journal.database.in_transaction or is_damage(error)


def _is_repaired(journal: Journal) -> bool:
    """Tell whether something could be done about a damaged file."""
    try:
        journal.begin()
        repaired = repair(journal.database)
        journal.commit()
    except sqlite3.Error:
        _log.exception("the file is damaged and could not be repaired")
        journal.rollback()
        return False
    return repaired


def _begin(journal: Journal) -> sqlite3.Error | None:
    """Begin a transaction; return why it cannot be. Each by itself would wait for the same lock again."""
    try:
        journal.begin()
    except sqlite3.Error as error:
        return error
    return None


def _answer(batch: Sequence[_Work]) -> None:
    for work in batch:
        if work.waiter.done():
            continue
        if work.error is None:
            work.waiter.set_result(work.result)
        else:
            work.waiter.set_exception(work.error)
