"""A network that cuts, delays, splits, half-closes and silences connections, at bytes drawn from a seed.

It forwards TCP on loopback and knows nothing of what it carries. `ringcast.testing.NetworkProxy` loses the
network when it is told to; this one does so by itself, in the middle of anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Final, Literal, NamedTuple, Self

__all__ = ["ChaosProxy"]

READ_BYTES: Final = 65_536
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""`struct linger`: closing sends a reset and throws away what was not delivered."""

Passing = Literal["split", "delay"]
Fatal = Literal["reset", "close", "half-close", "silence", "stall"]
PASSING: Final[tuple[Passing, ...]] = ("split", "delay")
FATAL: Final[tuple[Fatal, ...]] = (
    *("reset", "close", "half-close", "stall") * 2,
    "silence",
)
"""Silence takes longest: only pings tell."""


class Fault(NamedTuple):
    """What happens to one direction of a connection once so many bytes have gone that way."""

    at: int
    kind: Passing | Fatal
    amount: float


def faults(random: Random, log_bytes: float) -> Iterator[Fault]:
    """Draw what happens to one direction: passing troubles, and at the end the death of the connection.

    Every tenth dies early, within the handshakes; the others within 2 to the power of `log_bytes` bytes, as
    often early as late on that scale.
    """
    early = random.random() < 0.1
    death = random.randrange(1, 800) if early else int(2 ** random.uniform(9, log_bytes))
    at = 0
    while (at := at + 1 + int(2 ** random.uniform(0, 14))) < death:
        kind = random.choice(PASSING)
        yield Fault(at, kind, random.randrange(1, 400) if kind == "split" else random.uniform(0, 0.03))
    yield Fault(death, random.choice(FATAL), random.uniform(0, 0.1))


@dataclass(slots=True, eq=False)
class Ends:
    """The two sockets of one forwarded connection."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter

    def reset(self) -> None:
        for writer in (self.client, self.server):
            reset(writer)


class ChaosProxy:
    """Stand between clients and a server, and harm what goes through, until `calm`."""

    def __init__(self, host: str, port: int, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        """What was done, by kind."""
        self.url = ""
        self._target = (host, port)
        self._seed = seed
        self._numbers = count()
        self._server: asyncio.Server | None = None
        self._forwarding: set[asyncio.Task[None]] = set()
        self._open: set[Ends] = set()
        self.is_calm = False
        self._closing = False

    @property
    def cuts(self) -> int:
        """How many connections were killed."""
        return sum(self.counts[kind] for kind in set(FATAL))

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self._closing = True
        for ends in self._open:
            ends.reset()
        # Some were accepted while the others ended.
        while self._forwarding:
            await asyncio.gather(*self._forwarding, return_exceptions=True)
        await self._server.wait_closed()

    def calm(self) -> None:
        """From now on, harm nothing."""
        self.is_calm = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # asyncio runs this callback as a task
        self._forwarding.add(task)
        try:
            await self._forward(reader, writer)
        except asyncio.CancelledError:
            # The run is over. asyncio's own callback would report it as an error.
            pass
        finally:
            self._forwarding.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        random = Random(f"{self._seed}/{next(self._numbers)}")
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            reset(writer)
            return
        ends = Ends(writer, server_writer)
        self._open.add(ends)
        up = Direction(self, ends, reader, server_writer, faults(random, 15))
        down = Direction(self, ends, server_reader, writer, faults(random, 18))
        try:
            async with asyncio.TaskGroup() as directions:
                if self._closing:  # while the connection to the server was being made
                    raise Dead
                directions.create_task(up.run())
                directions.create_task(down.run())
        except* (OSError, Dead):
            pass
        finally:
            self._open.discard(ends)
            ends.reset()
            for each in (writer, server_writer):
                with contextlib.suppress(OSError):  # it was reset: closed as well
                    await each.wait_closed()


class Dead(Exception):  # noqa: N818  # not an error: what was to happen has happened
    """Nothing more goes through this connection."""


@dataclass(slots=True)
class Direction:
    """One direction of one connection, and what is to happen to it."""

    proxy: ChaosProxy
    ends: Ends
    source: asyncio.StreamReader
    sink: asyncio.StreamWriter
    faults: Iterator[Fault]
    passed: int = 0
    """Bytes."""

    async def run(self) -> None:
        fault = next(self.faults)
        while data := await self.source.read(READ_BYTES):
            while self.passed + len(data) >= fault.at and not self.proxy.is_calm:
                room = fault.at - self.passed
                await self._pass(data[:room])
                data = data[room:]
                data = await self._suffer(fault, data)
                fault = next(self.faults)
            await self._pass(data)
        if not self.sink.is_closing():
            self.sink.write_eof()

    async def _pass(self, data: bytes) -> None:
        if self.sink.is_closing():
            raise Dead
        self.passed += len(data)
        self.sink.write(data)
        await self.sink.drain()

    async def _suffer(self, fault: Fault, data: bytes) -> bytes:
        """Do the harm; return what is left of `data`."""
        self.proxy.counts[fault.kind] += 1
        match fault.kind:
            case "split":
                split, data = data[: int(fault.amount)], data[int(fault.amount) :]
                for begin in range(0, len(split), 3):
                    await self._pass(split[begin : begin + 3])
                    await asyncio.sleep(0)
            case "delay":
                await asyncio.sleep(fault.amount)
            case "reset":
                raise Dead
            case "close":
                await self._close()
            case "half-close":
                self.sink.write_eof()
                await self._discard()
            case "stall":
                await asyncio.sleep(fault.amount)
                raise Dead
            case "silence":
                await self._discard()
        return data

    async def _close(self) -> None:
        """Deliver what has been taken, then end both sides in order."""
        for writer in (self.ends.client, self.ends.server):
            writer.close()
        for writer in (self.ends.client, self.ends.server):
            await writer.wait_closed()
        raise Dead

    async def _discard(self) -> None:
        """Let nothing more through this way; the other way goes on until its end."""
        while await self.source.read(READ_BYTES):
            pass
        raise Dead


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a socket so that its peer is told, and that what is on the way is lost."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        # Closed already: nothing is left to reset. uvloop has no descriptor then, which is a `ValueError`.
        with contextlib.suppress(OSError, ValueError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
