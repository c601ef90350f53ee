"""A connection as its actor sees it: one client. All of them, and some, are in `connections.py`.

It outlives a lost network: the gateway's half is the session (`gateway/session.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Generic

from .errors import CloseCode, ConnectionGone, RingcastError
from .typevars import ConnStateT

if TYPE_CHECKING:
    from .durable.stream import DurableStream
    from .running.event import Emitter
    from .seam import Attachment

__all__ = ["JOINED", "LEFT", "Connection", "KeptConnection", "Phase", "require_reason"]


def require_reason(reason: str) -> None:
    """Raise `TypeError` for what a client cannot be told as the reason of its end."""
    if not isinstance(reason, str):
        # Without the value itself, which may be a secret or long.
        raise TypeError(f"disconnect takes a reason that is a str, not a {type(reason).__name__}")


class Phase(Enum):
    """How far a connection is in its life."""

    ADMITTED = 1
    """The hooks before the connection have passed; `on_connect` has not."""
    JOINED = 2
    LEFT = 3


# Looked up once: until Python 3.12, to look up a member of an enum takes as long as a call.
ADMITTED: Final = Phase.ADMITTED
JOINED: Final = Phase.JOINED
LEFT: Final = Phase.LEFT


class Connection(Generic[ConnStateT]):
    """One client attached to the actor, from its first connect until its session ends."""

    __slots__ = ("_attachment", "_emitter", "_number", "_phase", "_state", "id", "params")

    id: str
    """Unique, never used again."""
    params: Any
    """What the client connected with, as it came."""

    def __init__(self, id: str, params: Any, state: ConnStateT, emitter: Emitter) -> None:
        self.id = id
        self.params = params
        self._state = state
        self._emitter = emitter
        self._phase = ADMITTED
        self._attachment: Attachment | None = None
        # The connection's number in the stream; 0 before `bind`.
        self._number = 0

    def bind(self, attachment: Attachment, number: int) -> None:
        """Take the gateway's half. For the gateway only."""
        self._attachment = attachment
        self._number = number
        if self._emitter.filtered is not None:
            self._emitter.filtered.add(self)
        if self._emitter.permission is not None:
            self._emitter.permission.add(self)

    @property
    def is_open(self) -> bool:
        """Whether it is open in the stream. For the actor's instance only."""
        return self._attachment is not None and self._phase is not LEFT

    @property
    def is_dismissed(self) -> bool:
        """Whether the actor has ended it, for good. For the actor's instance only."""
        return self._attachment is not None and self._attachment.dismissed

    @property
    def state(self) -> ConnStateT:
        """The connection's own state, made by `create_conn_state`; filters see what is assigned at once.

        Of a durable actor it is kept with the session. What is changed by a reference of your own (``me =
        c.conn.state``) is kept and seen as well, but as long as you have one, the state is looked at with
        each commit and filter. So keep the connection on `self` where you can, and not its state. A change by
        a weak reference is not seen.
        """
        self._touch()
        return self._state

    @state.setter
    def state(self, state: ConnStateT) -> None:
        self._touch()
        self._state = state
        if self._emitter.permission is not None:
            self._emitter.permission.assign(self)

    def _touch(self) -> None:
        # Whoever reads the state may change it.
        emitter = self._emitter
        if emitter.filtered is not None:
            emitter.filtered.touch(self)
        if emitter.permission is not None:
            emitter.permission.touch(self)

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
        if self._phase is LEFT:
            self._emitter.check(name, data)
        else:
            self._emitter.emit(name, data, only=(self._number,))

    def disconnect(self, reason: str = "") -> None:
        """End this connection for good: the client is told `reason` and does not come back.

        It takes effect when the running action or hook gives way to the loop, after what was sent so far.
        Raises `TypeError` for a reason that is no str, such as None.
        """
        require_reason(reason)
        if self._attachment is not None:
            self._attachment.end_soon(CloseCode.DISCONNECTED, reason)

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The names that it listens for. For the actor's instance only, as are those that follow."""
        return () if self._attachment is None else self._attachment.subscriptions

    def withdraw(self, refused: Mapping[str, RingcastError]) -> None:
        """It may not listen for these names any more."""
        if self._attachment is not None:
            self._attachment.withdraw(refused)

    def doubt(self) -> None:
        """It is to be decided for what it may still listen."""
        if self._attachment is not None:
            self._attachment.doubt()

    @property
    def doubted(self) -> tuple[str, ...]:
        """The names for which that is to be decided."""
        return () if self._attachment is None else self._attachment.doubted

    def decide(self, refused: Mapping[str, RingcastError]) -> bool:
        """Decide; tell whether another answer is due, as `doubt` was called meanwhile."""
        return self._attachment is not None and self._attachment.decide(refused)

    def give_up(self) -> None:
        """It will not be decided: the actor stops."""
        if self._attachment is not None:
            self._attachment.give_up()

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

    __slots__ = ("_stream", "kept_state")

    def __init__(
        self, id: str, params: Any, state: ConnStateT, emitter: Emitter, stream: DurableStream
    ) -> None:
        self._stream = stream
        self.kept_state = b""
        """What the store has of its state."""
        super().__init__(id, params, state, emitter)

    def _touch(self) -> None:
        self._stream.touched.add(self)
        super()._touch()

    def bind(self, attachment: Attachment, number: int) -> None:
        super().bind(attachment, number)
        self._stream.introduce(number, self.id)

    def committing_half(self, id: int) -> None:
        """A part of what its request does is committed. For the actor's instance only."""
        if self._attachment is not None:
            self._attachment.committing_half(id)
