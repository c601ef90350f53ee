"""What the fixture `run` gives; here and not in `conftest.py`, so that tests can import it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Run"]

Run = Callable[[Coroutine[Any, Any, None]], None]
