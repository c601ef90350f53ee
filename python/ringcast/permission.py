"""Permission to listen: asked again when a connection's state may have changed, before anything else is sent.

What is asked, and how, is in `questions.py`; what becomes of the answer on the gateway's side in
`session.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from .errors import RingcastError
from .fingerprint import fingerprint
from .questions import asked_about, may_subscribe, refusal
from .topics import name_of
from .touched import Touched, is_held

if TYPE_CHECKING:
    from .connection import Connection
    from .instance import ActorInstance

__all__ = ["Permission"]


class Permission:
    """Whether those who listen may still do so. An actor without `can_subscribe` has none of this.

    Before each event to subscribers those connections are asked about whose state may have changed since the
    event before (`touched.py`): so what is sent after a change reaches nobody who has lost the permission by
    it. A sync hook answers there and then. While an async one makes up its mind, what is sent is kept for its
    connection, which gets it, or not, in its place.

    A sync hook is cheap, and is asked even if the state is what it was. An async one is asked only if it is
    another, as pickle writes it down; one that cannot be written down counts as another.
    """

    def __init__(self, instance: ActorInstance) -> None:
        hook = instance.definition.hooks.can_subscribe
        self._instance = instance
        self._is_async = hook is not None and hook.is_async
        self._thread = threading.get_ident()
        self._touched: Touched[Connection[Any]] = Touched(bool)
        # Those that the hook itself has looked at, about whom it was asked.
        self._looked_at: set[Connection[Any]] = set()
        # Still to be asked about. A hook may send something, and comes here again.
        self._due: dict[Connection[Any], None] = {}
        # What the states were about which an async hook was asked last.
        self._known: dict[Connection[Any], bytes | None] = {}
        # Those about whom one is being asked.
        self._asking: set[Connection[Any]] = set()

    def add(self, connection: Connection[Any]) -> None:
        """A connection is open in the stream, and is going to be asked about for the first time."""
        if self._is_async:
            self._known[connection] = fingerprint(connection._state)
        if is_held(connection):
            self._touched.again(connection)

    def touch(self, connection: Connection[Any]) -> None:
        """The state of a connection may have changed."""
        if not connection.is_open:
            return
        if asked_about.get() is connection:
            self._looked_at.add(connection)
        else:
            self._touched.add(connection)

    def ask_again(self, connection: Connection[Any]) -> None:
        """An answer about it may be out of date."""
        self._known.pop(connection, None)
        self._touched.again(connection)

    def remove(self, connection: Connection[Any]) -> None:
        """A connection has ended."""
        self._touched.discard(connection)
        self._looked_at.discard(connection)
        self._known.pop(connection, None)

    def renew(self) -> None:
        """Ask about those who may have lost the permission for something. Before each event to subscribers.

        Does nothing off the loop's thread: what another thread sends is not ordered with what happens here.
        """
        if threading.get_ident() != self._thread:
            return
        if self._looked_at:
            looked_at, self._looked_at = self._looked_at, set()
            for connection in looked_at:
                if is_held(connection):
                    self._touched.again(connection)
        taken = self._touched.take()
        if taken:
            self._due.update(dict.fromkeys(sorted(taken, key=lambda connection: connection._number)))
        while self._due:
            connection = next(iter(self._due))
            del self._due[connection]
            if connection.is_open and connection.subscriptions:
                self._ask_about(connection)

    def _ask_about(self, connection: Connection[Any]) -> None:
        if self._is_async:
            if self._has_changed(connection):
                self._ask_later(connection)
            return
        refused: dict[str, RingcastError] = {}
        for name in connection.subscriptions:
            try:
                allowed = may_subscribe(self._instance, connection, name_of(name))
            except RingcastError as error:
                refused[name] = error
                continue
            if allowed is False:
                refused[name] = refusal(name)
            elif allowed is not True:
                # An async hook, though it did not look like one.
                _discard(allowed)
                self._is_async = True
                self._ask_later(connection)
                return
        if refused and connection.is_open:
            connection.withdraw(refused)

    def _has_changed(self, connection: Connection[Any]) -> bool:
        before = self._known.get(connection)
        return before is None or fingerprint(connection._state) != before

    def _ask_later(self, connection: Connection[Any]) -> None:
        # Also where it is being asked already: that answer is good up to here.
        connection.doubt()
        if connection in self._asking:
            return
        self._asking.add(connection)
        self._instance.start(self._ask_until_settled(connection))

    async def _ask_until_settled(self, connection: Connection[Any]) -> None:
        goes_on = True
        try:
            while goes_on:
                self._known[connection] = fingerprint(connection._state)
                names = connection.doubted
                answers = await asyncio.gather(*(self._answer(connection, name) for name in names))
                found = zip(names, answers, strict=True)
                goes_on = connection.decide({name: error for name, error in found if error is not None})
        finally:
            self._asking.discard(connection)
            if goes_on:
                # The actor stops before the answer is there.
                connection.give_up()
            if not connection.is_open:
                self._known.pop(connection, None)

    async def _answer(self, connection: Connection[Any], name: str) -> RingcastError | None:
        """Return why a connection may not listen for a name, if so."""
        try:
            allowed = may_subscribe(self._instance, connection, name_of(name))
            if not isinstance(allowed, bool):
                allowed = await allowed
        except RingcastError as error:
            return error
        return None if allowed else refusal(name)


def _discard(work: Awaitable[Any]) -> None:
    if asyncio.iscoroutine(work):
        work.close()
