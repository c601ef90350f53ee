"""Learning that the process is asked to stop, before the server beneath says so.

Uvicorn and granian tell an application only once every response has ended, for as long as that takes by
default: a stream of events has no end by itself.
"""

from __future__ import annotations

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

    def watch(self) -> None:
        """Begin. Does nothing outside the main thread, where no handler can be set."""
        self.came = False
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            # Otherwise the signal ends the process at once, or means nothing.
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._on_signal)

    def forget(self) -> None:
        """Put back what was there, where nobody else has done that."""
        while self._handlers:
            number, handler = self._handlers.popitem()
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        self._handlers[number](number, frame)
