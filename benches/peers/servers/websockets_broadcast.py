"""websockets: `broadcast`, which encodes and frames once, without compression, with uvloop."""

from __future__ import annotations

import asyncio

import uvloop
from control import Control, options
from websockets.asyncio.server import ServerConnection, broadcast, serve

BACKLOG = 4096


async def handle(client: ServerConnection) -> None:
    clients.add(client)
    control.connect()
    try:
        await client.wait_closed()
    finally:
        clients.discard(client)


def send(counter: int, at_ns: int) -> None:
    broadcast(clients, control.text(counter, at_ns))


async def main() -> None:
    # Compression and keepalive are turned off where the documentation on memory and on broadcasts says so.
    server = await serve(
        handle, "127.0.0.1", control.options.port, compression=None, ping_interval=None, backlog=BACKLOG
    )
    control.listening()
    await control.obey()
    server.close()
    # The clients are closed by the other side.
    await asyncio.sleep(0)


clients: set[ServerConnection] = set()
control = Control(options(), send)
if __name__ == "__main__":
    uvloop.run(main())
