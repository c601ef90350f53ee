"""Who is let in: the hooks before a connection, asked about connections, calls, and who has an actor created.

What is asked about a client that is inside is in `questions.py`.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..context import RequestContext
from ..errors import ActorDestroyed, RingcastError
from ..faults import for_client, run_hook, was_cancelled
from ..request import EMPTY, Caller, CallFromOutside, Request
from ..seam import Respond

if TYPE_CHECKING:
    from .instance import ActorInstance

__all__ = [
    "CallerRefused",
    "call_let_in",
    "is_asked_about",
    "let_in",
    "let_in_first",
    "new_conn_state",
    "undo_start",
    "welcome",
]


class CallerRefused(Exception):  # noqa: N818 - passed on as the error that it holds
    """The caller for whom an actor was being created is not let in. Others who wait for it may be."""

    def __init__(self, error: RingcastError) -> None:
        super().__init__(type(error).__name__)
        self.error = error


async def welcome(instance: ActorInstance, caller: Caller) -> Any:
    """Let in who connects, and return the state of its connection. Raises what refuses it."""
    if caller.let_in_by is instance:
        # Handed over: a state that somebody else holds is looked at again and again.
        state, caller.conn_state, caller.let_in_by = caller.conn_state, None, None
        return state
    await _ask(instance, caller)
    return await new_conn_state(instance, caller.params, caller.came)


async def new_conn_state(instance: ActorInstance, params: Any, came: Request = EMPTY) -> Any:
    """Return the state of a new connection with these parameters. Raises what refuses it."""
    definition = instance.definition
    hook = definition.hooks.create_conn_state
    if hook is None:
        return definition.conn_state.validated_or_constructed(params, "params")
    value = definition.checked("create_conn_state", f"{definition.name} params", params)
    return await instance.run_hook(hook, RequestContext(instance, came, params), value)


def is_asked_about(instance: ActorInstance, caller: Caller) -> bool:
    """Tell whether something of the actor may refuse this caller before there is a connection."""
    definition = instance.definition
    if definition.hooks.on_before_connect is not None:
        return True
    makes_state = (
        definition.hooks.create_conn_state is not None or definition.conn_state.annotation is not None
    )
    return caller.connects and makes_state


async def let_in_first(instance: ActorInstance, caller: Caller) -> None:
    """Ask about the caller for whom an actor is being created, which has started and is not stored yet.

    For one that connects, the state of its connection is made as well. Raises `CallerRefused`, once what
    `on_start` has begun has been ended.
    """
    counts, began = instance.counts, perf_counter()
    if instance.definition.hooks.on_state_change is not None:
        # It will hear of what those who let in have changed, and not of what came before.
        instance.state.settle()
    try:
        await _ask(instance, caller)
        if caller.connects:
            caller.conn_state = await new_conn_state(instance, caller.params, caller.came)
    except Exception as error:
        what = f"connecting to {instance.definition.name}" if caller.connects else "on_before_connect"
        fault = for_client(error, instance.log, what)
        if counts is not None and caller.action is not None:
            counts.counted(caller.action, began, lambda *_: None)(0, None, fault)
        await undo_start(instance)
        raise CallerRefused(fault) from None
    except asyncio.CancelledError:  # it has taken too long
        await undo_start(instance)
        raise
    caller.let_in_by = instance


async def undo_start(instance: ActorInstance) -> None:
    """End what `on_start` has begun, of an actor that is not created after all."""
    timeout_s = instance.node.config.hook_timeout_s
    on_stop = instance.definition.hooks.on_stop
    await instance.guarded(run_hook(on_stop, instance.actor, instance.context, timeout_s=timeout_s))


def call_let_in(instance: ActorInstance, call: CallFromOutside, caller: Caller, respond: Respond) -> None:
    """Run an action without a connection, once `on_before_connect` has let in whoever calls.

    Only calls of this process do without: what guards the door guards it for everybody who comes in from
    outside. `respond` is called exactly once.
    """
    hook = instance.definition.hooks.on_before_connect
    if hook is None or caller.came.transport == "in_process" or caller.let_in_by is instance:
        instance.call(None, call, respond)
    else:
        # As a task of the actor's, which does not fall asleep between the hook and the action.
        instance.start(_call_once_let_in(instance, call, caller, respond))


async def let_in(instance: ActorInstance, caller: Caller) -> None:
    """Ask `on_before_connect` about who wants no action to run. Raises what refuses it."""
    if instance.definition.hooks.on_before_connect is None:
        return
    try:
        fault = await asyncio.shield(instance.start(_fault_of(instance, caller)))
    except asyncio.CancelledError:
        if was_cancelled():
            raise
        fault = ActorDestroyed("the actor has stopped")  # before it could ask
    if fault is not None:
        raise fault


async def _call_once_let_in(
    instance: ActorInstance, call: CallFromOutside, caller: Caller, respond: Respond
) -> None:
    counts, began = instance.counts, perf_counter()
    fault = await _fault_of(instance, caller)
    if fault is None:
        instance.call(None, call, respond)
        return
    refused = respond if counts is None else counts.counted(call.action, began, respond)
    refused(call.id, None, fault)


async def _fault_of(instance: ActorInstance, caller: Caller) -> RingcastError | None:
    """Ask about a caller, in its turn; return the error with which it is refused, if it is."""
    try:
        async with instance.turn():
            instance.require_running()
            try:
                await _ask(instance, caller)
            finally:
                instance.settle()
    except asyncio.CancelledError:
        return ActorDestroyed("nothing has run: the actor has stopped")
    except Exception as error:
        return for_client(error, instance.log, "on_before_connect")
    return None


async def _ask(instance: ActorInstance, caller: Caller) -> None:
    definition = instance.definition
    hook = definition.hooks.on_before_connect
    if hook is not None:
        value = definition.checked("on_before_connect", f"{definition.name} params", caller.params)
        await instance.run_hook(hook, RequestContext(instance, caller.came, caller.params), value)
