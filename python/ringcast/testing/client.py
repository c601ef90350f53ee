"""Clients of a server under test: ordinary ones, each of whose connections has a network of its own.

Whose network is lost, and when, is said at the server (`server.py`).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Final, Literal

from ..client import Client, ClientConfig, Connection, HttpEndpoint
from ..client.event_stream import PostReceiver
from ..client.fallback import AnySocket, Transport, checked_transport
from ..client.handle import Address
from ..client.lifecycle import Params
from ..wire.encoding import Encoding
from ..wire.protocol import Connect
from .network import NetworkProxy

__all__ = ["IMPATIENT", "LocalClient", "Wire"]

IMPATIENT: Final = ClientConfig(
    reconnect_first_s=0.01,
    reconnect_base_s=0.01,
    reconnect_max_s=0.05,
    close_timeout_s=1.0,
    # There is no TLS; without this, the system's certificates are read for every client.
    ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
)
"""A client that comes back at once. Change fields with `dataclasses.replace`."""


class Wire:
    """One connection's way to the server: an endpoint whose sockets go through a network proxy."""

    def __init__(self, server: HttpEndpoint, network: NetworkProxy, transport: Transport) -> None:
        self._server = server
        self._transport = transport
        self._near: HttpEndpoint | None = None
        """The server, through the network."""
        self.network = network

    async def call(self, address: Connect, action: str, args: list[Any], params: Any = None) -> Any:
        return await self._server.call(address, action, args, params)

    async def resolve(self, address: Connect, params: Any = None) -> tuple[str, tuple[str, ...]]:
        return await self._server.resolve(address, params)

    async def open_socket(
        self, receiver: PostReceiver, encoding: Encoding, config: ClientConfig
    ) -> AnySocket:
        if self._near is None:
            # A connection makes one attempt at a time.
            await self.network.start()
            self._near = HttpEndpoint(self.network.url, config, self._transport)
        return await self._near.open_socket(receiver, encoding, config)

    async def close(self) -> None:
        await self.network.stop()


class LocalClient(Client):
    """A client whose connections each have a `Wire`; its calls without a connection need none.

    `add` is told of each connection and its wire.
    """

    def __init__(
        self,
        url: str,
        encoding: Literal["json", "msgpack"],
        config: ClientConfig,
        transport: Transport,
        add: Callable[[Connection, Wire], None],
        network: Callable[[], NetworkProxy],
    ) -> None:
        self._server = HttpEndpoint(url, config)
        super().__init__(endpoint=self._server, encoding=encoding, config=config)
        self._server.encoding = self._encoding
        self._transport = checked_transport(transport, self._encoding)
        self._add = add
        self._network = network

    def _connect(self, address: Address, params: Params, endpoint: Any = None) -> Connection:
        wire = Wire(self._server, self._network(), self._transport)
        connection = super()._connect(address, params, wire)
        self._add(connection, wire)
        return connection
