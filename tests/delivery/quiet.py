"""The client's log during a run that cuts thousands of connections: each is a warning, which nobody reads."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

__all__ = ["quiet_clients"]


@contextlib.contextmanager
def quiet_clients() -> Iterator[None]:
    """Keep the client's warnings out of the log, and let them in again afterwards."""
    log = logging.getLogger("ringcast.client")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
