"""A server in the test's own process and event loop: real sockets, and control of time and networks.

What serves is `ringcast.server`, and its clients are `ringcast.client`'s: what a test sees is what users see.
Time is `clock.py`'s, losing a network `network.py`'s, assertions about events `assertions.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, Self, TypeVar, overload

from ..actor import Actor
from ..client import Client, ClientConfig, Connection
from ..client.client import actor_name
from ..client.fallback import Transport
from ..config import ServerConfig
from ..errors import ActorNotFound
from ..registry import Registry
from ..running.instance import ActorInstance
from ..store import MemoryStore, Store
from .assertions import eventually
from .client import IMPATIENT, LocalClient, Wire
from .clock import ManualClock
from .network import NetworkProxy
from .recorder import record

__all__ = ["SLOW_CLIENT_BYTES", "LocalServer"]

A = TypeVar("A", bound=Actor[Any, Any])
EncodingName = Literal["json", "msgpack"]
Key = Sequence[str] | str

SLOW_CLIENT_BYTES: Final = 65_536
"""Events of more bytes than this in all do not fit between the server and a client that does not read."""
_BUFFER_BYTES: Final = 2048
"""Of each socket on the way to such a client; the system rounds it up."""
_CLOSE_TIMEOUT_S: Final = 0.25
_SHUTDOWN_TIMEOUT_S: Final = 1.0
"""At most, where the test gives no limits. Both are real time, and what does not end by itself must not hold
the tests up for long."""


class LocalServer:
    """Serve actors on the loopback interface, for as long as the context lasts::

        async with LocalServer(ChatRoom) as server:
            ann = await server.connect(ChatRoom, "lobby", {"name": "ann"}, events=["said"])
            await ann.say("hello")
            await assert_event(ann, "said", "ann", "hello")

    Give it actor classes, or the registry of your application: its classes and limits are taken, its store is
    not touched. Without a `config`, `close_timeout_s` and `shutdown_timeout_s` are shortened: they would only
    hold tests up. State is kept in `store`, by default in memory, and stays there over a `restart`. Time
    stands still until `await server.clock.advance(seconds)`.

    Every connection made by `connect`, or by a client from `client`, has a network of its own to lose. All
    methods belong to the event loop that started the server.
    """

    def __init__(
        self,
        *actors: type[Actor[Any, Any]] | Registry,
        store: Store | None = None,
        config: ServerConfig | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        self.clock = clock or ManualClock()
        self.registry = _registry_for_test(actors, store, config, self.clock)
        """What is served; its `client` is the one in process, which has no network to lose."""
        self.url = ""
        """The server's own address, once started."""
        self._narrow_port = 0
        """Where connections that shall be slow arrive: the server's end of their sockets holds little."""
        self._serving = contextlib.AsyncExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients: list[Client] = []
        self._wires: dict[Connection, Wire] = {}

    # --- life -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen on free ports. Raises what opening the store raises."""
        await self._serve(0, 0)

    async def stop(self) -> None:
        """End every client and the server, and let go of every socket. Idempotent.

        Networks are restored first, so that nobody waits for what cannot arrive.
        """
        for wire in self._wires.values():
            wire.network.restore()
        clients, self._clients = self._clients, []
        wires, self._wires = self._wires, {}
        try:
            await asyncio.gather(*(client.close() for client in clients))
        finally:
            try:
                await self._serving.aclose()
            finally:
                await asyncio.gather(*(wire.close() for wire in wires.values()))

    async def restart(self) -> None:
        """Stop as a server does on SIGTERM, and start again at the same address with the same store.

        Returns when the new one listens; its clients come back by themselves.
        """
        self._check_loop()
        port = _port(self.url)
        await self._serving.aclose()
        await self._serve(port, self._narrow_port)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    # --- clients ----------------------------------------------------------------------------------------

    def client(
        self,
        encoding: EncodingName = "json",
        config: ClientConfig = IMPATIENT,
        *,
        transport: Transport = "websocket",
    ) -> Client:
        """Return a network client, which the server closes when it stops; `transport` as for `Client`."""
        return self._client(encoding, config, transport)

    async def connect(
        self,
        actor: type[Any] | str,
        key: Key = (),
        params: Any = None,
        *,
        events: Iterable[str] = (),
        encoding: EncodingName = "json",
    ) -> Connection:
        """Connect a new client to an actor, keep these events for assertions, and wait until connected.

        Raises `ConnectionRefused` when the actor refuses it.
        """
        return await _connect(self.client(encoding), (actor, key, params), events)

    async def slow_client(
        self,
        actor: type[Any] | str,
        key: Key = (),
        params: Any = None,
        *,
        events: Iterable[str] = (),
        encoding: EncodingName = "json",
    ) -> Connection:
        """Connect a client as `connect` does, and let it read nothing more until `restore`.

        What it sends still arrives. As soon as `SLOW_CLIENT_BYTES` of events wait for it, its socket takes no
        more, and the actor's policy for slow readers applies once its ring moves past that.
        """
        client = self._client(encoding, IMPATIENT, "websocket", slow=True)
        connection = await _connect(client, (actor, key, params), events)
        self.network(connection).stop_reading()
        return connection

    # --- networks ---------------------------------------------------------------------------------------

    def network(self, connection: Connection) -> NetworkProxy:
        """Return the network of a connection. Raises `LookupError` for one that was not made here."""
        wire = self._wires.get(connection)
        if wire is None:
            raise LookupError(f"{connection!r} was not made by this server's `connect` or `client`")
        return wire.network

    async def drop_connection(self, connection: Connection) -> None:
        """Reset the connection's socket; the client comes back by itself at once.

        Returns when both sides have noticed.
        """
        await self.cut(connection)
        self.restore(connection)

    async def cut(self, connection: Connection) -> None:
        """Reset the connection's socket, and every attempt to come back, until `restore`.

        Returns when both sides have noticed: the actor sees the connection as not connected, and its window
        has begun.
        """
        self._check_loop()
        self.network(connection).cut()
        # What has not read for long is merely `stalled`: it has noticed nothing.
        there = ("connected", "stalled")
        await eventually(lambda: connection.status not in there and not self._is_attached(connection))

    def partition(self, connection: Connection) -> None:
        """Keep the connection's socket open and deliver nothing, either way, until `restore`.

        Neither side is told. What is sent meanwhile arrives afterwards.
        """
        self.network(connection).partition()

    def restore(self, connection: Connection) -> None:
        """End what `cut`, `partition` or `slow_client` did to the connection's network."""
        self.network(connection).restore()

    # --- the actors' side -------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """Where the actors' state is saved."""
        return self.registry.store

    @property
    def actors(self) -> list[Actor[Any, Any]]:
        """The actors that run."""
        return [instance.actor for instance in self._instances()]

    @overload
    def actor(self, actor: type[A], key: Key = ()) -> A: ...
    @overload
    def actor(self, actor: str, key: Key = ()) -> Actor[Any, Any]: ...
    def actor(self, actor: type[A] | str, key: Key = ()) -> A | Actor[Any, Any]:
        """Return a running actor: look at its `state` and `conns`, or `broadcast` from it.

        Raises `ActorNotFound` if it does not run.
        """
        name, parts = actor_name(actor), (key,) if isinstance(key, str) else tuple(key)
        for instance in self._instances():
            if name in (instance.definition.name, *instance.definition.wire_names) and instance.key == parts:
                return instance.actor
        running = [f"{instance.definition.name} {list(instance.key)}" for instance in self._instances()]
        raise ActorNotFound(f"no {name} with the key {list(parts)} runs; these do: {', '.join(running)}")

    # --- inner ------------------------------------------------------------------------------------------

    async def _serve(self, port: int, narrow_port: int) -> None:
        # Late: a client alone has no need of the server's dependencies, and `NetworkProxy` is used by one.
        from ..server.serve import serving  # noqa: PLC0415

        sockets = [_bound(port), _bound(narrow_port, _BUFFER_BYTES)]
        self._narrow_port = sockets[1].getsockname()[1]
        self._loop = asyncio.get_running_loop()
        self.url = await self._serving.enter_async_context(serving(self.registry, sockets=sockets))

    def _client(
        self, encoding: EncodingName, config: ClientConfig, transport: Transport, *, slow: bool = False
    ) -> Client:
        self._check_loop()

        def network() -> NetworkProxy:
            self._check_loop()
            if slow:
                return NetworkProxy("127.0.0.1", self._narrow_port, buffer_bytes=_BUFFER_BYTES)
            return NetworkProxy("127.0.0.1", _port(self.url))

        client = LocalClient(self.url, encoding, config, transport, self._wires.__setitem__, network)
        self._clients.append(client)
        return client

    def _check_loop(self) -> None:
        if self._loop is None:
            raise RuntimeError("the server is not started: use `async with LocalServer(…)`")
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return  # a fixture that is no coroutine function asks for a client: it only makes it
        if running is not self._loop:
            raise RuntimeError(
                "the server runs on another event loop than this test. With pytest-asyncio, give "
                "`asyncio_default_fixture_loop_scope` and `asyncio_default_test_loop_scope` the same value"
            )

    def _instances(self) -> list[ActorInstance]:
        return list(self.registry.router._directory)

    def _is_attached(self, connection: Connection) -> bool:
        found = [instance.conns.get(str(connection.id)) for instance in self._instances()]
        return any(conn.connected for conn in found if conn is not None)


def _registry_for_test(
    actors: tuple[type[Actor[Any, Any]] | Registry, ...],
    store: Store | None,
    config: ServerConfig | None,
    clock: ManualClock,
) -> Registry:
    classes: list[type[Actor[Any, Any]]] = []
    limits = ServerConfig()
    for each in actors:
        if isinstance(each, Registry):
            classes += [definition.cls for definition in each.definitions]
            limits = each.config
        else:
            classes.append(each)
    limits = config or replace(
        limits,
        close_timeout_s=min(limits.close_timeout_s, _CLOSE_TIMEOUT_S),
        shutdown_timeout_s=min(limits.shutdown_timeout_s, _SHUTDOWN_TIMEOUT_S),
    )
    return Registry(*classes, store=store or MemoryStore(), config=limits, clock=clock)


async def _connect(
    client: Client, address: tuple[type[Any] | str, Key, Any], events: Iterable[str]
) -> Connection:
    actor, key, params = address
    connection = client.get_or_create(actor, key).connect(params)
    record(connection, *events)
    try:
        await connection.ready()
    except BaseException:
        await connection.close()
        raise
    return connection


def _bound(port: int, send_buffer_bytes: int | None = None) -> socket.socket:
    """Return a socket to listen on; those that it accepts have its send buffer."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if send_buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
    sock.bind(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
