"""What tests do with the descriptors of their own process: use up all of them, and look at the other end of a
socket that is here too."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from typing import Any

__all__ = ["option_at_other_end", "used_up"]


@contextlib.contextmanager
def used_up() -> Iterator[None]:
    """Leave no descriptor to be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Nothing is free below the highest, and nothing is to be had above.
    spare, highest = [os.dup(0)], max(map(int, os.listdir("/dev/fd")))
    while spare[-1] < highest:
        spare.append(os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare[-1] + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in spare:
            os.close(each)


def option_at_other_end(address: Any, level: int, option: int) -> int:
    """Return an option of the socket of this process that is connected to the one at `address`."""
    for descriptor in map(int, os.listdir("/dev/fd")):
        try:
            borrowed = socket.socket(fileno=descriptor)
        except OSError:
            continue  # something else, or gone by now
        try:
            with contextlib.suppress(OSError):  # one that listens has no other end
                if borrowed.getpeername() == address:
                    return borrowed.getsockopt(level, option)
        finally:
            borrowed.detach()
    raise AssertionError(f"nothing here is connected to {address}")
