"""What makes an actor durable, in one place: its journal, its stream, and how both come back.

An instance without it (`instance.py`) keeps its state alone.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from .connection import Connection, KeptConnection
from .durable import DurableStream, most_bytes
from .encoding import Encoding
from .journal import Journal
from .record import Span
from .restore import base_of, replay
from .store import (
    Change,
    Replied,
    StateChanged,
    StoredEvent,
    StoredStream,
    StreamBegun,
    StreamContinued,
)

if TYPE_CHECKING:
    from .instance import ActorInstance

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
        self.stream.appended = kept.head
        definition, instance = self._instance.definition, self._instance
        for session in kept.sessions:
            number = numbers[session.connection_id]
            self.stream.taken_up(number, session)
            try:
                definition.require_encoding(Encoding[session.encoding])
                connection: KeptConnection[Any] = KeptConnection(
                    session.connection_id,
                    Encoding.MSGPACK.decode(session.params),
                    definition.conn_state.load(session.state),
                    instance.emitter,
                    self.stream,
                )
            except Exception:
                # For example from another version of its class. The actor starts all the same.
                instance.log.exception("the session of connection %s is lost", session.connection_id)
                self.stream.close(number)
                continue
            connection.kept_state = session.state
            instance.node.restore(instance, session, connection, number)
            instance.conns.admit(connection)

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


def _size(event: StoredEvent) -> int:
    return most_bytes(event.name, event.json, event.msgpack, len(event.only or ()) + len(event.exclude))
