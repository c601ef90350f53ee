"""The calls of one running actor: an action is found, run and answered.

When it may run is decided by `turns.py` where the actor is durable; what a reply waits for besides that is in
`state.py`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from .action import ActionSpec
from .connection import Connection, KeptConnection
from .context import Context
from .errors import ActionTimeout, OutcomeUnknown, RingcastError, UnknownAction
from .faults import contained, for_client, from_store, was_cancelled
from .protocol import Call
from .schedule import ScheduledAction
from .seam import Respond

if TYPE_CHECKING:
    from .instance import ActorInstance
    from .turns import Turns

__all__ = ["Calls"]


class Calls:
    """Runs the actions of an actor."""

    __slots__ = ("_in_turn", "_instance")

    def __init__(self, instance: ActorInstance) -> None:
        self._instance = instance
        # Who calls the action that has the turn, and the call's id; None once that is known to be half kept.
        self._in_turn: tuple[KeptConnection[Any], int] | None = None

    def take_turn(
        self, turns: Turns, connection: Connection[Any] | None, request: Call, respond: Respond
    ) -> None:
        """Run an action of a durable actor when it has its turn."""
        turns.run(partial(self._call_if_running, connection, request, respond))

    def _call_if_running(
        self, connection: Connection[Any] | None, request: Call, respond: Respond
    ) -> asyncio.Task[Any] | None:
        if connection is not None and connection.is_dismissed:
            # Its client is being told so.
            return None
        if not self._instance.is_running and not self._instance.ends_for_good and connection is not None:
            # It has not begun: its client asks again, whoever answers then.
            return None
        if isinstance(connection, KeptConnection):
            self._in_turn = connection, request.id
        return self.call_in_turn(connection, request, partial(self._answered, respond))

    def _answered(self, respond: Respond, id: int, result: Any, fault: RingcastError | None) -> None:
        self._in_turn = None
        respond(id, result, fault)

    def committing(self) -> None:
        """What has been done so far is committed: the action that has the turn may not run a second time."""
        if self._in_turn is not None:
            (connection, id), self._in_turn = self._in_turn, None
            connection.committing_half(id)

    def call_in_turn(
        self,
        connection: Connection[Any] | None,
        request: Call,
        respond: Respond,
        scheduled: ScheduledAction | None = None,
    ) -> asyncio.Task[Any] | None:
        """Run an action as `call`, now. It lasts until the task that comes back is done."""
        # For every call of every client: what is looked at twice is looked up once.
        instance = self._instance
        state = instance.state
        before_response = instance.definition.hooks.on_before_action_response
        outcome: Any = None
        additions = state.additions
        try:
            spec = instance.definition.actions.get(request.action)
            if spec is None:
                raise UnknownAction(f"{instance.definition.name} has no action {request.action!r}")
            instance.require_running()
            arguments = spec.arguments.bind(request.args)
            context: Context[Any, Any] = Context(instance, connection, scheduled)
            later = spec.is_async or (before_response is not None and before_response.is_async)
            if not later:
                outcome = spec.function(instance.actor, context, *arguments)
                # A sync method may hand on a coroutine, as one does under a decorator that knows no async.
                later = type(outcome) is CoroutineType
                if before_response is not None and not later:
                    outcome = before_response.start(instance.actor, context, spec.name, arguments, outcome)
        except BaseException as error:
            fault = for_client(error, instance.log, f"action {request.action}")
            instance.settle()
            if state.additions == additions or scheduled is not None:
                respond(request.id, None, fault)
                return None
            return instance.start(self._respond_when_kept(request.id, None, fault, respond))
        if later:
            answer = request.id, respond, additions
            return instance.start(self._run(spec, context, arguments, outcome, answer))
        instance.settle()
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
        if self._instance.state.additions == additions or context.scheduled is not None:
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
        try:
            state = self._instance.state
            # With the actor goes what it has scheduled. What was cancelled must not run before that either.
            if not self._instance.ends_for_good or state.is_cancelling:
                await from_store(state.keep())
        except asyncio.CancelledError:
            fault = OutcomeUnknown("the actor has stopped before its store had what the action scheduled")
        except Exception:
            self._instance.log.exception("what an action has scheduled could not be kept; it is tried again")
            fault = OutcomeUnknown("the store could not keep what the action has scheduled; it tries again")
        respond(id, result, fault)
