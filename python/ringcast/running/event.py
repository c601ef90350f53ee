"""Emitting an event: its name and arguments are checked, and encoded once per encoding in use.

What they are checked against is declared by the actor's class (`schema/declared.py`). Who gets the event, and
when it is written, is decided by the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..errors import ActorDestroyed, EventNotJson
from ..seam import EventStream
from ..wire.encoding import Encoding, NoText, encode_for_all, encode_msgpack_of_json
from ..wire.naming import MAX_NAME_CHARS, RESERVED_EVENTS, check_event_name

if TYPE_CHECKING:
    from ..filters import Filter
    from ..schema.declared import EventChecks
    from .matching import Matching
    from .permission import Permission

__all__ = ["Emitter"]

_JSON: Final = 1 << Encoding.JSON.index
_MSGPACK: Final = 1 << Encoding.MSGPACK.index

# Looked up once: these run for every event.
_encode_json: Final = Encoding.JSON.encode
_encode_msgpack: Final = Encoding.MSGPACK.encode


class Emitter:
    """The way of one running actor's events into its stream.

    What JSON cannot carry is refused although nobody may use JSON at the moment: whether an action works must
    not depend on who is there. Where no client can, as `msgpack_only` says, it is let through.
    """

    __slots__ = (
        "_actor",
        "_begin_matching",
        "_checks",
        "_encode_msgpack",
        "_stream",
        "filtered",
        "permission",
    )

    def __init__(
        self,
        stream: EventStream,
        actor: str,
        begin_matching: Callable[[], Matching],
        msgpack_only: bool = False,
        checks: EventChecks | None = None,
    ) -> None:
        """`begin_matching` is called for the first filter. Without `checks`, an event may be anything."""
        self._stream: EventStream | None = stream
        self._actor = actor
        self._begin_matching = begin_matching
        self._checks = checks
        self._encode_msgpack = _encode_msgpack if msgpack_only else encode_for_all
        self.filtered: Matching | None = None
        """What filters see of the connections; None before the first filter."""
        self.permission: Permission | None = None
        """Whether those who listen still may; None where everybody may."""

    def matching(self) -> Matching:
        """Return what filters see of the actor's connections, from now on kept up to date."""
        if self.filtered is None:
            self.filtered = self._begin_matching()
        return self.filtered

    def check(self, name: str, data: Sequence[Any]) -> None:
        """Raise if this is no event of the actor's, whoever would get it.

        That is `InvalidEventName`, `ReservedName`, `UnknownEvent`, or `InvalidEvent`.
        """
        checks = self._checks
        if checks is None or type(name) is not str:
            check_event_name(name)
        if checks is not None and (check := checks[name]) is not None:
            check(data)

    def emit(
        self,
        name: str,
        data: Sequence[Any],
        *,
        only: Sequence[int] | None = None,
        exclude: Sequence[int] | None = None,
        where: Filter | None = None,
    ) -> None:
        """Append an event to the stream: for all that are subscribed except `exclude`, or for `only` these.

        With `where`, for those of the subscribers that match. May be called from any thread; with `where`,
        and where there is a `permission`, from the loop's. Raises as `check`, `EventTooLarge`,
        `EventNotJson`, `InvalidFilter`, `StoreUnavailable`, `ActorDestroyed` once the actor
        has stopped.
        """
        # As `check`, without a call: this runs for every event.
        checks = self._checks
        if checks is None:
            if type(name) is not str or not 0 < len(name) <= MAX_NAME_CHARS or name in RESERVED_EVENTS:
                check_event_name(name)
        elif type(name) is not str:
            self.check(name, data)
        elif (check := checks[name]) is not None:
            check(data)
        stream = self._stream
        if stream is None:
            raise ActorDestroyed(f"{self._actor} has stopped and cannot send events")
        if self.permission is not None and only is None:
            self.permission.renew()
        matching = None if where is None else self.matching().compiled(where)
        taken = 0
        # Again when, off the loop's thread, a connection with another encoding opened in between.
        try:
            while not taken:
                encodings = stream.encodings
                json = msgpack = None
                if encodings & _JSON:
                    json = _encode_json(data)
                if encodings & _MSGPACK:
                    msgpack = self._encode_msgpack(data) if json is None else encode_msgpack_of_json(data)
                taken = stream.publish(
                    name,
                    json,
                    msgpack,
                    only=only,
                    exclude=exclude,
                    matching=matching,
                )
        except TypeError as error:
            event = f"the event {name!r} of {self._actor}"
            if isinstance(error.__cause__, NoText):
                raise EventNotJson(
                    f"{event} holds bytes that are no text, which JSON cannot carry: "
                    "send text, or say msgpack_only=True in the class statement"
                ) from None
            raise EventNotJson(f"{event} holds what JSON cannot carry: {error}") from error

    def close(self) -> None:
        """Refuse every later event. Idempotent."""
        self._stream = None
