"""What the server has been told to send: names that it has confirmed, and names that are to begin anew. Pure.

Who listens for a name is known to `listeners.py`. This is about the other side: what a connect message says,
so that a name goes on without a seam or begins, and so that a session which has lost one is found out.
A name with a filter (a *topic*, `wire/topics.py`) is as good as a name of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set
from typing import Any, Final

from ..wire.event_match import matches_received
from ..wire.protocol import Subscribe
from ..wire.topics import name_of
from .requests import Request

__all__ = ["Subscriptions"]

_NONE: Final = frozenset[str]()


class Subscriptions:
    """The names of one session, as its client knows them."""

    def __init__(self) -> None:
        self._confirmed: set[str] = set()
        # The newest request about a name that has no answer yet.
        self._asked: dict[str, Request] = {}
        self._anew: set[str] = set()
        """Names that lost their last listener, of which the server may not know, such as are new beside
        another way to the same events, and such as it was not asked for: whoever listens wants nothing
        older."""

    def ask(self, request: Request) -> None:
        """A request about a name is sent."""
        self._asked[request.name] = request
        if request.kind is not Subscribe:
            self._confirmed.discard(request.name)

    def answer(self, request: Request, *, refused: bool = False) -> None:
        """A request about a name was answered, behind all events from before it."""
        name = request.name
        is_newest = self._asked.get(name) is request  # or another one is on its way
        if request.kind is Subscribe or is_newest:
            self._anew.discard(name)
        if is_newest:
            del self._asked[name]
            if request.kind is Subscribe and not refused:
                self._confirmed.add(name)

    def leave(self, name: str) -> None:
        """A name has lost its last listener while there is no network, or has got its first.

        Or it has one, and is not to be in a connect message.
        """
        self._confirmed.discard(name)
        self._anew.add(name)

    def lost(self) -> None:
        """The network is lost, and with it, perhaps, what was asked last."""
        self._anew |= {name for name, request in self._asked.items() if request.kind is not Subscribe}
        self._asked.clear()

    def begin(self, carried: Iterable[str], wanted: Iterable[str]) -> None:
        """A connect message was answered that carried these names: they are what the server has."""
        self._confirmed = set(carried)
        self._anew.intersection_update(wanted)

    def refuse(self, name: str) -> None:
        """The server does not send this one, whatever it had said before."""
        self._confirmed.discard(name)

    def not_heard(self, name: str, topics: Collection[str], args: tuple[Any, ...]) -> Set[str]:
        """Return those of the topics of an event's listeners that the event is not heard as.

        These are to begin anew, or the server does not send them, or not yet, and the event came by another
        one. What came by none the actor has sent to this connection by itself: it is for all.
        """
        if not self._anew and self._confirmed.issuperset(topics):
            return _NONE
        anew = self._anew.intersection(topics)
        closed = {*topics} - self._confirmed
        if closed:
            # An event may still come by one whose end is not answered.
            leaving = {topic for topic, request in self._asked.items() if request.kind is not Subscribe}
            ways = (topic for topic in self._confirmed | leaving if name_of(topic) == name)
            if any(topic == name or matches_received(topic, args) for topic in ways):
                return closed | anew
        return anew

    def is_anew(self, name: str) -> bool:
        """Tell whether a name is to begin, whatever the server has of it: what comes until then is older."""
        return name in self._anew

    def taken(self) -> tuple[str, ...]:
        """Return the names that the server has, or will have once it has answered."""
        asked = {name for name, request in self._asked.items() if request.kind is Subscribe}
        return (*(self._confirmed | asked),)

    def unconfirmed(self, carried: Iterable[str]) -> tuple[str, ...]:
        """Return those names of a connect message of which nobody knows whether the session has them."""
        return tuple(name for name in carried if name not in self._confirmed)
