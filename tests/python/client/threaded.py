"""A real server in a thread of its own, for clients that block the one of their test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Final

from ringcast import Actor, MemoryStore, Registry, ServerConfig
from ringcast.server.serve import serving

TIMEOUT_S: Final = 20
"""For what takes milliseconds."""


@contextmanager
def served(*actors: type[Actor]) -> Iterator[str]:
    """Serve these actors, and give the server's address."""
    found: Queue[str] = Queue()
    over = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        config = ServerConfig(shutdown_timeout_s=1)
        async with serving(Registry(*actors, store=MemoryStore(), config=config)) as url:
            found.put(url)
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    yield found.get(timeout=TIMEOUT_S)
    loops[0].call_soon_threadsafe(over.set)
    thread.join(TIMEOUT_S)
