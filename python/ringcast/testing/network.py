"""A network between client and server that can be cut, silenced and restored, to test and to watch a replay.

`NetworkProxy` forwards TCP on loopback; it knows nothing of HTTP or WebSocket. What a client does about a
lost network is `ringcast.client`'s; what a server keeps meanwhile is `ringcast.gateway.session`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Final, Self

__all__ = ["NetworkProxy"]

_READ_BYTES: Final = 65_536
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""`struct linger`: on, 0 s. Closing then sends a reset and throws away what was not delivered."""


class NetworkProxy:
    """Stand between clients and the server at `host`:`port`, and lose the network when told to.

    Connect the client to `url` (or to `listen_host` and `listen_port`) instead of to the server. Use it as an
    async context manager, or call `start` and `stop`::

        async with NetworkProxy("127.0.0.1", 8080) as network, Client(network.url) as client:
            ...
            network.cut()
            ...
            network.restore()

    `buffer_bytes` bounds what may wait here on its way from the server; the system's own buffers hold
    megabytes, which a client that does not read (`stop_reading`) would have to leave unread first.

    All methods belong to the event loop that started the proxy.
    """

    def __init__(self, host: str, port: int, *, buffer_bytes: int | None = None) -> None:
        self._target = (host, port)
        self._buffer_bytes = buffer_bytes
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._forwarding: set[asyncio.Task[None]] = set()
        self._to_server = asyncio.Event()
        self._to_client = asyncio.Event()
        """Whether bytes are delivered in each direction."""
        self._deliver()
        self._is_cut = False
        self.listen_host = "127.0.0.1"
        self.listen_port = 0
        """The port to connect to, once started."""
        self.accepted = 0
        """How many client sockets were forwarded so far; those refused by `cut` do not count."""

    @property
    def url(self) -> str:
        """Return the address to give to a client."""
        return f"http://{self.listen_host}:{self.listen_port}"

    @property
    def open_sockets(self) -> int:
        """Return the number of client sockets that are forwarded now."""
        return len(self._forwarding)

    async def start(self) -> None:
        """Listen on a free port of the loopback interface. Raises `OSError` if there is none."""
        self._server = await asyncio.start_server(self._accept, self.listen_host, 0)
        self.listen_port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, drop every socket and wait until all are closed. Idempotent."""
        if self._server is None:
            return
        self._server.close()
        self.cut()
        self._deliver()
        await asyncio.gather(*self._forwarding, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    def cut(self) -> None:
        """Reset every socket, on both sides, and each newcomer at once, until `restore`.

        Bytes on their way are lost. The port stays taken, so that no other process can have it meanwhile.
        """
        self._is_cut = True
        for writer in self._writers:
            _reset(writer)

    def partition(self) -> None:
        """Keep every socket open and accept newcomers, but deliver nothing either way, until `restore`.

        Neither side is told. Bytes sent meanwhile arrive after `restore`, as TCP would send them again.
        """
        self._to_server.clear()
        self._to_client.clear()

    def stop_reading(self) -> None:
        """Take nothing more from the server, until `restore`; what the client sends still arrives.

        To the server every client looks like one that has stopped reading: when the buffers on the way are
        full, its socket takes no more.
        """
        self._to_client.clear()

    def restore(self) -> None:
        """End a `cut`, a `partition` or a `stop_reading`."""
        self._is_cut = False
        self._deliver()

    def _deliver(self) -> None:
        self._to_server.set()
        self._to_client.set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            _reset(writer)
            return
        self.accepted += 1
        forwarding = asyncio.current_task()
        assert forwarding is not None  # asyncio runs this callback as a task
        self._forwarding.add(forwarding)
        self._writers.add(writer)
        try:
            await self._forward(reader, writer)
        finally:
            self._forwarding.discard(forwarding)
            await self._close(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._to_server.wait()
        try:
            server_reader, server_writer = await self._open()
        except OSError:
            _reset(writer)  # no server there: what a client would see without the proxy, a moment later
            return
        self._writers.add(server_writer)
        if self._is_cut:  # while the connection was being made
            _reset(server_writer)
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._copy(reader, server_writer, self._to_server))
                directions.create_task(self._copy(server_reader, writer, self._to_client))
        except* OSError:  # one side was reset: so is the other
            _reset(writer)
            _reset(server_writer)
        finally:
            await self._close(server_writer)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the server. Raises `OSError`."""
        if self._buffer_bytes is None:
            return await asyncio.open_connection(*self._target)
        host, port = self._target
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            # Before connecting: the size of the window is agreed on then.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer_bytes)
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, (host, port))
            return await asyncio.open_connection(sock=connection, limit=self._buffer_bytes)
        except BaseException:
            connection.close()
            raise

    async def _copy(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, delivering: asyncio.Event
    ) -> None:
        while data := await source.read(_READ_BYTES):
            await delivering.wait()
            if sink.is_closing():
                return
            sink.write(data)
            await sink.drain()
        await delivering.wait()
        if not sink.is_closing():
            sink.write_eof()

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        with contextlib.suppress(OSError):  # it was reset: closed as well
            await writer.wait_closed()
        self._writers.discard(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):  # closed already: nothing is left to reset
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
