"""The server's WebSockets beyond RFC 6455, whose cases are in `tests/conformance`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from loops import Run
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from raw_socket import UPGRADE
from server_process import Server
from websockets.exceptions import ConnectionClosed

from conformance.raw_client import CONTINUATION, PING, PONG, TEXT, RawClient, deflate, frame
from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.errors import is_valid_close_code
from ringcast.gateway.link import Link
from ringcast.server.serve import serving
from ringcast.server.websocket import accept_socket


class Room(Actor[None, None]):
    """Answers and tells."""

    @action
    def say(self, c: Context[None, None], text: str) -> int:
        """Send `text` to everybody; return its length."""
        c.broadcast("said", text)
        return len(text)


class Client(WSListener):
    """A picows client that keeps what it gets."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Any] = asyncio.Queue()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            self.messages.put_nowait(("closed", int(frame.get_close_code().value)))
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        else:
            self.messages.put_nowait(orjson.loads(frame.get_payload_as_bytes()))

    async def next(self) -> Any:
        return await asyncio.wait_for(self.messages.get(), 5)


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected TCP sockets; a socketpair is none, and picows sets TCP options."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    for sock in (ours, theirs):
        sock.setblocking(False)
    return ours, theirs


def registry(**more: Any) -> Registry:
    config = ServerConfig(connect_timeout_s=0.3, close_timeout_s=0.5, **more)
    return Registry(Room, store=MemoryStore(), config=config)


def test_socket_in_process_is_served_as_the_port_would(run: Run) -> None:
    async def scenario() -> None:
        async with registry() as served:
            ours, theirs = tcp_pair()
            await accept_socket(served.router, theirs)
            transport, client = await ws_connect(
                Client,
                "ws://in-process/connect",
                extra_headers={"Sec-WebSocket-Protocol": "ringcast.v1.json"},
                socket_factory=lambda _: ours,
            )
            assert isinstance(client, Client)
            body = {"actor": "room", "key": ["a"], "subscriptions": ["said"]}
            transport.send(WSMsgType.TEXT, orjson.dumps(["connect", body]))
            assert (await client.next())[0] == "connected"
            transport.send(WSMsgType.TEXT, b'["call",1,"say",["hello"]]')
            assert (await client.next())[3:] == ["said", ["hello"]]
            assert await client.next() == ["reply", 1, 5]
            assert served.router.connections == 1
        assert await client.next() == ("closed", 4500)
        await asyncio.wait_for(transport.wait_disconnected(), 5)

    run(scenario())


def test_socket_in_process_that_never_connects(run: Run) -> None:
    async def scenario() -> None:
        async with registry() as served:
            ours, theirs = tcp_pair()
            await accept_socket(served.router, theirs)
            _, client = await ws_connect(
                Client,
                "ws://in-process/connect",
                extra_headers={"Sec-WebSocket-Protocol": "ringcast.v1.json"},
                socket_factory=lambda _: ours,
            )
            assert isinstance(client, Client)
            assert await client.next() == ("closed", 4501)

    run(scenario())


def test_socket_in_process_that_says_nothing(run: Run) -> None:
    async def scenario() -> None:
        async with registry() as served:
            ours, theirs = tcp_pair()
            await accept_socket(served.router, theirs)
            reader, writer = await asyncio.open_connection(sock=ours)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            await writer.wait_closed()

    run(scenario())


def test_server_that_stood_still_blames_no_client_for_it(run: Run) -> None:
    """It could not hear them: they are given as long as ever, from when it can again."""

    def answer_pings(client: RawClient, heartbeats: int) -> None:
        while heartbeats:
            got = client.read_frame()
            if got.opcode == PING:
                client.send(frame(PONG, got.payload))
            else:
                assert client.decode(got.payload)[0] == "heartbeat"
                heartbeats -= 1

    async def scenario() -> None:
        config = ServerConfig(heartbeat_s=0.1, dead_peer_timeout_s=0.8)
        async with serving(Registry(Room, store=MemoryStore(), config=config)) as url:
            address = urlsplit(url)
            with RawClient((address.hostname or "", address.port or 0)) as client:
                await asyncio.to_thread(client.connect, actor="room")
                await asyncio.to_thread(answer_pings, client, 3)
                time.sleep(1.6)  # noqa: ASYNC251 - the loop is held up, and the client has nothing to answer
                await asyncio.to_thread(answer_pings, client, 10)

    run(scenario())


def first_frame(server: Server, opened: contextlib.ExitStack, wait_s: float) -> bytes:
    """Open a socket, upgrade and return what follows the response until the server closes, or in so long."""
    sock = opened.enter_context(socket.create_connection(server.host_and_port, 30))
    sock.sendall(server.upgrade_request())
    received = b""
    while b"\r\n\r\n" not in received:
        received += sock.recv(10_000) or pytest.fail(f"the server has closed: {received!r}")
    sock.settimeout(wait_s)
    with contextlib.suppress(TimeoutError):
        while data := sock.recv(10_000):
            received += data
    head, _, frame = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), received
    return frame


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit and /proc")
def test_client_without_a_descriptor_left_for_it_is_told_to_come_back(server: Server) -> None:
    with server.connected() as witness:
        pid = server.process.pid
        in_use = max(int(entry) for entry in os.listdir(f"/proc/{pid}/fd")) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (in_use + 9, in_use + 9))
        with contextlib.ExitStack() as opened:
            answers = [first_frame(server, opened, 0.2) for _ in range(7)]
            answers.append(first_frame(server, opened, 30))
        told_to_come_back = b"\x88\x02" + (1013).to_bytes(2, "big")
        assert answers[0] == b"" and answers[-1] == told_to_come_back, answers
        witness.send(b'["call",1,"read",[]]', text=True)
        assert orjson.loads(witness.recv(timeout=30)) == ["reply", 1, []]
    server.process.send_signal(signal.SIGTERM)
    _, errors = server.process.communicate(timeout=60)
    assert server.process.returncode == 0
    assert errors.count("connections are turned away") == len(errors.splitlines()) == 1


def test_closed_sockets_leave_no_descriptor_behind(server: Server) -> None:
    path = Path(f"/proc/{server.process.pid}/fd")
    if not path.exists():
        pytest.skip("needs /proc")
    with server.connected():
        pass
    before = len(list(path.iterdir()))
    for number in range(20):
        with server.connected() as client:
            if number % 2:
                client.send(b"\xff", text=True)
                with pytest.raises(ConnectionClosed):
                    client.recv(timeout=30)
    assert server.settles(lambda: len(list(path.iterdir())) <= before)


def test_valid_close_codes() -> None:
    """RFC 6455, section 7.4, and the registry of IANA."""
    valid = {code for code in range(6000) if is_valid_close_code(code)}
    assert valid == {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}


def test_socket_of_a_router_that_has_stopped(run: Run) -> None:
    async def scenario() -> None:
        async with registry() as served:
            router = served.router
        ours, theirs = tcp_pair()
        await accept_socket(router, theirs)
        _, client = await ws_connect(
            Client,
            "ws://in-process/connect",
            extra_headers={"Sec-WebSocket-Protocol": "ringcast.v1.json"},
            socket_factory=lambda _: ours,
        )
        assert isinstance(client, Client)
        assert await client.next() == ("closed", 4500)

    run(scenario())


def handed_on(run: Run, monkeypatch: pytest.MonkeyPatch, *frames: bytes) -> list[tuple[bytes, bool]]:
    """Return what the link is given of frames in one read: each message, and whether it is the last."""
    found: list[tuple[bytes, bool]] = []
    monkeypatch.setattr(Link, "on_message", lambda link, payload, last=True: found.append((payload, last)))

    async def scenario() -> None:
        async with registry(compression=True) as served:
            ours, theirs = tcp_pair()
            await accept_socket(served.router, theirs)
            with ours:
                offer = {"sec-websocket-extensions": "permessage-deflate; client_no_context_takeover"}
                lines = (f"{name}: {value}\r\n" for name, value in (UPGRADE | offer).items())
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(ours, f"GET /connect HTTP/1.1\r\n{''.join(lines)}\r\n".encode())
                assert b" 101 " in await asyncio.wait_for(loop.sock_recv(ours, 65536), 5)
                ours.send(b"".join(frames))
                async with asyncio.timeout(5):
                    while not any(payload == b"end" for payload, _ in found):  # noqa: ASYNC110 - nothing tells
                        await asyncio.sleep(0)

    run(scenario())
    return found


def test_the_last_message_of_a_read_is_handed_on_as_that(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = (frame(TEXT, b"one"), frame(TEXT, b"two"), frame(TEXT, b"end"))
    assert handed_on(run, monkeypatch, *frames) == [(b"one", False), (b"two", False), (b"end", True)]


def test_so_is_one_that_is_compressed_or_in_fragments(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = (frame(TEXT, b"t", fin=False), frame(CONTINUATION, b"wo"))
    frames = (frame(TEXT, deflate(b"one"), rsv=4), *parts, frame(TEXT, deflate(b"end"), rsv=4))
    assert handed_on(run, monkeypatch, *frames) == [(b"one", False), (b"two", False), (b"end", True)]
