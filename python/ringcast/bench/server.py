"""The server under test: the actors of `actors.py`, run by `ringcast.server` itself, as a program.

It says where it listens on its first line. Who is connected, and what is asked of it, is the load's business.
"""

from __future__ import annotations

import argparse
import os
import resource
from typing import Final

from ..actor import Actor
from ..config import ServerConfig
from ..registry import Registry
from ..server.serve import run
from .actors import ChangingFeed, DurableFeed, Feed, FilteredFeed, SkippingFeed, padding
from .stores import STORES, store_of

__all__ = ["main"]

_ACTORS: Final[tuple[type[Actor], ...]] = (Feed, FilteredFeed, ChangingFeed, SkippingFeed, DurableFeed)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=STORES, default="memory")
    parser.add_argument("--path", default="", help="file of a SQLite store")
    parser.add_argument("--window", type=float, default=120.0, help="seconds that a session is kept")
    parser.add_argument("--payload", type=int, default=128, help="bytes of an event's arguments")
    parser.add_argument(
        "--ring-bytes", type=int, default=None, help="bytes of every actor's ring, if not the default"
    )
    parser.add_argument(
        "--ring-events", type=int, default=None, help="events in every actor's ring, if not the default"
    )
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Feed.padding = padding(options.payload)
    ring = {"max_ring_bytes": options.ring_bytes, "max_ring_events": options.ring_events}
    actors = [type(actor.__name__, (actor,), {}, **ring) for actor in _ACTORS]
    # Everybody is let in at once, and may call as often as it can: how fast that is are two of the questions.
    config = ServerConfig(session_window_s=options.window, max_connects_per_s=0, max_actions_per_s=0)
    registry = Registry(*actors, store=store_of(options.store, options.path), config=config)
    run(registry, port=0, on_listening=lambda address: print(address, os.getpid(), flush=True))


if __name__ == "__main__":
    main()
