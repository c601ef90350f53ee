"""Keeps a new socket from what the event loop remembers of a descriptor that was closed before."""

from __future__ import annotations

import asyncio
import contextlib
import socket

__all__ = ["forget_next_descriptor"]


def forget_next_descriptor() -> None:
    """Have the event loop forget what is registered under the number that the next new socket gets.

    Whoever closes a descriptor that the loop still watches leaves the entry behind, and the kernel gives the
    lowest free number to somebody else. asyncio then fails to register that one, once. uvloop (0.23) does so
    each time ("the handler is closed"), or reports nothing of it, ever; and as the number is free again after
    every failure, the next attempt would be given the same.
    """
    loop = asyncio.get_running_loop()
    with socket.socket() as next_one:
        for remove in loop.remove_reader, loop.remove_writer:
            # asyncio: an entry for both directions is gone, but epoll does not know the descriptor.
            with contextlib.suppress(OSError):
                remove(next_one.fileno())
