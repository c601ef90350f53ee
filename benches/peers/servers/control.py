"""What every Python peer is told by the benchmark, and what it answers; how its events look.

A peer serves on a port, says so, and says when all clients are there. On `go [COUNT [SECONDS]]` it sends
events to all of them; on `look` it tells what it has used and when, and on `collect` it lets go of garbage
before. It ends when standard input does. How it serves and sends is each peer's own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

FIRST = 1_000_000
"""The first counter, so that all of them have as many digits."""

Send = Callable[[int, int], Awaitable[None] | None]
"""Sends the event with this counter and this time to everybody."""


@dataclass
class Options:
    port: int
    connections: int
    messages: int
    payload: int
    burst: int
    rate: float
    lean: bool


def options() -> Options:
    """Read the command line; allow as many sockets as the system does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=1000, help="how many clients to wait for")
    parser.add_argument(
        "--messages", type=int, default=1000, help="how many events a `go` without number sends"
    )
    parser.add_argument("--payload", type=int, default=128, help="bytes of an event's arguments")
    parser.add_argument("--burst", type=int, default=1, help="events in one turn of the event loop")
    parser.add_argument("--rate", type=float, default=0.0, help="events a second; 0: as fast as it goes")
    parser.add_argument("--lean", action="store_true", help="hold as little as possible for a client")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return Options(**vars(parser.parse_args()))


class Control:
    """The peer's side of the conversation."""

    def __init__(self, options: Options, send: Send) -> None:
        self.options = options
        self.padding = "x" * max(0, options.payload - len(f'[{FIRST},{time.monotonic_ns()},""]'))
        self._send = send
        self._next = FIRST
        self._connected = 0

    def text(self, counter: int, at_ns: int) -> str:
        """Return an event as a bare message: its arguments, as JSON."""
        return f'[{counter},{at_ns},"{self.padding}"]'

    def listening(self) -> None:
        """Say that the server listens."""
        self._say(listening=self.options.port)

    def connect(self) -> None:
        """Count a client that gets events from now on; say so when it is the last one."""
        self._connected += 1
        if self._connected == self.options.connections:
            self._say(connected=self._connected)

    async def obey(self) -> None:
        """Do what standard input says, until it ends."""
        # A thread of its own, for the server's loop is not always one that could watch a pipe.
        loop, lines = asyncio.get_running_loop(), asyncio.Queue[str]()

        def read() -> None:
            for line in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, "")

        threading.Thread(target=read, daemon=True).start()
        while line := await lines.get():
            command, *numbers = line.split()
            if command == "go":
                count = int(numbers[0]) if numbers else self.options.messages
                await self._go(count, float(numbers[1]) if len(numbers) > 1 else float("inf"))
            else:
                if command == "collect":
                    gc.collect()
                self._say(cpu_s=time.process_time(), at_ns=time.monotonic_ns())

    async def _go(self, count: int, seconds: float) -> None:
        began_ns = time.monotonic_ns()
        if self.options.rate:
            await self._pace(count)
        else:
            await self._flood(count, began_ns + seconds * 1e9)
        self._say(began_ns=began_ns, last=self._next - 1)

    async def _flood(self, count: int, until_ns: float) -> None:
        burst = self.options.burst
        for number in range(1, count + 1):
            await self._one(time.monotonic_ns())
            if number % burst == 0:
                await asyncio.sleep(0)
                if time.monotonic_ns() > until_ns:
                    return

    async def _pace(self, count: int) -> None:
        # The time of an event is when it was due: one that is sent too late is late.
        due_s = time.monotonic()
        for _ in range(count):
            due_s += 1 / self.options.rate
            await asyncio.sleep(due_s - time.monotonic())
            await self._one(int(due_s * 1e9))

    async def _one(self, at_ns: int) -> None:
        counter, self._next = self._next, self._next + 1
        sending = self._send(counter, at_ns)
        if sending is not None:
            await sending

    def _say(self, **answer: Any) -> None:
        print(json.dumps(answer), flush=True)
