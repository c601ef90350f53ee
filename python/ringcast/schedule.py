"""What an actor's code sees of its schedule: actions that it will run later, kept by the store.

When they run is the work of `running/timetable.py`, how is that of `running/performing.py`.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .errors import ActorDestroyed, ValidationError
from .running.timetable import Item, Stage
from .store import Scheduled, ScheduledCall, Unscheduled
from .wire.encoding import Encoding

if TYPE_CHECKING:
    from .action import ActionSpec
    from .running.instance import ActorInstance
    from .schema.definition import ActorDefinition

__all__ = ["Schedule", "ScheduledAction"]


@dataclass(slots=True, frozen=True)
class ScheduledAction:
    """One action that an actor has scheduled."""

    id: str
    """Unique within the actor; what `Schedule.cancel` takes."""
    action: str
    """The Python name of the action."""
    args: tuple[Any, ...]
    """As JSON carries them: what is not a number, a string, a list and so on is what it was written as."""
    due: float
    """When it is to run, in seconds since 1970 UTC."""
    late_s: float = 0.0
    """How long after `due` it began, in seconds; 0 while it is still to come.

    More than a moment when no server ran at that time, when the actor could not be started, or when another
    scheduled action of the actor took long.
    """

    @property
    def due_at(self) -> datetime:
        """When it is to run, as a time in UTC. Raises `OverflowError` or `ValueError` past the year 9999."""
        return datetime.fromtimestamp(self.due, UTC)

    @classmethod
    def of(cls, call: ScheduledCall, late_s: float = 0.0) -> ScheduledAction:
        """Return what is seen of a call."""
        return cls(call.id, call.action, tuple(Encoding.JSON.decode(call.args)), call.due, late_s)


class Schedule:
    """An actor's actions that are to run later, each once; iterate for those to come, the earliest first.

    They outlive the server: the store keeps them. They run as calls without a connection, with the action's
    timeout, one after the other. The reply of an action that has scheduled or cancelled something is sent
    when the store has it; anywhere else ``await c.save_state()`` waits for that. `docs/schedules.md` says
    what exactly *once* means.

    Every method raises `ActorDestroyed` once the actor has stopped, or is saved for the last time.
    """

    __slots__ = ("_instance", "_of_scheduled")

    def __init__(self, instance: ActorInstance, of_scheduled: bool) -> None:
        self._instance = instance
        # Whether this belongs to an action that the schedule runs.
        self._of_scheduled = of_scheduled

    def after(self, seconds: float, action: str | Callable[..., Any], *args: Any) -> str:
        """Run an action this many seconds from now; return the id of the entry.

        Raises as `at`.
        """
        if not (isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"an action is scheduled after 0 seconds or more, not {seconds!r}")
        return self._add(self._instance.node.clock.now() + seconds, action, args)

    def at(self, when: datetime | float, action: str | Callable[..., Any], *args: Any) -> str:
        """Run an action at a time of day; return the id of the entry. What is past runs at once.

        `when` is a datetime with a time zone, or seconds since 1970 UTC; `action` one of this actor, by its
        name or as the method (``self.remind``). Arguments go through JSON.

        Raises `ValueError` for a time without a time zone or no time at all, and for what is no action of
        this actor, `ValidationError` for arguments that the action does not take, and `StoreUnavailable`
        in a durable actor whose store takes nothing while too much waits for it.
        """
        return self._add(_seconds(when), action, args)

    def cancel(self, id: str) -> bool:
        """Take an entry out, so that it never runs; tell whether it was there.

        It is until its action begins, however long it has been due: not when it has run, runs now or was
        cancelled.
        """
        instance = self._instance
        self._require_alive()
        item = instance.node.timetable.cancel(instance.actor_id, id)
        if item is None:
            return False
        if item.change is not None:
            instance.state.withdraw(item.change)
        # Even so: it may be on its way to the store.
        instance.state.add(Unscheduled(id), with_state=self._goes_with_state())
        return True

    def entries(self) -> tuple[ScheduledAction, ...]:
        """Return what is to come, the earliest first; not what runs now."""
        self._require_alive()
        items = self._instance.node.timetable.items(self._instance.actor_id)
        return tuple(ScheduledAction.of(item.call) for item in items)

    def __iter__(self) -> Iterator[ScheduledAction]:
        return iter(self.entries())

    def __len__(self) -> int:
        return len(self.entries())

    def _add(self, due: float, action: str | Callable[..., Any], args: tuple[Any, ...]) -> str:
        instance = self._instance
        self._require_alive()
        spec = _spec(instance.definition, instance.actor, action)
        call = ScheduledCall(secrets.token_hex(8), instance.actor_id, due, spec.name, _written(spec, args))
        change = Scheduled(call)
        instance.room.require()
        instance.node.timetable.add(Item(call, Stage.NEW, change))
        instance.state.add(change, with_state=self._goes_with_state())
        return call.id

    def _goes_with_state(self) -> bool:
        return self._instance.performing.is_half_done(self._of_scheduled)

    def _require_alive(self) -> None:
        if self._instance.has_stopped:
            raise ActorDestroyed(f"{self._instance.definition.name} {self._instance.actor_id} has stopped")


def _seconds(when: datetime | float) -> float:
    if isinstance(when, datetime):
        if when.utcoffset() is None:
            raise ValueError(
                f"{when!r} has no time zone, so that its moment is not known: "
                "use datetime.now(UTC) + …, or .astimezone() for the server's own zone"
            )
        return when.timestamp()
    if not (isinstance(when, int | float) and math.isfinite(when)):
        raise ValueError(f"an action is scheduled at a datetime or seconds since 1970, not {when!r}")
    return float(when)


def _spec(definition: ActorDefinition, actor: object, action: str | Callable[..., Any]) -> ActionSpec:
    """Return the action that is meant. Raises `ValueError` when it is none of this actor."""
    if isinstance(action, str):
        found = definition.actions.get(action)
    elif getattr(action, "__self__", actor) is not actor:
        raise ValueError(f"{action!r} belongs to another object: an actor schedules actions of its own")
    else:
        found = _by_function(definition, getattr(action, "__func__", action))
    if found is None:
        raise ValueError(f"{definition.name} has no action {action!r}")
    return found


def _by_function(definition: ActorDefinition, function: Any) -> ActionSpec | None:
    for base in definition.cls.__mro__:
        for name, value in vars(base).items():
            if value is function:
                # An overridden one stands for the override, as in a call.
                return definition.actions.get(name)
    return None


def _written(spec: ActionSpec, args: tuple[Any, ...]) -> bytes:
    """Return the arguments as JSON. Raises `ValidationError` where the action would not take them back."""
    try:
        written = Encoding.JSON.encode(args)
    except Exception as error:  # an encoder calls user code
        raise ValidationError(f"{spec.name}: an argument cannot be written as JSON: {error}") from error
    spec.arguments.bind(Encoding.JSON.decode(written))
    return written
