"""The life of a connection: attempts to connect, what the server says, a lost network, the end.

It ties the pure parts (`listeners`, `dispatch`, `session`, `backoff`) to a socket, through `link`, and to
asyncio. `connection.py` is its public face.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from ..errors import (
    AccessDenied,
    ConnectionClosed,
    ConnectionFailure,
    InternalError,
    MessageTooBig,
    OutcomeUnknown,
    ProtocolError,
    RingcastError,
    SubscriptionRefused,
    from_wire,
    may_come_back,
)
from ..wire.encoding import Encoding
from ..wire.protocol import (
    Connect,
    Connected,
    Error,
    Event,
    Gap,
    Heartbeat,
    Reply,
    ServerMessage,
    Subscribe,
    Unsubscribe,
)
from ..wire.topics import by_name, filter_of, is_filtered, name_of
from .backoff import Backoff
from .config import ClientConfig
from .dispatch import Backlog, Dispatch
from .endpoint import Endpoint
from .link import Link, Loss
from .listeners import END, LOST, Listeners
from .refusals import turns_away, wait_asked_for_s
from .requests import Request
from .session import Session
from .subscriptions import Subscriptions

__all__ = ["Address", "ConnectionOptions", "Lifecycle", "Params", "Status"]

_log = logging.getLogger("ringcast.client")

Status = Literal["idle", "connecting", "connected", "stalled", "reconnecting", "closed"]
Params: TypeAlias = Any | Callable[[], Any] | Callable[[], Awaitable[Any]]
"""A value, or a function that gives one for each connect and reconnect."""


class Address(Protocol):
    """Names the actor to connect to."""

    async def current(self, params: Any = None) -> Connect:
        """Return the connect message's fields that name the actor. Raises what `Endpoint.resolve` raises.

        `params` are for the hook of one that is created for this.
        """


@dataclass(slots=True, frozen=True)
class ConnectionOptions:
    """What a connection is made from."""

    endpoint: Endpoint
    address: Address
    params: Params
    encoding: Encoding
    config: ClientConfig
    on_closed: Callable[[], None]
    """Called once, when the connection has ended for good."""


class Lifecycle:
    """Keeps one connection alive until it is closed or refused for good."""

    def __init__(self, options: ConnectionOptions) -> None:
        config = options.config
        self.status: Status = "idle"
        """What is acted on; never `stalled`, which is only shown."""
        self.last_error: BaseException | None = None
        """Why the latest attempt or socket failed; None while connected."""
        self.end_error: RingcastError | None = None
        """Why the other side ended the connection for good."""
        self.session = Session(options.encoding, config.max_offline_calls, config.max_unanswered_calls)
        self.listeners = Listeners(self._subscribe, self._unsubscribe)
        self._subscriptions = Subscriptions()
        self.backlog = Backlog(config.max_unhandled_events, self._update_reading)
        self.dispatch = Dispatch(self.listeners, self.backlog)
        self._options = options
        self._backoff = Backoff(
            config.reconnect_first_s, config.reconnect_base_s, config.reconnect_max_s, config.random_source
        )
        self._link: Link | None = None
        """The present socket, also before it is open and answered; None between sockets."""
        self._connect = Connect("")
        """The latest connect message's actor and parameters."""
        self._connected_at = 0.0
        self._retry_after_s: float | None = None
        """When the server that has just turned this client away wants to see it again."""
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._waiting_for_ready = 0
        self._closing: asyncio.Task[None] | None = None
        self._run_task = self._loop.create_task(self._run())

    # What `connection.py` uses.

    @property
    def is_closed(self) -> bool:
        return self.status == "closed"

    @property
    def shown_status(self) -> Status:
        """What the user is told: `stalled` instead of `connected` where that cannot be told."""
        stalled = self.status == "connected" and self._link is not None and self._link.stalled
        return "stalled" if stalled else self.status

    def submit(self, request: Request) -> None:
        """Send a call, or keep it until there is a network and room for it.

        Raises `ConnectionClosed`, `OfflineQueueFull`, and what encoding the arguments raises. One that is too
        long is settled with `MessageTooBig`.
        """
        if self.status == "closed":
            raise self._closed_error()
        requests = self.session.requests
        request.by_consumer = self.backlog.is_consumer
        if self.status != "connected" or self._link is None:
            requests.queue(request)
        elif requests.may_send:
            self._link.send(*requests.send(request))
            self._update_reading()
        else:
            requests.queue(request, offline=False)
            self._update_reading()

    def withdraw(self, request: Request) -> None:
        """The caller of a request has gone, or has its answer."""
        self.session.requests.abandon(request)
        self._update_reading()

    async def ready(self) -> None:
        """Wait until connected.

        Raises `ConnectionRefused` or `ConnectionClosed` once that cannot happen any more.
        """
        self._waiting_for_ready += 1
        try:
            await asyncio.shield(self._ready)
        finally:
            self._waiting_for_ready -= 1

    async def close(self) -> None:
        """End the connection; wait for the server and for a handler that runs, unless it is the caller."""
        due_s = self._loop.time() + self._options.config.close_timeout_s
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(due_s))
        # A cancelled caller must not leave the connection half closed.
        await asyncio.shield(self._closing)
        await self.dispatch.stop(due_s - self._loop.time())

    # What the link calls.

    def on_server_message(self, message: ServerMessage, size_bytes: int) -> None:
        match message:
            case Event():
                self._on_event(message)
            case Reply():
                self._on_answer(message.id, message.value, None, size_bytes)
            case Error() if message.id is not None:
                self._on_answer(message.id, None, from_wire(message.error), size_bytes)
            case Connected() if self.status != "connected" and self._link is not None:
                self._on_connected(self._link, message)
            case Gap():
                self.session.position.skip(message.last)
                self._emit_gap(message)
            case Heartbeat():
                self._on_heartbeat(message)

    def on_request_refused(self, id: int, error: RingcastError) -> None:
        self.session.requests.refuse(id, error)
        self._on_settled()

    def on_link_lost(self, loss: Loss) -> None:
        self._link = None
        was_connected = self.status == "connected"
        if not may_come_back(loss.code):
            self._end(loss.final_error(was_connected))
            return
        self._retry_after_s = loss.retry_after_s
        lost = ConnectionFailure(f"the connection was lost ({loss.text})", code="connection_lost")
        lost.__cause__ = loss.error
        self._note_failure(lost)
        if was_connected:
            self.status = "reconnecting"
            self._ready = self._loop.create_future()
            self.session.lost()
            self._subscriptions.lost()
            if self._loop.time() - self._connected_at >= self._options.config.stable_after_s:
                self._backoff.reset()
            self.dispatch.deliver("disconnected", ())
        if isinstance(loss.error, ProtocolError):
            self._report(loss.error)

    # Connecting.

    async def _run(self) -> None:
        while True:
            self.status = "connecting" if self.session.answer is None else "reconnecting"
            await self._attempt()
            if self.is_closed:
                return
            await self._options.config.sleep(self._next_delay_s())

    def _next_delay_s(self) -> float:
        told_s, self._retry_after_s = self._retry_after_s, None
        return self._backoff.next_delay_s() if told_s is None else self._backoff.told_delay_s(told_s)

    async def _attempt(self) -> None:
        """Connect once and stay until the socket is lost, or until the attempt has failed."""
        link = Link(self, self._options.encoding)
        try:
            connect = await self._address_and_params()
            if connect is None:
                return
            async with asyncio.timeout(self._options.config.connect_timeout_s):
                self._link = link
                await link.open(self._options.endpoint, self._options.config)
                self._connect = connect
                names = self._kept_names()
                unconfirmed = self._subscriptions.unconfirmed(names)
                await link.start(self.session.connect_message(connect, names, unconfirmed))
        except (OSError, ConnectionFailure, OutcomeUnknown, InternalError) as error:
            if self.status == "connected":
                # The answer came in the turn of the loop in which the time for it was up: it counts.
                await link.wait_lost()
                return
            self._link = None
            link.abandon()
            self._note_failure(error)
        except AccessDenied as error:
            # The server does not want this client: it would not want it the next time either.
            self._link = None
            link.abandon()
            self._end(Loss(None, "", error).final_error(False))
        except Exception as error:
            # For example parameters that cannot be encoded: the next attempt may have others.
            self._link = None
            link.abandon()
            self._note_failure(error)
            self._report(error)
        else:
            await link.wait_lost()

    async def _address_and_params(self) -> Connect | None:
        """Return the connect message's actor and parameters, or None if this attempt is over."""
        params = self._options.params
        if callable(params):
            try:
                params = params()
                if inspect.isawaitable(params):
                    params = await params
            except (Exception, asyncio.CancelledError) as error:
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                    raise
                # Otherwise the function awaited something that was cancelled: this loop goes on.
                error.add_note("raised by the function that gives the connection parameters")
                self._note_failure(error)
                self._report(error)
                return None
        if self.is_closed:  # meanwhile, where the function has swallowed its cancellation
            return None
        try:
            address = await self._options.address.current(params)
        except RingcastError as error:
            if turns_away(error):
                # Nothing was created: it comes back, as a connection of `get_or_create` does.
                self._retry_after_s = wait_asked_for_s(error)
                self._note_failure(error)
                return None
            if isinstance(error, ConnectionFailure | OutcomeUnknown | InternalError):
                raise
            # Also `StoreUnavailable` and `ActionTimeout`, after which the actor may be there: whoever wanted
            # a new one is told.
            self._end(Loss(None, "", error).final_error(False))
            return None
        return address._replace(params=params)

    def _kept_names(self) -> tuple[str, ...]:
        names = self.listeners.topics()
        return tuple(name for name in names if not self._subscriptions.is_anew(name))

    def _on_connected(self, link: Link, answer: Connected) -> None:
        arrival = self.session.accept(answer)
        self.status, self.last_error = "connected", None
        self._connected_at = self._loop.time()
        self._backoff.spread_s = answer.reconnect_within_s or 0.0
        link.answered(answer.heartbeat_s)
        # In this order: repeated calls have the lowest ids, and a call that waited may cause events of a name
        # that was listened for before it was made.
        link.send(*arrival.resend)
        wanted = self.listeners.topics()
        self._subscriptions.begin(link.requested, wanted)
        for name in wanted:
            if name not in link.requested or self._subscriptions.is_anew(name):
                self._subscribe(name)
        for name in link.requested.difference(wanted):
            self._unsubscribe(name)
        link.send(*self.session.requests.send_queued())
        self._update_reading()
        self._ready.set_result(None)
        self.dispatch.deliver("connected" if arrival.first else "reconnected", ())
        if answer.snapshot is not None and self.listeners.has("resynced"):
            if arrival.gap is not None:
                self.dispatch.deliver(LOST, (arrival.gap,))
            self.dispatch.deliver("resynced", (answer.snapshot,))
        elif arrival.gap is not None:
            self._emit_gap(arrival.gap)
        if arrival.replayed is not None:
            self.dispatch.deliver("replayed", (arrival.replayed,))
        self._on_refused(answer.refused_subscriptions)

    # Being connected.

    def _on_event(self, event: Event) -> None:
        answer = self.session.answer
        if answer is None or event.stream != answer.stream:
            return
        # The position moves before handlers run: one that fails, or loses the network, must not see the event
        # again.
        new = self.session.position.advance(event.offset)
        if new and self.listeners.wants(event.name):
            args = tuple(event.args)
            topics = [listener.topic for listener in self.listeners.get(event.name)]
            self.dispatch.deliver(event.name, args, self._subscriptions.not_heard(event.name, topics, args))

    def _on_heartbeat(self, heartbeat: Heartbeat) -> None:
        answer = self.session.answer
        if answer is not None and heartbeat.stream == answer.stream:
            # Whatever is for this connection up to there has come before.
            self.session.position.skip(heartbeat.offset)
            self._backoff.spread_s = heartbeat.reconnect_within_s
            self._on_refused(heartbeat.refused_subscriptions or {})

    def _on_refused(self, refused: dict[str, dict[str, Any]]) -> None:
        """The server does not let this client listen for these names, or no longer."""
        for name, error in refused.items():
            self._subscriptions.refuse(name)
            self._report_refused(name, from_wire(error))

    def _on_answer(self, id: int, value: Any, error: RingcastError | None, size_bytes: int) -> None:
        self.session.requests.answer(id, value, error, size_bytes)
        self._on_settled()

    def _on_settled(self) -> None:
        """One request less has no answer."""
        requests = self.session.requests
        if self._link is not None:
            arrived = requests.acknowledgement()
            if arrived is not None:
                self._link.send(arrived)
            self._link.send(*requests.send_queued())
        self._update_reading()

    def _subscribe(self, name: str) -> None:
        if self.status != "connected" and self.session.answer is not None:
            topics = by_name(self.listeners.topics())
            if len(topics[name_of(name)]) > 1:
                # What its event's other topics have missed was sent before this one begins.
                self._subscriptions.leave(name)
        self._ask(Subscribe, name)

    def _unsubscribe(self, name: str) -> None:
        if self.status != "connected" and self.session.answer is not None:
            self._subscriptions.leave(name)
        self._ask(Unsubscribe, name)

    def _ask(self, kind: type[Subscribe] | type[Unsubscribe], name: str) -> None:
        """Send a request about a name; without a network the next connect message says it."""
        if self.status == "connected" and self._link is not None:
            request = Request(kind, name, lambda _value, error: self._on_asked(request, error))
            self._subscriptions.ask(request)
            if kind is Subscribe and not self.session.has_room(self._connect, self._subscriptions.taken()):
                # A connection that listened for more than it can name could not come back.
                why = "it was not sent: a connect message with all that is listened for would be too long"
                request.settle(None, MessageTooBig(why))
                return
            self._link.send(*self.session.requests.send(request))

    def _on_asked(self, request: Request, error: RingcastError | None) -> None:
        self._subscriptions.answer(request, refused=error is not None)
        # One that fails to end a subscription does no harm: an event that comes then finds no listener.
        if error is not None and request.kind is Subscribe:
            if request.refused or isinstance(error, MessageTooBig):
                # Nor would a connect message with it be taken.
                self._subscriptions.leave(request.name)
            self._report_refused(request.name, error)

    def _report_refused(self, topic: str, error: RingcastError) -> None:
        shown = repr(name_of(topic))
        if is_filtered(topic):
            shown += f" where {filter_of(topic)!r:.200}"
        refused = SubscriptionRefused(
            f"the subscription to {shown} was refused: {error.message}",
            code=error.code,
            metadata=error.metadata,
        )
        refused.__cause__ = error
        self._report(refused)

    def _update_reading(self) -> None:
        # A handler may wait for an answer, so while one is due the socket is read on, up to a second bound:
        # there those give up who would wait for ever, because they do not handle what is before the answer.
        requests = self.session.requests
        if self.backlog.overfull and self._link is not None:
            requests.give_up_consumers()
        if self._link is not None:
            due = requests.unanswered > 0 and not self.backlog.overfull
            self._link.set_reading(due or not self.backlog.full)

    # Telling.

    def _emit_gap(self, gap: Gap) -> None:
        self.dispatch.deliver(LOST, (gap,))
        if self.listeners.has("gap"):
            self.dispatch.deliver("gap", (gap,))
        elif not self.listeners.has(LOST):
            _log.warning("events are missing (%s), and no listener for 'gap' was told", gap.reason)

    def _report(self, error: BaseException) -> None:
        if self.listeners.has("error"):
            self.dispatch.deliver("error", (error,))
        else:
            _log.error("%s", error, exc_info=error)

    def _note_failure(self, error: BaseException) -> None:
        # One warning for each time without a network: attempts go on without end.
        level = logging.DEBUG if self.last_error is not None else logging.WARNING
        _log.log(level, "not connected, trying again: %s", str(error) or type(error).__name__)
        self.last_error = error

    # Ending.

    def _closed_error(self) -> ConnectionClosed:
        closed = ConnectionClosed(
            "the connection is closed" + (f": {self.end_error.message}" if self.end_error else "")
        )
        closed.__cause__ = self.end_error
        return closed

    def _end(self, error: RingcastError | None) -> None:
        """End for good: with `error` by the other side, with None by this one."""
        was_connected = self.status == "connected"
        self.status = "closed"
        self.end_error = error
        if error is not None:
            self.last_error = error
        self.session.lost()
        self.session.requests.end(self._closed_error())
        if self._ready.done():
            self._ready = self._loop.create_future()
        self._ready.set_exception(error or self._closed_error())
        self._ready.exception()  # seen: nobody has to wait for it
        if was_connected:
            self.dispatch.deliver("disconnected", ())
        if error is not None and (self.listeners.has("error") or not self._waiting_for_ready):
            self._report(error)
        self.dispatch.deliver(END, (error,))
        self._options.on_closed()

    async def _close(self, due_s: float) -> None:
        link, self._link = self._link, None
        self._run_task.cancel()
        if self.status != "closed":
            self.dispatch.clear()
            self._end(None)
        if link is not None:
            await link.close()
        # It may run a function of the user's, which need not end because it is cancelled.
        await asyncio.wait({self._run_task}, timeout=max(0.0, due_s - self._loop.time()))
