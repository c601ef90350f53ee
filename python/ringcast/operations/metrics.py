"""What a server counts of itself: one set of numbers for each actor class, written where things happen.

The core counts events, deliveries and bytes (`_core.Tally`); here is what only Python knows: connects,
resumes, gaps, actions. Nothing is counted unless the settings ask for metrics. Who reads all this, and how it
is written for Prometheus, is the work of `server/metrics.py`.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from ..errors import ActionTimeout, InternalError, OutcomeUnknown, RingcastError

if TYPE_CHECKING:
    from .._core import Tally
    from ..schema.definition import ActorDefinition
    from ..seam import Respond
    from ..wire.protocol import Gap

__all__ = ["ACTION_BUCKETS_S", "LAG_BUCKETS_S", "ActorCounts", "Histogram", "LoopLag", "Metrics"]

ACTION_BUCKETS_S: Final = (0.0001, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
"""Upper bounds: few, as each action of each class has its own."""

LAG_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_LAG_INTERVAL_S: Final = 0.25


class Histogram:
    """How often something took how long."""

    __slots__ = ("_bounds", "buckets", "seconds")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        """By bucket, the last one without a bound."""
        self.seconds = 0.0

    def observe(self, seconds: float) -> None:
        self.buckets[bisect_left(self._bounds, seconds)] += 1
        self.seconds += seconds

    def cumulated(self) -> list[tuple[str, float]]:
        """Return each bound as text with how many were at most that, as Prometheus has it."""
        total, result = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self.buckets, strict=True):
            total += count
            result.append((bound, float(total)))
        return result


class _ActionCounts:
    """The calls of one action that have been answered."""

    __slots__ = ("failures", "latency", "succeeded")

    def __init__(self) -> None:
        self.latency = Histogram(ACTION_BUCKETS_S)
        self.succeeded = 0
        self.failures: Counter[str] = Counter()
        """By what became of the others."""


class ActorCounts:
    """What is counted of the actors of one class."""

    __slots__ = ("_actions_by_wire_name", "actions", "connects", "gaps", "replayed", "restored", "tally")

    def __init__(self, definition: ActorDefinition, tally: Tally) -> None:
        self.tally = tally
        """What the core counts."""
        self.actions = {spec.name: _ActionCounts() for spec in definition.actions.values()}
        """By their Python names; "" is what clients have called that does not exist."""
        self.actions[""] = _ActionCounts()
        # Clients choose what they call: one label for all that there is not.
        self._actions_by_wire_name = {
            wire_name: self.actions[spec.name] for wire_name, spec in definition.actions.items()
        }
        self.connects: Counter[str] = Counter()
        """By outcome: `new`, `resumed`, `refused`."""
        self.restored = 0
        """Events that durable actors have put into their rings again: the core has counted them anew."""
        self.replayed = 0
        """Events that resumes have found retained for their clients."""
        self.gaps: Counter[str] = Counter()
        """By reason, those that an answer to a connect has told of."""

    def connected(self, outcome: str, gap: Gap | None, replayed: int | None) -> None:
        """A connect message has been answered, and its client is attached."""
        self.connects[outcome] += 1
        self.replayed += replayed or 0
        if gap is not None:
            self.gaps[gap.reason] += 1

    def succeeded(self, action: str, began: float) -> None:
        """A call that began at `began`, by `perf_counter`, is answered with its result.

        Most calls of most servers: it takes a third of a microsecond (`benches/test_action.py`).
        """
        seconds = perf_counter() - began
        calls = self._actions_by_wire_name[action]
        latency = calls.latency
        latency.seconds += seconds
        latency.buckets[bisect_left(ACTION_BUCKETS_S, seconds)] += 1
        calls.succeeded += 1

    def counted(self, action: str, began: float, respond: Respond) -> Respond:
        """Return `respond`, for a call that began at `began`, so that it counts the call."""
        calls = self._actions_by_wire_name.get(action) or self.actions[""]
        return partial(_respond, respond, calls, began)


def _respond(
    respond: Respond, calls: _ActionCounts, began: float, id: int, value: Any, error: RingcastError | None
) -> None:
    calls.latency.observe(perf_counter() - began)
    if error is None:
        calls.succeeded += 1
    else:
        calls.failures[_outcome(error)] += 1
    respond(id, value, error)


def _outcome(error: RingcastError) -> str:
    """Name what became of a call. Codes are not used: authors may make them up as they go."""
    if isinstance(error, InternalError):
        return "failed"
    if isinstance(error, ActionTimeout):
        return "timeout"
    return "unknown" if isinstance(error, OutcomeUnknown) else "refused"


class LoopLag:
    """How late the event loop does what is due: what everybody on it waits for besides their own work."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.histogram = Histogram(LAG_BUCKETS_S)
        self._loop = loop
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._due_s = self._loop.time() + _LAG_INTERVAL_S
        self._timer = self._loop.call_at(self._due_s, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self.histogram.observe(max(0.0, self._loop.time() - self._due_s))
        self.start()


class Metrics:
    """All that one router counts."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        definitions: tuple[ActorDefinition, ...],
        open_tally: Callable[[], Tally],
    ) -> None:
        self.actors = {each.name: ActorCounts(each, open_tally()) for each in definitions}
        """By the name of the class."""
        self.lag = LoopLag(loop)
