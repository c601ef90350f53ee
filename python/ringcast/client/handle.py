"""An actor as its callers see it: calls without a connection, and the way to one.

A handle holds an address, no resources; make as many as you like. Events need a connection.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Self, TypeVar

from ..errors import ActionTimeout, NotConnected
from ..wire.protocol import Connect
from .connection import Connection
from .endpoint import Endpoint
from .lifecycle import Params

if TYPE_CHECKING:
    from .client import Client

__all__ = ["ActorHandle", "Address"]

A = TypeVar("A")

_ATTEMPT_BYTES: Final = 12


class Address:
    """Which actor is meant. One that is to be created is created once, and found by its id from then on."""

    def __init__(self, endpoint: Endpoint, connect: Connect) -> None:
        self._endpoint = endpoint
        self._creating = asyncio.Lock()
        if connect.lookup == "create":
            # An answer may be lost: whoever asks again has to be known as the one who created it.
            connect = connect._replace(attempt=secrets.token_urlsafe(_ATTEMPT_BYTES))
        self.connect = connect
        self.actor_id = connect.actor_id

    async def current(self, params: Any = None) -> Connect:
        """Return the fields that name the actor, after creating it if that is still to be done."""
        if self.connect.lookup == "create":
            await self.resolve(params)
        return self.connect

    async def resolve(self, params: Any = None) -> str:
        """Find or create the actor and return its id. Raises `ActorError`."""
        async with self._creating:
            self.actor_id, _ = await self._endpoint.resolve(self.connect, params)
            if self.connect.lookup == "create":
                self.connect = Connect(self.connect.actor, lookup="id", actor_id=self.actor_id)
        return self.actor_id


class ActorHandle(Generic[A]):
    """One actor, addressed by key or id; made by `Client.get_or_create` and its siblings.

    An attribute that is none of those below is an action: `await room.publish_article(article)`. One whose
    name is also that of an attribute (`key`, `connect`) is called by its name: `await room.call("key")`.
    Awaiting the handle itself finds (or creates) the actor now and gives the handle back: `room = await
    client.get(NewsRoom, key)` raises `ActorNotFound` at once instead of at the first use.
    """

    def __init__(self, client: Client, endpoint: Endpoint, connect: Connect, params: Params = None) -> None:
        self._client = client
        self._endpoint = endpoint
        self._address = Address(endpoint, connect)
        self._params = params
        self._name = connect.actor
        self._key = connect.key

    @property
    def actor_name(self) -> str:
        return self._name

    @property
    def key(self) -> tuple[str, ...]:
        """The key it was asked for with; empty if it was by id."""
        return self._key

    @property
    def actor_id(self) -> str | None:
        """The actor's id, once it is known: asked for by id, resolved, or created."""
        return self._address.actor_id

    async def resolve(self) -> str:
        """Find, or create, the actor and return its id.

        The handle's `params` go with it, for the `on_before_connect` of one that is created.

        Raises `ActorError` if it cannot be had, `ConnectionFailure` if the server cannot be reached, and
        `OutcomeUnknown` if it was reached and did not answer, or a proxy says so of it (502, 504): ask again,
        nothing is created twice.
        """
        return await self._address.resolve(await _given(self._params))

    def __await__(self) -> Generator[Any, None, Self]:
        yield from self.resolve().__await__()
        return self

    async def call(self, action: str, *args: Any, timeout_s: float | None = None) -> Any:
        """Run an action over HTTP, without a connection, and return its result.

        The handle's `params` go with it, for the actor's `on_before_connect`. If no answer comes it is sent
        again (`ClientConfig.max_call_attempts`), with a key by which the server runs it once.

        Raises the error that the action ended with; `ConnectionFailure` if the server cannot be reached;
        `OutcomeUnknown` if it was reached and did not answer, or a proxy says so of it (502, 504), also where
        what was sent again is refused, and nobody says whether it ran before, or the client is closed
        meanwhile; `ReplyTooLarge` if its result takes more than `ClientConfig.max_message_bytes`;
        `ActionTimeout` after `timeout_s` seconds. The first call on a handle of `create` creates the actor
        before it: no answer to that is an `OutcomeUnknown` as well, whose message says that nothing was
        called, and the call may be made again.
        """
        try:
            async with asyncio.timeout(timeout_s):
                params = await _given(self._params)
                address = await self._address.current(params)
                return await self._endpoint.call(address, action, list(args), params)
        except TimeoutError as error:
            raise ActionTimeout(
                f"{action} was not answered within {timeout_s} s; it may still run"
            ) from error

    def __getattr__(self, action: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        if action.startswith("_"):
            raise AttributeError(action)
        return partial(self.call, action)

    def connect(self, params: Params = None) -> Connection:
        """Return a connection that starts to connect in the background; close it when done.

        `params` goes to the actor's connect hooks, in place of the handle's own. A function, also an async
        one, is called for every connect and reconnect: use it for tokens that expire. Register listeners
        right away: they travel with the connect message. Must be called while an event loop runs.
        """
        return self._client._connect(self._address, self._params if params is None else params)

    def on(self, *_args: Any, **_options: Any) -> NoReturn:
        """Raise `NotConnected`: events come over connections only."""
        raise NotConnected(
            "events need a connection: `connection = handle.connect()`, then `connection.on(name, handler)`"
        )

    once = off = stream = on

    def __repr__(self) -> str:
        return f"<ActorHandle {self._name} {list(self._key) or self.actor_id}>"


async def _given(params: Params) -> Any:
    """Return parameters, or what a function gives for them now."""
    if not callable(params):
        return params
    value = params()
    return await value if inspect.isawaitable(value) else value
