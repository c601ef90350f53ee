"""Events as an asynchronous iterator: `async for article in connection.stream("newArticle")`.

A stream listens from the moment it is made until it is closed, the `async for` that holds it is left, or the
connection ends. It is one more listener of the connection, which tells the server when the last one has gone.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from ..errors import EventsLost, RingcastError
from ..wire.protocol import Gap
from .dispatch import Backlog

__all__ = ["EventBuffer", "EventStream"]


class EventBuffer:
    """What waits to be taken from one stream.

    It does not know the stream, so that dropping a stream ends it.
    """

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self._items: deque[Any] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.ended = False
        self._error: RingcastError | None = None

    def put(self, *args: Any) -> None:
        """Add an event: its one argument, or the tuple of them."""
        self._add(args[0] if len(args) == 1 else args)

    def put_gap(self, gap: Gap) -> None:
        """Let the next read behind what waits raise `EventsLost`."""
        self._add(EventsLost(f"events are missing: {gap.reason}", metadata=gap.to_wire()))

    def end(self, error: RingcastError | None) -> None:
        """Let the stream end after what waits has been taken, with `error` if there is one."""
        if not self.ended:
            self.ended, self._error = True, error
            self._wake()

    def discard(self) -> None:
        """Forget what waits."""
        self._backlog.remove(len(self._items))
        self._items.clear()

    async def take(self) -> Any:
        """Wait for the next event and return it."""
        self._backlog.consumed_here()
        while not self._items:
            if self.ended:
                error, self._error = self._error, None
                raise error or StopAsyncIteration
            if self._waiter is None:
                self._waiter = asyncio.get_running_loop().create_future()
            # Shielded, because several tasks may iterate one stream and one of them may be cancelled.
            await asyncio.shield(self._waiter)
        item = self._items.popleft()
        self._backlog.remove()
        if isinstance(item, EventsLost):
            raise item
        return item

    def _add(self, item: Any) -> None:
        self._items.append(item)
        self._backlog.add()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.set_result(None)
            self._waiter = None


class EventStream:
    """The events of one name, in order. Iterate over it, once; made by `Connection.stream`.

    An event with one argument gives that argument, any other gives the tuple of its arguments.

    Raises `EventsLost` where events are missing; iterate again to go on behind the gap. Ends when this side
    closes the connection; raises the connection's error when the other side ended it for good.

    A stream that is not read holds back its whole connection once `max_unhandled_events` wait.
    """

    def __init__(self, buffer: EventBuffer, stop: Callable[[], None]) -> None:
        self._buffer = buffer
        # Leaving an `async for` closes nothing by itself; the stream that it held is dropped at that moment.
        self._close = weakref.finalize(self, _stop_from_any_thread, asyncio.get_running_loop(), stop)
        self._close.atexit = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self._buffer.take()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and forget what waits; a second time does nothing."""
        self._close()


def _stop_from_any_thread(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    try:
        running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is loop:
        stop()
    elif not loop.is_closed():
        # The garbage collector may run in any thread.
        loop.call_soon_threadsafe(stop)
