"""The calls of one running actor: an action is found, run and answered.

When it may run is decided by `turns.py` where the actor is durable; what a reply waits for besides that is in
`state.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from time import perf_counter
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ..action import ActionSpec
from ..connection import Connection, KeptConnection
from ..context import Context, RequestContext
from ..durable.kept_call import KeptCall
from ..errors import (
    ActionTimeout,
    ActorDestroyed,
    CallRefused,
    OutcomeUnknown,
    RingcastError,
    UnknownAction,
)
from ..faults import contained, for_client, from_store, was_cancelled
from ..request import CallFromOutside
from ..schedule import ScheduledAction
from ..seam import Respond
from ..wire.protocol import Call
from .questions import may_call

if TYPE_CHECKING:
    from ..durable.journal import Journal
    from .instance import ActorInstance

__all__ = ["Calls"]


class Calls:
    """Runs the actions of an actor."""

    __slots__ = ("_in_turn", "_instance")

    def __init__(self, instance: ActorInstance) -> None:
        self._instance = instance
        # Who calls the action that has the turn, and the call's id; None once that is known to be half kept.
        self._in_turn: tuple[KeptConnection[Any] | KeptCall, int] | None = None

    def take_turn(
        self, journal: Journal, connection: Connection[Any] | None, request: Call, respond: Respond
    ) -> None:
        """Run an action of a durable actor when it has its turn."""
        journal.turns.run(partial(self._call_if_running, journal, connection, request, respond))

    def _call_if_running(
        self, journal: Journal, connection: Connection[Any] | None, request: Call, respond: Respond
    ) -> asyncio.Task[Any] | None:
        if self._is_over(connection):
            return None
        if isinstance(connection, KeptConnection):
            self._in_turn = connection, request.id
        elif isinstance(request, CallFromOutside) and request.keep is not None:
            kept = KeptCall(journal, self._instance.node, request, request.keep, respond)
            self._in_turn, respond = (kept, request.id), kept.respond
        respond = partial(self._answered, respond)
        verdict = self._verdict(connection, request)
        if verdict is None or isinstance(verdict, RingcastError):
            return self.call_in_turn(connection, request, respond, refusal=verdict)
        return self._instance.start(self._call_when_allowed(verdict, connection, request, respond))

    def _is_over(self, connection: Connection[Any] | None) -> bool:
        """Tell whether an action of a durable actor is not to begin, for a client that is not answered."""
        if connection is None:
            return False
        # Its client is being told that it is dismissed; or asks again, whoever answers then.
        instance = self._instance
        return connection.is_dismissed or not (instance.is_running or instance.ends_for_good)

    def call(
        self, connection: Connection[Any] | None, request: Call, respond: Respond
    ) -> asyncio.Task[Any] | None:
        """Run an action of an actor that is not durable and has `can_call`, once that allows it.

        The task that comes back is done when the action has begun or is refused: those that one client calls
        are not to overtake one another meanwhile.
        """
        verdict = self._verdict(connection, request)
        if verdict is None or isinstance(verdict, RingcastError):
            self.call_in_turn(connection, request, respond, refusal=verdict)
            return None
        return self._instance.start(
            self._call_when_allowed(verdict, connection, request, respond, to_its_end=False)
        )

    def _verdict(
        self, connection: Connection[Any] | None, request: Call
    ) -> RingcastError | Awaitable[bool] | None:
        """Ask `can_call`: None where it allows the call, or is not asked."""
        instance = self._instance
        hook = instance.definition.hooks.can_call
        # By its Python name: a call that uses the other one is the same call.
        spec = None if hook is None else instance.definition.actions.get(request.action)
        if hook is None or spec is None or not instance.is_running:
            return None
        try:
            context = _context(instance, connection, request)
            allowed = may_call(instance, hook, context, spec.name)
        except RingcastError as error:
            return error
        if isinstance(allowed, bool):
            return None if allowed else _refusal(request)
        return allowed

    async def _call_when_allowed(
        self,
        allowed: Awaitable[bool],
        connection: Connection[Any] | None,
        request: Call,
        respond: Respond,
        to_its_end: bool = True,
    ) -> None:
        instance = self._instance
        refusal: RingcastError | None = None
        try:
            if not await allowed:
                refusal = _refusal(request)
        except RingcastError as error:
            refusal = error
        except asyncio.CancelledError:
            refusal = ActorDestroyed(f"{request.action} did not run: the actor has stopped")
        if instance.durable and self._is_over(connection):
            self._in_turn = None
            return
        task = self.call_in_turn(connection, request, respond, refusal=refusal)
        if task is not None and to_its_end:
            await task

    def _answered(self, respond: Respond, id: int, result: Any, fault: RingcastError | None) -> None:
        self._in_turn = None
        respond(id, result, fault)

    def committing(self) -> None:
        """What has been done so far is committed: the action that has the turn may not run a second time."""
        if self._in_turn is not None:
            (caller, id), self._in_turn = self._in_turn, None
            caller.committing_half(id)

    def call_in_turn(
        self,
        connection: Connection[Any] | None,
        request: Call,
        respond: Respond,
        scheduled: ScheduledAction | None = None,
        refusal: RingcastError | None = None,
    ) -> asyncio.Task[Any] | None:
        """Run an action as `call`, now. It lasts until the task that comes back is done.

        A `refusal` is its answer instead.
        """
        # For every call of every client: what is looked at twice is looked up once.
        instance = self._instance
        state, counts = instance.state, instance.counts
        began = 0.0 if counts is None else perf_counter()
        before_response = instance.definition.hooks.on_before_action_response
        outcome: Any = None
        additions = state.additions
        try:
            spec = instance.definition.actions.get(request.action)
            if spec is None:
                raise UnknownAction(f"{instance.definition.name} has no action {request.action!r}")
            instance.require_running()
            if refusal is not None:
                raise refusal
            arguments = spec.arguments.bind(request.args)
            if connection is None:
                context = _context(instance, connection, request, scheduled)
                if isinstance(request, CallFromOutside):
                    request.has_begun = True
            else:
                context = Context(instance, connection, scheduled)
            later = spec.is_async or (before_response is not None and before_response.is_async)
            if not later:
                outcome = spec.function(instance.actor, context, *arguments)
                # A sync method may hand on a coroutine, as one does under a decorator that knows no async.
                later = type(outcome) is CoroutineType
                if before_response is not None and not later:
                    outcome = before_response.start(instance.actor, context, spec.name, arguments, outcome)
        except BaseException as error:
            fault = for_client(error, instance.log, f"action {request.action}")
            respond = respond if counts is None else counts.counted(request.action, began, respond)
            instance.settle()
            if state.additions == additions or scheduled is not None:
                respond(request.id, None, fault)
                return None
            return instance.start(self._respond_when_kept(request.id, None, fault, respond))
        if later:
            respond = respond if counts is None else counts.counted(request.action, began, respond)
            answer = request.id, respond, additions
            return instance.start(self._run(spec, context, arguments, outcome, answer), spec.name)
        instance.settle()
        if counts is not None:
            counts.succeeded(request.action, began)
        if state.additions == additions or scheduled is not None:
            respond(request.id, outcome, None)
            return None
        return instance.start(self._respond_when_kept(request.id, outcome, None, respond))

    async def _run(
        self,
        spec: ActionSpec,
        context: Context[Any, Any],
        arguments: list[Any],
        started: Any,
        answer: tuple[int, Respond, int],
    ) -> None:
        # The additions that there were before it, what was `started` included.
        id, respond, additions = answer
        if context.scheduled is not None:
            self._instance.performing.begun()
        result, fault = await self._outcome(spec, context, arguments, started)
        self._instance.settle()
        state = self._instance.state
        if state.is_closed and not self._instance.ends_for_good:
            # Whatever it returns or raises: of what it has done since then, nothing is kept.
            fault = OutcomeUnknown(f"{spec.name} has gone on although its actor has stopped")
            respond(id, None, fault)
        elif state.additions == additions or context.scheduled is not None:
            respond(id, result, fault)
        else:
            await self._respond_when_kept(id, result, fault, respond)

    async def _outcome(
        self, spec: ActionSpec, context: Context[Any, Any], arguments: list[Any], started: Any
    ) -> tuple[Any, RingcastError | None]:
        """Run an async action to its end, or what a sync one `started`; return its result or its error."""
        timeout_s = spec.timeout_s or self._instance.node.config.action_timeout_s
        result: Any = None
        fault: RingcastError | None = None
        self._instance.in_progress += 1
        try:
            async with asyncio.timeout(timeout_s) as limit:
                work = self._result_of(spec, context, arguments, started)
                result = await contained(work, f"action {spec.name}")
        except asyncio.CancelledError as error:
            if was_cancelled():
                fault = OutcomeUnknown(f"{spec.name} was cancelled: the actor has stopped")
            else:
                fault = for_client(error, self._instance.log, f"action {spec.name}")
        except TimeoutError as error:
            if limit.expired():
                fault = ActionTimeout(f"{spec.name} took longer than {timeout_s:g} s")
            else:
                fault = for_client(error, self._instance.log, f"action {spec.name}")
        except Exception as error:
            fault = for_client(error, self._instance.log, f"action {spec.name}")
        finally:
            self._instance.in_progress -= 1
        return result, fault

    async def _result_of(
        self, spec: ActionSpec, context: Context[Any, Any], arguments: list[Any], started: Any
    ) -> Any:
        result = spec.function(self._instance.actor, context, *arguments) if started is None else started
        if type(result) is CoroutineType:
            result = await result
        hook = self._instance.definition.hooks.on_before_action_response
        if hook is not None:
            result = hook.start(self._instance.actor, context, spec.name, arguments, result)
            if type(result) is CoroutineType:
                result = await result
        return result

    async def _respond_when_kept(
        self, id: int, result: Any, fault: RingcastError | None, respond: Respond
    ) -> None:
        """Respond once the store has what the action has scheduled and cancelled."""
        state, log = self._instance.state, self._instance.log
        left = OutcomeUnknown("the actor has stopped before its store had what the action scheduled")
        try:
            # With the actor goes what it has scheduled. What was cancelled must not run before that either.
            if not self._instance.ends_for_good or state.is_cancelling:
                await from_store(state.keep())
        except (asyncio.CancelledError, ActorDestroyed):
            fault = left
        except Exception:
            if state.is_closed:
                log.exception("what an action has scheduled could not be kept before the actor has stopped")
                fault = left
            else:
                log.exception("what an action has scheduled could not be kept; it is tried again")
                fault = OutcomeUnknown(
                    "the store could not keep what the action has scheduled; it tries again"
                )
        respond(id, result, fault)


def _refusal(request: Call) -> CallRefused:
    """Return the error for an action that `can_call` does not allow."""
    return CallRefused(f"{request.action} may not be called here")


def _context(
    instance: ActorInstance,
    connection: Connection[Any] | None,
    request: Call,
    scheduled: ScheduledAction | None = None,
) -> Context[Any, Any]:
    if connection is None and isinstance(request, CallFromOutside):
        return RequestContext(instance, request.came, request.params)
    return Context(instance, connection, scheduled)
