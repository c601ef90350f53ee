"""The event loop that an actor lives on, and how another thread has something done there.

Most of an actor may be used on that loop only; what any thread may do is said in `actor.py`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Final

from ..errors import ActorDestroyed

__all__ = ["Home"]

_LOOK_AGAIN_S: Final = 1.0
"""How often a thread that waits looks whether the loop has been closed: nobody tells it."""

Done = concurrent.futures.Future[None]


class Home:
    """Made on the loop that it is about."""

    __slots__ = ("_loop", "_thread")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def do(self, work: Callable[[], object]) -> None:
        """Do it on the loop's thread, which may be this one, and return once it is done.

        Raises what it raises, and `ActorDestroyed` if the loop ends without having done it.
        """
        if threading.get_ident() == self._thread:
            work()
            return
        done = Done()
        try:
            self._loop.call_soon_threadsafe(_do, work, done)
        except RuntimeError:
            raise ActorDestroyed("the actor's event loop has ended") from None
        while not concurrent.futures.wait((done,), _LOOK_AGAIN_S).done:
            if self._loop.is_closed():
                raise ActorDestroyed("the actor's event loop has ended")
        done.result()


def _do(work: Callable[[], object], done: Done) -> None:
    try:
        work()
    except Exception as error:  # the thread's, who asked for it
        done.set_exception(error)
    else:
        done.set_result(None)
