"""One running actor: its life from start to stop, its connections, and the calls that it answers.

It is the actor side of the seam (`seam.py`): it emits into a stream and never sees a socket. Which actors
run, and that each runs once, is the work of `directory.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from enum import Enum
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from .action import ActionSpec
from .connection import Connection, Connections, KeptConnection
from .context import Context
from .definition import ActorDefinition
from .errors import (
    ActionTimeout,
    ActorDestroyed,
    CloseCode,
    OutcomeUnknown,
    ReplyTooLarge,
    RingcastError,
    UnknownAction,
)
from .event import Emitter
from .faults import (
    ActorLog,
    Hook,
    contained,
    for_client,
    from_store,
    raise_interrupt,
    was_cancelled,
)
from .keeping import Keeping
from .protocol import Call, Connect, Encoding
from .seam import GatewayStream, Node, Respond
from .state import SavedState
from .store import StoredActor, StoredStream

if TYPE_CHECKING:
    from .actor import Actor

__all__ = ["ActorInstance", "Status"]

_ANSWER_BYTES: Final = 131_072
"""More than all that an answer to a connect message has besides its snapshot."""


class Status(Enum):
    STARTING = 1
    RUNNING = 2
    STOPPING = 3
    """No new call or connection; what runs may end."""
    STOPPED = 4


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
        self.log = ActorLog(definition.name, actor_id, key)
        self._keeping = Keeping(self, kept) if definition.durable else None
        self.stream: GatewayStream = (
            node.open_stream(secrets.token_urlsafe(9), definition)
            if self._keeping is None
            else self._keeping.stream
        )
        self.emitter = Emitter(self.stream, f"{definition.name} {actor_id}")
        self.conns: Connections[Any] = Connections(self.emitter)
        self.state = SavedState(definition.state, node, actor_id, self.log)
        if self._keeping is not None:
            self.state.journal = self._keeping.journal
        # Actions and hooks that are waited for at stop, and background tasks that are cancelled.
        self._destroyed = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._background: set[asyncio.Task[Any]] = set()
        # How many actions and hooks of connections run, which may have changed the state half-way.
        self._in_progress = 0
        # Whether `destroy` was called while it started.
        self._ends_at_once = False
        self.actor: Actor[Any, Any] = definition.cls.__new__(definition.cls)
        self.actor._instance = self
        self._context: Context[Any, Any] = Context(self, None)

    # --- life -------------------------------------------------------------------------------------------

    async def create(self, input: Any) -> None:
        """Start an actor that the store does not have yet: it is stored once `on_create` has passed."""
        self.actor.__init__()  # type: ignore[misc]  # made by __new__, so that `__init__` can use the scope
        hooks = self.definition.hooks
        if hooks.create_state is None:
            state = self.definition.state.construct()
        else:
            value = self.definition.checked("create_state", f"{self.definition.name} input", input)
            state = await hooks.create_state.run(self.actor, self._context, value)
        self.state.begin(state)
        await _run_hook(hooks.on_create, self.actor, self._context)
        stored = StoredActor(self.actor_id, self.definition.name, self.key, self.state.mark_saved())
        await from_store(self.node.store.create(stored))
        self.state.created()
        await self._begin()

    async def load(self, stored: StoredActor) -> None:
        """Start an actor that the store has."""
        self.actor.__init__()  # type: ignore[misc]
        self.state.load(stored.state)
        if self._keeping is not None:
            self._keeping.restore()
        await self._begin()

    async def _begin(self) -> None:
        await _run_hook(self.definition.hooks.on_start, self.actor, self._context)
        self.status = Status.RUNNING
        if self.definition.hooks.on_state_change is not None:
            self.state.settle()
        self.state.start_saving(lambda: bool(self._tasks or self._background))
        if self._keeping is not None:
            self._keeping.journal.open()
        if self._ends_at_once:
            self.destroy()

    async def abandon(self) -> None:
        """Let go of an actor whose start failed."""
        self.status = Status.STOPPED
        await _finish(self._background, 0)
        self.emitter.close()
        if self._keeping is not None:
            self._keeping.journal.abandon()
        self.stream.shut()

    async def stop(self, code: CloseCode, *, destroy: bool = False, deadline: float | None = None) -> None:
        """End every connection with `code`, run `on_stop`, save or delete the state, let go of the stream.

        It is over by `deadline`, a time of the loop, or within the configured time: each part may take half
        of what is left, so that none is left out. Raises nothing: what a hook or the store raises is logged.
        """
        self.status = Status.STOPPING
        hooks = self.definition.hooks
        now = asyncio.get_running_loop().time
        end = now() + self.node.config.shutdown_timeout_s if deadline is None else deadline

        def share_s() -> float:
            return max(0.001, (end - now()) / 2)

        await _finish(self._tasks, share_s())
        # A durable actor's connections outlive this process.
        staying = [] if destroy or self._keeping is None else [*self.conns]
        leaving = [] if staying else [each for each in self.conns if self.conns.release(each)]
        if hooks.on_disconnect is not None:
            limit_s = min(share_s(), self.node.config.hook_timeout_s)
            contexts = (Context(self, connection) for connection in leaving)
            await self._guarded(*(self._stop_hook(hooks.on_disconnect, limit_s, c) for c in contexts))
        await _finish(self._background, 0)
        # The connections are still open in the stream: a broadcast of `on_stop` reaches their clients.
        await self._guarded(self._stop_hook(hooks.on_stop, share_s()))
        self.state.stop_saving()
        if self._keeping is not None:
            await self._guarded(asyncio.wait_for(self._keeping.journal.close(), share_s()))
        if destroy:
            await self._guarded(asyncio.wait_for(self.node.store.delete(self.actor_id), share_s()))
            await self._guarded(self._stop_hook(hooks.on_destroy, share_s()))
        else:
            await self._guarded(asyncio.wait_for(self.state.save(), share_s()))
        # The last events go out before the close frames.
        await self._guarded(asyncio.wait_for(self.drain(), share_s()))
        self.status = Status.STOPPED
        self.emitter.close()
        for connection in leaving:
            await self.node.turn_to_close(connection)
            connection.end(code)
        for connection in staying:
            await self.node.turn_to_close(connection)
            connection.suspend(code)
        self.stream.shut()

    def destroy(self) -> None:
        """Begin to end this actor for good; the running action, or the start, may return first."""
        if self.status is Status.STARTING:
            self._ends_at_once = True
        elif self.status is Status.RUNNING:
            self.status = Status.STOPPING
            self._destroyed = True
            self.node.retire(self)

    # --- connections ------------------------------------------------------------------------------------

    def is_at(self, address: Connect) -> bool:
        """Tell whether this is the actor that `address` names."""
        if address.actor not in self.definition.wire_names:
            return False
        return address.actor_id == self.actor_id if address.lookup == "id" else address.key == self.key

    async def admit(self, params: Any) -> Connection[Any]:
        """Run `on_before_connect` and `create_conn_state`. Raises what refuses the connection."""
        async with self._turn():
            return await self._admit(params)

    async def _admit(self, params: Any) -> Connection[Any]:
        definition = self.definition
        what = f"{definition.name} params"
        hooks = definition.hooks
        self._require_running()
        if hooks.on_before_connect is not None:
            value = definition.checked("on_before_connect", what, params)
            await self._hook(hooks.on_before_connect, self._context, value)
        if hooks.create_conn_state is not None:
            value = definition.checked("create_conn_state", what, params)
            state = await self._hook(hooks.create_conn_state, self._context, value)
        else:
            state = definition.conn_state.validated_or_constructed(params, "params")
        self._settle()
        self._require_running()
        id = secrets.token_hex(8)
        if self._keeping is not None:
            return KeptConnection(id, params, state, self.emitter, self._keeping.stream)
        return Connection(id, params, state, self.emitter)

    def may_subscribe(self, connection: Connection[Any], name: str) -> bool | Awaitable[bool]:
        """Ask `can_subscribe`. A hook that raises anything but an error of this package refuses."""
        hook = self.definition.hooks.can_subscribe
        if hook is None:
            return True
        context = Context(self, connection)
        if hook.is_async:
            return self._ask(hook, context, name)
        try:
            return bool(hook.start(self.actor, context, name))
        except BaseException as error:
            raise for_client(error, self.log, hook.name) from None

    async def _ask(self, hook: Hook, context: Context[Any, Any], name: str) -> bool:
        try:
            return bool(await self._hook(hook, context, name))
        except Exception as error:
            raise for_client(error, self.log, hook.name) from None

    async def snapshot(self, connection: Connection[Any], encoding: Encoding) -> tuple[Any, int]:
        """Return what `snapshot` gives for a connection, or None, and the position that belongs to it.

        It is a copy: what the hook returned may be the state itself, which goes on changing. Raises what a
        client may see.
        """
        hook = self.definition.hooks.snapshot
        if hook is None:
            return None, 0
        async with self._turn():
            try:
                value = hook.start(self.actor, Context(self, connection))
                copy = None if value is None else self._copy(value, encoding)
            except BaseException as error:
                raise for_client(error, self.log, hook.name) from None
            return copy, self.position

    def _copy(self, snapshot: Any, encoding: Encoding) -> Any:
        written = encoding.encode(snapshot)
        most = self.node.config.max_reply_bytes - _ANSWER_BYTES
        if len(written) > most:
            raise ReplyTooLarge(f"the snapshot takes {len(written)} bytes, and a client takes {most}")
        return encoding.decode(written)

    async def join(self, connection: Connection[Any]) -> None:
        """Run `on_connect`, then make the connection visible. Raises what refuses it."""
        async with self._turn():
            await self._join(connection)

    async def _join(self, connection: Connection[Any]) -> None:
        hooks = self.definition.hooks
        context = Context(self, connection)
        await self._hook(hooks.on_connect, context)
        self.conns.admit(connection)
        self._settle()
        if self.status is not Status.RUNNING:
            self.leave(connection)
            self._require_running()

    def leave(self, connection: Connection[Any]) -> None:
        """The session has ended: run `on_disconnect`, if `on_connect` had passed. Idempotent."""
        hook = self.definition.hooks.on_disconnect
        if self._keeping is not None:
            self._keeping.stream.end(connection._number)
        if not self.conns.release(connection) or hook is None:
            return
        if self._keeping is not None:
            self._keeping.journal.turns.run(partial(self._leave, hook, connection))
        else:
            self._leave(hook, connection)

    def _leave(self, hook: Hook, connection: Connection[Any]) -> asyncio.Task[Any] | None:
        context = Context(self, connection)
        if hook.is_async:
            return self._start(self._guarded(self._hook(hook, context), settle=True))
        try:
            hook.start(self.actor, context)
        except BaseException as error:
            raise_interrupt(error)
            self.log.exception("on_disconnect raised")
        self._settle()
        return None

    # --- calls ------------------------------------------------------------------------------------------

    def call(self, connection: Connection[Any] | None, request: Call, respond: Respond) -> None:
        """Run an action. `respond` gets its result or error, before this returns where the action is sync."""
        if self._keeping is None:
            self._call(connection, request, respond)
        else:
            self._keeping.journal.turns.run(partial(self._call_in_turn, connection, request, respond))

    def _call_in_turn(
        self, connection: Connection[Any] | None, request: Call, respond: Respond
    ) -> asyncio.Task[Any] | None:
        if self.status is not Status.RUNNING and not self._destroyed and connection is not None:
            # It has not begun: its client asks again, whoever answers then.
            return None
        return self._call(connection, request, respond)

    def _call(
        self, connection: Connection[Any] | None, request: Call, respond: Respond
    ) -> asyncio.Task[Any] | None:
        before_response = self.definition.hooks.on_before_action_response
        outcome: Any = None
        try:
            spec = self.definition.actions.get(request.action)
            if spec is None:
                raise UnknownAction(f"{self.definition.name} has no action {request.action!r}")
            self._require_running()
            arguments = spec.arguments.bind(request.args)
            context: Context[Any, Any] = Context(self, connection)
            later = spec.is_async or (before_response is not None and before_response.is_async)
            if not later:
                outcome = spec.function(self.actor, context, *arguments)
                # A sync method may hand on a coroutine, as one does under a decorator that knows no async.
                later = type(outcome) is CoroutineType
                if before_response is not None and not later:
                    outcome = before_response.start(self.actor, context, spec.name, arguments, outcome)
        except BaseException as error:
            fault = for_client(error, self.log, f"action {request.action}")
            self._settle()
            respond(request.id, None, fault)
            return None
        if later:
            return self._start(self._run(spec, context, arguments, outcome, (request.id, respond)))
        self._settle()
        respond(request.id, outcome, None)
        return None

    async def _run(
        self,
        spec: ActionSpec,
        context: Context[Any, Any],
        arguments: list[Any],
        started: Any,
        answer: tuple[int, Respond],
    ) -> None:
        id, respond = answer
        timeout_s = spec.timeout_s or self.node.config.action_timeout_s
        result: Any = None
        fault: RingcastError | None = None
        self._in_progress += 1
        try:
            async with asyncio.timeout(timeout_s) as limit:
                work = self._result_of(spec, context, arguments, started)
                result = await contained(work, f"action {spec.name}")
        except asyncio.CancelledError as error:
            if was_cancelled():
                fault = OutcomeUnknown(f"{spec.name} was cancelled: the actor has stopped")
            else:
                fault = for_client(error, self.log, f"action {spec.name}")
        except TimeoutError as error:
            if limit.expired():
                fault = ActionTimeout(f"{spec.name} took longer than {timeout_s:g} s")
            else:
                fault = for_client(error, self.log, f"action {spec.name}")
        except Exception as error:
            fault = for_client(error, self.log, f"action {spec.name}")
        finally:
            self._in_progress -= 1
        self._settle()
        respond(id, result, fault)

    async def _result_of(
        self, spec: ActionSpec, context: Context[Any, Any], arguments: list[Any], started: Any
    ) -> Any:
        result = spec.function(self.actor, context, *arguments) if started is None else started
        if type(result) is CoroutineType:
            result = await result
        hook = self.definition.hooks.on_before_action_response
        if hook is not None:
            result = hook.start(self.actor, context, spec.name, arguments, result)
            if type(result) is CoroutineType:
                result = await result
        return result

    # --- background -------------------------------------------------------------------------------------

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str | None) -> asyncio.Task[None]:
        """Run a coroutine until the actor stops."""
        if self.status is Status.STOPPED:
            coroutine.close()
            raise ActorDestroyed(f"{self.definition.name} {self.actor_id} has stopped")
        task = asyncio.get_running_loop().create_task(contained(coroutine, "it"), name=name)
        self._background.add(task)
        task.add_done_callback(self._background_done)
        return task

    def _background_done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.error("background task %s raised", task.get_name(), exc_info=error)

    async def drain(self) -> None:
        await self.node.drain(self.stream if self._keeping is None else self._keeping.core)

    # --- what is kept (`keeping.py`) ----------------------------------------------------------------------

    @property
    def durable(self) -> bool:
        return self._keeping is not None

    @property
    def position(self) -> int:
        """Offset of the newest event, whether or not it has been fanned out."""
        return self.stream.head if self._keeping is None else self._keeping.stream.appended

    async def prepare(self, encoding: Encoding) -> None:
        if self._keeping is not None:
            await self._keeping.stream.prepare(encoding.index)

    def keep(self, connection: Any, token: str, encoding: Encoding) -> None:
        if self._keeping is not None:
            self._keeping.stream.keep(connection, token, encoding)

    def keep_reply(self, connection: Connection[Any], id: int, reply: bytes) -> None:
        if self._keeping is not None:
            self._keeping.keep_reply(connection, id, reply)

    def after(self, effect: Callable[[], object]) -> None:
        if self._keeping is None:
            effect()
        else:
            self._keeping.journal.then(effect)

    async def settled(self) -> None:
        if self._keeping is not None:
            await self._keeping.journal.committed()

    # --- inner ------------------------------------------------------------------------------------------

    def _require_running(self) -> None:
        if self.status is not Status.RUNNING:
            raise ActorDestroyed(f"{self.definition.name} {self.actor_id} is not running")

    async def _hook(self, hook: Hook | None, *arguments: Any) -> Any:
        """Run a hook of a connection."""
        self._in_progress += 1
        try:
            return await _run_hook(hook, self.actor, *arguments, timeout_s=self.node.config.hook_timeout_s)
        finally:
            self._in_progress -= 1

    async def _stop_hook(
        self, hook: Hook | None, timeout_s: float, context: Context[Any, Any] | None = None
    ) -> None:
        await _run_hook(hook, self.actor, context or self._context, timeout_s=timeout_s)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _turn(self) -> contextlib.AbstractAsyncContextManager[None]:
        return contextlib.nullcontext() if self._keeping is None else self._keeping.journal.turns

    async def _guarded(self, *work: Awaitable[Any], settle: bool = False) -> None:
        """Wait for all of `work`; log what it raises."""
        for outcome in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                self.log.error("a hook or a save failed", exc_info=outcome)
        if settle:
            self._settle()

    def _settle(self) -> None:
        """User code has run: see whether the state has changed."""
        self.state.touch()
        hook = self.definition.hooks.on_state_change
        if hook is None or self.status is Status.STARTING:
            return
        try:
            if not self.state.changed():
                return
            outcome = hook.start(self.actor, self._context)
            if type(outcome) is CoroutineType:
                if self._keeping is None:
                    self._start(self._settle_later(outcome))
                else:
                    self._keeping.journal.turns.run(partial(self._start, self._settle_later(outcome)))
                return
            # What the hook itself changed is no news to it.
            self.state.settle()
        except BaseException as error:
            raise_interrupt(error)
            self.log.exception("on_state_change raised, or the state cannot be written as JSON")

    async def _settle_later(self, hook: Awaitable[Any]) -> None:
        hook = contained(hook, "on_state_change")
        await self._guarded(asyncio.wait_for(hook, self.node.config.hook_timeout_s))
        if self._in_progress:
            # Others may have changed the state meanwhile, and have not ended: they will tell. So the hook
            # hears of its own changes as well, once.
            return
        try:
            self.state.settle()
        except Exception:
            self.log.exception("the state cannot be written as JSON")


async def _run_hook(hook: Hook | None, actor: object, *arguments: Any, timeout_s: float | None = None) -> Any:
    return None if hook is None else await hook.run(actor, *arguments, timeout_s=timeout_s)


async def _finish(tasks: Iterable[asyncio.Task[Any]], timeout_s: float) -> None:
    """Wait for the tasks up to `timeout_s`, then cancel what is left and wait for that."""
    current = asyncio.current_task()
    waiting = {task for task in tasks if task is not current}
    if waiting and timeout_s:
        _, waiting = await asyncio.wait(waiting, timeout=timeout_s)
    for task in waiting:
        task.cancel()
    if waiting:
        await asyncio.wait(waiting, timeout=1)
