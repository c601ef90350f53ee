"""The state of one running actor: what it is made of, when it has changed, when it is saved.

Which store keeps it is the store's business; when hooks run on a change is `instance.py`'s.
"""

from __future__ import annotations

import asyncio
import typing
from collections.abc import Callable
from typing import Any

import pydantic

from .arguments import invalid
from .clock import Clock, Timer
from .errors import DefinitionError
from .faults import ActorLog
from .journal import Journal
from .seam import Node
from .store import StateChanged

__all__ = ["SavedState", "StateType"]


class StateType:
    """The type of an actor's or a connection's state: how one is made, written down, and read back."""

    __slots__ = ("_adapter", "_where", "annotation")

    def __init__(self, annotation: Any, where: str) -> None:
        self.annotation = None if annotation is type(None) else annotation
        self._where = where
        self._adapter: pydantic.TypeAdapter[Any] | None = None
        if self.annotation is not None:
            try:
                self._adapter = pydantic.TypeAdapter(annotation)
            except pydantic.errors.PydanticUserError as error:
                hint = str(error).partition("\n")[0]
                raise DefinitionError(f"{where}: {annotation!r} cannot be a state: {hint}") from error

    def construct(self) -> Any:
        """Return a state made without arguments, None where there is no type. Raises what the type raises."""
        if self.annotation is None or self.annotation is Any:
            return None
        return (typing.get_origin(self.annotation) or self.annotation)()

    def validate(self, value: Any, what: str) -> Any:
        """Return `value` as a state. Raises `ValidationError`, which calls the value `what`."""
        if self._adapter is None:
            return value
        try:
            return self._adapter.validate_python(value)
        except pydantic.ValidationError as error:
            raise invalid(self._where, what, error) from None

    def validated_or_constructed(self, value: Any, what: str) -> Any:
        """Return `value` as a state; for None, a state made without arguments where the type allows it."""
        if self.annotation is None:
            return None
        if value is not None:
            return self.validate(value, what)
        try:
            return self.construct()
        except (TypeError, pydantic.ValidationError):
            # The type needs something: let the error say what, as it would for an empty object.
            return self.validate({}, what)

    def dump(self, state: Any) -> bytes:
        """Return the state as JSON. Raises what pydantic raises for a value that has no JSON."""
        return b"null" if self._adapter is None else self._adapter.dump_json(state)

    def load(self, stored: bytes) -> Any:
        """Return the state that `dump` wrote. Raises `ValueError` when it no longer fits the type."""
        if self._adapter is None:
            return None
        try:
            return self._adapter.validate_json(stored)
        except pydantic.ValidationError as error:
            # No fault of the client that happens to wake the actor: this is for the log alone.
            raise ValueError(invalid(self._where, "stored state", error).message) from None


class SavedState:
    """One actor's state in memory, and its copy in the store.

    Every access through `value` counts as a possible change: an interval later the serialised state is
    compared with what the store has, and saved if it differs.
    """

    __slots__ = (
        "_actor_id",
        "_clock",
        "_interval_s",
        "_is_busy",
        "_is_stored",
        "_lock",
        "_log",
        "_saved",
        "_seen",
        "_store",
        "_timer",
        "_type",
        "_value",
        "journal",
    )

    def __init__(self, state_type: StateType, node: Node, actor_id: str, log: ActorLog) -> None:
        self._type = state_type
        self._store = node.store
        self._clock: Clock = node.clock
        self._interval_s = node.config.save_interval_s
        self._actor_id = actor_id
        self._log = log
        self._value: Any = None
        # What the store has, and what `on_state_change` was last told of.
        self._saved = b"null"
        self._is_stored = False
        self._seen = b"null"
        # None: no check is due. True: the actor has stopped, and none will be.
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

    def mark_saved(self) -> bytes:
        """Return the serialised state for the caller to store."""
        self._saved = self._type.dump(self._value)
        return self._saved

    def created(self) -> None:
        """The store has the actor now."""
        self._is_stored = True

    def start_saving(self, is_busy: Callable[[], bool]) -> None:
        """Save by itself from now on, beginning with what has changed since `mark_saved` or `load`.

        `is_busy` tells whether user code is running that may hold a reference to the state: while it is, the
        state is looked at each interval, accessed or not.
        """
        self._is_busy = is_busy
        self._timer = None
        self.touch()

    def touch(self) -> None:
        """The state may have changed: look at it an interval from now."""
        if self._timer is None and self._type.annotation is not None:
            self._timer = self._clock.call_later(self._interval_s, self._due)

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

    async def save(self) -> None:
        """Write the state to the store now, if it differs from what is there. Raises what that raises.

        An actor that is being created is not in the store yet: it will be stored as it is then.
        """
        if not self._is_stored:
            return
        if self.journal is not None:
            await self.journal.committed(now=True)
            return
        async with self._lock:
            now = self._type.dump(self._value)
            if now != self._saved:
                await self._store.commit(self._actor_id, [StateChanged(now)])
                self._saved = now

    def take_change(self) -> bytes | None:
        """Return the state if it has changed since it was last stored; the caller stores it."""
        now = self._type.dump(self._value)
        if now == self._saved:
            return None
        self._saved = now
        return now

    def stop_saving(self) -> None:
        if not isinstance(self._timer, bool | None):
            self._timer.cancel()
        self._timer = True

    def _due(self) -> None:
        self._timer = None
        if self.journal is not None:
            self.journal.request()
            if self._is_busy():
                self.touch()
            return
        task = asyncio.get_running_loop().create_task(self._save_by_itself(), name=f"save {self._actor_id}")
        _saving.add(task)
        task.add_done_callback(_saving.discard)

    async def _save_by_itself(self) -> None:
        try:
            await self.save()
        except Exception:
            self._log.exception("saving the state failed; it is tried again in %g s", self._interval_s)
            self.touch()
        if self._is_busy():
            self.touch()


# The loop holds tasks weakly; this keeps a save alive until it is done.
_saving: set[asyncio.Task[None]] = set()
