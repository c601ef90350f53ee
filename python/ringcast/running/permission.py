"""Permission to listen: asked again when a connection's state may have changed, before anything else is sent.

What is asked, and how, is in `questions.py`; what becomes of the answer on the gateway's side in
`gateway/session.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import RingcastError
from ..wire.topics import by_name, refusal
from .fingerprint import fingerprint
from .questions import asked_about, may_subscribe
from .touched import Touched, is_held

if TYPE_CHECKING:
    from ..connection import Connection
    from .instance import ActorInstance

__all__ = ["Permission"]


class Permission:
    """Whether those who listen may still do so. An actor without `can_subscribe` has none of this.

    Before each event to subscribers those connections are asked about whose state may have changed since the
    event before (`touched.py`): so what is sent after a change reaches nobody who has lost the permission by
    it. A sync hook answers there and then. While an async one makes up its mind, what is sent is kept for its
    connection, which gets it, or not, in its place.

    A sync hook is cheap, and is asked even if the state is what it was. An async one is asked only if it is
    another, as pickle writes it down, than that which it has seen all the time while it allowed what is
    listened for. Where it has seen several, as it took its time, or what is listened for was allowed at
    different ones, it is asked again; also about a state that cannot be written down.

    What a sync hook looks at of others is compared in the same way, if it does: otherwise each question about
    one would be followed by questions about all that the hook has looked at, and those by as many each.
    """

    def __init__(self, instance: ActorInstance) -> None:
        hook = instance.definition.hooks.can_subscribe
        self._instance = instance
        self.is_async = hook is not None and hook.is_async
        """Whether the hook may take its time: one that does not look like it has shown it by now."""
        self._touched: Touched[Connection[Any]] = Touched(bool)
        # Those that the hook itself has looked at, about whom it was asked.
        self._looked_at: set[Connection[Any]] = set()
        # What the states of others were when a sync hook first looked at them, since that was last compared.
        self._shown: dict[Connection[Any], bytes | None] = {}
        # Still to be asked about. A hook may send something, and comes here again.
        self._due: dict[Connection[Any], None] = {}
        # What the states are about which an async hook has allowed all that is listened for, or is being
        # asked. Those whose answers are about nothing in particular are missing: there is always more to ask.
        self._known: dict[Connection[Any], bytes] = {}
        # Those about whom one is being asked.
        self._asking: set[Connection[Any]] = set()

    def add(self, connection: Connection[Any]) -> None:
        """A connection is open in the stream. What it listens for already was allowed before a restart."""
        if connection.subscriptions or is_held(connection):
            self._touched.again(connection)

    def touch(self, connection: Connection[Any]) -> None:
        """The state of a connection was accessed, and may change."""
        if not connection.is_open:
            return
        inquiry = asked_about.get()
        if inquiry is None or inquiry.is_over:
            self._touched.add(connection)
        elif inquiry.connection is connection:
            inquiry.look()
            self._looked_at.add(connection)
        elif not inquiry.is_at_once:
            self._touched.add(connection)
        elif connection not in self._shown:
            self._shown[connection] = fingerprint(connection._state)

    def assign(self, connection: Connection[Any]) -> None:
        """A connection was given a state, be it the same: so it is asked about, unless it is by the hook."""
        if not connection.is_open:
            return
        inquiry = asked_about.get()
        if inquiry is None or inquiry.is_over or inquiry.connection is not connection:
            self._touched.add(connection)

    def allowed(self, connection: Connection[Any], seen: bytes | None) -> None:
        """An async hook has said yes about what the state was meanwhile; None if that was not one thing."""
        if not connection.is_open:
            return
        self._note(connection, seen, is_all=not connection.subscriptions)
        # It may have changed since, and been looked at while nothing was listened for.
        self._touched.again(connection)

    def allowed_at_once(self, connection: Connection[Any]) -> None:
        """The hook has said yes without taking its time."""
        if self.is_async:
            self.allowed(connection, fingerprint(connection._state))

    def _note(self, connection: Connection[Any], about: bytes | None, is_all: bool) -> None:
        """Note what an answer is about; `is_all` says whether there is no other answer that counts."""
        if about is not None and is_all:
            self._known[connection] = about
        elif about is None or self._known.get(connection) != about:
            self._known.pop(connection, None)

    def remove(self, connection: Connection[Any]) -> None:
        """A connection has ended."""
        self._touched.discard(connection)
        self._looked_at.discard(connection)
        self._shown.pop(connection, None)
        self._due.pop(connection, None)
        self._known.pop(connection, None)

    def renew(self) -> None:
        """Ask about those who may have lost the permission for something. Before each event to subscribers.

        On the loop's thread, to which others hand over what they send.
        """
        if self._looked_at:
            looked_at, self._looked_at = self._looked_at, set()
            for connection in looked_at:
                self._touched.again_if_held(connection)
        if self._shown:
            shown, self._shown = self._shown, {}
            for connection, before in shown.items():
                if before is None or fingerprint(connection._state) != before:
                    self._touched.add(connection)
                else:
                    self._touched.again_if_held(connection)
        taken = self._touched.take()
        if taken:
            self._due.update(dict.fromkeys(sorted(taken, key=lambda connection: connection._number)))
        while self._due:
            connection = next(iter(self._due))
            del self._due[connection]
            if connection.is_open and connection.subscriptions:
                self._ask_about(connection)

    def _ask_about(self, connection: Connection[Any]) -> None:
        if self._instance.is_starting:
            # The hook may need what `on_start` is going to set up.
            self._ask_later(connection)
            return
        if self.is_async:
            if self._has_changed(connection):
                self._ask_later(connection)
            return
        refused: dict[str, RingcastError] = {}
        for name, topics in by_name(connection.subscriptions).items():
            try:
                allowed = may_subscribe(self._instance, connection, name)
            except RingcastError as error:
                refused |= dict.fromkeys(topics, error)
                continue
            if allowed is False:
                refused |= dict.fromkeys(topics, refusal(name))
            elif allowed is not True:
                # An async hook, though it did not look like one. It is asked properly, and may end this.
                self._instance.start(_end(allowed))
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
            if self._instance.is_starting:
                async with self._instance.turn():
                    goes_on = not self._instance.has_stopped
            while goes_on:
                topics = connection.doubted
                is_all = {*topics}.issuperset(connection.subscriptions)
                self._note(connection, fingerprint(connection._state), is_all)
                if connection not in self._known:
                    self._touched.again(connection)
                goes_on = connection.decide(await self._refusals(connection, by_name(topics)))
        finally:
            self._asking.discard(connection)
            if goes_on:
                # The actor stops before the answer is there.
                connection.give_up()
            if not connection.is_open:
                self.remove(connection)

    async def _refusals(
        self, connection: Connection[Any], asked: Mapping[str, Sequence[str]]
    ) -> dict[str, RingcastError]:
        """Ask about all of these at once; return the topics that are refused, and why."""
        errors = await asyncio.gather(*(self._answer(connection, name) for name in asked))
        answers = zip(asked.values(), errors, strict=True)
        return {topic: error for topics, error in answers if error is not None for topic in topics}

    async def _answer(self, connection: Connection[Any], name: str) -> RingcastError | None:
        """Return why a connection may not listen for a name, if so."""
        try:
            allowed = may_subscribe(self._instance, connection, name)
            if not isinstance(allowed, bool):
                allowed = await allowed
        except RingcastError as error:
            return error
        return None if allowed else refusal(name)


async def _end(work: Awaitable[Any]) -> None:
    """Let a hook end whose answer is not needed."""
    with contextlib.suppress(RingcastError):
        await work
