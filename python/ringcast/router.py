"""The router: where a process's actors, sessions and core come together, from start to stop.

The only importer of the native module. Sockets and HTTP are in `server/`, which calls in here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from . import _core
from .clock import Clock
from .config import ServerConfig
from .connection import Connection
from .errors import ActorNotFound, CloseCode, ConnectionClosed, OutcomeUnknown, RingcastError
from .fault_log import forget_faults
from .faults import for_client, from_store
from .gateway.admission import connect
from .gateway.answers import Answers
from .gateway.drain import SweepWaiter
from .gateway.limits import new_counters
from .gateway.link import Gateway, Link
from .gateway.parting import Parting
from .gateway.relay import Relay, ResponseBody, WebSocket
from .gateway.session import Session
from .gateway.unclaimed import Unclaimed
from .operations.metrics import ActorCounts, Metrics
from .operations.store_health import WatchedStore
from .request import EMPTY, Caller, CallFromOutside, Request, Transport
from .running.directory import Directory
from .running.instance import ActorInstance
from .running.letting_in import call_let_in, let_in
from .running.timetable import Timetable
from .schema.definition import ActorDefinition
from .store import StoredSession
from .wire.encoding import Encoding
from .wire.protocol import Connect, existing_only

if TYPE_CHECKING:
    from .client import Client
    from .connection import Connection
    from .registry import Registry

__all__ = ["Link", "Router"]

_log: Final = logging.getLogger("ringcast.router")


class Router:
    """Runs the actors of a registry and the sessions of their clients.

    Start it on the event loop that it shall live on, and stop it there. Use it through `Registry` and the
    server.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.config: ServerConfig = registry.config
        self.clock: Clock = registry.clock
        self.store = WatchedStore(registry.store, self.clock)
        self.metrics: Metrics | None = None
        """What is counted, once it has started; None where the settings ask for no metrics."""
        self._directory = Directory(self, registry.definition)
        self.capacity: Final = self._directory.capacity
        self.timetable = Timetable(self.clock, self._directory)
        self._unclaimed = Unclaimed(self.clock, self.config.session_window_s, self._directory.wake)
        self._core: _core.Core | None = None
        self._gateway: Gateway | None = None
        self._sweep: SweepWaiter | None = None
        self._relay: Relay | None = None
        self.draining = False
        """Whether it is going to stop, and still does everything."""
        # Many may ask for the start at once: the first one does it, the others wait for it.
        self._starting = asyncio.Lock()
        self.limits_hit: Counter[str] = new_counters()
        """How often each limit was run into since this router was made, by its name in `ServerConfig`."""
        self.answers = Answers(self.config, self.clock, self.limits_hit)
        """Those of calls with a key."""
        self._started_at = 0.0
        self._called: set[asyncio.Future[Any]] = set()
        """What those who call actions without a connection wait for."""
        self._stop: asyncio.Task[None] | None = None
        self._parting: Parting | None = None
        """While it stops."""

    # --- life -------------------------------------------------------------------------------------------

    @property
    def started(self) -> bool:
        """Whether `start` has been done and `stop` has not been called."""
        return self._gateway is not None and not self._gateway.stopping

    @property
    def has_started(self) -> bool:
        """Whether `start` has been done, be it that it stops by now."""
        return self._gateway is not None

    async def start(self) -> None:
        """Open the store and the core, and run what is scheduled. Raises what the store raises.

        Idempotent until `stop`.
        """
        async with self._starting:
            if self._gateway is not None:
                return
            loop = asyncio.get_running_loop()
            forget_faults()
            await self.store.open()
            try:
                calls = await self.store.schedule()
                with_sessions = await self.store.with_sessions()
                self.capacity.stored = await self.store.count()
            except BaseException:
                await self.store.close()
                raise
            self._core = _core.Core(
                writer_threads=self.config.writer_threads,
                close_timeout_s=self.config.close_timeout_s,
                compress_min_bytes=self.config.compress_min_bytes,
            )
            if self.config.metrics:
                self.metrics = Metrics(loop, self.registry.definitions, self._core.open_tally)
                self.metrics.lag.start()
            self._sweep = SweepWaiter(self._core, loop)
            self._relay = Relay(self._core, loop)
            self._gateway = Gateway(
                self.config, loop, self.clock, self._find, connect, limits_hit=self.limits_hit
            )
            self._started_at = self.clock.now()
            self.timetable.start(calls)
            self._unclaimed.start(with_sessions)

    def hurry(self) -> None:
        """Save what actors have in memory at once, and from now on soon after each change.

        For who has been told that the process is to end, and cannot know whether `stop` comes before that.
        """
        self._directory.hurry()

    async def stop(self) -> None:
        """Stop in order; a router is not started again.

        New connections are refused, actors finish their running actions and are saved, and every client is
        sent the close code that tells it to come back. Idempotent.
        """
        if self._gateway is None:
            return
        if self._stop is None:
            self._gateway.stopping = True
            loop = self._gateway.loop
            due_s = loop.time() + self.config.shutdown_timeout_s
            self._parting = Parting(self.config, due_s, lambda: self.connections, loop.time)
            self._stop = loop.create_task(self._shut_down(self._gateway), name="stop")
        await asyncio.shield(self._stop)

    async def _shut_down(self, gateway: Gateway) -> None:
        self.timetable.stop()
        await self._unclaimed.stop()
        for link in list(gateway.links):
            # Those who are still connecting; the others leave with their actor.
            if link.session is None:
                link.close(CloseCode.SERVER_RESTART)
        await self._directory.close()
        for answer in self._called:
            if not answer.done():  # its action goes on although it was cancelled
                answer.set_exception(OutcomeUnknown("the server has stopped before the action has ended"))
        await self.timetable.close()
        for task in list(gateway.tasks):
            task.cancel()
        if gateway.tasks:
            await asyncio.wait(list(gateway.tasks), timeout=1)
        for link in list(gateway.links):
            link.close(CloseCode.SERVER_RESTART)
        if self.metrics is not None:
            self.metrics.lag.stop()
        assert self._sweep is not None and self._relay is not None and self._core is not None
        self._sweep.close()
        self.answers.close()
        await self._relay.wait_parted(self.config.close_timeout_s)
        # The core gives up what it cannot hand over at once.
        self._relay.write_all()
        self._core.close()
        relay, self._relay = self._relay, None
        relay.close()
        try:
            await self.store.close()
        except Exception:
            _log.exception("the store did not close cleanly")

    # --- what the server calls ----------------------------------------------------------------------------

    def open_sink(self, fd: int, encoding: Encoding, compressed: bool = False) -> _core.Sink:
        """Let the core write to the socket `fd`; `compressed` says that its client takes that.

        Raises `OSError`; `ConnectionClosed` when not started.
        """
        if self._core is None:
            raise ConnectionClosed("the server is not running")
        return self._core.open_sink(fd, encoding.index, compressed)

    def open_relayed_sink(
        self, transport: asyncio.WriteTransport, encoding: Encoding, compressed: bool = False
    ) -> _core.Sink:
        """Have the loop write to `transport` for the core, where there is no plain socket.

        Raises `ConnectionClosed` when not started.
        """
        if self._relay is None:
            raise ConnectionClosed("the server is not running")
        return self._relay.open_sink(transport, encoding, compressed)

    def open_message_sink(self, websocket: WebSocket, encoding: Encoding, batched: bool) -> _core.Sink:
        """Have the loop send to `websocket`, whose frames somebody else makes; `batched` says that its client
        takes several messages in one.

        Raises `ConnectionClosed` when not started.
        """
        if self._relay is None:
            raise ConnectionClosed("the server is not running")
        return self._relay.open_messages(websocket, encoding, batched)

    def open_event_stream(self, fd: int) -> _core.Sink:
        """Let the core write server-sent events to the socket `fd`. Raises as `open_sink`."""
        if self._core is None:
            raise ConnectionClosed("the server is not running")
        return self._core.open_event_stream(fd)

    def open_relayed_event_stream(self, transport: asyncio.WriteTransport) -> _core.Sink:
        """Have the loop write them to `transport`. Raises as `open_relayed_sink`."""
        if self._relay is None:
            raise ConnectionClosed("the server is not running")
        return self._relay.open_event_stream(transport)

    def open_event_response(self, body: ResponseBody) -> _core.Sink:
        """Have the loop send them as the body of a response. Raises `ConnectionClosed` when not started."""
        if self._relay is None:
            raise ConnectionClosed("the server is not running")
        return self._relay.open_response(body)

    @property
    def gateway(self) -> Gateway:
        """What the links and sessions share. Raises `ConnectionClosed` when not started."""
        if self._gateway is None:
            raise ConnectionClosed("the server is not running")
        return self._gateway

    def accept(self, sink: _core.Sink, encoding: Encoding, request: Request = EMPTY) -> Link:
        """Take an upgraded socket. The caller passes each of its messages, and its end, to the link.

        `request` is what its client came with, for the hooks before its connection.
        """
        if self._gateway is None:
            raise ConnectionClosed("the server is not running")
        link = Link(self._gateway, sink, encoding, request)
        if self._gateway.stopping:
            link.close(CloseCode.SERVER_RESTART)
        return link

    async def call(self, request: Connect, action: str, args: list[Any]) -> Any:
        """Run an action for this process, without a connection; as `call_from_outside`."""
        return await self.call_from_outside(request, CallFromOutside(0, action, args))

    async def call_from_outside(self, request: Connect, call: CallFromOutside) -> Any:
        """Run an action without a connection and return its result. `request` is used as the actor's address.

        Who does not come from this process has to pass `on_before_connect` first.
        Raises a `RingcastError`, fit for a client, for whatever goes wrong.
        """
        caller = _caller(call)
        inside = caller.came.transport == "in_process"
        actor = await self._instance_for_call(request, None if inside else caller)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def respond(id: int, value: Any, error: RingcastError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        # Refused at once, as it has done nothing yet.
        actor.room.require()
        call_let_in(actor, call, caller, respond)
        self._called.add(future)
        try:
            result = await future
        except RingcastError:
            await actor.settled()
            raise
        finally:
            self._called.discard(future)
        # Not where the caller gave up: it may be the actor's own action, whose end a commit waits for.
        await actor.settled()
        return result

    async def let_in(self, request: Connect, call: CallFromOutside) -> None:
        """Have `on_before_connect` look at who sends a call for which there is an answer already.

        Nothing is created for it. Raises what refuses it, and `OutcomeUnknown` where the actor is gone, so
        that nobody can tell for whom the answer is.
        """
        if self.registry.definition(request.actor).hooks.on_before_connect is None:
            return
        try:
            actor = await self._instance_for_call(existing_only(request))
        except ActorNotFound as error:
            raise OutcomeUnknown(
                "this call came before; its actor is gone, and nobody can say whose the answer is"
            ) from error
        await let_in(actor, _caller(call))

    async def kept_answer(self, request: Connect, call: CallFromOutside) -> bytes | None:
        """Return what a durable actor has kept, in an earlier process, of a call with the key of this one.

        None where there is nothing, or nobody would want it any more. Raises as `call_from_outside`, also
        what refuses the call, which has to be let in before it is told.
        """
        up_s = self.clock.now() - self._started_at
        if up_s > self.config.keyed_answer_window_s or not self.registry.definition(request.actor).durable:
            return None
        try:
            actor = await self._instance_for_call(existing_only(request))
        except ActorNotFound:
            return None
        assert call.keep is not None  # who asks has set it
        kept = await from_store(self.store.answer(actor.actor_id, call.keep.key))
        if kept is not None:
            await let_in(actor, _caller(call))
        return kept

    async def resolve(self, request: Connect, caller: Caller | None = None) -> tuple[str, tuple[str, ...]]:
        """Return the id and key of the actor that `request` asks for. Raises as `call`.

        For a `caller` from outside an actor is created only if it is let in.
        """
        actor = await self._instance_for_call(request, caller)
        return actor.actor_id, actor.key

    @property
    def actors(self) -> int:
        """How many actors run."""
        return len(self._directory)

    @property
    def stored_actors(self) -> int:
        """How many actors the store has, those that are asleep included."""
        return self.capacity.stored

    @property
    def unready(self) -> str | None:
        """Why no client should be sent here at the moment; None if any may come."""
        if self._gateway is None:
            return "starting"
        if self.draining or self._gateway.stopping:
            return "draining"
        return "store" if self.store.is_failing else None

    @property
    def refusals(self) -> Mapping[str, int]:
        """How many connects were refused, by close code."""
        return {} if self._gateway is None else self._gateway.refusals

    @property
    def running(self) -> Iterator[ActorInstance]:
        """The actors that run; for those who measure."""
        return iter(self._directory)

    @property
    def sockets(self) -> int:
        """How many sockets of clients are open, of WebSockets and event streams, connected to an actor or not
        yet."""
        return 0 if self._gateway is None else len(self._gateway.links)

    def sockets_by_transport(self) -> dict[Transport, int]:
        """Count them by what they carry. Takes as long as there are many."""
        found: dict[Transport, int] = {"websocket": 0, "sse": 0}
        for link in () if self._gateway is None else self._gateway.links:
            found[link.transport] += 1
        return found

    @property
    def reconnect_within_s(self) -> float:
        """Over how many seconds clients are to spread their first tries, if all of them are lost now."""
        return 0.0 if self._gateway is None else self._gateway.reconnect_within_s

    @property
    def connections(self) -> int:
        """How many sessions there are, attached or waiting for their client."""
        return 0 if self._gateway is None else len(self._gateway.sessions)

    # --- what actors ask (`seam.Node`) ----------------------------------------------------------------------

    def open_stream(self, epoch: str, definition: ActorDefinition, base: int = 0) -> _core.Stream:
        """Open the ring of an actor that starts, behind the offset `base`."""
        assert self._core is not None
        options, counts = definition.stream, self.counts_of(definition)
        return self._core.open_stream(
            epoch,
            max_events=options.max_events,
            max_bytes=options.max_bytes,
            slow_reader=options.slow_reader,
            base=base,
            tally=None if counts is None else counts.tally,
        )

    def counts_of(self, definition: ActorDefinition) -> ActorCounts | None:
        """Return what is counted of the actors of a class; None where nothing is."""
        return None if self.metrics is None else self.metrics.actors[definition.name]

    def restore(
        self, actor: ActorInstance, kept: StoredSession, connection: Connection[Any], number: int
    ) -> None:
        """Make a session of what was kept; its client may come back once it is `expected`."""
        assert self._gateway is not None
        session = Session(self._gateway, actor, connection, Encoding[kept.encoding])
        session.token, session.number = kept.token, number
        session.subscriptions = tuple(each.name for each in kept.subscriptions if each.until is None)
        session.restore(kept.replies)
        connection.bind(session, number)

    async def drain(self, stream: _core.Stream) -> None:
        """Wait for the sweep of an actor's stream."""
        if self._sweep is not None:
            await self._sweep.drain(stream)

    async def turn_to_close(self, connection: Connection[Any]) -> None:
        """Wait until the socket of a connection may be closed: in batches, while the server stops."""
        if self._parting is not None and connection.connected:
            await self._parting.turn()

    def client(self) -> Client:
        """Return the registry's client in this process."""
        return self.registry.client

    def retire(self, instance: ActorInstance) -> None:
        """Destroy an actor."""
        self._directory.retire(instance, CloseCode.ACTOR_DESTROYED, destroy=True)

    def give_up(self, instance: ActorInstance) -> None:
        """Stop an actor that cannot go on as it is."""
        self._directory.retire(instance, CloseCode.INTERNAL_ERROR, destroy=False)

    def sleep(self, instance: ActorInstance) -> bool:
        """Stop an actor that nobody uses, unless somebody has just asked for it."""
        return self._directory.sleep(instance)

    # --- inner ------------------------------------------------------------------------------------------

    async def _find(self, request: Connect, caller: Caller | None = None) -> ActorInstance:
        if not self.started:
            raise ConnectionClosed("the server is shutting down")
        return await self._directory.find(self.registry.definition(request.actor), request, caller)

    async def _instance_for_call(self, request: Connect, caller: Caller | None = None) -> ActorInstance:
        try:
            return await self._find(request, caller)
        except RingcastError:
            raise
        except Exception as error:
            raise for_client(error, _log, f"starting {request.actor}") from error


def _caller(call: CallFromOutside) -> Caller:
    return Caller(call.came, call.params, call.action)
