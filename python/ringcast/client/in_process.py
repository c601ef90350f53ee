"""The endpoint without a network: a client inside the process that runs the actors.

Calls go straight to the router, their arguments, results and errors through an encoding, so that nothing is
shared and everything looks as it does over the network. Connections go over a pair of loopback sockets into
the server's own WebSocket code, so that there is no second way to deliver events.
"""

from __future__ import annotations

import asyncio
import socket as sockets
from typing import TYPE_CHECKING, Any

from ..errors import ConnectionClosed, RingcastError, from_wire
from ..wire.encoding import Encoding
from ..wire.protocol import Connect
from .client import Client
from .config import ClientConfig
from .handle import Address
from .lifecycle import Params
from .socket import Receiver, Socket, open_socket

if TYPE_CHECKING:
    from ..registry import Registry
    from ..router import Router
    from ..server.websocket import WebSocketEndpoint
    from .connection import Connection

__all__ = ["InProcessClient", "InProcessEndpoint"]

_URL = "ws://127.0.0.1/connect"
"""Names the path for the upgrade request; nothing is looked up or connected to by it."""

_NOT_RUNNING = (
    "the registry is not running, and its client does not start it: nobody would stop it, which is what "
    "saves the actors. Run it with `async with registry`, or with an application, as in "
    "FastAPI(lifespan=registry.lifespan)"
)
_OTHER_LOOP = (
    "an actor belongs to the event loop that its registry runs on, and this is another one. From a thread, "
    "`asyncio.run_coroutine_threadsafe(…, loop)` runs a call of registry.client on that loop, and "
    "`broadcast_threadsafe` of an actor sends an event to its clients"
)


class InProcessClient(Client):
    """The client of a registry in its own process."""

    def __init__(self, registry: Registry) -> None:
        self._in_process = InProcessEndpoint(registry)
        super().__init__(endpoint=self._in_process)

    def _connect(self, address: Address, params: Params, endpoint: Any = None) -> Connection:
        # Now, and to the caller: in the background it would be tried again and again.
        self._in_process.require()
        return super()._connect(address, params, endpoint)


class InProcessEndpoint:
    """The actors of a registry in this process, which somebody else starts and stops."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._served: WebSocketEndpoint | None = None
        """What the connections over the present router share."""
        self._closed = False

    async def call(self, address: Connect, action: str, args: list[Any], params: Any = None) -> Any:
        router = await self._router()
        try:
            return _copied(await router.call(_copied_address(address), action, _copied(args)))
        except RingcastError as error:
            raise from_wire(_copied(error.to_wire())) from error

    async def resolve(self, address: Connect, params: Any = None) -> tuple[str, tuple[str, ...]]:
        router = await self._router()
        try:
            return await router.resolve(_copied_address(address))
        except RingcastError as error:
            raise from_wire(_copied(error.to_wire())) from error

    async def open_socket(self, receiver: Receiver, encoding: Encoding, config: ClientConfig) -> Socket:
        # Imported late: the server's packages are not needed by a client alone.
        from ..server.websocket import WebSocketEndpoint  # noqa: PLC0415

        router = await self._router()
        if self._served is None or self._served.router is not router:
            self._served = WebSocketEndpoint(router, router.config)
        near, far = _socket_pair()
        await self._served.accept_socket(far)
        return await open_socket(_URL, receiver, encoding, config, near)

    async def close(self) -> None:
        """Refuse what comes after; the registry is stopped by whoever owns it."""
        self._closed = True

    def require(self) -> None:
        """Raise `RuntimeError` where the registry does not run, or not on the event loop of the caller."""
        if self._closed:
            return  # which is told where it is used
        router = self._registry.running
        loop = self._registry.served_on if router is None else router.gateway.loop
        if loop is None:
            raise RuntimeError(_NOT_RUNNING)
        if loop is not asyncio.get_running_loop():
            raise RuntimeError(_OTHER_LOOP)

    async def _router(self) -> Router:
        if self._closed:
            raise ConnectionClosed("the client is closed")
        self.require()
        # Under a server that starts and stops it, an application may be earlier, or later.
        await self._registry.start()
        return self._registry.router


def _copied(value: Any) -> Any:
    return Encoding.JSON.decode(Encoding.JSON.encode(value))


def _copied_address(address: Connect) -> Connect:
    return address._replace(input=_copied(address.input))


def _socket_pair() -> tuple[sockets.socket, sockets.socket]:
    """Return two connected TCP sockets; picows sets an option that a Unix pair does not have."""
    with sockets.create_server(("127.0.0.1", 0), backlog=1) as listener:
        near = sockets.create_connection(listener.getsockname())
        far, peer = listener.accept()
        while peer != near.getsockname():
            # Somebody else on this machine found the port first.
            far.close()
            far, peer = listener.accept()
    near.setblocking(False)
    far.setblocking(False)
    return near, far
