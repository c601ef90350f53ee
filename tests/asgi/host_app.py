"""An application of FastAPI's with actors in it, as the tests have servers run it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, Tickets, action


@dataclass
class Moved:
    number: int
    zone: int


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
    def listeners(self, c: Context) -> int:
        """Return how many clients are there at the moment."""
        return sum(conn.connected for conn in c.conns)

    @action
    def sends(self, c: Context) -> int:
        """Return how many messages, and parts of responses, were sent to clients, in all."""
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


TICKETS: Tickets[str] = Tickets()


class Till(Actor):
    """Gives tickets to everybody."""

    @action
    def ticket(self, c: Context, user: str) -> str:
        return TICKETS.give(user)


class Lobby(Actor):
    """Lets those in who have a ticket."""

    def on_before_connect(self, c: Context, params: Any) -> None:
        TICKETS.take(c.request.query.get("ticket", ""))


class Zone(Actor):
    """Has events that can be listened for in part."""

    class Events:
        moved: Moved

    @action
    def move(self, c: Context, number: int, zone: int) -> None:
        c.broadcast("moved", Moved(number, zone))


registry = Registry(
    Room,
    Hall,
    Till,
    Lobby,
    Zone,
    store=MemoryStore(),
    config=ServerConfig(
        connect_timeout_s=1, heartbeat_s=1, allowed_origins=("https://app.example.com",), docs=True
    ),
)


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
