"""An application whose actors are saved at its end alone, or when it is told to stop."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from ringcast import Actor, Context, Registry, ServerConfig, SqliteStore, action
from ringcast.testing import eventually

DIRECTORY = Path(os.environ["KEPT_APP_DIRECTORY"])


@dataclass
class Counted:
    count: int = 0


class Counter(Actor[Counted]):
    def create_state(self, c: Context) -> Counted:
        return Counted()

    @action
    def add(self, c: Context) -> int:
        self.state.count += 1
        return self.state.count

    @action
    async def fill(self, c: Context, size: int) -> None:
        """Broadcast more than sockets and servers take for a client that reads nothing."""
        for _ in range(size):
            c.broadcast("filled", "x" * 100_000)
            await c.drain()

    def on_stop(self, c: Context) -> None:
        print("the counter has stopped", flush=True)


registry = Registry(
    Counter, store=SqliteStore(str(DIRECTORY / "store.db")), config=ServerConfig(save_interval_s=3600)
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with registry.lifespan(app):
        yield
        await registry.client.get_or_create(Counter, ["main"]).add()
    print("the registry has stopped", flush=True)


app = FastAPI(lifespan=lifespan)
app.mount("/realtime", registry.asgi())


@app.post("/later")
async def later() -> int:
    """Use an actor only when a file is there."""
    (DIRECTORY / "waiting").touch()
    await eventually((DIRECTORY / "go").exists)
    count: int = await registry.client.get_or_create(Counter, ["main"]).add()
    return count
