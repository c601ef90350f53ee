"""Where code waits that does not end: the stack of a coroutine that somebody else runs.

`asyncio` shows only the outermost function of one that is suspended.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from types import AsyncGeneratorType, FrameType
from typing import Any, Final

__all__ = ["stack_of"]

_WAITING: Final = (("cr_frame", "cr_await"), ("ag_frame", "ag_await"), ("gi_frame", "gi_yieldfrom"))
"""Of coroutines, async generators and generators: where each is, and what it waits for there."""
_STEPS: Final = ("async_generator_asend", "async_generator_athrow")
"""What is awaited to have an async generator go on, by the names of their types."""


def stack_of(work: object) -> str:
    """Return where `work` waits, as a traceback shows it: the innermost place last, as far as that is known.

    Not known is what a task does that is waited for.
    """
    return "".join(traceback.StackSummary.extract(_frames(work)).format()).rstrip()


def _frames(work: Any) -> Iterator[tuple[FrameType, int]]:
    while work is not None:
        if type(work).__name__ in _STEPS:
            # It has no attribute that says of which.
            work = next(
                (each for each in gc.get_referents(work) if isinstance(each, AsyncGeneratorType)), None
            )
        for place, inner in _WAITING:
            frame = getattr(work, place, None)
            if frame is not None:
                yield frame, frame.f_lineno
                work = getattr(work, inner)
                break
        else:
            return
