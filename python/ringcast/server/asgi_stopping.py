"""Learning that the process is asked to stop, before the server beneath says so.

Uvicorn and granian tell an application only once every response has ended, for as long as that takes by
default: a stream of events has no end by itself, and a client that reads nothing keeps any of them going.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

__all__ = ["StopSignals"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Stands before the handlers of signals that the server has set, and passes everything on to them."""

    def __init__(self) -> None:
        self.came = False
        """Whether there was one since `watch`."""
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        """What was there before."""
        self._tell: Callable[[], object] | None = None
        """Has the loop call `on_first`."""

    def watch(self, on_first: Callable[[], object]) -> None:
        """Begin, and call `on_first` on the running loop when the first one has come.

        Does nothing outside the main thread, where no handler can be set.
        """
        self.came = False
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        # Threadsafe, as a signal may come while the loop is about to wait.
        self._tell = lambda: loop.call_soon_threadsafe(on_first)
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            # Otherwise the signal ends the process at once, or means nothing, or another lifespan watches.
            if callable(handler) and handler != self._on_signal:
                self._handlers[number] = handler
                signal.signal(number, self._on_signal)

    def forget(self) -> None:
        """Put back what was there, where nobody else has done that."""
        while self._handlers:
            number, handler = self._handlers.popitem()
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.came:
            self.came = True
            assert self._tell is not None  # handlers are set after it
            with contextlib.suppress(RuntimeError):  # the server has closed the loop, and left us behind
                self._tell()
        self._handlers[number](number, frame)
