"""Resets at bad moments, and descriptors that somebody closed while the event loop watched them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any, Final

import pytest
import uvloop
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from ringcast.client import ClientConfig
from ringcast.client.socket import Socket, open_socket
from ringcast.wire.encoding import Encoding

from .receiver import Receiver
from .scripted import TIMEOUT_S

Run = Callable[[Coroutine[Any, Any, None]], None]
_TURNS: Final = 10
"""More turns of the loop than opening a socket takes."""
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run on each kind of loop; an exception that reaches the loop fails the test."""

    def on_new_loop(work: Coroutine[Any, Any, None]) -> None:
        reported: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: reported.append(context))
            runner.run(asyncio.wait_for(work, 30))
        assert reported == []

    return on_new_loop


def listening() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


async def open_to(listener: socket.socket, receiver: Receiver) -> Socket:
    host, port = listener.getsockname()
    return await open_socket(f"ws://{host}:{port}/connect", receiver, Encoding.JSON, ClientConfig())


async def upgrade(listener: socket.socket) -> socket.socket:
    """Accept a client and its upgrade request; nothing is left for the loop to do with its socket."""
    loop = asyncio.get_running_loop()
    peer, _ = await loop.sock_accept(listener)
    protocol = ServerProtocol(subprotocols=[Subprotocol("ringcast.v1.json")])
    while not (requests := protocol.events_received()):
        data = await loop.sock_recv(peer, 4096)
        assert data, "the client has gone"
        protocol.receive_data(data)
    assert isinstance(requests[0], Request)
    protocol.send_response(protocol.accept(requests[0]))
    peer.send(b"".join(protocol.data_to_send()))
    return peer


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    peer.close()


def reset_later(listener: socket.socket, turns: int) -> None:
    """Reset the next client, so many turns of the loop after it has come."""
    loop = asyncio.get_running_loop()

    def accept() -> None:
        try:
            peer, _ = listener.accept()
        except BlockingIOError:
            loop.call_soon(accept)
        else:
            wait(peer, turns)

    def wait(peer: socket.socket, left: int) -> None:
        if left:
            loop.call_soon(wait, peer, left - 1)
        else:
            reset(peer)

    accept()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(100))
    writer.close()
    await writer.wait_closed()


async def use_streams() -> None:
    """Let asyncio's own streams use the descriptors that are free: both ends must hear of each other."""
    async with asyncio.timeout(TIMEOUT_S), await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello")
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("turns", range(_TURNS))
def test_a_reset_while_a_socket_is_opened_does_no_harm_to_those_that_come_after(run: Run, turns: int) -> None:
    async def check() -> None:
        with listening() as listener:
            reset_later(listener, turns)
            with pytest.raises(OSError):
                await open_to(listener, Receiver())
            await use_streams()
            opening = asyncio.ensure_future(open_to(listener, Receiver()))
            with closing(await upgrade(listener)):
                (await opening).abort()

    run(check())


def test_a_reset_behind_a_message_is_noticed(run: Run) -> None:
    async def check() -> None:
        receiver = Receiver()
        with listening() as listener:
            opening = asyncio.ensure_future(open_to(listener, receiver))
            peer = await upgrade(listener)
            await opening
            # Both are there before the client's loop looks.
            peer.send(Frame(Opcode.TEXT, b"last words").serialize(mask=False))
            reset(peer)
            async with asyncio.timeout(TIMEOUT_S):
                await receiver.lost.wait()
            assert receiver.messages == [b"last words"]

    run(check())


async def close_while_watched(failed: bool, both_ways: bool) -> int:
    """Do what nobody should: return the number of a closed descriptor that the loop still watches.

    With `failed` its socket has been reset before, which uvloop has seen.
    """
    loop = asyncio.get_running_loop()
    ours = socket.socket()
    number = ours.fileno()
    with listening() as listener:
        ours.connect(listener.getsockname())
        peer, _ = listener.accept()
        seen = asyncio.Event()
        loop.add_reader(number, seen.set)
        if both_ways:
            loop.add_writer(number, lambda: None)
        peer.send(b"x")
        if failed:
            reset(peer)
        await seen.wait()
        peer.close()
    ours.close()
    return number


@pytest.mark.parametrize("both_ways", [False, True], ids=["reading", "both ways"])
@pytest.mark.parametrize("failed", [False, True], ids=["alive", "failed"])
def test_what_the_loop_remembers_of_a_descriptor_keeps_no_client_from_connecting(
    run: Run, failed: bool, both_ways: bool
) -> None:
    async def check() -> None:
        await use_streams()  # the first makes libuv open a descriptor for itself
        with listening() as listener:
            number = await close_while_watched(failed, both_ways)
            receiver = Receiver()
            opening = asyncio.ensure_future(open_to(listener, receiver))
            async with asyncio.timeout(TIMEOUT_S):
                peer = await upgrade(listener)
                opened = await opening
            transport = opened._transport
            assert transport is not None
            assert transport.underlying_transport.get_extra_info("socket").fileno() == number
            peer.send(Frame(Opcode.TEXT, b"hello").serialize(mask=False))
            peer.close()
            async with asyncio.timeout(TIMEOUT_S):
                await receiver.lost.wait()
            assert receiver.messages == [b"hello"]

    run(check())
