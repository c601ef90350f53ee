"""Running a client subcommand: its event loop, and what signals do to it.

SIGINT and SIGTERM end it in order, with the connection closed; `main` turns that into an exit code.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

__all__ = ["run_client"]

Result = TypeVar("Result")


def run_client(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` to its end and return its result.

    Raises what it raises, `KeyboardInterrupt` after SIGINT and `asyncio.CancelledError` after SIGTERM.
    """
    # Subcommands say themselves what becomes of a connection.
    logging.getLogger("ringcast").addHandler(logging.NullHandler())
    return uvloop.run(_cancelled_by_sigterm(work))


async def _cancelled_by_sigterm(work: Coroutine[Any, Any, Result]) -> Result:
    task = asyncio.current_task()
    assert task is not None  # a coroutine that runs has a task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work
