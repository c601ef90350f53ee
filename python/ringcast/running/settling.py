"""What follows when an actor's code has run: its state may have changed, and a hook may want to hear of it.

When the state is saved is the work of `state.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ..fault_log import log_fault
from ..faults import contained, raise_interrupt

if TYPE_CHECKING:
    from .instance import ActorInstance

__all__ = ["Settling"]


class Settling:
    """Runs `on_state_change` of one actor."""

    __slots__ = ("_instance",)

    def __init__(self, instance: ActorInstance) -> None:
        self._instance = instance

    def settle(self) -> None:
        """User code has run: see whether the state has changed."""
        instance = self._instance
        instance.state.touch()
        hook = instance.definition.hooks.on_state_change
        if hook is None or instance.is_starting:
            return
        try:
            if not instance.state.changed():
                return
            outcome = hook.start(instance.actor, instance.context)
            if type(outcome) is CoroutineType:
                task = instance.start(self._settle_later(outcome))
                if instance.turns is not None:
                    # What it does is committed with what it hears of.
                    instance.turns.extend(task)
                return
            # What the hook itself changed is no news to it.
            instance.state.settle()
        except BaseException as error:
            raise_interrupt(error)
            log_fault(instance.log, error, "on_state_change raised, or the state cannot be written as JSON")

    async def _settle_later(self, hook: Awaitable[Any]) -> None:
        instance = self._instance
        hook = contained(hook, "on_state_change")
        await instance.guarded(asyncio.wait_for(hook, instance.node.config.hook_timeout_s))
        if instance.in_progress:
            # Others may have changed the state meanwhile, and have not ended: they will tell. So the hook
            # hears of its own changes as well, once.
            return
        try:
            instance.state.settle()
        except Exception as error:
            log_fault(instance.log, error, "the state cannot be written as JSON")
