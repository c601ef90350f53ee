"""How far an actor is in its life."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["RUNNING", "Status"]


class Status(Enum):
    STARTING = 1
    RUNNING = 2
    STOPPING = 3
    """No new call or connection; what runs may end."""
    STOPPED = 4


RUNNING: Final = Status.RUNNING
"""Looked up once, as it is asked for with each call: until Python 3.12, to look up a member of an enum takes
as long as a call."""
