"""The state of one running actor: when it has changed, and when it is saved.

How it is written is in `schema/state_type.py`; which store keeps it is the store's business, and when hooks
run on a change is `settling.py`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from ..clock import Clock, Timer
from ..durable.journal import Journal
from ..errors import ActorDestroyed
from ..faults import ActorLog, from_store
from ..schema.state_type import StateType
from ..seam import Node
from ..store import Change, StateChanged, StoredActor, Unscheduled

__all__ = ["SavedState"]

_HURRIED_S: Final = 0.05
"""When a change is saved once there is hurry. Not at once, as the state is looked at as often while user code
runs."""


class SavedState:
    """One actor's state in memory, its copy in the store, and what else the actor has the store keep.

    Every access through `value` counts as a possible change: an interval later the serialised state is
    compared with what the store has, and saved if it differs. What is added by `add` is committed at once,
    and the state with it. Of a durable actor, all of this is the journal's work.
    """

    __slots__ = (
        "_actor_id",
        "_added",
        "_capacity",
        "_clock",
        "_flushing",
        "_held",
        "_interval_s",
        "_is_busy",
        "_is_closed",
        "_is_stored",
        "_kept",
        "_lock",
        "_log",
        "_retry_s",
        "_saved",
        "_seen",
        "_store",
        "_timer",
        "_type",
        "_value",
        "_writing",
        "additions",
        "has_added",
        "is_final",
        "journal",
    )

    def __init__(
        self,
        state_type: StateType,
        node: Node,
        actor_id: str,
        log: ActorLog,
        kept: Callable[[Change], object],
    ) -> None:
        self._type = state_type
        self._store = node.store
        self._capacity = node.capacity
        self._clock: Clock = node.clock
        self._interval_s = self._retry_s = node.config.save_interval_s
        self._actor_id = actor_id
        self._log = log
        # Told of each change that was added, once the store has it.
        self._kept = kept
        self._value: Any = None
        # What the store has (None: that is not known), and what `on_state_change` was last told of.
        self._saved: bytes | None = b"null"
        self._is_stored = False
        self._is_closed = False
        self._seen = b"null"
        # Changes that the store does not have yet, and whether each has to go with the state.
        self._added: list[tuple[Change, bool]] = []
        self._writing: list[tuple[Change, bool]] = []
        self.additions = 0
        """How many changes have been added so far that a reply has to wait for."""
        self.has_added = False
        """Whether a change was ever added."""
        self.is_final = False
        """Whether it is saved for the last time, so that nothing may be added that would be left behind."""
        self._held = False
        self._flushing = False
        # None: no check is due. True: the actor has not started or has stopped, and none will be.
        self._timer: Timer | bool | None = True
        self._lock = asyncio.Lock()
        self._is_busy: Callable[[], bool] = bool
        self.journal: Journal | None = None
        """Commits the state of a durable actor, together with what else it has done."""

    @property
    def value(self) -> Any:
        if self._timer is None:
            self.touch()
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self._value = value
        self.touch()

    def begin(self, value: Any) -> None:
        """Take the first value; the store does not have it yet."""
        self._value = value

    def load(self, stored: bytes) -> None:
        """Take what the store has. Raises `ValueError` when it no longer fits the type."""
        self._value = self._type.load(stored)
        self._saved = stored
        self._is_stored = True

    async def create(self, name: str, key: tuple[str, ...]) -> None:
        """Have the store keep the new actor, with what was added so far.

        Raises as `from_store`, and `ValueError` for a state that cannot be kept.
        """
        self._saved = self._type.dump_to_keep(self._value)
        taken, self._added = self._added, []
        actor = StoredActor(self._actor_id, name, key, self._saved)
        try:
            await from_store(self._store.create(actor, [change for change, _ in taken]))
        except BaseException:
            # It may have taken it all the same.
            self._capacity.create_failed(self._actor_id)
            raise
        self._capacity.created(self._actor_id)
        self._is_stored = True
        self._tell(taken)

    def start_saving(self, is_busy: Callable[[], bool]) -> None:
        """Save by itself from now on, beginning with what has changed since `create` or `load`.

        `is_busy` tells whether user code is running that may hold a reference to the state: while it is, the
        state is looked at each interval, accessed or not.
        """
        self._is_busy = is_busy
        self._timer = None
        self.touch()
        if self._added:
            self._flush_soon()

    def touch(self, after_s: float | None = None) -> None:
        """The state may have changed, or what the journal has besides: look at it an interval from now."""
        if self._timer is None and (
            self._type.annotation is not None or self._added or self.journal is not None
        ):
            self._timer = self._clock.call_later(self._interval_s if after_s is None else after_s, self._due)

    def hurry(self) -> None:
        """Save at once what may have changed, and soon what changes from now on: the process may end."""
        self._interval_s = min(self._interval_s, _HURRIED_S)
        if not isinstance(self._timer, bool | None):
            self._timer.cancel()
            self._due()

    def changed(self) -> bool:
        """Tell whether the state differs from when this was last asked, or `settle` was called."""
        now = self._type.dump(self._value)
        if now == self._seen:
            return False
        self._seen = now
        return True

    def settle(self) -> None:
        """Forget what has changed so far: `changed` tells of later changes only."""
        self._seen = self._type.dump(self._value)

    # --- what goes with it --------------------------------------------------------------------------------

    def add(self, change: Change, *, with_state: bool = False) -> None:
        """Have the store keep `change`, on the next turn of the loop; `with_state`: not while it is held."""
        self.has_added = True
        if self.journal is not None and self._is_stored:
            self.journal.add(change, partial(self._kept, change))
            return
        self._added.append((change, with_state))
        self.additions += 1
        self._flush_soon()

    def withdraw(self, change: Change) -> None:
        """Do not add `change` after all; if it is being written now, do not write it a second time."""
        self._added = [item for item in self._added if item[0] is not change]
        self._writing = [item for item in self._writing if item[0] is not change]

    def hold(self) -> None:
        """Commit neither the state nor what goes with it by itself, until `release`: it is half changed.

        In a durable actor nothing is committed then anyway.
        """
        self._held = self.journal is None

    def release(self) -> None:
        self._held = False
        self.touch()

    @property
    def held(self) -> bool:
        return self._held

    @property
    def is_behind(self) -> bool:
        """Whether something was added that has not been committed, and is not being committed now."""
        return bool(self._added)

    @property
    def is_cancelling(self) -> bool:
        """Whether the store may still have a scheduled call that was taken out."""
        return any(isinstance(change, Unscheduled) for change, _ in (*self._added, *self._writing))

    # --- saving -------------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Commit what was added, and the state, without what is held. Raises what `save` raises."""
        if self.journal is not None:
            await self.journal.committed()
            return
        async with self._lock:
            await self._commit(self._held)

    async def save(self) -> None:
        """Write the state to the store now, if it differs from what is there, with all that was added.

        Raises what the store raises, `ValueError` for a state that cannot be kept, and `ActorDestroyed` after
        `close`. An actor that is being created is not in the store yet: it will be stored as it is then.
        """
        self._require_open()
        if not self._is_stored:
            return
        if self.journal is not None:
            await self.journal.committed(now=True)
            return
        async with self._lock:
            await self._commit(False)

    def take_change(self) -> bytes | None:
        """Return the state if it has changed since it was last stored; the caller stores it."""
        now = self._type.dump_to_keep(self._value, self._saved)
        if now == self._saved:
            return None
        self._saved = now
        return now

    def stop_saving(self) -> None:
        if not isinstance(self._timer, bool | None):
            self._timer.cancel()
        self._timer = True

    def close(self) -> None:
        """Store nothing from now on: the actor has stopped, and another may run in its place.

        What has gone to the store by then is there before that one is looked for.
        """
        self._is_closed = True

    @property
    def is_closed(self) -> bool:
        """Whether nothing is stored any more."""
        # The journal is closed first: its last events go out behind its last commit.
        return self._is_closed or (self.journal is not None and self.journal.closed)

    def _require_open(self) -> None:
        if self.is_closed:
            raise ActorDestroyed(f"the actor {self._actor_id} has stopped: nothing of it is saved any more")

    async def _commit(self, held: bool) -> None:
        # Looked at again: it may have waited for another commit.
        self._require_open()
        state = self._saved if held else self._type.dump_to_keep(self._value, self._saved)
        taken = [item for item in self._added if not (held and item[1])]
        changes = [change for change, _ in taken]
        if state is not None and state != self._saved:
            changes.insert(0, StateChanged(state))
        if not changes:
            return
        self._added = [item for item in self._added if held and item[1]]
        self._writing = taken
        try:
            await self._store.commit(self._actor_id, changes)
        except BaseException:
            # It may have been written all the same. Writing a change again does no harm; leaving out a state
            # would, that is the one of before once more.
            self._added[:0] = self._writing
            if not held:
                self._saved = None
            raise
        finally:
            self._writing = []
        self._saved = state
        self._tell(taken)

    def _tell(self, taken: Iterable[tuple[Change, bool]]) -> None:
        for change, _ in taken:
            self._kept(change)

    def _flush_soon(self) -> None:
        if not self._flushing and self._timer is not True:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._save_behind)

    def _due(self) -> None:
        self._timer = None
        if self.journal is not None:
            self.journal.request()
            if self._is_busy():
                self.touch()
            return
        self._save_behind()

    def _save_behind(self) -> None:
        task = asyncio.get_running_loop().create_task(self._save_by_itself(), name=f"save {self._actor_id}")
        _saving.add(task)
        task.add_done_callback(_saving.discard)

    async def _save_by_itself(self) -> None:
        self._flushing = False
        try:
            await self.keep()
        except ActorDestroyed:
            pass  # who has stopped it has logged what was not saved
        except Exception:
            if self.is_closed:
                self._log.exception(
                    "saving the state failed, and the actor has stopped: it is not tried again"
                )
            else:
                self._log.exception("saving the state failed; it is tried again in %g s", self._retry_s)
                self.touch(self._retry_s)
        if self._is_busy():
            self.touch()


# The loop holds tasks weakly; this keeps a save alive until it is done.
_saving: set[asyncio.Task[None]] = set()
