"""An application whose replies are long, and which tells what it holds of its clients."""

from __future__ import annotations

import asyncio
import gc

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.server.guard import Guard


class Clerk(Actor, sleep_after_s=None):
    """Has long answers."""

    asked = 0

    @action
    def long(self, c: Context, length: int) -> str:
        Clerk.asked += 1
        return "x" * length


CONFIG = ServerConfig(close_timeout_s=2, heartbeat_s=1, dead_peer_timeout_s=3)
registry = Registry(Clerk, store=MemoryStore(), config=CONFIG)
app = FastAPI(lifespan=registry.lifespan)
app.mount("/realtime", registry.asgi())


async def opaque(scope: Scope, receive: Receive, send: Send) -> None:
    """Be an application of which no server can tell what is in it: ours lets it serve the actors' sockets."""
    await app(scope, receive, send)


@app.get("/holds")
async def holds() -> dict[str, int]:
    return {
        "links": len(registry.router.gateway.links),
        "asked": Clerk.asked,
        "waiting": sum(task.get_name() == "waiting post" for task in asyncio.all_tasks()),
        "places": sum(each.places.taken for each in gc.get_objects() if type(each) is Guard),
    }
