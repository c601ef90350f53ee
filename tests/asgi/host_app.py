"""An application of FastAPI's with actors in it, as the tests have servers run it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action


class Room(Actor):
    """Says what it is told to, to everybody; keeps all of it."""

    @action
    def say(self, c: Context, text: str) -> str:
        c.broadcast("said", text)
        return text

    @action
    async def count_to(self, c: Context, end: int, burst: int) -> None:
        """Broadcast numbers, so many in each turn of the event loop."""
        for first in range(1, end + 1, burst):
            for number in range(first, min(first + burst, end + 1)):
                c.broadcast("number", number)
            await c.drain()

    @action
    def sends(self, c: Context) -> int:
        """Return how many messages were sent to WebSockets, in all."""
        relay = registry.router._relay
        assert relay is not None
        return relay.writes


class Hall(Actor, max_ring_events=16):
    """Keeps little, and lets go of those who do not read."""

    @action
    async def fill(self, c: Context, first: int, end: int) -> None:
        for number in range(first, end):
            c.broadcast("filled", number, "x" * 100_000)
            await c.drain()


registry = Registry(Room, Hall, store=MemoryStore(), config=ServerConfig(connect_timeout_s=1))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with registry.lifespan(app):
        yield
    print("the registry has stopped", flush=True)


app = FastAPI(lifespan=lifespan)
app.mount("/realtime", registry.asgi())


@app.post("/announce")
async def announce(text: str) -> dict[str, Any]:
    room = registry.client.get_or_create(Room, ["main"])
    return {"said": await room.say(text)}
