"""Ending a proof by a signal: between two of its steps, and never in the middle of anything.

A `KeyboardInterrupt` out of a signal handler may come up inside a finalizer, where it is ignored, and the run
would go on. Here the handler only takes down that the signal came, and cancels the task that runs.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

__all__ = ["Ending", "by_signals", "check", "run"]


class Ending:
    """Which signal has come, and what it ends. Signals are for the whole process, and so is this."""

    def __init__(self) -> None:
        self.by: signal.Signals | None = None
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def take(self, number: int, _frame: object) -> None:
        """Handle a signal. Only the first counts: what it ends has to let go of servers and sockets."""
        if self.by is not None:
            return
        self.by = signal.Signals(number)
        if self._running is not None:
            loop, task = self._running
            loop.call_soon_threadsafe(task.cancel)

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if a signal has come."""
        if self.by is not None:
            raise KeyboardInterrupt(self.by.name)

    async def cancellable(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.current_task()
        assert task is not None  # `run` makes one
        self._running = asyncio.get_running_loop(), task
        try:
            await work
        finally:
            self._running = None


_ending = Ending()


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a proof on a loop of its own; it is cancelled when a signal comes."""
    try:
        check()
    except KeyboardInterrupt:
        work.close()
        raise
    uvloop.run(_ending.cancellable(work))


def check() -> None:
    """Raise `KeyboardInterrupt` if the proof that runs is to end."""
    _ending.check()


@contextmanager
def by_signals() -> Iterator[Ending]:
    """Let SIGINT and SIGTERM end proofs, from now on and until the block ends."""
    _ending.by = None
    before = {number: signal.signal(number, _ending.take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield _ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _ending.by = None
