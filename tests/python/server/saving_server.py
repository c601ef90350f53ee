"""The server that `test_serve.py` stops: run as a script with the path of its store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from ringcast import Actor, Context, Registry, ServerConfig, SqliteStore, action
from ringcast.server.serve import run


@dataclass
class Pages:
    lines: list[str] = field(default_factory=list)


LEFT: list[AsyncIterator[None]] = []
"""Kept here, as what is collected is ended before the server ends."""


async def resisting() -> AsyncIterator[None]:
    try:
        yield
    finally:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


class Diary(Actor[Pages, None]):
    """Keeps what is written."""

    def on_start(self) -> None:
        self.busy = False

    def on_stop(self) -> None:
        self.state.lines.append("stopped")

    @action
    def write(self, c: Context[Pages, None], line: str) -> None:
        """Keep a line."""
        c.state.lines.append(line)

    @action
    def read(self, c: Context[Pages, None]) -> list[str]:
        """Return every line."""
        return c.state.lines

    @action
    async def write_slowly(self, c: Context[Pages, None], line: str) -> str:
        """Keep a line, some time after `writing` says so."""
        self.busy = True
        await asyncio.sleep(1)  # the action is in progress while the server stops
        c.state.lines.append(line)
        return line

    @action
    def writing(self, c: Context[Pages, None]) -> bool:
        """Tell whether an action that takes its time has begun."""
        return self.busy

    @action
    async def hang(self, c: Context[Pages, None]) -> None:
        """Never return."""
        await asyncio.Event().wait()

    @action
    async def resist(self, c: Context[Pages, None]) -> None:
        """Never return, whoever asks for it."""
        while True:
            self.busy = True
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    @action
    async def leave_generator(self, c: Context[Pages, None]) -> None:
        """Leave an async generator in the middle, which goes on whoever ends it."""
        LEFT.append(resisting())
        await anext(LEFT[-1])

    @action
    def block(self, c: Context[Pages, None], how: str) -> None:
        """Never let the loop go on, once a line has said so."""
        print("blocked", flush=True)
        while True:
            if how == "sleeping":
                time.sleep(3600)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    # Saved at the end only: what survives was saved by the shutdown.
    config = ServerConfig(close_timeout_s=1.0, shutdown_timeout_s=3.0, save_interval_s=3600.0)
    run(Registry(Diary, store=SqliteStore(sys.argv[1]), config=config), port=0)
