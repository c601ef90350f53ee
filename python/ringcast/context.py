"""What an actor's code may do: the context that actions and hooks get, and the same on the actor itself.

Everything here hands on to the running instance (`running/instance.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Generic

from .connection import Connection
from .connections import Connections, numbers_of
from .errors import NotConnected
from .faults import ActorLog
from .request import Request
from .schedule import Schedule, ScheduledAction
from .typevars import ConnStateT, StateT

if TYPE_CHECKING:
    from .client import Client
    from .filters import Filter
    from .running.instance import ActorInstance

__all__ = ["ActorScope", "Context", "RequestContext"]


class ActorScope(Generic[StateT, ConnStateT]):
    """What a context and an actor have in common."""

    __slots__ = ("_instance",)

    _instance: ActorInstance

    @property
    def state(self) -> StateT:
        """The actor's saved state; it may be changed in place or assigned anew.

        It is kept as JSON, by its type: numbers (NaN and infinity too), bytes, times, enums, sets and tuples
        come back as they were; in a field without a type (`Any`), tuples and sets as lists, and keys as
        strings. A state that would not come back is refused when it is saved, and the error names the field.
        """
        state: StateT = self._instance.state.value
        return state

    @state.setter
    def state(self, state: StateT) -> None:
        self._instance.state.value = state

    @property
    def key(self) -> tuple[str, ...]:
        """The key that clients address this actor by."""
        return self._instance.key

    @property
    def actor_id(self) -> str:
        """The actor's id, unique among all actors of the store."""
        return self._instance.actor_id

    @property
    def conns(self) -> Connections[ConnStateT]:
        """All connections, live: those whose connect hooks have passed and whose session has not ended."""
        return self._instance.conns

    @property
    def log(self) -> ActorLog:
        """A logger whose messages name this actor."""
        return self._instance.log

    def broadcast(
        self,
        name: str,
        *data: Any,
        where: Filter | None = None,
        exclude: Connection[ConnStateT] | Iterable[Connection[ConnStateT]] | None = None,
    ) -> None:
        """Send an event to every connection that is subscribed to `name`, except those in `exclude`.

        A connection of another actor there leaves nobody out; what is no connection is a `TypeError`.

        With `where`, to those of them that match now: ``where=ringcast.where(role="admin")``. Without it, it
        costs the same for one connection and for thousands; with it, it costs what matches. None is no
        filter, and so everybody.

        Call it on the loop's thread (another thread uses `Actor.broadcast_threadsafe`). Raises
        `UnknownEvent` and `InvalidEvent` (where the class declares its `Events`), `InvalidEventName`,
        `ReservedName`, `EventTooLarge`, `EventNotJson`, `InvalidFilter`, `StoreUnavailable` (durable actors
        only), and `ActorDestroyed` once the actor has stopped. Nothing is sent then.
        """
        emitter = self._instance.emitter
        excluded = None if exclude is None else numbers_of(exclude, emitter)
        emitter.emit(name, data, exclude=excluded, where=where)

    async def drain(self) -> None:
        """Wait until the events so far have been offered to every connection that can take them."""
        await self._instance.drain()

    @property
    def schedule(self) -> Schedule:
        """The actor's actions that are to run later: ``c.schedule.after(60, self.remind, "ann")``."""
        return Schedule(self._instance, False)

    async def save_state(self) -> None:
        """Write the state to the store now, and what was scheduled; returns when it is there.

        Raises what the store raises, and `ValueError`, which names the field, for a state that cannot be
        kept. Nothing is lost then: it is tried again later, and a later call saves what was mended meanwhile.
        Raises `ActorDestroyed`, and saves nothing, once the actor has stopped: another may run in its place.

        While the actor is being created there is nothing to do: it is stored at the end of that.
        """
        await self._instance.state.save()

    def spawn(self, coroutine: Coroutine[Any, Any, None], *, name: str | None = None) -> asyncio.Task[None]:
        """Run a coroutine in the background for as long as the actor runs; it keeps the actor from sleeping.

        It is cancelled when the actor stops; an exception is logged and harms nothing else.
        """
        return self._instance.spawn(coroutine, name)

    def destroy(self) -> None:
        """End this actor and delete its state, once the running actions, or its start, have returned.

        Its connections are closed for good, `on_disconnect`, `on_stop` and `on_destroy` run, and a later
        `get_or_create` of the key makes a new actor. In `on_stop` of an actor that stops for another reason,
        as to sleep, it is deleted instead of saved. Raises `ActorDestroyed` once it has been saved for the
        last time.
        """
        self._instance.destroy()

    def client(self) -> Client:
        """Return a client, in this process, for other actors of the registry."""
        client: Client = self._instance.node.client()
        return client


class Context(ActorScope[StateT, ConnStateT]):
    """What an action or a hook works with: the actor's scope, and the connection that called."""

    __slots__ = ("_connection", "_scheduled")

    def __init__(
        self,
        instance: ActorInstance,
        connection: Connection[Any] | None,
        scheduled: ScheduledAction | None = None,
    ) -> None:
        self._instance = instance
        self._connection = connection
        self._scheduled = scheduled

    @property
    def conn(self) -> Connection[ConnStateT]:
        """The connection that called. Raises `NotConnected` when there is none; ask `has_conn` first."""
        if self._connection is None:
            raise NotConnected("this needs a connection: call the action on a handle after .connect()")
        return self._connection

    @property
    def has_conn(self) -> bool:
        """Whether a connection called: False for calls over HTTP or from another actor, and in timers."""
        return self._connection is not None

    @property
    def params(self) -> Any:
        """What the client has given as its parameters, unchecked: of its connection, or of this one call."""
        return None if self._connection is None else self._connection.params

    @property
    def has_request(self) -> bool:
        """Whether there is a `request` to look at."""
        return False

    @property
    def request(self) -> Request:
        """What the client came with: headers, cookies, address. An empty one for clients in this process.

        It is there in `on_before_connect` and `create_conn_state`, in `create_state` and `on_create` as that
        of the one for whom the actor is created, and in actions that are called without a connection, as over
        HTTP. Elsewhere it raises `RuntimeError`: a connection lives for longer than what
        it began with, so what is wanted of it belongs into the connection's state.
        """
        raise RuntimeError(
            "the request is there before a connection, and in calls without one: ask has_request"
        )

    @property
    def schedule(self) -> Schedule:
        """The actor's actions that are to run later: ``c.schedule.after(60, self.remind, "ann")``."""
        return Schedule(self._instance, self._scheduled is not None)

    @property
    def scheduled(self) -> ScheduledAction | None:
        """What runs this action, if the schedule does: when it was due, and how late it is."""
        return self._scheduled


class RequestContext(Context[StateT, ConnStateT]):
    """The context of what runs for a request: before a connection, or without one."""

    __slots__ = ("_params", "_request")

    def __init__(self, instance: ActorInstance, request: Request, params: Any = None) -> None:
        super().__init__(instance, None)
        self._request = request
        self._params = params

    @property
    def params(self) -> Any:
        return self._params

    @property
    def has_request(self) -> bool:
        return True

    @property
    def request(self) -> Request:
        return self._request
