"""python-socketio: `emit` to a room, under uvicorn with uvloop, without compression."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import socketio
import uvicorn
import uvloop
from control import Control, options

ROOM = "all"
BACKLOG = 4096

sio = socketio.AsyncServer(
    async_mode="asgi", transports=["websocket"], http_compression=False, cors_allowed_origins="*"
)


@sio.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    await sio.enter_room(sid, ROOM)
    control.connect()


async def send(counter: int, at_ns: int) -> None:
    await sio.emit("tick", (counter, at_ns, control.padding), room=ROOM)


class Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        control.listening()


async def main() -> None:
    config = uvicorn.Config(
        socketio.ASGIApp(sio),
        host="127.0.0.1",
        port=control.options.port,
        log_level="error",
        access_log=False,
        ws="auto",
        ws_per_message_deflate=False,
        lifespan="off",
        backlog=BACKLOG,
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    await control.obey()
    server.should_exit = server.force_exit = True
    await serving


control = Control(options(), send)
if __name__ == "__main__":
    uvloop.run(main())
