"""One running actor: its life from start to stop, its connections, and the calls that it answers.

It is the actor side of the seam (`seam.py`): it emits into a stream and never sees a socket. Which actors
run, and that each runs once, is the work of `directory.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..connection import Connection, KeptConnection
from ..connections import Connections
from ..context import Context, RequestContext
from ..durable.keeping import Keeping
from ..durable.room import Room
from ..errors import ActorDestroyed, CloseCode
from ..fault_log import log_fault
from ..faults import ActorLog, Hook, StoreFault, from_store, raise_interrupt, run_hook, was_cancelled
from ..record import Span
from ..request import EMPTY, Caller
from ..schema.definition import ActorDefinition
from ..seam import GatewayStream, Node, Respond
from ..store import Change, DestroyBegun, StoredActor, StoredStream
from ..wire.encoding import Encoding
from ..wire.protocol import Call, Connect
from .calls import Calls
from .ending import TimeLeft, end, fall_asleep
from .event import Emitter
from .event_filters import may_subscribe
from .letting_in import is_asked_about, let_in_first, undo_start, welcome
from .matching import Matching
from .performing import Performing
from .permission import Permission
from .questions import snapshot
from .settling import Settling
from .sleep import IdleTimer
from .state import SavedState
from .status import RUNNING, Status
from .tasks import UNNAMED, ActorTasks
from .timetable import Item
from .turns import Turns

if TYPE_CHECKING:
    from ..actor import Actor

__all__ = ["ActorInstance"]

_NEVER_FULL: Final = Room()
ResultT = TypeVar("ResultT")


class ActorInstance:
    """A running actor. Made by the directory, which starts it once and stops it once."""

    def __init__(
        self,
        definition: ActorDefinition,
        actor_id: str,
        key: tuple[str, ...],
        node: Node,
        kept: StoredStream | None = None,
    ) -> None:
        """`kept` is what the store has of a durable actor's stream."""
        self.definition = definition
        self.actor_id = actor_id
        self.key = key
        self.node = node
        self.status = Status.STARTING
        self.log, self.counts = ActorLog(definition.name, actor_id, key), node.counts_of(definition)
        self._keeping = Keeping(self, kept) if definition.durable else None
        self.stream: GatewayStream = (
            node.open_stream(secrets.token_urlsafe(9), definition)
            if self._keeping is None
            else self._keeping.stream
        )
        checks = definition.event_checks(node.config.validate_events)
        name, filters = f"{definition.name} {actor_id}", partial(Matching.begin, self)
        self.emitter = Emitter(self.stream, name, filters, definition.stream.msgpack_only, checks)
        if definition.hooks.can_subscribe is not None:
            self.emitter.permission = Permission(self)
        self.conns: Connections[Any] = Connections(self.emitter)
        self.calls = Calls(self)
        self.performing = Performing(self)
        self.settle: Final = Settling(self).settle
        """Call it when user code has run: see whether the state has changed."""
        self.state = SavedState(definition.state, node, actor_id, self.log, self.performing.kept)
        if self._keeping is not None:
            self.state.journal = self._keeping.journal
        self.tasks = ActorTasks(self.log, self.used)
        # Connections whose connect hooks have not passed.
        self._arriving: set[Connection[Any]] = set()
        self.idle = IdleTimer(self)
        self.in_progress = 0
        """How many actions and hooks of connections run, which may have changed the state half-way."""
        self.ends_for_good = False
        """Whether it is to be deleted when it stops, with all that it has scheduled."""
        self.deleted = False
        self.is_damaged = False
        """Whether the store has said that its journal is: it cannot go on with that."""
        self.actor: Actor[Any, Any] = definition.cls.__new__(definition.cls)
        self.actor._instance = self
        self.context: Context[Any, Any] = Context(self, None)

    # --- life -------------------------------------------------------------------------------------------

    async def create(self, input: Any, caller: Caller | None = None) -> None:
        """Start an actor that the store does not have yet: it is stored once `on_create` has passed.

        One for a `caller` from outside is started before that, and lets it in first. Raises `CallerRefused`.
        """
        self.actor.__init__()  # type: ignore[misc]  # made by __new__, so that `__init__` can use the scope
        hooks = self.definition.hooks
        asked = Caller(EMPTY) if caller is None else caller
        context = RequestContext(self, asked.came, asked.params)
        if hooks.create_state is None:
            state = self.definition.state.construct()
        else:
            value = self.definition.checked("create_state", f"{self.definition.name} input", input)
            state = await hooks.create_state.run(self.actor, context, value)
        self.state.begin(state)
        await run_hook(hooks.on_create, self.actor, context)
        guarded = caller is not None and is_asked_about(self, caller)
        if guarded:
            await self._on_start()
            await let_in_first(self, asked)
        try:
            await self.state.create(self.definition.name, self.key)
        except BaseException:
            if guarded:
                await undo_start(self)
            raise
        await self._begin(has_started=guarded)

    async def load(self, stored: StoredActor) -> None:
        """Start an actor that the store has."""
        self.actor.__init__()  # type: ignore[misc]
        self.ends_for_good = stored.ends_for_good
        self.state.load(stored.state)
        if self._keeping is not None:
            self._keeping.restore()
        await self._begin()

    async def _on_start(self) -> None:
        # No hook of a connection before it has ended.
        async with self.turn():
            await run_hook(self.definition.hooks.on_start, self.actor, self.context)

    async def _begin(self, has_started: bool = False) -> None:
        if not has_started:
            await self._on_start()
        if self.state.is_behind:
            await from_store(self.state.keep())
        if self._keeping is not None:
            self._keeping.journal.open()
        self._run_on(settled=has_started)
        for connection in self.conns:
            connection.expected()
        if self._keeping is not None:
            self._keeping.see_off_lost()

    def _run_on(self, settled: bool = False) -> None:
        self.status = RUNNING
        if not settled and self.definition.hooks.on_state_change is not None:
            self.state.settle()
        self.state.start_saving(lambda: bool(self.tasks or self.tasks.background))
        self.idle.used()
        if self.ends_for_good:  # asked for while it started
            self.destroy()

    async def abandon(self) -> None:
        """Let go of an actor whose start failed."""
        self.status = Status.STOPPED
        await self.tasks.end_background()
        self.emitter.close()
        self.state.close()
        if self._keeping is not None:
            self._keeping.journal.abandon()
        self.stream.shut()

    async def stop(self, code: CloseCode, *, destroy: bool = False, deadline: float | None = None) -> None:
        """End every connection with `code`, run `on_stop`, save or delete the state, let go of the stream.

        By `deadline`, a time of the loop, or in the configured time. Raises nothing: that is logged.
        """
        self.ends_for_good = self.ends_for_good or destroy
        self._begin_to_stop()
        leaving = await end(self, TimeLeft(self.node.config.shutdown_timeout_s, deadline))
        if self.ends_for_good:
            # Unless the store may know nothing of it.
            kept = self.deleted or self._keeping is None or self._keeping.journal.is_certain
            code = CloseCode.ACTOR_DESTROYED if kept else CloseCode.INTERNAL_ERROR
        await self._let_go(code, leaving)

    async def sleep(self) -> bool:
        """Stop an actor without connections and running code, to be started again from the store.

        Tells whether it has stopped: it goes on, started anew, when it cannot be saved. Raises nothing.
        """
        self._begin_to_stop()
        if not await fall_asleep(self, TimeLeft(self.node.config.shutdown_timeout_s)):
            self._run_on()
            return False
        await self._let_go(CloseCode.NORMAL, [])
        return True

    def _begin_to_stop(self) -> None:
        self.status = Status.STOPPING
        self.idle.stop()

    async def _let_go(self, code: CloseCode, leaving: Iterable[Connection[Any]]) -> None:
        self.status = Status.STOPPED
        self.emitter.close()
        self.state.close()
        for connection in leaving:
            await self.node.turn_to_close(connection)
            connection.end(code)
        for connection in self.conns:
            await self.node.turn_to_close(connection)
            connection.suspend(code)
        self.stream.shut()

    def destroy(self) -> None:
        """Begin to end this actor for good; what runs may return first. Raises `ActorDestroyed` when over."""
        if self.has_stopped and not self.ends_for_good:
            raise ActorDestroyed(f"{self.definition.name} {self.actor_id} has stopped")
        if self._keeping is not None and not self.ends_for_good:
            # Committed with the action that asks for it: whoever is told of that finds it done after a crash.
            self._keeping.journal.add(DestroyBegun())
        self.ends_for_good = True
        if self.status is RUNNING:
            self.status = Status.STOPPING
            self.node.retire(self)

    def fail(self) -> None:
        """Begin to end this actor, whose journal is damaged: started anew, it begins a new stream."""
        self.is_damaged = True
        if self.status is RUNNING:
            self.status = Status.STOPPING
            self.node.give_up(self)

    # --- connections ------------------------------------------------------------------------------------

    @property
    def open_connections(self) -> list[Connection[Any]]:
        """Those that are open in the stream, their connect hooks passed or not."""
        return [connection for connection in (*self.conns, *self._arriving) if connection.is_open]

    @property
    def is_busy(self) -> bool:
        """Whether there are connections, or user code runs that will end."""
        tasks = self.tasks
        return bool(len(self.conns) or self._arriving or tasks or tasks.background)

    @property
    def is_starting(self) -> bool:
        return self.status is Status.STARTING

    @property
    def is_running(self) -> bool:
        return self.status is RUNNING

    @property
    def has_stopped(self) -> bool:
        """Whether nothing that this actor does is kept any more."""
        return self.status is Status.STOPPED or self.deleted or self.state.is_final

    def is_at(self, address: Connect) -> bool:
        """Tell whether this is the actor that `address` names."""
        if address.actor not in self.definition.wire_names:
            return False
        return address.actor_id == self.actor_id if address.lookup == "id" else address.key == self.key

    def require_encoding(self, encoding: Encoding) -> None:
        self.definition.require_encoding(encoding)

    async def admit(self, caller: Caller) -> Connection[Any]:
        """Run `on_before_connect` and `create_conn_state`. Raises what refuses the connection.

        `join` or `leave` has to follow; the actor stays awake until then.
        """
        self.require_running()
        self.room.require()
        connection = self._new_connection(caller.params)
        self._arriving.add(connection)
        try:
            async with self.turn():
                self.require_running()
                connection.state = await welcome(self, caller)
                self.settle()
                self.require_running()
        except BaseException:
            self.leave(connection)
            raise
        return connection

    def _new_connection(self, params: Any) -> Connection[Any]:
        id = os.urandom(8).hex()  # what `secrets` does, by four calls more
        if self._keeping is not None:
            return KeptConnection(id, params, None, self.emitter, self._keeping.stream)
        return Connection(id, params, None, self.emitter)

    def may_subscribe(self, connection: Connection[Any], topic: str, asked: bool) -> bool | Awaitable[bool]:
        return may_subscribe(self, connection, topic, asked)

    async def snapshot(self, connection: Connection[Any], encoding: Encoding) -> tuple[Any, int]:
        return await snapshot(self, connection, encoding)

    async def join(self, connection: Connection[Any], token: str, encoding: Encoding) -> None:
        """Run `on_connect`, then make the connection visible. Raises what refuses it."""
        if self._keeping is None:
            hook = self.definition.hooks.on_connect
            await (self._join_as_task if hook is not None and hook.is_async else self._join)(connection)
            return
        async with self.turn():
            assert isinstance(connection, KeptConnection)
            # Before the hook: should a part of that be committed before a crash, the session can be ended.
            self._keeping.stream.keep(connection, token, encoding)
            await self._join(connection)

    async def _join_as_task(self, connection: Connection[Any]) -> None:
        """Join in a task, which is waited for when the actor stops, together with its `on_disconnect`."""
        try:
            await self.start(self._join(connection))
        except asyncio.CancelledError:
            if not was_cancelled():  # but the time to stop was over
                self.require_running()
            raise

    async def _join(self, connection: Connection[Any]) -> None:
        hooks = self.definition.hooks
        context = Context(self, connection)
        await self.run_hook(hooks.on_connect, context)
        self.conns.admit(connection)
        self._arriving.discard(connection)
        self.settle()
        if self.status is not RUNNING:
            self.leave(connection)
            self.require_running()

    def leave(self, connection: Connection[Any]) -> None:
        """The session has ended: run `on_disconnect`, if `on_connect` had passed. Idempotent."""
        joined = self.conns.release(connection)
        self._arriving.discard(connection)
        self.used()
        hook = self.definition.hooks.on_disconnect if joined else None
        if self._keeping is not None:
            # The store forgets the session together with what the hook does.
            ended = self._keeping.stream.ended(connection._number)
            self._keeping.journal.turns.run(partial(self._leave, hook, connection, ended))
        elif hook is not None:
            self._leave(hook, connection)

    def _leave(
        self, hook: Hook | None, connection: Connection[Any], ended: Change | None = None
    ) -> asyncio.Task[Any] | None:
        if ended is not None and self._keeping is not None:
            self._keeping.journal.add(ended)
        if hook is None:
            return None
        context = Context(self, connection)
        if hook.is_async:
            return self.start(self.guarded(self.run_hook(hook, context), settle=True))
        try:
            hook.start(self.actor, context)
        except BaseException as error:
            raise_interrupt(error)
            log_fault(self.log, error, "on_disconnect raised")
        self.settle()
        return None

    # --- calls ------------------------------------------------------------------------------------------

    def call(
        self, connection: Connection[Any] | None, request: Call, respond: Respond
    ) -> asyncio.Task[Any] | None:
        """Run an action. `respond` gets its result or error.

        Of a sync one before this returns, unless it has scheduled something, or an async `can_call` is asked.
        """
        if connection is None:  # one keeps the actor awake by itself
            self.used()
        if self._keeping is None:
            if self.definition.hooks.can_call is not None:
                return self.calls.call(connection, request, respond)
            self.calls.call_in_turn(connection, request, respond)
        else:
            self.calls.take_turn(self._keeping.journal, connection, request, respond)
        return None

    async def perform(self, item: Item) -> None:
        """Run a scheduled call, unless the actor is stopping.

        Raises what the store raises if it does not take what ran before; nothing has run then.
        """
        await asyncio.shield(self.start(self.performing.perform(item)))

    # --- background -------------------------------------------------------------------------------------

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str | None) -> asyncio.Task[None]:
        """Run a coroutine until the actor stops."""
        if self.status is Status.STOPPED:
            coroutine.close()
            raise ActorDestroyed(f"{self.definition.name} {self.actor_id} has stopped")
        return self.tasks.spawn(coroutine, name)

    async def drain(self) -> None:
        await self.node.drain(self.stream if self._keeping is None else self._keeping.core)

    # --- what is kept (`durable/keeping.py`) --------------------------------------------------------------

    @property
    def durable(self) -> bool:
        return self._keeping is not None

    @property
    def room(self) -> Room:
        return _NEVER_FULL if self._keeping is None else self._keeping.journal.room

    def continues(self, epoch: str, offset: int) -> bool:
        """Tell whether a client at this position can go on from there."""
        keeping = self._keeping
        return epoch == self.stream.epoch if keeping is None else keeping.stream.continues(epoch, offset)

    @property
    def position(self) -> int:
        """Offset of the newest event, whether or not it has been fanned out."""
        return self.stream.head if self._keeping is None else self._keeping.stream.appended

    async def prepare(self, encoding: Encoding) -> None:
        if self._keeping is not None:
            await self._keeping.stream.prepare(encoding.index)

    def keep_reply(self, connection: Connection[Any], id: int, reply: bytes, span: Span) -> None:
        if self._keeping is not None:
            self._keeping.keep_reply(connection, id, reply, span)

    def after(self, effect: Callable[[], object]) -> None:
        if self._keeping is None:
            effect()
        else:
            self._keeping.journal.then(effect)

    async def settled(self) -> None:
        if self._keeping is not None:
            await self._keeping.journal.committed()

    async def close_journal(self) -> None:
        if self._keeping is not None:
            await self._keeping.journal.close()

    # --- inner ------------------------------------------------------------------------------------------

    def require_running(self) -> None:
        if self.is_damaged:
            raise StoreFault("the journal of the actor is damaged")
        if self.status is not RUNNING:
            raise ActorDestroyed(f"{self.definition.name} {self.actor_id} is not running")

    async def run_hook(self, hook: Hook | None, *arguments: Any) -> Any:
        """Run a hook of a connection."""
        self.in_progress += 1
        try:
            return await run_hook(hook, self.actor, *arguments, timeout_s=self.node.config.hook_timeout_s)
        finally:
            self.in_progress -= 1

    def start(self, work: Coroutine[Any, Any, ResultT], name: str = UNNAMED) -> asyncio.Task[ResultT]:
        """Run an action or a hook, which may end when the actor stops. The log calls it by its `name`."""
        return self.tasks.start(work, name)

    def used(self) -> None:
        """It is used at this moment: it will not sleep for a while."""
        if self.status is RUNNING:
            self.idle.used()

    @property
    def turns(self) -> Turns | None:
        """Those of a durable actor; in others there is no waiting for one another."""
        return None if self._keeping is None else self._keeping.journal.turns

    def turn(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Enter it around what runs user code."""
        return self.turns or contextlib.nullcontext()

    async def guarded(self, *work: Awaitable[Any], settle: bool = False) -> None:
        """Wait for all of `work`; log what it raises."""
        for outcome in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                log_fault(self.log, outcome, "a hook or a save failed")
        if settle:
            self.settle()
