"""The journal of a durable actor: what it has done and not committed yet, and what waits for that.

Events, replies, subscriptions and the state of one action are committed together, and those of many actions
in one go. Only then are events fanned out and replies sent (`stream.py`, `gateway/session.py`). How they are
kept is the store's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ..clock import Timer
from ..errors import OutcomeUnknown
from ..faults import ActorLog
from ..running.turns import Turns
from ..seam import Node
from ..store import Change, JournalCorrupt
from .room import Room

__all__ = ["Journal"]

_RETRY_S: Final = 1.0
"""How long after a failed commit the next attempt is made."""

_PATIENCE_S: Final = 10.0
"""An attempt that takes longer counts as failed until it is over: a disk may hang instead of raising."""

Effect = Callable[[], object]
"""What happens once everything before it has been committed."""


class Journal:
    """The uncommitted end of one actor's history. Lives on one event loop.

    `collect` gives what has changed without being added here, the state above all; it is called at the moment
    of a commit. `on_damage` is called once the store says that what it has is damaged: nothing is committed,
    and nobody told of anything, from then on.

    While commits fail, everything waits in memory: `room` says when that is too much.
    """

    def __init__(
        self,
        node: Node,
        actor_id: str,
        log: ActorLog,
        collect: Callable[[], list[Change]],
        on_damage: Callable[[], object],
    ) -> None:
        self.turns = Turns(self._turn_over)
        self.room = Room()
        self._store = node.store
        self._clock = node.clock
        self._actor_id = actor_id
        self._log = log
        self._collect = collect
        self._on_damage = on_damage
        self._batch = _Batch()
        # No commit before `open`: the store may not have the actor yet.
        self._opened = False
        self._closing = False
        self._closed = False
        # Whether a commit failed for good: nothing can follow it.
        self._failed = False
        # `_look` is on its way.
        self._requested = False
        # Something is to be committed as soon as the turn, or the write, is over.
        self._due = False
        # Those who wait for a commit in the middle of a turn, and are told when it fails.
        self._forced: list[asyncio.Future[None]] = []
        self._writing: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._retry: Timer | None = None

    def open(self) -> None:
        """Begin to commit, with what was added so far."""
        self._opened = True
        self.request()

    @property
    def has_changes(self) -> bool:
        """Whether something was added that no commit has taken yet."""
        return bool(self._batch.changes)

    @property
    def is_certain(self) -> bool:
        """Whether everything that was added has been committed."""
        return self._writing is None and self._batch.empty and not self._failed

    @property
    def closed(self) -> bool:
        """Whether nothing is committed any more."""
        return self._closed

    def add(self, change: Change, effect: Effect | None = None, size_bytes: int = 0) -> None:
        """Commit `change` with the next commit, and let `effect` happen after it."""
        self._batch.changes.append(change)
        self._take(size_bytes)
        if effect is not None:
            self._batch.effects.append(effect)
        self.request()

    def then(self, effect: Effect) -> None:
        """Let `effect` happen once everything that was added before has been committed."""
        if self._closed:
            effect()
            return
        self._batch.effects.append(effect)
        self._take()
        self.request()

    async def committed(self, *, now: bool = False) -> None:
        """Wait until everything so far has been committed and its effects have happened.

        `now` commits what a running action has done so far, instead of waiting for its end; before `open` it
        does nothing; it raises what the first attempt raises, which is tried again all the same. Raises
        `OutcomeUnknown` when the actor has stopped, or stops and its last commit fails.
        """
        if self._closed:
            if self._failed or not self._batch.empty:
                raise OutcomeUnknown("the actor has stopped, and nothing is committed any more")
            return
        if now and not self._opened:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._batch.waiters.append(waiter)
        self._take()
        if now:
            self._forced.append(waiter)
            self._commit()
        else:
            self.request()
        await waiter

    def request(self) -> None:
        """See to it that there is a commit soon: what comes in the same turn of the loop goes with it."""
        if self._writing is not None:
            self._due = True
        elif self._opened and not self._closed and not self._requested:
            self._requested = True
            asyncio.get_running_loop().call_soon(self._look)

    async def close(self) -> None:
        """Commit what is left and let its effects happen; a commit that fails is not tried again.

        Whoever gives up waiting leaves it closed all the same: what follows then waits for nothing.
        """
        self._closing = True
        self._woken.set()
        self.room.close()
        try:
            self._commit()
            while self._writing is not None:
                await asyncio.wait({self._writing})
                # Effects may have added something, a reply for example.
                self._commit()
        finally:
            self._closed = True
            # Who has come while a write was on its way that is not waited for any more.
            self._batch.lose()

    def abandon(self) -> None:
        """Forget everything: the actor never was."""
        self._opened = False
        self._closed = self._failed = True
        self._batch.lose()
        self._batch = _Batch()

    # --- inner ------------------------------------------------------------------------------------------

    def _take(self, size_bytes: int = 0) -> None:
        self._batch.count += 1
        self._batch.size_bytes += size_bytes
        self.room.take(size_bytes)

    def _look(self) -> None:
        self._requested = False
        if self.turns.busy and all(waiter.done() for waiter in self._forced):
            self._due = True
        else:
            self._commit()

    def _turn_over(self) -> None:
        if self._due and self._writing is None:
            self._commit()

    def _commit(self) -> None:
        if self._closed:
            return  # a turn has ended late: the store has what came after it, perhaps
        if self._writing is not None:
            self._due = True
            return
        self._due = False
        try:
            collected = self._collect()
        except Exception as error:
            self._cannot_collect(error)
            return
        batch, self._batch = self._batch, _Batch()
        batch.changes += collected
        if batch.empty:
            self.room.committed(0, 0)
        else:
            self._writing = asyncio.get_running_loop().create_task(self._write(batch), name="commit")

    def _cannot_collect(self, error: Exception) -> None:
        """Commit nothing: whoever was told of it would find the state without it after a restart."""
        if self._tell_forced(error) and self.turns.busy and not self._closing:
            # Whoever asked can mend it. If it does not, the end of the turn finds that out.
            self._due = True
            return
        self.room.failing = True
        if self._closing:
            self._log.exception("the state cannot be written as JSON: what was not committed is lost")
            self._batch.lose()
            self._batch = _Batch()
            return
        self._log.exception(
            "the state cannot be written as JSON, and nothing is committed; it is tried again in %g s",
            _RETRY_S,
        )
        if self._retry is not None:
            self._retry.cancel()
        self._retry = self._clock.call_later(_RETRY_S, self.request)

    def _tell_forced(self, error: Exception) -> bool:
        """Raise `error` where somebody waits in the middle of a turn; tell whether there is anybody."""
        waiters = [waiter for waiter in self._forced if not waiter.done()]
        self._forced = []
        for waiter in waiters:
            waiter.set_exception(error)
        still = [waiter for waiter in self._batch.waiters if not waiter.done()]
        told = len(self._batch.waiters) - len(still)
        self._batch.waiters = still
        self._batch.count -= told
        self.room.give_back(told)
        return bool(waiters)

    def _lose_patience(self) -> None:
        self.room.failing = True

    async def _write(self, batch: _Batch) -> None:
        while batch.changes and not self._failed:
            patience = self._clock.call_later(_PATIENCE_S, self._lose_patience)
            try:
                await self._store.commit(self._actor_id, batch.changes)
                break
            except JournalCorrupt:
                # It will not get better: the actor has to begin a new stream.
                self._failed = True
                self._log.exception(
                    "the journal is damaged and the actor ends: %d changes are lost; nobody was told of them",
                    len(batch.changes),
                )
                self._on_damage()
            except Exception as error:
                self.room.failing = True
                if self._closing:
                    self._failed = True
                    self._log.exception(
                        "the journal could not be committed: %d changes are lost, of which nobody was told",
                        len(batch.changes),
                    )
                else:
                    self._tell_forced(error)
                    self._log.exception(
                        "the journal could not be committed; it is tried again in %g s", _RETRY_S
                    )
                    await self._pause()
            finally:
                patience.cancel()
        if self._failed:
            batch.lose()
        else:
            batch.happen(self._log)
        self._writing = None
        self._forced = [waiter for waiter in self._forced if not waiter.done()]
        self.room.committed(self._batch.count, self._batch.size_bytes)
        if self._due or not self._batch.empty:
            self.request()

    async def _pause(self) -> None:
        self._woken.clear()
        timer = self._clock.call_later(_RETRY_S, self._woken.set)
        if not self._closing:
            await self._woken.wait()
        timer.cancel()


@dataclass(slots=True)
class _Batch:
    """What is committed together, and what waits for it."""

    changes: list[Change] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    waiters: list[asyncio.Future[None]] = field(default_factory=list)
    count: int = 0
    """How many things were added: an event with its fan-out is one."""
    size_bytes: int = 0
    """Of those that may be large."""

    @property
    def empty(self) -> bool:
        return not (self.changes or self.effects or self.waiters)

    def happen(self, log: ActorLog) -> None:
        for effect in self.effects:
            try:
                effect()
            except Exception:
                log.exception("something that followed a commit failed")
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def lose(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(OutcomeUnknown("what was done could not be committed"))
