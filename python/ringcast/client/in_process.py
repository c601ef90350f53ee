"""The endpoint without a network: a client inside the process that runs the actors.

Calls go straight to the router, their arguments, results and errors through an encoding, so that nothing is
shared and everything looks as it does over the network. Connections go over a pair of loopback sockets into
the server's own WebSocket code, so that there is no second way to deliver events.
"""

from __future__ import annotations

import socket as sockets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import ConnectionClosed, RingcastError, from_wire
from ..wire.encoding import Encoding
from ..wire.protocol import Connect
from .config import ClientConfig
from .socket import Receiver, Socket, open_socket

if TYPE_CHECKING:
    from ..registry import Registry
    from ..router import Router
    from ..server.websocket import WebSocketEndpoint

__all__ = ["InProcessEndpoint"]

_URL = "ws://127.0.0.1/connect"
"""Names the path for the upgrade request; nothing is looked up or connected to by it."""


class InProcessEndpoint:
    """The actors of a registry in this process; the registry is started at the first use."""

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

    async def _router(self) -> Router:
        if self._closed:
            raise ConnectionClosed("the client is closed")
        await self._registry.start()
        return self._registry.router


def _copied(value: Any) -> Any:
    return Encoding.JSON.decode(Encoding.JSON.encode(value))


def _copied_address(address: Connect) -> Connect:
    return replace(address, input=_copied(address.input))


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
