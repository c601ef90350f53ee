"""A client's connection to one actor, as its user sees it: listeners, calls, streams, status.

Staying connected is `lifecycle.py`; running handlers is `dispatch.py`. Not thread-safe: use a connection from
the event loop it was made in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Self

from ..errors import ActionTimeout, RingcastError
from ..wire.naming import RESERVED_EVENTS
from ..wire.protocol import MAX_NAME_CHARS, Call
from .lifecycle import ConnectionOptions, Lifecycle, Status
from .listeners import END, LOST, Handler
from .requests import Request
from .stream import EventBuffer, EventStream

__all__ = ["Connection", "Where"]

Where = Mapping[str, Any]
"""A filter over the fields of an event's first argument: by field, and operator, the value."""


class Connection:
    """A live connection to one actor; made by `ActorHandle.connect`.

    `async with` waits until it is connected and closes it at the end. An attribute that is none of the
    attributes below is an action: `await connection.send_message("hello")`. One whose name is also that of an
    attribute (`close`, `status`) is called by its name: `await connection.call("status")`.

    Handlers are functions or coroutine functions and run one at a time, in the order of arrival: the next
    event waits until an async handler has finished. When many events wait, the socket is no longer read, and
    the server applies its rule for slow readers; when that lasts, `status` is `stalled`. A call's result does
    not wait for async handlers, so that a handler may make calls; functions that handle events from before
    the result have run. For that the socket is read on while a call is unanswered, up to 16 times as many
    events: then calls made by handlers, and by the readers of streams, raise `OutcomeUnknown`, and others are
    answered when events have been handled.

    Lifecycle events come through the same queue: `connected`, `disconnected`, `reconnected` (no arguments),
    `replayed` (how many missed events follow), `gap` (a `protocol.Gap`: events are lost), `resynced` (the
    actor's snapshot, on the first connect and in place of a gap: only events after it follow) and `error` (an
    exception: of a handler, of a refused subscription, of the parameter function, of what the server sent, or
    the end for good). A
    `gap` or an `error` that nobody listens for goes to the log.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        self._lifecycle = Lifecycle(options)

    # Listening.

    def on(self, name: str, handler: Handler, *, where: Where | None = None) -> Callable[[], None]:
        """Run `handler` with the arguments of every event `name`; return a function that ends this.

        With `where`, of those whose first argument has such fields: ``where={"zone": 3, "level__ge": 2}``.
        Only those are sent, if nobody listens for others. The keys are what `ringcast.where` takes, for
        fields that the actor declares.

        Handlers of a name run in the order in which they were added. The server is told about the first one
        of a name, or of a name with this filter, and about the last one that goes. Raises `TypeError` or
        `ValueError` for a handler or name that cannot be one, and `InvalidFilter`; what the server refuses
        comes as an `error`.
        """
        listeners = self._lifecycle.listeners
        return partial(listeners.remove, listeners.add(name, handler, where))

    def once(self, name: str, handler: Handler, *, where: Where | None = None) -> Callable[[], None]:
        """Run `handler` for the next event `name` only, with `where` for the next that matches.

        Returns a function that ends this before.
        """
        listeners = self._lifecycle.listeners
        return partial(listeners.remove, listeners.add(name, handler, where, once=True))

    def off(self, name: str | None = None, handler: Handler | None = None) -> None:
        """Remove a handler of `name`, every handler of `name`, or every handler, lifecycle ones too.

        Takes effect at once, also inside a handler. Streams are not touched: close them, or leave their loop.
        """
        self._lifecycle.listeners.off(name, handler)

    def stream(self, name: str, *, where: Where | None = None) -> EventStream:
        """Return the events `name` from now on, for `async for`; see `EventStream` and, for `where`, `on`.

        Raises `ValueError` for a lifecycle name.
        """
        if name in RESERVED_EVENTS:
            raise ValueError(f"{name!r} is a lifecycle event: use on({name!r}, handler)")
        lifecycle = self._lifecycle
        buffer = EventBuffer(lifecycle.backlog)
        listeners = lifecycle.listeners
        added = [
            listeners.add(name, buffer.put, where, internal=True),
            listeners.add(LOST, buffer.put_gap, internal=True),
            listeners.add(END, buffer.end, internal=True),
        ]

        def stop() -> None:
            for listener in added:
                listeners.remove(listener)
            buffer.end(None)
            buffer.discard()

        if lifecycle.status == "closed":
            buffer.end(lifecycle.end_error)
        return EventStream(buffer, stop)

    # Calling.

    async def call(self, action: str, *args: Any, timeout_s: float | None = None) -> Any:
        """Run an action and return its result.

        While there is no network the call waits; if it was sent already it is sent again, and runs once. A
        caller that is cancelled, or gives up after `timeout_s` seconds, takes a call back that was not sent.

        Raises the error that the action ended with; `ActionTimeout` after `timeout_s`; `MessageTooBig` for
        arguments of which the server takes no message, which were not sent, or of which a proxy on the way
        takes none; `OfflineQueueFull` when too many calls wait; `OutcomeUnknown` when the server no longer
        has the result after a lost network; `ConnectionClosed`; `TypeError` or `ValueError` for an argument
        that cannot be encoded.
        """
        if not 0 < len(action) <= MAX_NAME_CHARS:
            raise ValueError(f"an action's name has 1 to {MAX_NAME_CHARS} characters")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        request = Request(Call, action, partial(_settle, answer), list(args))
        self._lifecycle.submit(request)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError as error:
            raise ActionTimeout(
                f"{action} was not answered within {timeout_s} s; it may still run"
            ) from error
        finally:
            self._lifecycle.withdraw(request)

    def __getattr__(self, action: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        if action.startswith("_"):
            raise AttributeError(action)
        return partial(self.call, action)

    # Lifecycle.

    @property
    def status(self) -> Status:
        """`idle`, `connecting`, `connected`, `stalled`, `reconnecting` or `closed`, as of now.

        `stalled`: handlers are behind, and because of them the socket has not been read for so long (30
        seconds, or less: see `ClientConfig.ping_reply_s`) that the network may be lost. It is over when
        something comes from the server again; if nothing does although the socket is read, `reconnecting`
        follows. Until then everything goes on as while `connected`, and there is no lifecycle event for it.
        """
        return self._lifecycle.shown_status

    @property
    def id(self) -> str | None:
        """The id that the actor knows this connection by; None before the first connect."""
        answer = self._lifecycle.session.answer
        return None if answer is None else answer.connection

    @property
    def actor_id(self) -> str | None:
        """The actor's id; None before the first connect."""
        answer = self._lifecycle.session.answer
        return None if answer is None else answer.actor_id

    @property
    def snapshot(self) -> Any:
        """The latest snapshot that the actor gave; None if it gives none."""
        return self._lifecycle.session.snapshot

    @property
    def position(self) -> tuple[str | None, int]:
        """Epoch and offset of the last event that arrived."""
        position = self._lifecycle.session.position
        return position.epoch, position.offset

    @property
    def duplicates(self) -> int:
        """How many events came twice and were dropped."""
        return self._lifecycle.session.position.duplicates

    @property
    def last_error(self) -> BaseException | None:
        """Why there is no connection at the moment, or why it has ended; None while connected."""
        return self._lifecycle.last_error

    async def ready(self) -> None:
        """Wait until connected.

        Attempts go on without end, so use `asyncio.timeout` to give up. Raises `ConnectionRefused` when the
        server refused for good, with the reason as its cause, and `ConnectionClosed` after a close.
        """
        await self._lifecycle.ready()

    async def close(self) -> None:
        """End the connection and its session, and wait for the server. A second time does nothing.

        Calls that were not sent raise `ConnectionClosed`, those that were and have no answer
        `OutcomeUnknown`. Events that have not been handled are dropped. A handler that runs is waited for,
        and cancelled so that all of this is over within `ClientConfig.close_timeout_s`; one that goes on all
        the same is left to itself. Streams end.
        """
        await self._lifecycle.close()

    async def __aenter__(self) -> Self:
        try:
            await self.ready()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Connection {self.id or ''} {self.status}>"


def _settle(answer: asyncio.Future[Any], value: Any, error: RingcastError | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)
