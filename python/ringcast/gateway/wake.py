"""The pipes by which the core wakes the event loop, read until they are empty."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["empty"]

_READ_BYTES: Final = 4096


def empty(descriptor: int) -> None:
    """Read all that there is, before looking what it is about: what comes later wakes the loop again."""
    try:
        while len(os.read(descriptor, _READ_BYTES)) == _READ_BYTES:
            pass
    except BlockingIOError:
        pass
