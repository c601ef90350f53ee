"""The narrow interface between a running actor and the gateway that its clients hang on.

The gateway side (`gateway/session.py`, `gateway/admission.py`, the core) owns sockets, sessions, the ring and
positions. The actor side (`running/instance.py` and what it uses) owns state and runs user code; it only
emits into a stream. Here both run in one process and the interface is a function call; nothing beyond these
protocols may be assumed by either side.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .errors import CloseCode, RingcastError
from .wire.encoding import Encoding
from .wire.protocol import Call, Connect

if TYPE_CHECKING:
    from .clock import Clock
    from .config import ServerConfig
    from .durable.room import Room
    from .faults import ActorLog
    from .operations.metrics import ActorCounts
    from .record import Span
    from .request import Caller
    from .running.capacity import Capacity
    from .running.timetable import Timetable
    from .store import Store, StoredSession

__all__ = ["ActorPort", "Attachment", "CoreStream", "EventStream", "GatewayStream", "Node", "Respond"]

Respond = Callable[[int, Any, RingcastError | None], None]
"""Takes a request's id, its result, and the error that stands instead of one. Never raises."""


class EventStream(Protocol):
    """Where an actor's events go."""

    @property
    def encodings(self) -> int:
        """Bit set of the encodings that an event needs: `1 << Encoding.index`."""

    def publish(
        self,
        name: str,
        json: bytes | None,
        msgpack: bytes | None,
        *,
        only: Sequence[int] | None = None,
        exclude: Sequence[int] | None = None,
        matching: bytes | None = None,
    ) -> int:
        """Take an event: for `only` these connections, or for the subscribers that match, except some.

        May be called from any thread, with `matching` (a compiled filter) from the loop's. Raises
        `EventTooLarge` and `StoreUnavailable`.

        Returns 0, and takes nothing, if an encoding is not given that it needs by now: encode for that one
        too, and call again. The core returns the event's offset otherwise; a durable actor's stream, which
        may number it only later, returns True.
        """

    def set_attributes(self, connection: int, attributes: bytes | None) -> bool:
        """Set what filters see of a connection from now on; False if nothing differs from before.

        Raises `ConnectionGone`.
        """

    def select(self, matching: bytes) -> Sequence[int]:
        """Return the connections that match a compiled filter now, subscribed to something or not."""


class Attachment(Protocol):
    """The gateway's side of one connection, as the actor sees it."""

    @property
    def attached(self) -> bool:
        """Whether a client is at the other end now."""

    @property
    def dismissed(self) -> bool:
        """Whether the actor has ended the session for good."""

    def expected(self) -> None:
        """The actor has started again: the client may come back from now on, within the window."""

    def end_soon(self, code: CloseCode, reason: str) -> None:
        """End the session on the next turn of the loop, so that a reply of the running action goes first."""

    def end(self, code: CloseCode | None, reason: str = "") -> None:
        """End the session now."""

    def suspend(self, code: CloseCode) -> None:
        """Let go of the client, who may come back to this session when the actor runs again."""

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The names that the client listens for."""

    def withdraw(self, refused: Mapping[str, RingcastError]) -> None:
        """End these subscriptions, from the next event on, and tell the client why."""

    def doubt(self) -> None:
        """It is to be decided what the client may still listen for: until `decide`, keep what is sent.

        Called again before that, the answer is good up to here, and another one follows.
        """

    @property
    def doubted(self) -> tuple[str, ...]:
        """The names for which that is to be decided."""

    def decide(self, refused: Mapping[str, RingcastError]) -> bool:
        """Decide what `doubt` has asked; tell whether another answer is due."""

    def give_up(self) -> None:
        """It will not be decided, because the actor stops."""

    def committing_half(self, id: int) -> None:
        """Learn that a part of what request `id` does is committed now, and perhaps not the rest."""


class Member(Protocol):
    """One connection, as the gateway sees it: a handle to give back to its actor."""

    @property
    def id(self) -> str: ...
    def bind(self, attachment: Attachment, number: int) -> None:
        """Tell the actor's side what the gateway opened for it."""


class ActorPort(Protocol):
    """A running actor, as the gateway sees it."""

    @property
    def actor_id(self) -> str: ...
    @property
    def stream(self) -> GatewayStream: ...
    @property
    def log(self) -> ActorLog: ...
    @property
    def counts(self) -> ActorCounts | None:
        """Where what its clients do is counted, if anywhere."""

    def is_at(self, address: Connect) -> bool:
        """Tell whether this is the actor that `address` names."""

    def require_encoding(self, encoding: Encoding) -> None:
        """Raise `EncodingRefused` if clients may not use it."""

    async def admit(self, caller: Caller) -> Any:
        """Run the hooks before a connection; return its `Member`. Raises what refuses it.

        `caller` has the request that its client came with, for these hooks alone.

        `join` or `leave` has to follow.
        """

    async def snapshot(self, member: Any, encoding: Encoding) -> tuple[Any, int]:
        """Return what stands for every event up to an offset; None if there is no such thing.

        Raises what refuses the connection.
        """

    def may_subscribe(self, member: Any, topic: str, asked: bool) -> bool | Awaitable[bool]:
        """Tell whether it may listen for a topic. Raises what refuses it.

        If the actor was `asked` about its name, and has said yes, the filter alone counts.
        """

    async def join(self, member: Any, token: str, encoding: Encoding) -> None:
        """Run `on_connect`, then let the actor see the connection. Raises what refuses it.

        Of a durable actor the session is kept over a restart together with what `on_connect` does.
        """

    def leave(self, member: Any) -> None:
        """The session has ended: run `on_disconnect` if the connection had joined. Idempotent."""

    def call(self, member: Any, request: Call, respond: Respond) -> asyncio.Task[Any] | None:
        """Run an action. `respond` is called exactly once.

        A task that comes back has to be done before the next message of the same client is handled.

        It is before this returns where the action is sync, unless the store has to keep something first. Not
        at all where the action has not begun when a durable actor stops: its client asks again.
        """

    def continues(self, epoch: str, offset: int) -> bool:
        """Tell whether the stream goes on from this position, which may be of an earlier epoch of it."""

    # What a durable actor keeps of its clients. Of the others nothing is kept, and nothing is waited for.

    @property
    def durable(self) -> bool: ...
    @property
    def position(self) -> int:
        """Offset of the newest event, whether or not it has been fanned out."""

    @property
    def room(self) -> Room:
        """Whether more may wait for the store."""

    async def prepare(self, encoding: Encoding) -> None:
        """Get ready for a connection that uses `encoding`."""

    def keep_reply(self, member: Any, id: int, reply: bytes, span: Span) -> None:
        """Keep the answer to a request together with what the request has done, and others as `span` says."""

    def after(self, effect: Callable[[], object]) -> None:
        """Call `effect` once everything so far is certain: what a client is told will not be taken back."""

    async def settled(self) -> None:
        """Wait for the same."""


class GatewayStream(EventStream, Protocol):
    """The gateway's ring and table of connections for one actor; `_core.Stream` documents the methods."""

    @property
    def id(self) -> int: ...
    @property
    def epoch(self) -> str: ...
    @property
    def head(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def filters(self) -> int: ...
    def has_filter(self, topic: str) -> bool: ...
    @property
    def retained_bytes(self) -> int: ...
    @property
    def lag(self) -> int: ...
    def open(self, encoding: int, subscriptions: Sequence[str] = ()) -> int: ...
    def attach(self, connection: int, sink: Any, offset: int, message: bytes) -> None: ...
    def detach(self, connection: int, sink: Any) -> bool: ...
    def close(self, connection: int) -> bool: ...
    def resume(self, connection: int, offset: int) -> tuple[int, int, int]: ...
    def subscribe(self, connection: int, topic: str) -> bool: ...
    def unsubscribe(self, connection: int, topic: str) -> bool: ...
    def unsubscribe_all(self, connection: int) -> bool: ...
    def hold(self, connection: int, names: Sequence[str]) -> None: ...
    def answer(self, connection: int, allowed: Sequence[str]) -> bool: ...
    def shut(self) -> None: ...


class CoreStream(GatewayStream, Protocol):
    """The same as the core has it: what a durable actor keeps its own in front of."""

    def open(self, encoding: int, subscriptions: Sequence[str] = (), *, lost: int = 0) -> int: ...
    def answer(
        self, connection: int, allowed: Sequence[str], chosen: Sequence[int] | None = None
    ) -> bool: ...
    def let_go(
        self, after: int, connections: Sequence[int]
    ) -> tuple[int, list[tuple[str, int]], list[tuple[int, int]]]: ...


class Node(Protocol):
    """What an actor may ask of the process that it runs in."""

    @property
    def config(self) -> ServerConfig: ...
    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def timetable(self) -> Timetable: ...
    @property
    def capacity(self) -> Capacity: ...
    @property
    def limits_hit(self) -> Counter[str]: ...
    def open_stream(self, epoch: str, definition: Any, base: int = 0) -> CoreStream: ...
    def counts_of(self, definition: Any) -> ActorCounts | None: ...
    def restore(self, actor: Any, session: StoredSession, member: Any, number: int) -> None:
        """Make a session of what was kept; its client may come back once it is `expected`."""

    async def drain(self, stream: Any) -> None:
        """Wait until the sweep has offered everything published so far to every ready connection."""

    async def turn_to_close(self, connection: Any) -> None:
        """Wait until the socket of `connection` may be closed; not all shall be in one instant."""

    def client(self) -> Any: ...
    def retire(self, instance: Any) -> None:
        """Destroy an actor, once the running action has returned."""

    def give_up(self, instance: Any) -> None:
        """Stop an actor that cannot go on as it is; its clients may come back, and start it anew."""

    def sleep(self, instance: Any) -> bool:
        """Stop an actor that nobody uses; tell whether it stops: not when somebody has just asked for it."""
