"""An application of FastAPI's and actors at one port: `ringcast serve examples.beside_app:registry --app
examples.beside_app:app`, or `registry.serve(app=app)`.

Run as it stands, it serves both for a moment, and talks to them as a browser and others would.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import websockets
from fastapi import FastAPI, WebSocket

from ringcast import Actor, Client, Context, MemoryStore, Registry, action
from ringcast.server.application import Beside, mounted
from ringcast.server.serve import serving


@dataclass
class Archive:
    """Stands for a pool of connections to a database: opened by the application, used by actors."""

    headlines: list[str] = field(default_factory=list)


archive: Archive | None = None


class NewsDesk(Actor):
    @action
    def publish(self, c: Context, headline: str) -> int:
        assert archive is not None  # the application starts before the actors, and ends after them
        archive.headlines.append(headline)
        c.broadcast("headline", headline, len(c.conns))
        return len(archive.headlines)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    global archive  # noqa: PLW0603 - the one of the process
    archive = Archive()
    print("the application has started, and the actors may use it")
    yield
    print("the application has ended, behind the actors")


registry = Registry(NewsDesk, store=MemoryStore())
app = FastAPI(lifespan=lifespan)


@app.post("/headlines")
async def publish(headline: str) -> dict[str, int]:
    """Reach everybody who listens, from an ordinary route."""
    desk = registry.client.get_or_create(NewsDesk, ["world"])
    return {"published": await desk.publish(headline)}


@app.websocket("/ping")
async def ping(socket: WebSocket) -> None:
    """Have a WebSocket without an actor."""
    await socket.accept()
    await socket.send_text("pong")
    await socket.close()


async def main() -> None:
    both = Beside(application=mounted(registry, app))
    async with (
        serving(registry, beside=both) as url,
        Client(f"{url}/realtime") as client,
        httpx.AsyncClient() as http,
    ):
        async with client.get_or_create("newsDesk", ["world"]).connect() as connection:
            heard = connection.stream("headline")
            await connection.ready()
            answer = await http.post(f"{url}/headlines", params={"headline": "Ships that pass"})
            print("the route answers:", answer.json())
            headline, readers = await anext(heard)
            print(f"the browser hears: {headline}, as one of {readers}")
        async with websockets.connect(url.replace("http", "ws") + "/ping") as socket:
            print("the application's own WebSocket:", await socket.recv())


if __name__ == "__main__":
    asyncio.run(main())
