"""`Actor`, the class that users extend.

Reading a subclass is the work of `schema/definition.py`, running it that of `running/instance.py`.
"""

from __future__ import annotations

import math
import sys
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from .connections import numbers_of
from .context import ActorScope
from .errors import DefinitionError
from .schema.declared import refuse_reserved
from .typevars import ConnStateT, StateT

if TYPE_CHECKING:
    from .connection import Connection
    from .filters import Filter

__all__ = ["Actor", "SleepAfter", "StreamOptions"]

SlowReader = Literal["disconnect", "skip"]

SleepAfter = float | None | Literal["inherit"]
"""Seconds, None for never, `inherit` for what the base class says, and in the end the server."""

MIN_RING_BYTES: Final = 1024
"""What the core asks for."""


@dataclass(slots=True, frozen=True)
class StreamOptions:
    """How much an actor's ring retains, how it is written, and what becomes of who reads it too slowly."""

    max_events: int = 8192
    max_bytes: int = 8_388_608
    slow_reader: SlowReader = "disconnect"
    msgpack_only: bool = False


class Actor(ActorScope[StateT, ConnStateT]):
    """Extend this: a thing with a key, state, actions that clients call, and events that it sends to them.

    The type parameters are the types of its saved state and of each connection's state: a dataclass, a
    pydantic model, a `TypedDict`, or any type that pydantic can validate and write as JSON. Both may be left
    out::

        class Counter(Actor[Count]):
            @action
            def increase(self, c: Context[Count], by: int = 1) -> int:
                c.state.value += by
                c.broadcast("increased", c.state.value)
                return c.state.value

    Methods of these names are hooks, sync or async; trailing parameters may be left out:

    - ``create_state(self, c, input)`` returns the first state; without it the type is called without
      arguments.
    - ``on_create(self, c)`` once in the actor's life; ``on_start(self, c)`` and ``on_stop(self, c)`` each
      time it runs.
    - ``on_destroy(self, c)`` after `destroy`, when the state is gone.
    - ``on_before_connect(self, c, params)`` raises to refuse a connection, or a call over HTTP without one.
      An actor that is created for somebody from outside is stored once this has passed.
    - ``create_conn_state(self, c, params)`` returns a connection's state, or raises to refuse it; without it,
      it is validated from params. An actor that is created for a connection is stored once this has passed,
      too; calls without a connection, which may create one as well, do not meet it.
    - ``on_connect(self, c)`` once per session, with `c.conn`; ``on_disconnect(self, c)`` when the session
      ends. It may refuse as well; the actor is stored by then.
    - ``can_subscribe(self, c, event)`` returns whether `c.conn` may listen for an event. It is asked again
      when the connection's state may have changed, before anything else is sent: who has lost the permission
      gets nothing of that. Raise an error of this package to say why not.
    - ``can_call(self, c, action)`` returns whether a client may call an action, which is given by its Python
      name. What the schedule runs, and what the actor calls of its own methods, is not asked about.
    - ``snapshot(self, c)`` returns all that `c.conn` needs to know now (not async). A client gets it when it
      connects, with the position that belongs to it, and when events that it missed are lost; None is none.
    - ``on_state_change(self, c)`` after an action or a hook has changed the state.
    - ``on_before_action_response(self, c, name, args, result)`` returns what the caller gets instead of
      `result`.

    A class inside it, called ``Events``, declares what it sends: by annotations (``newArticle: Article``, or
    ``started: None`` for an event without arguments) and by methods (``def moved(self, x: int, y: int) ->
    None: ...``). Nothing else can be sent or listened for then, and each event is checked when it is sent.

    `params` and `input` are validated from the annotations that the hooks give them. Plain attributes of
    `self` are the actor's unsaved variables. Everything of `c` but the calling connection is on `self` too,
    for timers and background tasks.

    The keywords of the class statement, as in ``class Ticker(Actor, max_ring_events=100)``, say how many
    events and bytes the ring retains for replay, and what becomes of a connection that falls behind it: it is
    closed with a code that says so (`disconnect`), or goes on at the oldest retained event with a gap notice
    (`skip`). ``sleep_after_s`` stands for the server's: for how many seconds the actor stays when nobody uses
    it, None for always. With ``msgpack_only=True`` its events may hold bytes that are no text: JSON has none,
    so a client that connects with JSON is refused. (Without it, such an event is refused, whoever is there.)
    ``validate_events`` stands for the server's setting: whether the arguments of declared events are checked.
    """

    durable: ClassVar[bool] = False
    """Set it to True in a class whose events and sessions shall outlive the server.

    An event is then fanned out once the store has it, together with the state and the replies of its action;
    after a crash the stream goes on where it was, and clients resume without a gap. Actions and hooks of a
    durable actor take turns, async ones too: each runs from start to end before the next begins.
    """

    __ringcast_stream__: ClassVar[StreamOptions] = StreamOptions()
    __ringcast_sleep__: ClassVar[SleepAfter] = "inherit"
    __ringcast_validate_events__: ClassVar[bool | None] = None
    __ringcast_scope__: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(
        cls,
        *,
        max_ring_events: int | None = None,
        max_ring_bytes: int | None = None,
        slow_reader: SlowReader | None = None,
        sleep_after_s: SleepAfter = "inherit",
        msgpack_only: bool | None = None,
        validate_events: bool | None = None,
        **keywords: Any,
    ) -> None:
        super().__init_subclass__(**keywords)
        refuse_reserved(cls)
        if sleep_after_s != "inherit":
            if sleep_after_s is not None and not 0 < sleep_after_s < math.inf:
                raise DefinitionError(
                    f"{cls.__name__}: sleep_after_s is above 0, or None for never, not {sleep_after_s!r}"
                )
            cls.__ringcast_sleep__ = sleep_after_s
        inherited = cls.__ringcast_stream__
        cls.__ringcast_stream__ = StreamOptions(
            inherited.max_events if max_ring_events is None else max_ring_events,
            inherited.max_bytes if max_ring_bytes is None else max_ring_bytes,
            inherited.slow_reader if slow_reader is None else slow_reader,
            inherited.msgpack_only if msgpack_only is None else msgpack_only,
        )
        if cls.__ringcast_stream__.max_events < 1 or cls.__ringcast_stream__.max_bytes < MIN_RING_BYTES:
            raise DefinitionError(
                f"{cls.__name__}: a ring holds at least one event and {MIN_RING_BYTES} bytes"
            )
        if cls.__ringcast_stream__.slow_reader not in typing.get_args(SlowReader):
            raise DefinitionError(
                f"{cls.__name__}: slow_reader is 'disconnect' or 'skip', not {slow_reader!r}"
            )
        if not isinstance(cls.__ringcast_stream__.msgpack_only, bool):
            raise DefinitionError(f"{cls.__name__}: msgpack_only is True or False, not {msgpack_only!r}")
        if validate_events is not None:
            if not isinstance(validate_events, bool):
                raise DefinitionError(
                    f"{cls.__name__}: validate_events is True or False, not {validate_events!r}"
                )
            cls.__ringcast_validate_events__ = validate_events
        cls.__ringcast_scope__ = _local_types(sys._getframe(1))

    def broadcast_threadsafe(
        self,
        name: str,
        *data: Any,
        where: Filter | None = None,
        exclude: Connection[ConnStateT] | Iterable[Connection[ConnStateT]] | None = None,
    ) -> None:
        """Send an event to every connection that is subscribed to `name`, from any thread.

        The core's publish is thread-safe by itself, and may wait (without the GIL) for the sweep to catch up.
        Events of different threads are ordered as they reach the stream. Nothing else of an actor may be used
        off its loop, so give `exclude` connections that you have, and not a selection.

        With `where`, and in a class with `can_subscribe`, the loop's thread does it, between two of its
        turns, and this one waits until it has: who matches, or may listen, is asked of states that nobody is
        changing meanwhile. So let the loop go on: whoever blocks it to wait for this thread waits for ever.
        Raises as `broadcast`.
        """
        emitter = self._instance.emitter
        excluded = None if exclude is None else numbers_of(exclude, emitter)
        emit = partial(emitter.emit, name, data, exclude=excluded, where=where)
        if where is None and emitter.permission is None:
            emit()
        else:
            self._instance.tasks.home.do(emit)


def _local_types(frame: Any) -> dict[str, Any]:
    """Return the types that are local where a class statement runs, for annotations that name them.

    Types only: the other local variables would be kept alive for nothing.
    """
    if frame.f_code.co_name == "<module>":
        return {}
    return {
        name: value
        for name, value in frame.f_locals.items()
        if isinstance(value, type) or typing.get_origin(value) is not None
    }
