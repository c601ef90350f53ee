"""What an actor class says in its source besides types: docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["described"]


def described(documented: type | Callable[..., Any]) -> str | None:
    """Return its own docstring, not that of a class that it derives from."""
    written = vars(documented).get("__doc__") if isinstance(documented, type) else documented.__doc__
    return inspect.cleandoc(written) if written else None
