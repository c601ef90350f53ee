"""Running the handlers of a connection: one at a time, in the order in which things arrived.

Functions run at once, inside the read that brought the event. A coroutine is awaited before anything later is
handled; what arrives meanwhile waits here, and `Backlog` says when so much waits that the socket should not
be read. An exception in a handler goes to the `error` listeners, or to the log if there are none, and stops
nothing.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextvars import ContextVar
from typing import Any, Final

from .listeners import Listeners

__all__ = ["Backlog", "Dispatch"]

_log = logging.getLogger("ringcast.client")


_handled_by: ContextVar[asyncio.Task[None] | None] = ContextVar("handled_by", default=None)
"""Inside a handler, and in the tasks that it starts: the task that runs it."""


_consumer_of: ContextVar[Backlog | None] = ContextVar("consumer_of", default=None)
"""In a task that handles events or reads a stream, and in those that it starts: what it makes shorter."""

_OVERFULL: Final = 16

_TO_END_S: Final = 1.0
_LEAST_TO_END_S: Final = 0.1
"""How long a handler that was cancelled may take to end: half of the time that is left, within these."""


class Backlog:
    """Counts events that wait for their handlers and tells when that gets too many, and when it is over.

    `on_change` is called when `full` changes: to True at `limit`, to False at half of it, so that reading
    does not stop and start with every event. The same holds for `overfull`, at sixteen times as many.
    """

    def __init__(self, limit: int, on_change: Callable[[], None]) -> None:
        self._limit = limit
        self._on_change = on_change
        self._waiting = 0
        self.full = False
        self.overfull = False

    def add(self) -> None:
        self._waiting += 1
        if not self.full and self._waiting >= self._limit:
            self.full = True
            self._on_change()
        if not self.overfull and self._waiting >= self._limit * _OVERFULL:
            self.overfull = True
            self._on_change()

    def remove(self, count: int = 1) -> None:
        self._waiting -= count
        if self.overfull and self._waiting <= self._limit * _OVERFULL // 2:
            self.overfull = False
            self._on_change()
        if self.full and self._waiting <= self._limit // 2:
            self.full = False
            self._on_change()

    def consumed_here(self) -> None:
        """The caller, and what it starts, is a consumer: while it waits for something, this only grows."""
        _consumer_of.set(self)

    @property
    def is_consumer(self) -> bool:
        """Whether the caller handles these events."""
        return _consumer_of.get() is self


class Dispatch:
    """The queue of one connection's events on their way to its listeners."""

    def __init__(self, listeners: Listeners, backlog: Backlog) -> None:
        self._listeners = listeners
        self._backlog = backlog
        self._waiting: deque[tuple[str, tuple[Any, ...], Collection[str]]] = deque()
        self._name = ""
        """What is being handled, or was last."""
        self._failures: list[BaseException] = []
        """Of the handlers of what is being handled."""
        self._busy = False
        self._task: asyncio.Task[None] | None = None

    def deliver(self, name: str, args: tuple[Any, ...], without: Collection[str] = ()) -> None:
        """Run the listeners of `name`, now or as soon as everything before has been handled.

        Those whose filter the event does not match are passed over, and those of a topic in `without`.
        """
        self._waiting.append((name, args, without))
        self._backlog.add()
        if not self._busy:
            self._run()

    def clear(self) -> None:
        """Forget what waits; a handler that runs is not touched."""
        self._backlog.remove(len(self._waiting))
        self._waiting.clear()

    async def idle(self) -> None:
        """Wait until everything that has arrived has been handled; not from a handler."""
        while self._task is not None:
            await asyncio.wait({self._task})

    async def stop(self, timeout_s: float) -> None:
        """Wait until the running handler has ended; cancel it when most of `timeout_s` is over.

        One that has not ended then either, because it swallows its cancellation, is left to itself. Returns
        at once when called from that handler, or from a task that it started.
        """
        task = self._task
        if task is None or self.in_handler:
            return
        to_end_s = max(_LEAST_TO_END_S, min(timeout_s / 2, _TO_END_S))
        _, late = await asyncio.wait({task}, timeout=max(0.0, timeout_s - to_end_s))
        if late:
            task.cancel()
            _, late = await asyncio.wait({task}, timeout=to_end_s)
            if late:
                _log.warning("a handler of %r goes on although it was cancelled", self._name)
                self._task = None
            # What was behind that handler: the end of the connection, which streams wait for.
            self._run()

    @property
    def in_handler(self) -> bool:
        """Whether the handler that runs calls this, or a task that it started."""
        return self._task is not None and _handled_by.get() is self._task

    def _run(self) -> None:
        self._busy = True
        steps = self._steps()
        pending: Awaitable[Any] | None = None
        try:
            pending = next(steps, None)
        finally:
            # Also for a KeyboardInterrupt from a handler: the next event must not find this busy for ever.
            self._busy = pending is not None
        if pending is not None:
            self._task = asyncio.get_running_loop().create_task(self._finish(pending, steps))

    async def _finish(self, pending: Awaitable[Any] | None, steps: Iterator[Awaitable[Any]]) -> None:
        me = asyncio.current_task()
        _handled_by.set(me)
        self._backlog.consumed_here()
        try:
            while pending is not None:
                try:
                    await pending
                except asyncio.CancelledError as error:
                    task = asyncio.current_task()
                    if task is not None and task.cancelling():
                        raise
                    # The handler awaited something that was cancelled: that is its own failure, like any
                    # other.
                    self._failed(error)
                except Exception as error:
                    self._failed(error)
                # One that was left to itself (`stop`) has nothing behind it any more.
                pending = next(steps, None) if self._task is me else None
        finally:
            if self._task is me:
                self._busy, self._task = False, None

    def _steps(self) -> Iterator[Awaitable[Any]]:
        """Run handler after handler; yield what has to be awaited before the next one."""
        while self._waiting:
            self._name, args, without = self._waiting.popleft()
            self._backlog.remove()
            for listener in self._listeners.get(self._name):
                if not listener.active or listener.topic in without or not listener.wants(args):
                    continue
                if listener.once:
                    # Before the handler runs: it must not fire again for what comes in the same read.
                    self._listeners.remove(listener)
                try:
                    result = listener.handler(*args)
                except (Exception, asyncio.CancelledError) as error:  # a function cannot be cancelled itself
                    self._failed(error)
                else:
                    if result is not None and inspect.isawaitable(result):
                        yield result
            self._tell_failures()

    def _failed(self, error: BaseException) -> None:
        error.add_note(f"raised by a handler of {self._name!r}")
        if self._name != "error" and self._listeners.has("error"):
            self._failures.append(error)
        else:
            _log.error("a handler of %r failed", self._name, exc_info=error)

    def _tell_failures(self) -> None:
        """Let `error` listeners hear of one event's failures before anything later is handled."""
        for error in reversed(self._failures):
            self._waiting.appendleft(("error", (error,), ()))
            self._backlog.add()
        self._failures.clear()
