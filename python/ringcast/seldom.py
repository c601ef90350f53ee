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
        """Log this with the next turn of the loop, unless something was logged a moment ago.

        Not at once: a log has filters and handlers of the user's, which may raise, and whoever warns is
        in the middle of turning somebody away.
        """
        loop = asyncio.get_running_loop()
        if loop.time() >= self._next_at:
            self._next_at = loop.time() + _EVERY_S
            loop.call_soon(self._log.warning, message, *args)
