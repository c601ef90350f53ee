"""Which scheduled calls are to come in this process, and when each is due: one timer for all of them.

What users see of it is `schedule.py`, how a call runs and how the store forgets it is `performing.py`.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from ..clock import Clock, Timer
from ..store import Scheduled, ScheduledCall

__all__ = ["Absence", "Item", "Performer", "Performers", "Stage", "Timetable"]

_log: Final = logging.getLogger("ringcast.timetable")

_MAX_LOOK_S: Final = 60.0
"""The time of day may be set: it is looked at this often, while anything is to come."""
_NEGLIGIBLE_S: Final = 0.001
"""The time of day and the delays of timers are not measured with the same clock, and are both rounded."""
_FIRST_RETRY_S: Final = 1.0
_MAX_RETRY_S: Final = 60.0
_MAX_STARTS: Final = 32
"""Actors that are started at a time: after a time without a server, thousands may be due."""


class Stage(Enum):
    """How far a scheduled call is."""

    NEW = 1
    """The store does not have it yet; it does not run before."""
    WAITING = 2
    RUNNING = 3
    ASIDE = 4
    """It cannot run with the code of this process, and is kept for another."""


@dataclass(slots=True, eq=False)
class Item:
    """One scheduled call; `change` is what the store was given, where this process made it."""

    call: ScheduledCall
    stage: Stage
    change: Scheduled | None = None


class Absence(Enum):
    """Why an actor cannot be had, whatever one does."""

    GONE = "the store has no such actor"
    NOT_SERVED = "its class is not served here"


class Performer(Protocol):
    """A running actor."""

    async def perform(self, item: Item) -> None:
        """Run the call, unless the actor is stopping or `Timetable.begin` says no at that moment."""


class Performers(Protocol):
    """Where running actors come from."""

    def running(self, actor_id: str) -> Performer | None: ...
    def wake(self, actor_id: str) -> Awaitable[Performer | Absence]:
        """Start the actor if it does not run. Raises whatever its start raises."""

    def ended(self, actor_id: str) -> Awaitable[None]:
        """Wait until the actor has ended, if it is about to."""

    def kept_calls(self, actor_id: str) -> Awaitable[list[ScheduledCall]]:
        """Return what the store has of the actor, the earliest first. Raises what the store raises."""


@dataclass(slots=True, eq=False)
class _Lane:
    """What is due of one actor: it runs one after the other, the earliest first."""

    due: list[tuple[float, int, Item]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    failures: int = 0
    retry: Timer | None = None
    """Set while the actor could not be started, or could not save."""


class Timetable:
    """The scheduled calls of all actors of one process."""

    def __init__(self, clock: Clock, performers: Performers) -> None:
        self._clock = clock
        self._performers = performers
        # By actor and id.
        self._items: dict[str, dict[str, Item]] = {}
        self._count = 0
        # What is not due yet, the earliest first, and else in the order in which it was made. What was
        # cancelled stays until its time has come, or most of this is cancelled.
        self._heap: list[tuple[float, int, Item]] = []
        self._numbers = itertools.count()
        self._lanes: dict[str, _Lane] = {}
        # Actors of which only the store knows what is to come, and the lock of whoever looks it up.
        self._doubted: dict[str, asyncio.Lock] = {}
        self._starts = asyncio.Semaphore(_MAX_STARTS)
        self._timer: Timer | None = None
        self._timer_due = 0.0
        self._is_open = False

    def __len__(self) -> int:
        """How many calls are to come or run."""
        return self._count

    def start(self, calls: Iterable[ScheduledCall]) -> None:
        """Take what the store has, the earliest first, and run what is due from now on."""
        self._is_open = True
        calls, now = list(calls), self._clock.now()
        if late := sum(call.due < now for call in calls):
            _log.info("%d scheduled calls came due while no server ran; they run now", late)
        self._take(calls)

    def stop(self) -> None:
        """Begin no further call. Those that run are their actors' to wait for."""
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for lane in self._lanes.values():
            if lane.retry is not None:
                lane.retry.cancel()

    async def close(self) -> None:
        """Let go of what still waits for an actor, once all of them have stopped."""
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)

    # --- what actors ask ------------------------------------------------------------------------------------

    def add(self, item: Item) -> None:
        """Take a new call; it does not run before `confirm`."""
        self._items.setdefault(item.call.actor_id, {})[item.call.id] = item
        self._count += 1

    def confirm(self, call: ScheduledCall) -> None:
        """The store has this call, which has been added; it may have been cancelled meanwhile."""
        item = self._items.get(call.actor_id, {}).get(call.id)
        if item is not None and item.stage is Stage.NEW:
            item.stage = Stage.WAITING
            heapq.heappush(self._heap, (call.due, next(self._numbers), item))
            self._arm()

    def begin(self, item: Item) -> bool:
        """Let a call begin, and tell whether it may: not when it was cancelled.

        To be asked in the step in which it begins: it can be cancelled until then, and not any more after it.
        """
        if not self._is_waiting(item):
            return False
        item.stage = Stage.RUNNING
        return True

    def cancel(self, actor_id: str, id: str) -> Item | None:
        """Take out a call that has not begun; None when there is none."""
        item = self._items.get(actor_id, {}).get(id)
        if item is None or item.stage is Stage.RUNNING:
            return None
        self.remove(item)
        self._tidy()
        return item

    def items(self, actor_id: str) -> list[Item]:
        """Return the calls of an actor that have not begun, the earliest first."""
        waiting = [item for item in self._items.get(actor_id, {}).values() if item.stage is not Stage.RUNNING]
        return sorted(waiting, key=lambda item: item.call.due)

    def remove(self, item: Item) -> None:
        """Take out a call that has run, or that shall not."""
        items = self._items.get(item.call.actor_id, {})
        if items.get(item.call.id) is item:
            del items[item.call.id]
            self._count -= 1
            if not items:
                del self._items[item.call.actor_id]

    def forget(self, actor_id: str) -> None:
        """The actor is gone, with all that it has scheduled."""
        self._count -= len(self._items.pop(actor_id, ()))
        self._tidy()

    # --- what is not certain --------------------------------------------------------------------------------

    def doubt(self, actor_id: str) -> None:
        """The actor has ended, and what it has scheduled and cancelled last may be in the store or not.

        So the store is asked, until it answers, and nothing of the actor runs before.
        """
        self.forget(actor_id)
        self._doubted.setdefault(actor_id, asyncio.Lock())
        self._begin(actor_id, self._lanes.setdefault(actor_id, _Lane()))

    async def settle(self, actor_id: str) -> None:
        """Make certain what is to come of an actor, before it starts. Raises what the store raises."""
        while (lock := self._doubted.get(actor_id)) is not None:
            async with lock:
                if self._doubted.get(actor_id) is lock:
                    calls = await self._performers.kept_calls(actor_id)
                    del self._doubted[actor_id]
                    self._take(calls)

    def _take(self, calls: Iterable[ScheduledCall]) -> None:
        """Take calls that the store has, and hand out what is due of them."""
        for call in calls:
            item = Item(call, Stage.WAITING)
            self.add(item)
            heapq.heappush(self._heap, (call.due, next(self._numbers), item))
        if self._is_open:
            self._look()

    # --- time -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Hand out what is due, and set the timer for what comes next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        latest = self._clock.now() + _NEGLIGIBLE_S
        while self._heap and self._heap[0][0] <= latest:
            due, number, item = heapq.heappop(self._heap)
            if self._is_waiting(item):
                lane = self._lanes.setdefault(item.call.actor_id, _Lane())
                heapq.heappush(lane.due, (due, number, item))
                self._begin(item.call.actor_id, lane)
        self._arm()

    def _arm(self) -> None:
        if not self._is_open or not self._heap:
            return
        due = self._heap[0][0]
        if self._timer is not None:
            if due >= self._timer_due:
                return
            self._timer.cancel()
        now = self._clock.now()
        wait_s = min(max(0.0, due - now), _MAX_LOOK_S)
        self._timer_due = now + wait_s
        self._timer = self._clock.call_later(wait_s, self._look)

    def _is_waiting(self, item: Item) -> bool:
        items = self._items.get(item.call.actor_id)
        return item.stage is Stage.WAITING and items is not None and items.get(item.call.id) is item

    def _tidy(self) -> None:
        """Let go of what was cancelled, once it is most of the heap: each call pays for one that goes."""
        if len(self._heap) > 2 * self._count + 1000:
            self._heap = [entry for entry in self._heap if self._is_waiting(entry[2])]
            heapq.heapify(self._heap)

    # --- running --------------------------------------------------------------------------------------------

    def _begin(self, actor_id: str, lane: _Lane) -> None:
        if self._is_open and lane.task is None and lane.retry is None:
            work = self._run(actor_id, lane)
            lane.task = asyncio.get_running_loop().create_task(work, name=f"scheduled calls of {actor_id}")

    async def _run(self, actor_id: str, lane: _Lane) -> None:
        try:
            while self._is_open and (actor_id in self._doubted or self._next(lane) is not None):
                if actor_id in self._doubted:
                    await self.settle(actor_id)
                    continue
                actor = await self._actor(actor_id)
                if isinstance(actor, Absence):
                    self._give_up(actor_id, actor)
                # Looked at again: it may have been cancelled while the actor started.
                elif (item := self._next(lane)) is not None:
                    await actor.perform(item)
                    await self._performers.ended(actor_id)
                    if actor_id in self._doubted and self._is_open:
                        # Perhaps it has run for nothing and will again, which may be so each time.
                        self._put_off(actor_id, lane, None)
                        return
                    lane.failures = 0
        except (Exception, asyncio.CancelledError) as error:
            # Cancelled by `close`, or by what the actor's code does to the task that starts it.
            if not self._is_open:
                raise
            self._put_off(actor_id, lane, error)
        finally:
            lane.task = None
            if lane.retry is None:
                self._lanes.pop(actor_id, None)

    def _next(self, lane: _Lane) -> Item | None:
        while lane.due and not self._is_waiting(lane.due[0][2]):
            heapq.heappop(lane.due)
        return lane.due[0][2] if lane.due else None

    async def _actor(self, actor_id: str) -> Performer | Absence:
        running = self._performers.running(actor_id)
        if running is not None:
            return running
        async with self._starts:
            return await self._performers.wake(actor_id)

    def _put_off(self, actor_id: str, lane: _Lane, error: BaseException | None) -> None:
        delay_s = min(_FIRST_RETRY_S * 2**lane.failures, _MAX_RETRY_S)
        lane.failures += 1
        _log.error(
            "the actor %s cannot run what it has scheduled; it is tried again in %g s",
            actor_id,
            delay_s,
            exc_info=error,
        )
        lane.retry = self._clock.call_later(delay_s, self._retry, actor_id, lane)

    def _retry(self, actor_id: str, lane: _Lane) -> None:
        lane.retry = None
        self._begin(actor_id, lane)

    def _give_up(self, actor_id: str, absence: Absence) -> None:
        if absence is Absence.GONE:
            self.forget(actor_id)
            return
        items = self._items.get(actor_id, {}).values()
        _log.error(
            "the %d scheduled calls of the actor %s are kept and not run: %s",
            len(items),
            actor_id,
            absence.value,
        )
        for item in items:
            item.stage = Stage.ASIDE
