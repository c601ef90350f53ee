"""What one connection has heard, kept in order for the assertions of a test.

Asserting is the work of `assertions.py`.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from ..client import Connection
from ..client.listeners import END
from ..wire.naming import RESERVED_EVENTS

__all__ = ["RecordedEvent", "Recorder", "record", "recorder_of"]

_UNASKED: Final = RESERVED_EVENTS - {"error"}
"""Lifecycle events that are always kept. Not `error`: the client logs those that nobody listens for."""
_SHOWN: Final = 20
"""Most events that a failing assertion lists."""


class RecordedEvent(NamedTuple):
    """One event as it arrived."""

    name: str
    args: tuple[Any, ...]

    @property
    def value(self) -> Any:
        """The event's one argument. Raises `ValueError` if it had none, or several."""
        (value,) = self.args
        return value

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.args))})"


class Recorder:
    """Keep the events of one connection, in the order of arrival; made by `record`.

    An event that an assertion has taken is not taken a second time.
    """

    def __init__(self, connection: Connection) -> None:
        # Weak, because the connection's recorder is found by it.
        self._connection = weakref.ref(connection)
        self._names: set[str] = set()
        self._events: list[RecordedEvent] = []
        self._taken: list[bool] = []
        self._changed = asyncio.Event()
        connection._lifecycle.listeners.add(END, lambda _error: self._changed.set(), internal=True)

    @property
    def connection(self) -> Connection:
        """The connection whose events these are."""
        connection = self._connection()
        if connection is None:
            raise ReferenceError("the recorder's connection is gone")
        return connection

    @property
    def events(self) -> list[RecordedEvent]:
        """Everything that has arrived, asserted or not; lifecycle events in their places."""
        return list(self._events)

    def of(self, name: str) -> list[Any]:
        """Return what came with each event `name`: its one argument, or the tuple of them."""
        found = [event.args for event in self._events if event.name == name]
        return [args[0] if len(args) == 1 else args for args in found]

    def keeps(self, name: str) -> bool:
        """Tell whether events of this name are kept."""
        return name in self._names

    def clear(self) -> None:
        """Forget everything that has arrived so far."""
        self._events.clear()
        self._taken.clear()

    def find(self, fits: Callable[[RecordedEvent], bool]) -> RecordedEvent | None:
        """Return the first event that fits and was not taken, or None."""
        position = self._position(fits)
        return None if position is None else self._events[position]

    def take(self, fits: Callable[[RecordedEvent], bool]) -> RecordedEvent | None:
        """Find an event as `find` does, and let no other assertion have it."""
        position = self._position(fits)
        if position is None:
            return None
        self._taken[position] = True
        return self._events[position]

    async def changed(self) -> None:
        """Wait until another event arrives, or the connection ends."""
        self._changed.clear()
        await self._changed.wait()

    def listen(self, name: str) -> None:
        """Keep events of this name from now on."""
        if name not in self._names:
            # Internal, so that `off()` in what is tested does not end it.
            self.connection._lifecycle.listeners.add(name, partial(self._add, name), internal=True)
            self._names.add(name)

    def describe(self) -> str:
        """Return lines for the message of an assertion that fails."""
        left = [event for event, taken in zip(self._events, self._taken, strict=True) if not taken]
        lines = ["Came, and no assertion has taken it:"] if left else ["Nothing else came."]
        lines += [f"  ... and {len(left) - _SHOWN} before"] if len(left) > _SHOWN else []
        lines += [f"  {event}" for event in left[-_SHOWN:]]
        taken = [str(event) for event, taken in zip(self._events, self._taken, strict=True) if taken]
        if taken:
            more = f"... and {len(taken) - _SHOWN} before, " if len(taken) > _SHOWN else ""
            lines.append("Taken by assertions before: " + more + ", ".join(taken[-_SHOWN:]))
        names = sorted(self._names - RESERVED_EVENTS)
        lines.append(f"{self.connection!r} listens for: {', '.join(names) or 'nothing'}.")
        if self.connection.last_error is not None:
            lines.append(f"Its last error: {self.connection.last_error!r}")
        return "\n".join(lines)

    def _position(self, fits: Callable[[RecordedEvent], bool]) -> int | None:
        for position, event in enumerate(self._events):
            if not self._taken[position] and fits(event):
                return position
        return None

    def _add(self, name: str, *args: Any) -> None:
        self._events.append(RecordedEvent(name, args))
        self._taken.append(False)
        self._changed.set()


_recorders: weakref.WeakKeyDictionary[Connection, Recorder] = weakref.WeakKeyDictionary()


def record(connection: Connection, *names: str) -> Recorder:
    """Keep the events of these names from now on, and all lifecycle events but `error`; return the recorder.

    Call it right behind `.connect()`, before anything is awaited: the names travel with the connect message,
    so that no event is missed. `error` is kept where it is named. A second call adds its names.
    """
    recorder = _recorders.get(connection)
    if recorder is None:
        recorder = _recorders[connection] = Recorder(connection)
    for name in (*_UNASKED, *names):
        recorder.listen(name)
    return recorder


def recorder_of(source: Connection | Recorder) -> Recorder:
    """Return the recorder of a connection. Raises `LookupError` if nothing keeps its events."""
    if isinstance(source, Recorder):
        return source
    recorder = _recorders.get(source)
    if recorder is None:
        raise LookupError(
            f"nothing keeps the events of {source!r}: connect with `server.connect(…, events=[…])`, "
            "or call `record(connection, …)` right behind `.connect()`"
        )
    return recorder
