"""What a server does with the process that it has to itself: its event loop, signals, and an end that comes.

What user code does must hold up neither. What is served, and how that stops, is `serve.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any, Final

import uvloop

__all__ = ["RESISTANCE_S", "require_own_process", "run_on_own_loop"]

RESISTANCE_S: Final = 3.0
"""How long what resists its end is waited for."""

_LOG: Final = logging.getLogger("ringcast.server")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_MOST_NAMED: Final = 10


def require_own_process() -> None:
    """Raise `RuntimeError` where `run_on_own_loop` cannot run."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a server that has the process to itself runs in its main thread, as signals do")
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("an event loop runs here: enter ringcast.server.serve.serving in it instead")


def run_on_own_loop(work: Coroutine[Any, Any, None], stop: Callable[[], object]) -> None:
    """Run `work` on a uvloop of its own; the first SIGINT or SIGTERM calls `stop` there, and another one ends
    the process.

    Tasks that `work` leaves are cancelled, and threads of `asyncio.to_thread` waited for; what resists is
    given up after `RESISTANCE_S`. Only in the main thread, as signals are.
    """
    # Not as a context: its end waits without a bound, for each task and each thread.
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    loop = runner.get_loop()
    # The one that it would make by itself cannot be asked how far its threads are.
    executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
    loop.set_default_executor(executor)
    try:
        with _stopping_on_signals(loop, stop):
            try:
                runner.run(work)
            finally:
                runner.run(_end_all(executor))
    finally:
        work.close()  # where it has not begun
        loop.close()


@contextlib.contextmanager
def _stopping_on_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` in the loop at the first signal, and leave the next one to the system.

    Python runs these handlers between any two instructions of the main thread, and the loop its own only
    when it gets round to it: not while an action computes or blocks.
    """
    has_come = False

    def arrived(number: int, frame: FrameType | None) -> None:
        nonlocal has_come
        if has_come:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        has_come = True
        loop.call_soon_threadsafe(stop)

    before = {number: signal.signal(number, arrived) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None is a handler that Python knows nothing of.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


async def _end_all(executor: ThreadPoolExecutor) -> None:
    """End what is left on the running loop, as far as it lets itself be ended in `RESISTANCE_S`."""
    loop = asyncio.get_running_loop()
    until = loop.time() + RESISTANCE_S
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        _, left = await asyncio.wait(left, timeout=RESISTANCE_S)
    if left:
        names = sorted(task.get_name() for task in left)[:_MOST_NAMED]
        _LOG.error("%d tasks went on after their cancellation and are given up: %s", len(left), names)
    ended = asyncio.Event()

    def wait_for_threads() -> None:
        executor.shutdown(cancel_futures=True)
        with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_threads, name="wait for threads", daemon=True).start()
    # As tasks: a generator that resists its end resists the cancellation of who waits for it as well.
    closing, waiting = loop.create_task(loop.shutdown_asyncgens()), loop.create_task(ended.wait())
    until = max(until, loop.time() + RESISTANCE_S / 2)
    await asyncio.wait({closing, waiting}, timeout=until - loop.time())
    if not closing.done():
        _LOG.error("an async generator has not ended, and is given up")
    if not waiting.done():
        _LOG.error("a function given to asyncio.to_thread has not returned, and is given up")
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        # Its end as garbage is no news; asyncio has no public way to say so.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
