"""A proxy that lets no WebSocket through, in each of the ways in which such proxies fail, for tests."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Final, Literal, Self, get_args

__all__ = ["WAYS", "BlockingProxy", "Way"]

Way = Literal["refuse", "strip", "drop", "swallow", "mute"]
"""Answer an upgrade with 403; pass it on without the headers that make it one; close the socket; answer
nothing; pass the answer on, and nothing behind it."""
WAYS: Final[tuple[Way, ...]] = get_args(Way)

_REFUSAL: Final = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BlockingProxy:
    """Stand before the server at `host`:`port`. Anything but an upgrade passes unless it is `down`."""

    def __init__(self, host: str, port: int, way: Way | None) -> None:
        self._target = (host, port)
        self.way = way
        """None blocks nothing."""
        self.down = False
        """Whether every socket is closed at once, as where no server is."""
        self.upgrades = 0
        """How many were asked for."""
        self.others = 0
        """How many other sockets were opened."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.lose_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def lose_all(self) -> None:
        """Lose every socket that is open."""
        for task in self._tasks:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # asyncio runs this callback as one
        self._tasks.add(task)
        try:
            if not self.down:
                await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one side is gone
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"upgrade: websocket" not in head.lower():
            self.others += 1
            await self._forward(head, reader, writer)
            return
        self.upgrades += 1
        if self.way == "refuse":
            writer.write(_REFUSAL)
            await writer.drain()
        elif self.way == "swallow":
            await reader.read()
        elif self.way == "strip":
            lines = head.split(b"\r\n")
            kept = [line for line in lines if not line.lower().startswith((b"upgrade:", b"connection:"))]
            await self._forward(b"\r\n".join(kept), reader, writer)
        elif self.way != "drop":
            await self._forward(head, reader, writer)

    async def _forward(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        try:
            server_writer.write(head)
            if self.way == "mute" and b"upgrade: websocket" in head.lower():
                writer.write(await server_reader.readuntil(b"\r\n\r\n"))
                await reader.read(1)
                await asyncio.Event().wait()
            async with asyncio.TaskGroup() as directions:
                directions.create_task(_copy(reader, server_writer))
                directions.create_task(_copy(server_reader, writer))
        except* OSError:
            pass
        finally:
            server_writer.transport.abort()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        sink.write(data)
        await sink.drain()
    with contextlib.suppress(OSError):
        sink.write_eof()
