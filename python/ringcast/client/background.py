"""An event loop in a thread of its own, for callers that have none: scripts, notebooks, other threads.

What runs on it is the business of `sync.py`. Nothing here waits by looking again and again: threads sleep
until they are told.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, TypeVar
from weakref import WeakSet, finalize

from ..errors import ConnectionClosed

__all__ = ["Background", "Handlers", "in_a_thread"]

ResultT = TypeVar("ResultT")

_AT_EXIT_S: Final = 2.0
"""How long the end of the process waits for a client that was not closed."""


class Background:
    """A loop that runs until `stop`. Its methods are for other threads than its own, but `handlers`.

    The thread is a daemon: it keeps no process from ending.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        # Held while something is handed to the loop, so that nothing is once it has been told to stop.
        self._handing_over = threading.RLock()
        self._stopping = False
        self._stop = asyncio.Event()
        self._handlers: WeakSet[Handlers] = WeakSet()
        started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(started,), name="ringcast client", daemon=True
        )
        self._thread.start()
        self._loop = started.result()

    @property
    def is_here(self) -> bool:
        """Whether this is the process that it runs in: a fork has its memory, and not its thread."""
        return self._process == os.getpid()

    def run(self, work: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
        """Run a coroutine on the loop, and return its result or raise its error, with nothing added.

        Whoever is interrupted meanwhile, as by Ctrl-C, cancels it. Raises `ConnectionClosed` once the loop
        stops, and `RuntimeError` where waiting would never end: on the loop's own thread, or after a fork.
        """
        future = self._submit(work)
        try:
            return future.result()
        except CancelledError:
            if self._stopping:
                raise ConnectionClosed("the client is closed") from None
            raise
        finally:
            future.cancel()
            # Or the error, which has this frame in its traceback, would keep itself alive.
            del future

    def do(self, function: Callable[[], ResultT]) -> ResultT:
        """Call a function on the loop's thread and return its result; as `run`."""

        async def work() -> ResultT:
            return function()

        return self.run(work)

    def handlers(self) -> Handlers:
        """Return what runs the handlers of one connection, whose thread ends with the loop if not before.

        On the loop, unlike the other methods.
        """
        made = Handlers()
        self._handlers.add(made)
        return made

    def stop(self) -> None:
        """Cancel what runs and end the thread; waits for that unless it is the thread itself. Idempotent."""
        self._begin_to_stop()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def end(self, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Stop after `close`, as far as there is time: for a client that nobody has closed.

        The garbage collector may call it, in any thread, or the end of the process. It raises nothing, and
        waits for nothing: whoever runs meanwhile may hold what `close` needs. The end of the process waits.
        """
        if not self.is_here or not self._thread.is_alive():
            return
        with suppress(Exception):
            closing = self._submit(close, anywhere=True)
            closing.add_done_callback(lambda _: self._begin_to_stop())
            # At the end of the process, unless this is gone before: then the thread has ended, or just does.
            finalize(self, _wait_for, self._thread)

    def _submit(
        self, work: Callable[[], Coroutine[Any, Any, ResultT]], anywhere: bool = False
    ) -> Future[ResultT]:
        if not self.is_here:
            raise RuntimeError(
                "this client belongs to the process that made it: make another one after a fork"
            )
        if threading.current_thread() is self._thread and not anywhere:
            raise RuntimeError(
                "this waits for the thread that it is called on: async handlers cannot use a SyncClient"
            )
        with self._handing_over:
            if self._stopping:
                raise ConnectionClosed("the client is closed")
            return asyncio.run_coroutine_threadsafe(work(), self._loop)

    def _begin_to_stop(self) -> None:
        with self._handing_over:
            if not self._stopping:
                self._stopping = True
                self._loop.call_soon_threadsafe(self._stop.set)

    def _run(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        # Which cancels what is left at the end.
        with asyncio.Runner() as runner:
            started.set_result(runner.get_loop())
            runner.run(self._until_stopped())
        # The end of a connection waits behind a handler that runs, as the one that has closed the client.
        for handlers in self._handlers:
            handlers.close()

    async def _until_stopped(self) -> None:
        await self._stop.wait()


def _wait_for(thread: threading.Thread) -> None:
    if thread is not threading.current_thread():
        thread.join(_AT_EXIT_S)


class Handlers:
    """A thread in which the handlers of one connection run, one at a time; made on the loop.

    They may take their time there, and use the client. To the connection each looks like an async one.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Call a handler and wait for its end."""
        if self._closed:
            # What is still told of the end of a connection.
            return await in_a_thread(partial(function, *args))
        if self._thread is None:
            self._thread = _daemon(self._work, "ringcast handlers")
        done: asyncio.Future[Any] = self._loop.create_future()
        # In the same context, by which calls that a handler makes are known as such.
        self._waiting.put((copy_context(), function, args, done))
        return await done

    def close(self) -> None:
        """End the thread after the handler that runs; on the loop."""
        self._closed = True
        self._waiting.put(None)

    def _work(self) -> None:
        while (work := self._waiting.get()) is not None:
            _perform(self._loop, *work)
            del work


_Work = tuple[Context, Callable[..., Any], tuple[Any, ...], "asyncio.Future[Any]"]


async def in_a_thread(function: Callable[[], Any]) -> Any:
    """Call a function in a thread of its own, and return what it gives: it may block."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = copy_context()
    _daemon(lambda: _perform(loop, context, function, (), done), "ringcast parameters")
    result = await done
    return await result if isinstance(result, Awaitable) else result


def _daemon(work: Callable[[], None], name: str) -> threading.Thread:
    # Those of an executor are waited for at the end of the process, for as long as they take.
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def _perform(
    loop: asyncio.AbstractEventLoop,
    context: Context,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    done: asyncio.Future[Any],
) -> None:
    try:
        result, error = context.run(function, *args), None
    except BaseException as raised:
        result, error = None, raised
    # The loop is gone where the client has been closed meanwhile.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_settle, done, result, error)


def _settle(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(result)
    elif isinstance(error, Exception) and not isinstance(error, StopIteration):
        done.set_exception(error)
    else:
        # What would end the loop, or means something else to it, ends the handler alone.
        raised = RuntimeError(f"raised {type(error).__name__}")
        raised.__cause__ = error
        done.set_exception(raised)
