"""How faults are logged that may come again and again: with tracebacks, and so many of a kind in a minute.

What a client sends may be what makes user code raise, or what cannot be written; without a bound, clients
could fill the log. What its reader has to know is every kind of fault, and how many there were of each.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from .clock import Clock, SystemClock

if TYPE_CHECKING:
    _Log = logging.Logger | logging.LoggerAdapter[Any]

__all__ = ["MOST_OF_A_KIND", "WINDOW_S", "FaultLog", "forget_faults", "log_fault"]

MOST_OF_A_KIND: Final = 10
"""In one window. More than one: whoever tries something out sees it fail each time."""
WINDOW_S: Final = 60.0
_MOST_KINDS: Final = 1024
"""There are as many as places and classes of errors, and authors' names; past it, the oldest is forgotten."""


class _Kind:
    """What was logged of one kind in its present window, and what was not."""

    __slots__ = ("began_at", "left_out", "logged")

    def __init__(self, began_at: float) -> None:
        self.began_at = began_at
        self.logged = 0
        self.left_out = 0


class FaultLog:
    """Logs faults, at most `MOST_OF_A_KIND` of each kind in `WINDOW_S`.

    A kind is a logger, a message with its arguments, and a class of errors. Arguments name what stands in
    somebody's code, such as an action, and nothing that a client makes up.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kinds: dict[tuple[object, ...], _Kind] = {}
        """The oldest window first."""

    def __len__(self) -> int:
        """How many kinds are known."""
        return len(self._kinds)

    def log(self, log: _Log, error: BaseException, message: str, *args: object) -> None:
        """Log `error` with its traceback, or count it.

        The last one of a window says that there may be more, and the first one of a later window how many.
        """
        key = (log.name, message, args, type(error))
        now, kind, left_out = self._clock.now(), self._kinds.get(key), 0
        # Clocks may be set back.
        if kind is None or not 0 <= now - kind.began_at < WINDOW_S:
            if kind is not None:
                left_out = kind.left_out
                del self._kinds[key]
            elif len(self._kinds) >= _MOST_KINDS:
                del self._kinds[next(iter(self._kinds))]
            kind = self._kinds[key] = _Kind(now)
        if kind.logged == MOST_OF_A_KIND:
            kind.left_out += 1
            return
        kind.logged += 1
        said: tuple[object, ...] = args
        if left_out:
            message, said = f"{message} (%d more of these were not logged before it)", (*said, left_out)
        if kind.logged == MOST_OF_A_KIND:
            message, said = f"{message} (more of these are only counted, for up to %g s)", (*said, WINDOW_S)
        log.error(message, *said, exc_info=error)

    def forget(self) -> None:
        """Log the next ones of every kind, whatever was logged before."""
        self._kinds.clear()


# Of the process, as its loggers are: what cannot be written is found by functions that know of no server.
_faults: Final = FaultLog(SystemClock())


def log_fault(log: _Log, error: BaseException, message: str, *args: object) -> None:
    """Log `error` in this process's log, as `FaultLog.log`."""
    _faults.log(log, error, message, *args)


def forget_faults() -> None:
    """A server starts: nothing has gone wrong with it yet."""
    _faults.forget()
