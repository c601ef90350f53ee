"""Who wants to hear of what on one connection: pure, and safe to change from inside a handler.

A listener that is removed is marked as such, so a delivery that is under way passes over it. Running handlers
is `dispatch.py`; telling the server about subscriptions is done by whoever gives the two callbacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import InvalidFilter
from ..wire.event_match import matches_received
from ..wire.naming import RESERVED_EVENTS
from ..wire.protocol import MAX_NAME_CHARS, MAX_SUBSCRIPTIONS
from ..wire.topics import MAX_TOPICS_BYTES, bytes_of, name_of, topic_of

__all__ = ["END", "LOST", "Handler", "Listener", "Listeners"]

Handler = Callable[..., Any]
"""A function or a coroutine function; it gets the arguments of the broadcast."""

END: Final = ""
"""The end of a connection, for its streams: no event can have this name."""

LOST: Final = "lost".ljust(MAX_NAME_CHARS + 1)
"""Events are lost, whether or not a snapshot makes up for them; for streams. Too long for an event's name."""

_UNSUBSCRIBED: Final = RESERVED_EVENTS | {END, LOST}


@dataclass(slots=True, eq=False)
class Listener:
    """One registration of one handler."""

    name: str
    topic: str
    """The name, or the name with the listener's filter: what the server is told."""
    handler: Handler
    once: bool = False
    internal: bool = False
    """Belongs to a stream, which ends it itself: `off` leaves it alone."""
    active: bool = True

    def wants(self, args: tuple[Any, ...]) -> bool:
        """Tell whether an event of its name with these arguments is for it."""
        return self.topic == self.name or matches_received(self.topic, args)


class Listeners:
    """The listeners of a connection by name, in the order in which they were added.

    `on_first` is called with a topic (an event name, by itself or with a filter) that gets its first
    listener, `on_last` with one that loses its last. Lifecycle names are never subscribed to, so they are
    never passed to either.
    """

    def __init__(self, on_first: Callable[[str], None], on_last: Callable[[str], None]) -> None:
        self._on_first = on_first
        self._on_last = on_last
        self._by_name: dict[str, list[Listener]] = {}

    def add(
        self,
        name: str,
        handler: Handler,
        where: Mapping[str, Any] | None = None,
        *,
        once: bool = False,
        internal: bool = False,
    ) -> Listener:
        """Register `handler`; the same one registered twice runs twice. With `where`, for events that match.

        Raises `TypeError` if it cannot be called, `ValueError` for a name that no event can have and for
        more topics than a connection may subscribe to, and `InvalidFilter`.
        """
        if not callable(handler):
            raise TypeError(f"the handler of {name!r} must be a function, but is {handler!r}")
        named = isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARS
        if not named and not (internal and name in (END, LOST)):
            raise ValueError(f"an event name has 1 to {MAX_NAME_CHARS} characters, unlike {name!r}")
        topic = topic_of(name, where)
        if topic != name and name in _UNSUBSCRIBED:
            raise InvalidFilter(f"{name!r} is a lifecycle event, which cannot be filtered")
        is_first = all(listener.topic != topic for listener in self._by_name.get(name, ()))
        if is_first and name not in _UNSUBSCRIBED:
            self._require_room(topic)
        listener = Listener(name, topic, handler, once, internal)
        self._by_name.setdefault(name, []).append(listener)
        if is_first and name not in _UNSUBSCRIBED:
            self._on_first(topic)
        return listener

    def remove(self, listener: Listener) -> None:
        """Take one registration back; a second time does nothing."""
        if listener.active:
            listener.active = False
            self._drop(listener.name, lambda other: other is listener)

    def off(self, name: str | None = None, handler: Handler | None = None) -> None:
        """Remove a handler of `name`, all handlers of `name`, or all handlers of all names."""
        for each in [*self._by_name] if name is None else [name]:
            gone = [
                listener
                for listener in self._by_name.get(each, ())
                if not listener.internal and (handler is None or listener.handler == handler)
            ]
            for listener in gone:
                listener.active = False
            if gone:
                self._drop(each, lambda other: not other.active)

    def get(self, name: str) -> tuple[Listener, ...]:
        """Return the listeners of `name` as they are now: look at `active` before running each."""
        return tuple(self._by_name.get(name, ()))

    def has(self, name: str) -> bool:
        """Tell whether anyone listens for `name`."""
        return name in self._by_name

    def wants(self, name: str) -> bool:
        """Tell whether anyone listens for the actor's event `name`."""
        return name in self._by_name and name not in _UNSUBSCRIBED

    def topics(self) -> tuple[str, ...]:
        """Return the topics to subscribe to: names in the order in which they got their first listener."""
        named = (self._by_name[name] for name in self._by_name if name not in _UNSUBSCRIBED)
        return tuple(dict.fromkeys(listener.topic for listeners in named for listener in listeners))

    def _require_room(self, topic: str) -> None:
        topics = self.topics()
        if len(topics) >= MAX_SUBSCRIPTIONS:
            raise ValueError(f"a connection listens for at most {MAX_SUBSCRIPTIONS} events and filters")
        size = sum(map(bytes_of, topics)) + bytes_of(topic)
        if size > MAX_TOPICS_BYTES:
            raise ValueError(
                f"the events and filters of a connection take at most {MAX_TOPICS_BYTES} bytes, "
                f"with {name_of(topic)!r} it would be {size}"
            )

    def _drop(self, name: str, gone: Callable[[Listener], bool]) -> None:
        before = self._by_name.pop(name, [])
        rest = [listener for listener in before if not gone(listener)]
        if rest:
            self._by_name[name] = rest
        if name not in _UNSUBSCRIBED:
            left = {listener.topic for listener in rest}
            for topic in dict.fromkeys(listener.topic for listener in before):
                if topic not in left:
                    self._on_last(topic)
