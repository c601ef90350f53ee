"""Actors inside an application of FastAPI's, which any ASGI server runs: `uvicorn examples.fastapi_app:app`.

Run as it stands, it starts uvicorn by itself, and talks to the application as a browser and others would.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import uvicorn
from fastapi import FastAPI

from ringcast import Actor, Client, Context, MemoryStore, Registry, action


@dataclass
class Desk:
    headlines: list[str] = field(default_factory=list)


class NewsDesk(Actor[Desk]):
    @action
    def publish(self, c: Context[Desk], headline: str) -> int:
        c.state.headlines.append(headline)
        c.broadcast("headline", headline)
        return len(c.state.headlines)


registry = Registry(NewsDesk, store=MemoryStore())
# The lifespan starts the registry with the application and stops it in order.
app = FastAPI(lifespan=registry.lifespan)
# Clients connect to http://HOST/realtime.
app.mount("/realtime", registry.asgi())


@app.post("/headlines")
async def publish(headline: str) -> dict[str, int]:
    """Reach everybody who listens, from an ordinary route."""
    desk = registry.client.get_or_create(NewsDesk, ["world"])
    return {"published": await desk.publish(headline)}


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        serving = asyncio.create_task(server.serve([listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving


async def main() -> None:
    async with running() as url, Client(f"{url}/realtime") as client, httpx.AsyncClient() as http:
        desk = client.get_or_create("newsDesk", ["world"])
        async with desk.connect() as connection:
            heard = connection.stream("headline")
            await connection.ready()
            answer = await http.post(f"{url}/headlines", params={"headline": "Ships that pass"})
            print("the route answers:", answer.json())
            print("the browser hears:", await anext(heard))
            print("and calls:", await connection.publish("In the night"))
            print("the browser hears:", await anext(heard))


if __name__ == "__main__":
    asyncio.run(main())
