"""The server under test: run as a script, it prints its address and serves until SIGTERM.

With the argument `compression` it agrees to permessage-deflate.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.server.serve import run

CONNECT_TIMEOUT_S = 1.5
CLOSE_TIMEOUT_S = 1.0


class Echo(Actor[None, None]):
    """Answers, counts and tells everybody."""

    def on_start(self) -> None:
        self.calls = 0

    @action
    def echo(self, c: Context[None, None], value: Any) -> Any:
        """Return `value`."""
        return value

    @action
    def count(self, c: Context[None, None]) -> int:
        """Return how often this was called, this call included."""
        self.calls += 1
        return self.calls

    @action
    def shout(self, c: Context[None, None], text: str) -> None:
        """Send `text` to everybody who listens."""
        c.broadcast("shouted", text)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    config = ServerConfig(
        connect_timeout_s=CONNECT_TIMEOUT_S,
        close_timeout_s=CLOSE_TIMEOUT_S,
        # The cases expect one frame and no other: none of them lasts as long as this.
        heartbeat_s=3600.0,
        dead_peer_timeout_s=7500.0,
        compression="compression" in sys.argv[1:],
    )
    run(Registry(Echo, store=MemoryStore(), config=config), port=0)
