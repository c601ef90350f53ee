"""`NetworkProxy` against a plain echo server: what it forwards, loses, holds back and restores."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from ringcast.testing import NetworkProxy

TIMEOUT_S = 5.0


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # the proxy resets sockets on purpose
    finally:
        writer.close()


@pytest.fixture
async def network() -> AsyncIterator[NetworkProxy]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server, NetworkProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


class _Caller:
    """A client socket through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, network: NetworkProxy) -> _Caller:
        return cls(*await asyncio.open_connection(network.listen_host, network.listen_port))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self, size: int) -> bytes:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.reader.readexactly(size)

    async def is_lost(self) -> bool:
        """Tell whether the socket ends, by a reset or by an end of file, without a further byte."""
        async with asyncio.timeout(TIMEOUT_S):
            try:
                return await self.reader.read(1) == b""
            except ConnectionResetError:
                return True


async def test_forwards_both_ways(network: NetworkProxy) -> None:
    caller = await _Caller.connect(network)
    payload = bytes(range(256)) * 1024  # more than one read
    caller.send(payload)
    assert await caller.receive(len(payload)) == payload
    assert network.accepted == 1
    assert network.open_sockets == 1
    assert network.url == f"http://127.0.0.1:{network.listen_port}"
    caller.writer.close()


async def test_end_of_file_passes_behind_the_last_byte(network: NetworkProxy) -> None:
    caller = await _Caller.connect(network)
    caller.send(b"last")
    caller.writer.write_eof()
    async with asyncio.timeout(TIMEOUT_S):
        assert await caller.reader.read() == b"last"
    caller.writer.close()


async def test_cut_drops_sockets_and_newcomers_until_restored(network: NetworkProxy) -> None:
    caller = await _Caller.connect(network)
    caller.send(b"one")
    assert await caller.receive(3) == b"one"

    network.cut()
    assert await caller.is_lost()
    newcomer = await _Caller.connect(network)
    assert await newcomer.is_lost()
    assert network.accepted == 1

    network.restore()
    again = await _Caller.connect(network)
    again.send(b"two")
    assert await again.receive(3) == b"two"
    assert network.accepted == 2
    for each in (caller, newcomer, again):
        each.writer.close()


async def test_partition_holds_bytes_back_until_restored(network: NetworkProxy) -> None:
    caller = await _Caller.connect(network)
    caller.send(b"one")
    assert await caller.receive(3) == b"one"

    network.partition()
    newcomer = await _Caller.connect(network)
    for each in (caller, newcomer):
        each.send(b"two")
    arrivals = [asyncio.ensure_future(each.receive(3)) for each in (caller, newcomer)]
    # Nothing can be waited for here but time: that no byte comes is the point.
    arrived, _ = await asyncio.wait(arrivals, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
    assert not arrived
    assert network.open_sockets == 2

    network.restore()
    assert await asyncio.gather(*arrivals) == [b"two", b"two"]
    assert network.accepted == 2
    for each in (caller, newcomer):
        each.writer.close()


@pytest.fixture
async def narrow() -> AsyncIterator[NetworkProxy]:
    """Give the network, which holds little, of a server that sends without end once it is greeted."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            greeting = await reader.readexactly(2)
            writer.write(greeting)
            while True:
                writer.write(bytes(1024))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the proxy resets sockets on purpose
        finally:
            writer.close()

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
    server = await asyncio.start_server(send, sock=listener)
    async with server, NetworkProxy("127.0.0.1", listener.getsockname()[1], buffer_bytes=2048) as proxy:
        yield proxy


async def test_stop_reading_holds_the_server_back_and_not_the_client(narrow: NetworkProxy) -> None:
    caller = await _Caller.connect(narrow)
    narrow.stop_reading()
    caller.send(b"go")  # it arrives: otherwise nothing would ever be sent
    arrival = asyncio.ensure_future(caller.receive(2 + 1_000_000))
    # As above: that no byte comes is the point.
    arrived, _ = await asyncio.wait([arrival], timeout=0.05)
    assert not arrived
    narrow.restore()
    assert (await arrival)[:2] == b"go"
    caller.writer.close()


async def test_cut_ends_a_partition_of_the_sockets_it_drops(network: NetworkProxy) -> None:
    caller = await _Caller.connect(network)
    network.partition()
    network.cut()
    assert await caller.is_lost()
    caller.writer.close()


async def test_without_a_server_the_client_is_reset() -> None:
    gone = await asyncio.start_server(_echo, "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    await gone.wait_closed()
    async with NetworkProxy("127.0.0.1", port) as network:
        caller = await _Caller.connect(network)
        assert await caller.is_lost()
        caller.writer.close()


async def test_stop_drops_everything_and_may_be_repeated(network: NetworkProxy) -> None:
    caller = await _Caller.connect(network)
    caller.send(b"one")
    assert await caller.receive(3) == b"one"
    await network.stop()
    await network.stop()
    assert await caller.is_lost()
    assert network.open_sockets == 0
    with pytest.raises(OSError):
        await _Caller.connect(network)
    caller.writer.close()
