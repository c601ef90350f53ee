"""The tasks of one running actor: actions and hooks, which may end when it stops, and background tasks.

What runs in them is the work of `instance.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final, TypeVar

from ..fault_log import log_fault
from ..faults import ActorLog, contained
from .home import Home

__all__ = ["UNNAMED", "ActorTasks"]

ResultT = TypeVar("ResultT")

UNNAMED: Final = "a hook or an answer"
"""What a task is called in the log that runs no action."""


class ActorTasks:
    """Keeps the tasks of an actor; its length is how many actions and hooks run."""

    __slots__ = ("_ended", "_given_up", "_log", "background", "foreground", "home")

    def __init__(self, log: ActorLog, ended: Callable[[], object]) -> None:
        self._log = log
        # Told when one has ended.
        self._ended = ended
        self.home = Home()
        """Where all of them run."""
        self.foreground: set[asyncio.Task[Any]] = set()
        self.background: set[asyncio.Task[Any]] = set()
        self._given_up: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self.foreground)

    def start(self, work: Coroutine[Any, Any, ResultT], name: str = UNNAMED) -> asyncio.Task[ResultT]:
        """Run an action or a hook; its `name` is for the log."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.foreground.add(task)
        task.add_done_callback(self._foreground_done)
        return task

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str | None) -> asyncio.Task[None]:
        """Run a coroutine until the actor stops; what it raises is logged."""
        # What asyncio would call it is a number: no two would be of a kind in the log.
        name = name or getattr(coroutine, "__qualname__", None)
        task = asyncio.get_running_loop().create_task(contained(coroutine, "it"), name=name)
        self.background.add(task)
        task.add_done_callback(self._background_done)
        return task

    async def finish(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for actions and hooks, and those that follow; cancel those that are left."""
        await self._finish(self.foreground, timeout_s)

    async def end_background(self) -> None:
        """Cancel the background tasks."""
        await self._finish(self.background, 0)

    async def _finish(self, tasks: Collection[asyncio.Task[Any]], timeout_s: float) -> None:
        """Wait until there are no tasks, up to `timeout_s`, then cancel what is left and wait for that.

        What goes on all the same is given up: it is neither waited for nor cancelled another time.
        """
        now, current = asyncio.get_running_loop().time, asyncio.current_task()
        until = now() + timeout_s
        while waiting := {task for task in tasks if task is not current and not task.done()} - self._given_up:
            left_s = until - now()
            if left_s <= 0:
                break
            # Some of them may begin others meanwhile.
            await asyncio.wait(waiting, timeout=left_s)
        for task in waiting:
            task.cancel()
        if waiting:
            _, resisting = await asyncio.wait(waiting, timeout=1)
            for task in resisting - self._given_up:
                self._given_up.add(task)
                error = TimeoutError("it was cancelled, and is not waited for any more")
                log_fault(self._log, error, "%s goes on although its actor stops", task.get_name())

    def _foreground_done(self, task: asyncio.Task[Any]) -> None:
        self.foreground.discard(task)
        self._ended()

    def _background_done(self, task: asyncio.Task[None]) -> None:
        self.background.discard(task)
        self._ended()
        if not task.cancelled() and (error := task.exception()) is not None:
            log_fault(self._log, error, "background task %s raised", task.get_name())
