"""What makes an actor durable, in one place: its journal, its stream, and how both come back.

An instance without it (`running/instance.py`) keeps its state alone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..connection import Connection, KeptConnection
from ..context import Context
from ..record import Span
from ..running.event_filters import misfits
from ..running.letting_in import new_conn_state
from ..store import (
    Change,
    Replied,
    StateChanged,
    StoredEvent,
    StoredStream,
    StreamBegun,
    StreamContinued,
)
from ..wire.encoding import Encoding
from .journal import Journal
from .restore import base_of, replay
from .stream import DurableStream, most_bytes

if TYPE_CHECKING:
    from ..running.instance import ActorInstance

__all__ = ["Keeping"]


class Keeping:
    """The durable half of one running actor. `kept` is what the store has of its stream."""

    def __init__(self, instance: ActorInstance, kept: StoredStream | None) -> None:
        node, definition = instance.node, instance.definition
        if kept is not None and any(_size(event) > definition.stream.max_bytes for event in kept.events):
            # As after a change of the class. Without that event the stream would have a hole.
            instance.log.error("the ring holds less than an event that was kept: a new stream begins")
            kept = None
        self._instance = instance
        self._kept = kept
        self._lost: list[_Lost] = []
        self.journal = Journal(node, instance.actor_id, instance.log, self._collect, instance.fail)
        self.journal.room.allow(definition.stream)
        epoch = secrets.token_urlsafe(9)
        self.core = node.open_stream(epoch, definition, 0 if kept is None else base_of(kept))
        # A store may come back as it was at an earlier moment, with clients that are ahead of it. So offsets
        # count on in an epoch of their own, which the store has before anybody gets it: none is used twice.
        self.journal.add(StreamBegun(epoch) if kept is None else StreamContinued(epoch))
        self.stream = DurableStream(self.core, self.journal, definition, kept, self._look_later)

    def restore(self) -> None:
        """Give the core the kept events again, and the actor its connections."""
        kept, self._kept = self._kept, None
        if kept is None:
            return
        numbers = replay(kept, self.core)
        if self._instance.counts is not None:
            self._instance.counts.restored += len(kept.events)
        self.stream.appended = kept.head
        definition, instance = self._instance.definition, self._instance
        for session in kept.sessions:
            number = numbers[session.connection_id]
            self.stream.taken_up(number, session)
            params = state = None
            has_state = goes_on = False
            try:
                params = Encoding.MSGPACK.decode(session.params)
                state = definition.conn_state.load(session.state)
                has_state = True
                definition.require_encoding(Encoding[session.encoding])
                goes_on = True
            except Exception:
                # For example from another version of its class. The actor starts all the same.
                instance.log.exception("the session of connection %s is lost", session.connection_id)
            connection: KeptConnection[Any] = KeptConnection(
                session.connection_id, params, state, instance.emitter, self.stream
            )
            connection.kept_state = session.state
            instance.node.restore(instance, session, connection, number)
            if goes_on:
                instance.conns.admit(connection)
                # The class may declare other fields now than when the client was told that its filter fits.
                unfit = misfits(definition, connection.subscriptions)
                if unfit:
                    connection.withdraw(unfit)
                continue
            instance.conns.release(connection)
            ended = self.stream.ended(number)
            assert ended is not None
            self.stream.close(number)
            self._lost.append(_Lost(connection, ended, has_state))

    def see_off_lost(self) -> None:
        """Have the actor hear, now that it runs, whose session was lost: each is a turn of its own."""
        lost, self._lost = self._lost, []
        for each in lost:
            self._instance.start(self._see_off(each))

    async def _see_off(self, lost: _Lost) -> None:
        instance, connection = self._instance, lost.connection
        hook = instance.definition.hooks.on_disconnect
        async with self.journal.turns:
            if hook is not None and not lost.has_state:
                try:
                    connection.state = await self._state_anew(connection.params)
                except Exception:
                    hook = None
                    instance.log.exception(
                        "on_disconnect does not run for connection %s: no state can be made", connection.id
                    )
            # The store forgets the session together with what the hook does.
            self.journal.add(lost.ended)
            if hook is not None:
                await instance.guarded(instance.run_hook(hook, Context(instance, connection)), settle=True)

    async def _state_anew(self, params: Any) -> Any:
        """Return the state that a new connection would get, or one made without arguments. May raise."""
        try:
            return await new_conn_state(self._instance, params)
        except Exception:
            # The parameters are of an earlier version as well, or no longer let in.
            return self._instance.definition.conn_state.construct()

    def keep_reply(self, connection: Connection[Any], id: int, reply: bytes, span: Span) -> None:
        """Keep the answer to a request together with what the request has done, and others as `span` says."""
        replied = Replied(connection.id, id, span.mark(reply), span.replies)
        self.journal.add(replied, size_bytes=len(reply))

    def _look_later(self) -> None:
        """States of connections may have changed by something that ends in no commit, as a callback does."""
        self._instance.state.touch()

    def _collect(self) -> list[Change]:
        """Return what has changed besides. Raises what pydantic raises for a state that has no JSON."""
        state = self._instance.state.take_change()
        changes: list[Change] = [] if state is None else [StateChanged(state)]
        changes += self.stream.changed_states(self._instance.log)
        if changes or self.journal.has_changes:
            self._instance.calls.committing()
        return [*changes, *self.stream.trim()]


@dataclass(slots=True, frozen=True)
class _Lost:
    """A connection whose session does not go on, until its actor has heard of that."""

    connection: KeptConnection[Any]
    ended: Change
    has_state: bool


def _size(event: StoredEvent) -> int:
    return most_bytes(event.name, event.json, event.msgpack, len(event.only or ()) + len(event.exclude))
