"""Time, as the parts of a server read it: session windows, saves, sleep and schedules.

Tests put their own clock in its place (`ringcast.testing`), and move it on by hand. The time that a running
action or hook may take is the event loop's own, and not read from here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Clock", "SystemClock", "Timer"]


class Timer(Protocol):
    """Something that is to happen later."""

    def cancel(self) -> None:
        """See to it that it does not happen. Idempotent."""


class Clock(Protocol):
    """Tells the time and calls back later, on the event loop that it is used on."""

    def now(self) -> float:
        """Return the time of day, in seconds since 1970 UTC."""

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call `callback` on the running event loop, `delay_s` seconds from now."""


class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    def now(self) -> float:
        return time.time()

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> Timer:
        # Not by the time of day: that one may be set.
        return asyncio.get_running_loop().call_later(delay_s, callback, *args)
