"""python-socketio: `emit` to a room, as an ASGI application under uvicorn with uvloop, without compression."""

from __future__ import annotations

import asyncio
from typing import Any

import socketio
import uvicorn
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


async def obey(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    control.listening()
    await control.obey()
    server.should_exit = server.force_exit = True
    await serving


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
    server = uvicorn.Server(config)
    await obey(server, asyncio.create_task(server.serve()))


control = Control(options(), send)
if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
