"""The client for code that is not async: scripts, notebooks, threads. `SyncClient` and what it gives.

Each class is a face of one of the async client's, which does all the work on a loop in the background
(`background.py`): what a method does, and what it raises, is said there.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Generic, Literal, NoReturn, Self, TypeVar, overload

from ..errors import ConnectionClosed
from .background import Background, Handlers
from .client import Client, Key
from .config import ClientConfig
from .connection import Connection, Where
from .fallback import Transport
from .handle import ActorHandle
from .lifecycle import Params, Status
from .listeners import END, Handler
from .stream import EventStream
from .user_functions import UserFunctions, unblocked

__all__ = ["SyncClient", "SyncConnection", "SyncHandle", "SyncStream"]

A = TypeVar("A")


class SyncClient:
    """Reach the actors of one server from code that is not async: `SyncClient("http://localhost:8080")`.

    Use it as `with SyncClient(url) as client`, or call `close` when done. Everything is as with `Client`, but
    that methods wait and return instead of being awaited. It may be used from several threads, also where an
    event loop runs already, as in a notebook; there it holds up that loop while it waits, as any function.

    Ctrl-C ends the wait. It belongs to the process that made it: after a fork, make another one. A process
    that ends closes it, and waits two seconds at most for that.
    """

    def __init__(
        self,
        url: str,
        *,
        encoding: Literal["json", "msgpack"] = "json",
        transport: Transport = "auto",
        config: ClientConfig | None = None,
    ) -> None:
        self._client = Client(url, encoding=encoding, transport=transport, config=config)
        self._background = Background()
        # By connection, until that has ended, which goes on when nobody holds its face any more.
        self._functions: dict[Connection, UserFunctions] = {}
        # Where nobody closes it: as it is dropped, or as the process ends.
        self._end = weakref.finalize(self, self._background.end, self._client.close)

    @overload
    def get_or_create(
        self, actor: type[A], key: Key = (), *, input: Any = None, params: Params = None
    ) -> SyncHandle[A]: ...
    @overload
    def get_or_create(
        self, actor: str, key: Key = (), *, input: Any = None, params: Params = None
    ) -> SyncHandle[Any]: ...
    def get_or_create(
        self, actor: type[Any] | str, key: Key = (), *, input: Any = None, params: Params = None
    ) -> SyncHandle[Any]:
        """As `Client.get_or_create`."""
        made = self._client.get_or_create(actor, key, input=input, params=unblocked(params))
        return SyncHandle(self, made)

    @overload
    def get(self, actor: type[A], key: Key = (), *, params: Params = None) -> SyncHandle[A]: ...
    @overload
    def get(self, actor: str, key: Key = (), *, params: Params = None) -> SyncHandle[Any]: ...
    def get(self, actor: type[Any] | str, key: Key = (), *, params: Params = None) -> SyncHandle[Any]:
        """As `Client.get`; `resolve` tells whether there is one."""
        return SyncHandle(self, self._client.get(actor, key, params=unblocked(params)))

    @overload
    def create(
        self, actor: type[A], key: Key = (), *, input: Any = None, params: Params = None
    ) -> SyncHandle[A]: ...
    @overload
    def create(
        self, actor: str, key: Key = (), *, input: Any = None, params: Params = None
    ) -> SyncHandle[Any]: ...
    def create(
        self, actor: type[Any] | str, key: Key = (), *, input: Any = None, params: Params = None
    ) -> SyncHandle[Any]:
        """As `Client.create`; `resolve` creates it now, its first use otherwise."""
        return SyncHandle(self, self._client.create(actor, key, input=input, params=unblocked(params)))

    @overload
    def get_for_id(self, actor: type[A], actor_id: str, *, params: Params = None) -> SyncHandle[A]: ...
    @overload
    def get_for_id(self, actor: str, actor_id: str, *, params: Params = None) -> SyncHandle[Any]: ...
    def get_for_id(self, actor: type[Any] | str, actor_id: str, *, params: Params = None) -> SyncHandle[Any]:
        """As `Client.get_for_id`."""
        return SyncHandle(self, self._client.get_for_id(actor, actor_id, params=unblocked(params)))

    def __getattr__(self, name: str) -> SyncActorAccess:
        if name.startswith("_"):
            raise AttributeError(name)
        return SyncActorAccess(self, name)

    def close(self) -> None:
        """Close every connection and end the thread: handles raise `ConnectionClosed` from now on.

        Idempotent. After a fork it does nothing: the connections are the other process's.
        """
        # Whoever comes first closes it, and no second time.
        if self._end.detach() is None or not self._background.is_here:
            return
        try:
            self._background.run(self._client.close)
        finally:
            self._background.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class SyncActorAccess:
    """The actors of one name, when their class is not at hand: `client.news_room`.

    The methods are those of `SyncClient` without the first argument.
    """

    def __init__(self, client: SyncClient, name: str) -> None:
        self.get_or_create = partial(client.get_or_create, name)
        self.get = partial(client.get, name)
        self.create = partial(client.create, name)
        self.get_for_id = partial(client.get_for_id, name)


class SyncHandle(Generic[A]):
    """One actor; as `ActorHandle`. An attribute that is none of those below is an action."""

    def __init__(self, client: SyncClient, handle: ActorHandle[A]) -> None:
        self._client = client  # which lives as long as somebody uses it
        self._handle = handle
        self._background = client._background

    @property
    def actor_name(self) -> str:
        return self._handle.actor_name

    @property
    def key(self) -> tuple[str, ...]:
        """The key it was asked for with; empty if it was by id."""
        return self._handle.key

    @property
    def actor_id(self) -> str | None:
        """The actor's id, once it is known: asked for by id, resolved, or created."""
        return self._handle.actor_id

    def resolve(self) -> str:
        """Find, or create, the actor and return its id; as `ActorHandle.resolve`."""
        return self._background.run(self._handle.resolve)

    def call(self, action: str, *args: Any, timeout_s: float | None = None) -> Any:
        """Run an action over HTTP, without a connection, and return its result; as `ActorHandle.call`."""
        return self._background.run(lambda: self._handle.call(action, *args, timeout_s=timeout_s))

    def __getattr__(self, action: str) -> Callable[..., Any]:
        if action.startswith("_"):
            raise AttributeError(action)
        return partial(self.call, action)

    def connect(self, params: Params = None) -> SyncConnection:
        """Return a connection that starts to connect in the background; as `ActorHandle.connect`.

        A function is called in a thread of its own.
        """
        given = self._handle._params if params is None else unblocked(params)

        def work() -> SyncConnection:
            functions = UserFunctions(self._background.handlers())
            return SyncConnection(self._client, self._handle.connect(functions.params(given)), functions)

        return self._background.do(work)

    def on(self, *_args: Any, **_options: Any) -> NoReturn:
        """Raise `NotConnected`: events come over connections only."""
        self._handle.on()

    once = off = stream = on

    def __repr__(self) -> str:
        return f"<SyncHandle {self.actor_name} {list(self.key) or self.actor_id}>"


class SyncConnection:
    """A live connection to one actor; as `Connection`, made by `SyncHandle.connect`.

    `with` waits until it is connected and closes it at the end. Handlers run one at a time in a thread of the
    connection's own. They may block, and call actions; what arrives waits behind them meanwhile.
    """

    def __init__(self, client: SyncClient, connection: Connection, functions: UserFunctions) -> None:
        self._client = client
        self._connection = connection
        self._background = client._background
        self._functions = client._functions[connection] = functions
        ended = partial(_ended, weakref.ref(client), connection, functions.handlers)
        connection._lifecycle.listeners.add(END, ended, internal=True)

    def on(self, name: str, handler: Handler, *, where: Where | None = None) -> Callable[[], None]:
        """Run `handler` with the arguments of every event `name`; return a function that ends this."""
        return self._listen(self._connection.on, name, handler, where)

    def once(self, name: str, handler: Handler, *, where: Where | None = None) -> Callable[[], None]:
        """Run `handler` for the next event `name` only; return a function that ends this before."""
        return self._listen(self._connection.once, name, handler, where)

    def off(self, name: str | None = None, handler: Handler | None = None) -> None:
        """Remove a handler of `name`, every handler of `name`, or every handler, lifecycle ones too."""

        def work() -> None:
            for known in [None] if handler is None else self._functions.stand_ins(handler):
                self._connection.off(name, known)

        self._background.do(work)

    def stream(self, name: str, *, where: Where | None = None, timeout_s: float | None = None) -> SyncStream:
        """Return the events `name` from now on, for a `for` loop; as `Connection.stream`.

        The loop raises `TimeoutError` when none comes for `timeout_s` seconds; begin another one to go on.
        """
        made = self._background.do(lambda: self._connection.stream(name, where=where))
        return SyncStream(self, made, timeout_s)

    def call(self, action: str, *args: Any, timeout_s: float | None = None) -> Any:
        """Run an action and return its result; as `Connection.call`."""
        return self._background.run(lambda: self._connection.call(action, *args, timeout_s=timeout_s))

    def __getattr__(self, action: str) -> Callable[..., Any]:
        if action.startswith("_"):
            raise AttributeError(action)
        return partial(self.call, action)

    @property
    def status(self) -> Status:
        """`idle`, `connecting`, `connected`, `stalled`, `reconnecting` or `closed`, as of now."""
        return self._connection.status

    @property
    def id(self) -> str | None:
        """The id that the actor knows this connection by; None before the first connect."""
        return self._connection.id

    @property
    def actor_id(self) -> str | None:
        """The actor's id; None before the first connect."""
        return self._connection.actor_id

    @property
    def snapshot(self) -> Any:
        """The latest snapshot that the actor gave; None if it gives none."""
        return self._connection.snapshot

    @property
    def position(self) -> tuple[str | None, int]:
        """Epoch and offset of the last event that arrived."""
        return self._connection.position

    @property
    def duplicates(self) -> int:
        """How many events came twice and were dropped."""
        return self._connection.duplicates

    @property
    def last_error(self) -> BaseException | None:
        """Why there is no connection at the moment, or why it has ended; None while connected."""
        return self._connection.last_error

    def ready(self, timeout_s: float | None = None) -> None:
        """Wait until connected; as `Connection.ready`. Raises `TimeoutError` after `timeout_s` seconds."""

        async def work() -> None:
            async with asyncio.timeout(timeout_s):
                await self._connection.ready()

        self._background.run(work)

    def close(self) -> None:
        """End the connection and its session, and wait for the server; as `Connection.close`."""
        # Once the client is closed, so is this; after a fork it is the other process's.
        with suppress(ConnectionClosed):
            if self._background.is_here:
                self._background.run(self._connection.close)

    def __enter__(self) -> Self:
        try:
            self.ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _listen(
        self, add: Callable[..., Callable[[], None]], name: str, handler: Handler, where: Where | None
    ) -> Callable[[], None]:
        remove = self._background.do(lambda: add(name, self._functions.handler(handler), where=where))
        return partial(self._background.do, remove)

    def __repr__(self) -> str:
        return f"<SyncConnection {self.id or ''} {self.status}>"


def _ended(
    client: weakref.ref[SyncClient], connection: Connection, handlers: Handlers, _error: BaseException | None
) -> None:
    handlers.close()
    held = client()
    if held is not None:
        held._functions.pop(connection, None)


class SyncStream:
    """The events of one name, in order; as `EventStream`. Made by `SyncConnection.stream`."""

    def __init__(self, connection: SyncConnection, stream: EventStream, timeout_s: float | None) -> None:
        self._connection = connection  # which lives as long as somebody uses it
        self._stream = stream
        self._timeout_s = timeout_s

    def next(self, timeout_s: float | None = None) -> Any:
        """Wait for the next event and return it.

        Raises `TimeoutError` when none comes for `timeout_s` seconds, in place of the stream's own limit;
        none is lost by that. Raises `StopIteration` when this side has closed the connection.
        """
        limit_s = self._timeout_s if timeout_s is None else timeout_s

        async def work() -> tuple[Any] | None:
            try:
                async with asyncio.timeout(limit_s):
                    return (await self._stream.__anext__(),)
            except StopAsyncIteration:
                return None

        found = self._connection._background.run(work)
        if found is None:
            raise StopIteration
        return found[0]

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.next()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and forget what waits; a second time does nothing."""
        self._stream.close()
