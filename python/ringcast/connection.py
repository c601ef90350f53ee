"""Connections as an actor sees them: one client each, and the live collection of all.

A connection here outlives a lost network: the gateway's half is the session (`session.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic

from .errors import CloseCode, ConnectionGone
from .event import check_event_name
from .typevars import ConnStateT

if TYPE_CHECKING:
    from .durable import DurableStream
    from .event import Emitter
    from .seam import Attachment

__all__ = ["Connection", "Connections", "KeptConnection", "Phase", "Selection", "numbers_of"]


class Phase(Enum):
    """How far a connection is in its life."""

    ADMITTED = 1
    """The hooks before the connection have passed; `on_connect` has not."""
    JOINED = 2
    LEFT = 3


class Connection(Generic[ConnStateT]):
    """One client attached to the actor, from its first connect until its session ends."""

    __slots__ = ("_attachment", "_emitter", "_number", "_phase", "id", "params", "state")

    id: str
    """Unique, never used again."""
    params: Any
    """What the client connected with, as it came."""
    state: ConnStateT
    """The connection's own state, made by `create_conn_state`.

    Of a durable actor it is kept with the session. What is changed by a reference of your own (``me =
    c.conn.state``) is kept as well, but as long as you have one, the state is looked at with each commit. So
    keep the connection on `self` where you can, and not its state. A change by a weak reference is not seen.
    """

    def __init__(self, id: str, params: Any, state: ConnStateT, emitter: Emitter) -> None:
        self.id = id
        self.params = params
        self.state = state
        self._emitter = emitter
        self._phase = Phase.ADMITTED
        self._attachment: Attachment | None = None
        # The connection's number in the stream; 0 before `bind`.
        self._number = 0

    def bind(self, attachment: Attachment, number: int) -> None:
        """Take the gateway's half. For the gateway only."""
        self._attachment = attachment
        self._number = number

    @property
    def connected(self) -> bool:
        """Whether the client is there now; False while its network is lost and its session waits for it."""
        return self._attachment is not None and self._attachment.attached

    def send(self, name: str, *data: Any) -> None:
        """Send an event to this connection, subscribed or not; it is kept while the network is lost.

        Nothing happens if the connection has ended. Raises as `ActorScope.broadcast`, and `ConnectionGone` in
        a hook that runs before the connection is open (`can_subscribe`).
        """
        if self._attachment is None:
            raise ConnectionGone("the connection is not open yet: send from on_connect or later")
        if self._phase is not Phase.LEFT:
            self._emitter.emit(name, data, only=(self._number,))

    def disconnect(self, reason: str = "") -> None:
        """End this connection for good: the client is told `reason` and does not come back.

        It takes effect when the running action or hook gives way to the loop, after what was sent so far.
        """
        if self._attachment is not None:
            self._attachment.end_soon(CloseCode.DISCONNECTED, reason)

    def expected(self) -> None:
        """The actor has started again: the client may come back. For the actor's instance only."""
        if self._attachment is not None:
            self._attachment.expected()

    def end(self, code: CloseCode) -> None:
        """End the session now. For the actor's instance only, which has run `on_disconnect`."""
        if self._attachment is not None:
            self._attachment.end(code)

    def suspend(self, code: CloseCode) -> None:
        """Let go of the client until the actor runs again. For the actor's instance only."""
        if self._attachment is not None:
            self._attachment.suspend(code)

    def __repr__(self) -> str:
        # Without params and state, which may hold secrets: this goes to logs.
        return f"<Connection {self.id} {self._phase.name.lower()}>"


class KeptConnection(Connection[ConnStateT]):
    """A connection of a durable actor: its state is kept with its session."""

    __slots__ = ("_state", "_stream", "kept_state")

    def __init__(
        self, id: str, params: Any, state: ConnStateT, emitter: Emitter, stream: DurableStream
    ) -> None:
        self._stream = stream
        self.kept_state = b""
        """What the store has of its state."""
        super().__init__(id, params, state, emitter)

    @property
    def state(self) -> ConnStateT:
        # Whoever reads it may change it.
        self._stream.touched.add(self)
        return self._state

    @state.setter
    def state(self, state: ConnStateT) -> None:
        self._stream.touched.add(self)
        self._state = state

    def bind(self, attachment: Attachment, number: int) -> None:
        super().bind(attachment, number)
        self._stream.introduce(number, self.id)

    def committing_half(self, id: int) -> None:
        """A part of what its request does is committed. For the actor's instance only."""
        if self._attachment is not None:
            self._attachment.committing_half(id)


def numbers_of(connections: Connection[Any] | Iterable[Connection[Any]] | None) -> tuple[int, ...]:
    """Return the numbers that the stream knows the connections by."""
    if connections is None:
        return ()
    if isinstance(connections, Connection):
        return (connections._number,)
    return tuple(connection._number for connection in connections)


class Selection(Generic[ConnStateT]):
    """Some of an actor's connections, worked out anew each time it is looked at."""

    __slots__ = ("_all", "_excluded")

    def __init__(
        self, everyone: Connections[ConnStateT], excluded: frozenset[Connection[ConnStateT]]
    ) -> None:
        self._all = everyone
        self._excluded = excluded

    def __iter__(self) -> Iterator[Connection[ConnStateT]]:
        return iter([connection for connection in self._all if connection not in self._excluded])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, connection: object) -> bool:
        return connection in self._all and connection not in self._excluded

    def exclude(self, *connections: Connection[ConnStateT]) -> Selection[ConnStateT]:
        """Select those of these that are not among `connections`."""
        return Selection(self._all, self._excluded.union(connections))

    def find(
        self, predicate: Callable[[Connection[ConnStateT]], object] | None = None, /, **equal: Any
    ) -> Connection[ConnStateT] | None:
        """Return the first connection that fits, in the order of connecting, or None.

        It fits if `predicate(connection)` is true and every keyword equals the field of that name in its
        state. Raises `AttributeError` for a keyword that the state does not have.
        """
        for connection in self:
            if all(_field(connection.state, name) == value for name, value in equal.items()) and (
                predicate is None or predicate(connection)
            ):
                return connection
        return None

    def send(self, name: str, *data: Any) -> None:
        """Send an event to each of these, subscribed or not; encoded once, however many they are."""
        numbers = numbers_of(self)
        check_event_name(name)
        if numbers:
            self._all._emitter.emit(name, data, only=numbers)


class Connections(Selection[ConnStateT]):
    """All connections of an actor whose connect hooks have passed, in the order of connecting; live."""

    __slots__ = ("_by_id", "_emitter")

    def __init__(self, emitter: Emitter) -> None:
        super().__init__(self, frozenset())
        self._emitter = emitter
        self._by_id: dict[str, Connection[ConnStateT]] = {}

    def __iter__(self) -> Iterator[Connection[ConnStateT]]:
        # A copy: connections may come and go at an await inside the caller's loop.
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, connection: object) -> bool:
        return isinstance(connection, Connection) and self._by_id.get(connection.id) is connection

    def get(self, id: str) -> Connection[ConnStateT] | None:
        """Return the connection with this id, or None."""
        return self._by_id.get(id)

    def admit(self, connection: Connection[ConnStateT]) -> None:
        """Make the connection visible. For the actor's instance only."""
        connection._phase = Phase.JOINED
        self._by_id[connection.id] = connection

    def release(self, connection: Connection[ConnStateT]) -> bool:
        """Take the connection out; tell whether it had joined and not left. For the actor's instance only."""
        joined = connection._phase is Phase.JOINED
        connection._phase = Phase.LEFT
        self._by_id.pop(connection.id, None)
        return joined


def _field(state: Any, name: str) -> Any:
    if isinstance(state, Mapping):
        return state.get(name)
    return getattr(state, name)
