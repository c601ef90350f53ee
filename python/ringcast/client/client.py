"""The client: where handles come from, and what is closed together.

It makes addresses; calls and connections are made by `handle.py` and `connection.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Self, TypeVar, overload

from ..errors import ConnectionClosed
from ..wire.encoding import Encoding
from ..wire.protocol import MAX_KEY_PARTS, MAX_NAME_CHARS, Connect, Lookup
from .config import ClientConfig
from .connection import Connection
from .endpoint import Endpoint, HttpEndpoint
from .fallback import Transport, checked_transport
from .handle import ActorHandle, Address
from .lifecycle import ConnectionOptions, Params

__all__ = ["ActorAccess", "Client", "Key"]

A = TypeVar("A")
Key = Sequence[str] | str
"""The parts of an actor's key; a string is a key of one part."""


class Client:
    """Reach the actors of one server: `Client("http://localhost:8080")`.

    Use it as `async with Client(url) as client`, or call `close` when done. An attribute is an actor by name:
    `client.news_room.get_or_create(["world"])`; the snake_case and the camelCase name of an actor mean the
    same.

    `encoding` is how connections and calls talk: `json`, or `msgpack`, which also carries bytes. `transport`
    is what connections talk over: `websocket`; `sse`, server-sent events and posted messages, which carry
    JSON alone; or `auto`, which is a WebSocket unless the network lets none through (and always one with
    `msgpack`). Raises `ValueError` for a URL that does not start with http:// or https://.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        encoding: Literal["json", "msgpack"] = "json",
        transport: Transport = "auto",
        config: ClientConfig | None = None,
        endpoint: Endpoint | None = None,
    ) -> None:
        self._config = config or ClientConfig()
        try:
            self._encoding = Encoding[encoding.upper()]
        except KeyError:
            raise ValueError(f"the encoding is json or msgpack, not {encoding!r}") from None
        if (url is None) == (endpoint is None):
            raise ValueError("a client takes either a URL or an endpoint")
        way = checked_transport(transport, self._encoding)
        self._endpoint: Endpoint = endpoint or HttpEndpoint(url or "", self._config, way, self._encoding)
        self._connections: set[Connection] = set()
        self._closed = False

    @overload
    def get_or_create(
        self, actor: type[A], key: Key = (), *, input: Any = None, params: Params = None
    ) -> ActorHandle[A]: ...
    @overload
    def get_or_create(
        self, actor: str, key: Key = (), *, input: Any = None, params: Params = None
    ) -> ActorHandle[Any]: ...
    def get_or_create(
        self, actor: type[Any] | str, key: Key = (), *, input: Any = None, params: Params = None
    ) -> ActorHandle[Any]:
        """Return a handle to the actor with this key, which is created at the first use if there is none.

        `input` goes to the actor's `create_state` when it is created. `params` go to its connect hooks, for
        the calls of this handle and the connections that are given none of their own; a function is called
        for each of them.
        """
        return self._handle(actor, "get_or_create", key, input, params)

    @overload
    def get(self, actor: type[A], key: Key = (), *, params: Params = None) -> ActorHandle[A]: ...
    @overload
    def get(self, actor: str, key: Key = (), *, params: Params = None) -> ActorHandle[Any]: ...
    def get(self, actor: type[Any] | str, key: Key = (), *, params: Params = None) -> ActorHandle[Any]:
        """Return a handle to an actor that exists.

        Its use, or awaiting it, raises `ActorNotFound` if it does not.
        """
        return self._handle(actor, "get", key, None, params)

    @overload
    def create(
        self, actor: type[A], key: Key = (), *, input: Any = None, params: Params = None
    ) -> ActorHandle[A]: ...
    @overload
    def create(
        self, actor: str, key: Key = (), *, input: Any = None, params: Params = None
    ) -> ActorHandle[Any]: ...
    def create(
        self, actor: type[Any] | str, key: Key = (), *, input: Any = None, params: Params = None
    ) -> ActorHandle[Any]:
        """Return a handle to a new actor; await it to create the actor now: `room = await client.create(…)`.

        Otherwise its first use does. Either raises `ActorAlreadyExists` if there is one with this key.
        """
        return self._handle(actor, "create", key, input, params)

    @overload
    def get_for_id(self, actor: type[A], actor_id: str, *, params: Params = None) -> ActorHandle[A]: ...
    @overload
    def get_for_id(self, actor: str, actor_id: str, *, params: Params = None) -> ActorHandle[Any]: ...
    def get_for_id(self, actor: type[Any] | str, actor_id: str, *, params: Params = None) -> ActorHandle[Any]:
        """Return a handle to the actor with this id.

        Its use, or awaiting it, raises `ActorNotFound` if there is none.
        """
        connect = Connect(actor_name(actor), lookup="id", actor_id=actor_id)
        return ActorHandle(self, self._endpoint, connect, params)

    def __getattr__(self, name: str) -> ActorAccess:
        if name.startswith("_"):
            raise AttributeError(name)
        return ActorAccess(self, name)

    async def close(self) -> None:
        """Close every connection and let go of the server: handles raise `ConnectionClosed` from now on.

        Calls that were sent, and are not answered yet, raise `OutcomeUnknown`.
        """
        # First, so that a connection that is just coming back does not get through.
        await self._endpoint.close()
        self._closed = True
        await asyncio.gather(*(connection.close() for connection in [*self._connections]))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _handle(
        self, actor: type[Any] | str, lookup: Lookup, key: Key, input: Any, params: Params
    ) -> ActorHandle[Any]:
        connect = Connect(actor_name(actor), _checked_key(key), lookup, input=input)
        return ActorHandle(self, self._endpoint, connect, params)

    def _connect(self, address: Address, params: Params, endpoint: Endpoint | None = None) -> Connection:
        """Start a connection that `close` closes, over an endpoint of its own if one is given.

        Raises `ConnectionClosed` once the client is closed.
        """
        if self._closed:
            raise ConnectionClosed("the client is closed")
        if not callable(params):
            # What cannot be encoded is the caller's error now, not one of every attempt to come.
            self._encoding.encode(["connect", {"params": params}])
        connection = Connection(
            ConnectionOptions(
                endpoint or self._endpoint,
                address,
                params,
                self._encoding,
                self._config,
                on_closed=lambda: self._connections.discard(connection),
            )
        )
        self._connections.add(connection)
        return connection


class ActorAccess:
    """The actors of one name, when their class is not at hand: `client.news_room`.

    The methods are those of `Client` without the first argument.
    """

    def __init__(self, client: Client, name: str) -> None:
        self.get_or_create = partial(client.get_or_create, name)
        self.get = partial(client.get, name)
        self.create = partial(client.create, name)
        self.get_for_id = partial(client.get_for_id, name)


def actor_name(actor: type[Any] | str) -> str:
    """Return the name that an actor's class, or its author, goes by on the wire."""
    name = actor if isinstance(actor, str) else actor.__name__
    if not 0 < len(name) <= MAX_NAME_CHARS:
        raise ValueError(f"an actor's name has 1 to {MAX_NAME_CHARS} characters")
    return name


def _checked_key(key: Key) -> tuple[str, ...]:
    parts = (key,) if isinstance(key, str) else tuple(key)
    for part in parts:
        if not isinstance(part, str):
            raise TypeError(f"the parts of a key are strings, unlike {part!r}")
        if len(part) > MAX_NAME_CHARS:
            raise ValueError(f"a part of a key has at most {MAX_NAME_CHARS} characters")
    if len(parts) > MAX_KEY_PARTS:
        raise ValueError(f"a key has at most {MAX_KEY_PARTS} parts")
    return parts
