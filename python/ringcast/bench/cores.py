"""Which core each side of a benchmark runs on.

Linux alone has a way to say so; elsewhere both sides run where the system puts them, and a report says so.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from .failures import Failed

__all__ = ["Cores", "on_core"]


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the two sides run; None where that cannot be chosen."""

    server: int | None
    load: int | None

    @classmethod
    def choose(cls, server: int | None, load: int | None) -> Cores:
        """Return the cores asked for, or else the first two. Raises `Failed` for one that is not here."""
        if sys.platform != "linux":
            if server is not None or load is not None:
                raise Failed("this system has no way to choose cores")
            return cls(None, None)
        here = sorted(os.sched_getaffinity(0))
        chosen = cls(
            here[0] if server is None else server, here[min(1, len(here) - 1)] if load is None else load
        )
        for core in (chosen.server, chosen.load):
            if core not in here:
                raise Failed(f"there is no core {core} here, only {', '.join(map(str, here))}")
        return chosen

    @property
    def remark(self) -> str | None:
        """What one has to know about figures made on these."""
        if self.server is None:
            return "the two sides are not pinned to cores of their own"
        if self.server == self.load:
            return "the two sides share one core: each is slowed by the other"
        return None


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Start processes on this core: they inherit it, with all threads that they will have."""
    if core is None or sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
