"""What a test says about events: this one comes, that one does not; and waiting for anything else.

The events are kept by `recorder.py`. Nothing here needs pytest: a failure is an `AssertionError`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Final

from ..client import Connection
from ..errors import OfflineQueueFull, RingcastError
from ..wire.encoding import Encoding
from ..wire.naming import RESERVED_EVENTS
from .recorder import RecordedEvent, Recorder, recorder_of

__all__ = ["assert_event", "assert_no_event", "eventually"]

TIMEOUT_S: Final = 5.0
"""For anything that is waited for: reached only by a test that fails."""
_FENCE: Final = "ringcast.testing: every event before this has arrived"
"""An action that no actor has. Its error comes behind every event that was sent before, as every answer."""

Where = Callable[..., object]


async def assert_event(
    source: Connection | Recorder,
    name: str,
    *args: Any,
    where: Where | None = None,
    timeout_s: float = TIMEOUT_S,
) -> RecordedEvent:
    """Wait for the next event `name`, and return it; one that has arrived already counts.

    With `args`, its arguments must equal them, as they are after their way over the wire: an object stands
    for the dictionary that it arrives as, `unittest.mock.ANY` for anything. With `where`, `where(*arguments)`
    must be true. Other events are left for later assertions; lifecycle events (`gap`, `reconnected`) are
    asserted in the same way.

    Raises `AssertionError`, with what came instead, after `timeout_s` seconds of real time, and at once when
    the connection has ended; `LookupError` if nothing keeps events of this name.
    """
    __tracebackhide__ = True
    recorder = _keeping(source, name)
    fits = _matcher(name, args, where)
    event = recorder.take(fits)
    try:
        async with asyncio.timeout(timeout_s):
            while event is None and recorder.connection.status != "closed":
                await recorder.changed()
                event = recorder.take(fits)
    except TimeoutError:
        pass
    if event is None:
        ended = recorder.connection.status == "closed"
        when = "before the connection ended" if ended else f"within {timeout_s:g} s"
        raise AssertionError(f"no {_wanted(name, args, where)} came {when}.\n{recorder.describe()}")
    return event


async def assert_no_event(
    source: Connection | Recorder,
    name: str | None = None,
    *args: Any,
    where: Where | None = None,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Check that no such event has come, and that none is on its way; without a name, no event at all.

    Events that an assertion has taken do not count, nor do lifecycle events unless they are named. Everything
    counts that the actor has sent before this is called. It takes a call to the server and back and no
    waiting, because an answer comes behind the events before it; so it cannot tell of what the actor sends
    later: let it happen first.

    Raises `AssertionError` for an event that came, and when the server does not answer within `timeout_s`
    seconds; `LookupError` if nothing keeps events of this name.
    """
    __tracebackhide__ = True
    recorder = recorder_of(source) if name is None else _keeping(source, name)
    try:
        async with asyncio.timeout(timeout_s):
            await _fence(recorder.connection)
    except TimeoutError:
        raise AssertionError(
            f"whether an {_wanted(name, args, where)} is on its way cannot be told: no answer came "
            f"within {timeout_s:g} s.\n{recorder.describe()}"
        ) from None
    event = recorder.find(_matcher(name, args, where))
    if event is not None:
        raise AssertionError(f"{event} came, which was not to come.\n{recorder.describe()}")


async def eventually(condition: Callable[[], Any], *, timeout_s: float = TIMEOUT_S) -> Any:
    """Wait until `condition()`, or what it is awaited to, is true, and return that.

    For what nothing announces, such as what the actor's side knows of a connection. Raises `AssertionError`
    after `timeout_s` seconds.
    """
    __tracebackhide__ = True
    value: Any = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                value = condition()
                if inspect.isawaitable(value):
                    value = await value
                if value:
                    return value
                # Not longer: what is waited for happens on this loop, or on a thread that does not wait.
                await asyncio.sleep(0)
    except TimeoutError:
        raise AssertionError(f"not true within {timeout_s:g} s: the condition is {value!r}") from None


async def _fence(connection: Connection) -> None:
    """Wait until every event that has been sent to this connection has been handled."""
    try:
        await connection.call(_FENCE)
    except OfflineQueueFull:
        raise
    except RingcastError:
        # Answered. Or the session, or the connection, has ended: then of what was sent in it, no more comes.
        pass
    await connection._lifecycle.dispatch.idle()


def _keeping(source: Connection | Recorder, name: str) -> Recorder:
    recorder = recorder_of(source)
    if not recorder.keeps(name):
        raise LookupError(
            f"nothing keeps events {name!r} of {recorder.connection!r}: name it in `events=[…]` or in "
            "`record(connection, …)`"
        )
    return recorder


def _matcher(name: str | None, args: tuple[Any, ...], where: Where | None) -> Callable[[RecordedEvent], bool]:
    expected = [[arg, *(_over_the_wire(encoding, arg) for encoding in Encoding)] for arg in args]

    def fits(event: RecordedEvent) -> bool:
        if event.name != name if name is not None else event.name in RESERVED_EVENTS:
            return False
        if args and len(event.args) != len(args):
            return False
        if not all(arg in forms for arg, forms in zip(event.args, expected, strict=False)):
            return False
        return where is None or bool(where(*event.args))

    return fits


def _over_the_wire(encoding: Encoding, arg: Any) -> Any:
    try:
        return encoding.decode(encoding.encode(arg))
    except Exception:
        return arg  # an expectation that is no value, such as `ANY`


def _wanted(name: str | None, args: tuple[Any, ...], where: Where | None) -> str:
    event = "event" if name is None else f"event {RecordedEvent(name, args) if args else name}"
    return event if where is None else f"{event} that fits `where`"
