"""When an actor that nobody uses goes to sleep: the time since it was last used, on one timer.

What counts as use, and how it stops, is the work of `instance.py`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ..clock import Timer

if TYPE_CHECKING:
    from .instance import ActorInstance

__all__ = ["IdleTimer"]

_NEGLIGIBLE_S: Final = 0.001
"""The time of day and the delays of timers are not measured with the same clock, and are both rounded."""


class IdleTimer:
    """Puts an actor to sleep once it has not been used, and has not been busy, for long enough.

    Using it costs a look at the clock: the timer is not set anew, it looks again when it goes off.
    """

    __slots__ = ("_after_s", "_clock", "_instance", "_task", "_timer", "_used_at", "_uses")

    def __init__(self, instance: ActorInstance) -> None:
        after_s = instance.definition.sleep_after_s
        # None: never.
        self._after_s = instance.node.config.sleep_after_s if after_s == "inherit" else after_s
        self._clock = instance.node.clock
        self._instance = instance
        self._used_at = 0.0
        # Counts up with each use: the time of day may stand still, or be set.
        self._uses = 0
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None

    def used(self) -> None:
        """The actor is used at this moment, or what kept it busy has just ended."""
        if self._after_s is None:
            return
        self._uses += 1
        self._used_at = self._clock.now()
        if self._timer is None:
            self._timer = self._clock.call_later(self._after_s, self._look)

    def stop(self) -> None:
        """Forget it, until the next `used`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        assert self._after_s is not None
        # Whatever keeps it busy calls `used` when it ends.
        if self._instance.is_busy:
            return
        now = self._clock.now()
        # Less, where the time of day has been set back meanwhile.
        self._used_at = min(self._used_at, now)
        rest_s = self._used_at + self._after_s - now
        if rest_s < _NEGLIGIBLE_S:
            self._task = asyncio.get_running_loop().create_task(self._save_and_sleep())
        else:
            self._timer = self._clock.call_later(rest_s, self._look)

    async def _save_and_sleep(self) -> None:
        # Saved before it stops, so that a store that fails is found out while nothing has been stopped yet.
        instance = self._instance
        uses = self._uses
        try:
            await instance.state.keep()
        except Exception:
            instance.log.exception("the state cannot be saved: the actor stays awake")
        else:
            # Used or busy since: it is looked at again when that is over.
            if self._uses != uses or instance.is_busy or not instance.is_running:
                return
            if instance.node.sleep(instance):
                return
        if instance.is_running:
            self.used()
