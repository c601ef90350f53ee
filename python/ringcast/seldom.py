"""A log of what happens to many clients at once: each of them is counted elsewhere, and comes back."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

__all__ = ["SeldomLog"]

_EVERY_S: Final = 10.0


class SeldomLog:
    """Warns of one thing, at most every ten seconds. Lives on one event loop."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._next_at = 0.0

    def warn(self, message: str, *args: object) -> None:
        """Log this, unless something was logged a moment ago."""
        now = asyncio.get_running_loop().time()
        if now >= self._next_at:
            self._next_at = now + _EVERY_S
            self._log.warning(message, *args)
