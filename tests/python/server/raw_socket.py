"""A WebSocket client of the tests that knows nothing of Ringcast, on the `websockets` library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

TIMEOUT_S: Final = 30
"""For anything that is waited for: reached only by a failing test."""
UPGRADE: Final = {
    "host": "here",
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
    "sec-websocket-protocol": "ringcast.v1.json",
}
"""The headers of a request to upgrade that is written by hand."""


@asynccontextmanager
async def opened(url: str, headers: dict[str, str] | None = None, **options: Any) -> AsyncIterator[Raw]:
    """Give a socket to the server at `url`. Raises `InvalidStatus` if that does not upgrade."""
    async with connect(
        url.replace("http", "ws", 1) + "/connect",
        subprotocols=[Subprotocol("ringcast.v1.json")],
        additional_headers=headers,
        compression=None,
        close_timeout=TIMEOUT_S,
        **options,
    ) as socket:
        yield Raw(socket)


class Raw:
    """One socket; messages are arrays as on the wire."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._id = 0

    async def send(self, *message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def receive(self) -> list[Any]:
        async with asyncio.timeout(TIMEOUT_S):
            return json.loads(await self.socket.recv())  # type: ignore[no-any-return]

    async def connect(self, actor: str, **fields: Any) -> list[Any]:
        """Send a connect message and return the answer, whatever it is."""
        await self.send("connect", {"actor": actor, "key": ["k"], **fields})
        return await self.receive()

    async def ask(self, kind: str, *what: Any) -> Any:
        """Send the next request and return its result, or the error in its place."""
        self._id += 1
        await self.send(kind, self._id, *what)
        answer = await self.receive()
        assert answer[1] == self._id, answer
        return answer[2]

    async def closed_with(self) -> int | None:
        """Read on to the end and return the code of the server's close frame."""
        async with asyncio.timeout(TIMEOUT_S):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed as end:
                return None if end.rcvd is None else end.rcvd.code
