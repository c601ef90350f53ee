"""The answers to calls that came with a key, so that a repeat is answered and the action does not run again.

For calls without a connection: those of a connection are numbered, and its session's record has them
(`record.py`). What a request says, and how an answer is written, is the work of `server/calls.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..clock import Clock, Timer
from ..errors import OutcomeUnknown, RingcastError

if TYPE_CHECKING:
    from ..config import ServerConfig

__all__ = ["Answers", "KeyReused", "Keyed", "Outcome"]

_OVERHEAD_BYTES: Final = 512
"""About what a record takes besides the body of its answer."""


class KeyReused(RingcastError):  # noqa: N818 - as the other errors of this package
    """The key came before, with another request, or from somebody else; nothing has run."""

    code = "idempotency_key_reused"


class Keyed(NamedTuple):
    """A call with a key, as it is told from others."""

    scope: tuple[Any, ...]
    """Which actor, and the key: keys of different actors have nothing to do with each other."""
    content: bytes
    """A digest of what is asked for."""
    caller: bytes
    """A digest of what the caller shows for itself. An answer is for nobody else."""
    repeats_since: str | None = None
    """Of a repeat: what `Answers.mark` was before the first try, as far as the client knows."""

    def require_same(self, content: bytes, caller: bytes) -> None:
        """Raise `KeyReused` if the key came with another request, or from somebody else."""
        if content != self.content:
            raise KeyReused("this key came with another request; a new request needs a new key")
        if caller != self.caller:
            raise KeyReused("this key came with other credentials; it did not run again")


class Outcome(NamedTuple):
    """What became of a call: the answer as it was written."""

    answer: Any
    size_bytes: int
    has_begun: bool
    """Whether its action had begun. What did nothing may be sent again, and is not recorded."""


class _Record:
    """One call: running while `outcome` is None."""

    __slots__ = ("added_at", "caller", "content", "done", "outcome", "was_recalled")

    def __init__(self, keyed: Keyed, done: asyncio.Future[None]) -> None:
        self.content, self.caller, self.done = keyed.content, keyed.caller, done
        self.outcome: Outcome | None = None
        self.was_recalled = False
        self.added_at = 0.0


class Answers:
    """The keyed calls of one server: those that run, and the answers of the last while.

    What runs is bounded by the sockets that wait for it. Of the answers the oldest are forgotten past
    `max_keyed_answers`, `max_keyed_answers_bytes` and `keyed_answer_window_s`; the newest is kept whatever
    its size.
    """

    def __init__(self, config: ServerConfig, clock: Clock, limits_hit: Counter[str]) -> None:
        self._config = config
        self._clock = clock
        self._limits_hit = limits_hit
        self._records: dict[tuple[Any, ...], _Record] = {}
        # The answered ones of them, the oldest first.
        self._answered: OrderedDict[tuple[Any, ...], _Record] = OrderedDict()
        self._bytes = 0
        self._running: set[asyncio.Task[None]] = set()
        self._timer: Timer | None = None
        self._process = secrets.token_urlsafe(6)
        self._forgotten = 0
        self.repeats = 0
        """How many calls were answered without running."""

    def __len__(self) -> int:
        """How many answers are kept."""
        return len(self._answered)

    @property
    def mark(self) -> str:
        """Names what is remembered: as long as this is the same, nothing that is young has been forgotten."""
        return f"{self._process}.{self._forgotten}"

    def knows(self, keyed: Keyed) -> bool:
        """Tell whether a call came with this key, and runs or has an answer: `once` would not run it now."""
        return keyed.scope in self._records

    async def once(
        self,
        keyed: Keyed,
        run: Callable[[], Awaitable[Outcome]],
        recall: Callable[[], Awaitable[Outcome | None]],
    ) -> tuple[Outcome, bool]:
        """Return what became of a call, and whether that was known before: `run` is called at most once.

        A repeat of one that runs waits for its end. `recall` is asked for what is kept elsewhere. Both go on
        if the caller gives up. Raises `KeyReused`, `OutcomeUnknown` for a repeat whose first try may have
        been forgotten, and what they raise: such a call has not run, or nobody knows.
        """
        while (record := self._records.get(keyed.scope)) is not None:
            keyed.require_same(record.content, record.caller)
            if record.outcome is not None:
                self.repeats += 1
                return record.outcome, True
            await asyncio.shield(record.done)
        loop = asyncio.get_running_loop()
        record = self._records[keyed.scope] = _Record(keyed, loop.create_future())
        # A task of its own: whoever gives up waiting takes nothing back.
        task = loop.create_task(self._run(keyed, record, run, recall), name="keyed call")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.shield(task)
        assert record.outcome is not None  # set by the task, or it has raised
        return record.outcome, record.was_recalled

    async def _run(
        self,
        keyed: Keyed,
        record: _Record,
        run: Callable[[], Awaitable[Outcome]],
        recall: Callable[[], Awaitable[Outcome | None]],
    ) -> None:
        since, mark = keyed.repeats_since, self.mark
        try:
            record.outcome = await recall()
            record.was_recalled = record.outcome is not None
            if record.outcome is None and since is not None and since != mark:
                raise OutcomeUnknown(
                    "the first try may have run: this server does not remember; it did not run now"
                )
            if record.outcome is None:
                record.outcome = await run()
        finally:
            record.done.set_result(None)
            if record.outcome is None or not record.outcome.has_begun:
                del self._records[keyed.scope]
            else:
                self._keep(keyed.scope, record, record.outcome)

    def _keep(self, scope: tuple[Any, ...], record: _Record, outcome: Outcome) -> None:
        record.added_at = self._clock.now()
        self._answered[scope] = record
        self._bytes += outcome.size_bytes + _OVERHEAD_BYTES
        config = self._config
        while len(self._answered) > config.max_keyed_answers or (
            self._bytes > config.max_keyed_answers_bytes and len(self._answered) > 1
        ):
            self._limits_hit["max_keyed_answers"] += 1
            self._forgotten += 1
            self._forget_oldest()
        if self._timer is None:
            self._timer = self._clock.call_later(config.keyed_answer_window_s, self._expire)

    def _expire(self) -> None:
        """Forget what is too old. Who repeats a call does so within the window."""
        window_s, now = self._config.keyed_answer_window_s, self._clock.now()
        while self._answered:
            oldest = next(iter(self._answered.values()))
            left_s = oldest.added_at + window_s - now
            # Clocks may be set: nothing is kept for longer than the window from now.
            if left_s > 0:
                self._timer = self._clock.call_later(min(left_s, window_s), self._expire)
                return
            self._forget_oldest()
        self._timer = None

    def _forget_oldest(self) -> None:
        scope, record = self._answered.popitem(last=False)
        outcome = record.outcome
        del self._records[scope]
        assert outcome is not None  # or it would not be among the answered
        self._bytes -= outcome.size_bytes + _OVERHEAD_BYTES

    def close(self) -> None:
        """Forget everything."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._answered.clear()
        self._records = {scope: each for scope, each in self._records.items() if each.outcome is None}
        self._bytes = 0
