"""One actor's scheduled calls as they run: the store forgets each together with what it has changed.

When they run is the work of `timetable.py`, which asks for one after the other.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from ..errors import InternalError, RingcastError
from ..schedule import ScheduledAction
from ..store import Change, Scheduled, Unscheduled
from ..wire.encoding import Encoding
from ..wire.protocol import Call
from .timetable import Item, Stage

if TYPE_CHECKING:
    from .instance import ActorInstance

__all__ = ["Performing"]

_performed: Final[ContextVar[object]] = ContextVar("performed")
"""The scheduled call that the current task, or the one that has started it, runs an action for."""


class Performing:
    """Runs the scheduled calls of an actor.

    While an async one runs, the actor's state may be changed in part. If it were saved then, and the process
    killed, the action would run a second time upon its own changes. So the state is held until the action has
    ended, and with it what the action itself schedules and cancels.
    """

    __slots__ = ("_instance", "_running")

    def __init__(self, instance: ActorInstance) -> None:
        self._instance = instance
        # Stands for the call whose action runs, where that is async.
        self._running: object = None

    async def perform(self, item: Item) -> None:
        """Run a call. For `ActorInstance.perform`, which says more."""
        instance = self._instance
        if instance.state.is_behind:
            await instance.state.keep()
        async with instance.turn():
            # Looked at only now: it may have been cancelled while the store or another turn was waited for.
            if instance.is_running and instance.node.timetable.begin(item):
                await self._run(item)
        if not instance.ends_for_good:
            try:
                await instance.state.keep()
            except Exception:
                instance.log.exception(
                    "the store has not kept that %s has run; it is tried again", item.call.action
                )

    async def _run(self, item: Item) -> None:
        instance, call = self._instance, item.call
        try:
            args = Encoding.JSON.decode(call.args)
            instance.definition.actions[call.action].arguments.bind(args)
        except Exception as error:  # validating calls user code
            item.stage = Stage.ASIDE
            instance.log.error("the scheduled action %s is kept and not run: %r", call.action, error)
            return
        done = asyncio.Event()

        def respond(id: int, value: Any, fault: RingcastError | None) -> None:
            # In the step in which the action has ended: nothing is committed in between.
            self._ended(item, fault)
            done.set()

        instance.state.hold()
        late_s = max(0.0, instance.node.clock.now() - call.due)
        scheduled = ScheduledAction.of(call, late_s)
        instance.calls.call_in_turn(None, Call(0, call.action, args), respond, scheduled)
        await done.wait()

    def begun(self) -> None:
        """The current task runs the action, and so do those that it will start."""
        self._running = object()
        _performed.set(self._running)

    def is_half_done(self, of_scheduled: bool) -> bool:
        """Tell whether what user code does now belongs to a scheduled action that has not ended.

        `of_scheduled`: whether it goes through the context of one.
        """
        within = self._running is not None and _performed.get(None) is self._running
        return self._instance.state.held and (of_scheduled or within)

    def kept(self, change: Change) -> None:
        """The store has this change."""
        if isinstance(change, Scheduled):
            self._instance.node.timetable.confirm(change.call)

    def _ended(self, item: Item, fault: RingcastError | None) -> None:
        instance = self._instance
        self._running = None
        instance.node.timetable.remove(item)
        if not instance.ends_for_good:
            # Otherwise both go with the actor: were they committed before, a crash would leave it alive.
            instance.state.release()
            instance.state.add(Unscheduled(item.call.id), with_state=True)
        if fault is not None and not isinstance(fault, InternalError):  # that one is in the log
            instance.log.error("the scheduled action %s raised %r", item.call.action, fault)
