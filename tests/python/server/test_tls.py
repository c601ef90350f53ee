"""TLS in the server's own process, with real handshakes: sinks that the event loop writes for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest
from loops import Run
from room import Room, actor_of
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from certificates import Certificates
from ringcast import Actor, MemoryStore, Registry, ServerConfig
from ringcast.client import Client, ClientConfig
from ringcast.client.socket import open_socket
from ringcast.errors import CloseCode
from ringcast.server.serve import serving
from ringcast.server.tls import server_context
from ringcast.wire.encoding import Encoding

NARROW = 4096
"""A socket buffer that few events fit into."""
LARGE = "x" * 60_000
FLOOD = 200


@dataclass
class Served:
    """A server that speaks TLS, and how to reach it."""

    registry: Registry
    url: str
    trust: ssl.SSLContext

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def writes(self) -> int:
        """How often it has written to a transport for the core."""
        relay = self.registry.router._relay
        assert relay is not None
        return relay.writes

    @asynccontextmanager
    async def connected(
        self, actor: str, name: str = "nobody", *, sock: socket.socket | None = None, **options: Any
    ) -> AsyncIterator[ClientConnection]:
        """Give a WebSocket that has connected to an actor and listens for `said`."""
        opened = await connect(
            f"wss://localhost:{self.port}/connect",
            ssl=self.trust,
            sock=sock,
            server_hostname="localhost",
            subprotocols=[Subprotocol("ringcast.v1.json")],
            max_size=None,
            **{"compression": None, **options},
        )
        async with opened:
            wanted = {"params": {"name": name}, "subscriptions": ["said", "kicked"]}
            await opened.send(orjson.dumps(["connect", {"actor": actor, "key": ["a"], **wanted}]).decode())
            assert (await received(opened))[0] == "connected"
            assert (await received(opened))[3:] == ["welcome", [name]]
            yield opened


async def received(opened: ClientConnection) -> list[Any]:
    message: list[Any] = orjson.loads(await opened.recv())
    return message


async def events(opened: ClientConnection, count: int) -> list[list[Any]]:
    """Return the arguments of the next events; their offsets follow one another."""
    messages = [await received(opened) for _ in range(count)]
    assert [message[0] for message in messages] == ["event"] * count
    offsets = [message[2] for message in messages]
    assert offsets == list(range(offsets[0], offsets[0] + count))
    return [message[4] for message in messages]


async def closed(opened: ClientConnection) -> tuple[list[list[Any]], tuple[int, str]]:
    """Return the messages up to the close frame, and what that says."""
    messages = []
    with pytest.raises(ConnectionClosed) as ending:
        while True:
            messages.append(await received(opened))
    assert ending.value.rcvd is not None, "the socket ended without a close frame"
    return messages, (ending.value.rcvd.code, ending.value.rcvd.reason)


@asynccontextmanager
async def served(
    certificates: Certificates,
    *actors: type[Actor[Any, Any]],
    sockets: list[socket.socket] | None = None,
    **limits: Any,
) -> AsyncIterator[Served]:
    config = ServerConfig(**limits)
    registry = Registry(*(actors or (Room,)), store=MemoryStore(), config=config)
    tls = server_context(str(certificates.certificate), str(certificates.key))
    async with serving(registry, tls=tls, sockets=sockets) as url:
        yield Served(registry, url, certificates.client_context())


def narrow_sockets() -> list[socket.socket]:
    """A socket to listen on; those that it accepts hold little."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW)
    listening.bind(("127.0.0.1", 0))
    listening.setblocking(False)
    return [listening]


async def narrow_client(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


def test_actions_are_called_over_https(run: Run, certificates: Certificates) -> None:
    async def work() -> None:
        async with served(certificates) as server:
            assert server.url.startswith("https://127.0.0.1:")
            async with httpx.AsyncClient(verify=server.trust) as http:
                health = await http.get(f"{server.url}/health")
                assert health.status_code == 200
                body = {"key": ["a"], "args": ["hello"]}
                answer = await http.post(f"{server.url}/actors/room/actions/say", json=body)
                assert answer.json() == {"value": 1}

    run(work())


def test_a_client_that_does_not_trust_the_certificate_does_not_connect(
    run: Run, certificates: Certificates
) -> None:
    async def work() -> None:
        async with served(certificates) as server, httpx.AsyncClient() as http:
            with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
                await http.get(f"{server.url}/health")

    run(work())


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_events_and_replies_come_in_order(run: Run, certificates: Certificates, encoding: Any) -> None:
    async def work() -> None:
        async with served(certificates) as server:
            config = ClientConfig(ssl_context=server.trust)
            async with Client(server.url, encoding=encoding, config=config) as client:
                connection = client.room.get_or_create("a").connect()
                heard: list[Any] = []
                connection.on("said", heard.append)
                async with connection:
                    for number in range(50):
                        assert await connection.say(number) == number + 1
                        assert heard[-1] == number, "a reply comes behind its events"
                assert heard == list(range(50))

    run(work())


def test_a_broadcast_is_one_write_for_each_client(run: Run, certificates: Certificates) -> None:
    clients, broadcasts = 40, 100

    async def work() -> None:
        async with served(certificates) as server, asyncio.TaskGroup() as tasks:
            everybody = [server.connected("room") for _ in range(clients)]
            opened = await asyncio.gather(*(each.__aenter__() for each in everybody))
            room = actor_of(server.registry.router)
            # `joined` and the like are not listened for: nothing else is on its way.
            before = server.writes
            for number in range(broadcasts):
                room.broadcast("said", number)
            got = await asyncio.gather(*(events(each, broadcasts) for each in opened))
            assert got == [[[number] for number in range(broadcasts)]] * clients
            # A sweep that overtakes the loop costs one write more; a broadcast of its own never does.
            assert clients <= server.writes - before < clients * broadcasts / 10
            for each in everybody:
                tasks.create_task(each.__aexit__(None, None, None))

    run(work())


def test_an_event_larger_than_what_waits_for_the_loop(run: Run, certificates: Certificates) -> None:
    async def work() -> None:
        async with served(certificates) as server, server.connected("room") as opened:
            room = actor_of(server.registry.router)
            texts = [letter * 1_500_000 for letter in "abc"]
            for text in texts:
                room.broadcast("said", text)
            room.broadcast("said", "the last")
            assert await events(opened, 4) == [[text] for text in [*texts, "the last"]]

    run(work())


def test_compressed_messages(run: Run, certificates: Certificates) -> None:
    async def work() -> None:
        async with (
            served(certificates, compression=True) as server,
            server.connected("room", compression="deflate") as small,
            server.connected("room") as plain,
        ):
            assert [extension.name for extension in small.protocol.extensions] == ["permessage-deflate"]
            assert plain.protocol.extensions == []
            room = actor_of(server.registry.router)
            sent = [["said " * 2000, number] for number in range(20)]
            for args in sent:
                room.broadcast("said", *args)
            assert await events(small, 20) == await events(plain, 20) == sent

    run(work())


def test_a_slow_reader_is_closed_behind_what_it_gets(run: Run, certificates: Certificates) -> None:
    class Small(Room, max_ring_events=10):
        pass

    async def work() -> None:
        async with served(certificates, Small, sockets=narrow_sockets()) as server:
            sock = await narrow_client(server.port)
            async with server.connected("small", sock=sock, max_queue=1) as slow:
                await flood(actor_of(server.registry.router))
                messages, ending = await closed(slow)
            assert ending == (CloseCode.SLOW_READER, "slow_reader")
            numbers = [message[4][0] for message in messages]
            assert numbers == list(range(len(numbers))) and len(numbers) < FLOOD

    run(work())


def test_a_slow_reader_may_skip_instead(run: Run, certificates: Certificates) -> None:
    class Skipping(Room, max_ring_events=10, slow_reader="skip"):
        pass

    async def work() -> None:
        async with served(certificates, Skipping, sockets=narrow_sockets()) as server:
            sock = await narrow_client(server.port)
            async with server.connected("skipping", sock=sock, max_queue=1) as slow:
                room = actor_of(server.registry.router)
                await flood(room)
                seen, lost = room_offset(await received(slow)), 0
                while seen < FLOOD + 2:
                    message = await received(slow)
                    if message[0] == "gap":
                        assert message[1]["reason"] == "ring_overflow" and message[1]["first"] == seen + 1
                        lost, seen = lost + message[1]["last"] - seen, message[1]["last"]
                    else:
                        assert room_offset(message) == seen + 1
                        seen += 1
                assert lost > 0
                room.broadcast("said", "caught up")
                assert (await received(slow))[4] == ["caught up"]

    run(work())


async def flood(room: Room) -> None:
    for number in range(FLOOD):
        room.broadcast("said", number, LARGE)
    await room.drain()


def room_offset(message: list[Any]) -> int:
    assert message[0] == "event"
    offset: int = message[2]
    return offset


def test_a_kick_comes_behind_the_events_before_it(run: Run, certificates: Certificates) -> None:
    async def work() -> None:
        async with (
            served(certificates) as server,
            server.connected("room", "ann") as ann,
            server.connected("room", "bob") as bob,
        ):
            await bob.send('["call", 1, "say", ["before"]]')
            await bob.send('["call", 2, "kick", ["ann"]]')
            messages, ending = await closed(ann)
            assert [message[3:] for message in messages] == [["said", ["before"]], ["kicked", ["go"]]]
            assert ending == (CloseCode.DISCONNECTED, "be nice")
            # Others are not in its way.
            assert await events(bob, 1) == [["before"]]

    run(work())


def test_a_server_that_stops_tells_its_clients(run: Run, certificates: Certificates) -> None:
    async def work() -> None:
        async with served(certificates) as server:
            everybody = [server.connected("room") for _ in range(5)]
            opened = await asyncio.gather(*(each.__aenter__() for each in everybody))
            actor_of(server.registry.router).broadcast("said", LARGE)
            # Before anything of it was written.
        for each in opened:
            messages, ending = await closed(each)
            assert [message[4] for message in messages] == [[LARGE]]
            assert ending[0] == CloseCode.SERVER_RESTART
            await each.close()

    run(work())


def test_a_plain_text_client_gets_no_answer(
    run: Run, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with served(certificates) as server, server.connected("room") as opened:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n")
            answer = await end_of(reader)
            assert b"HTTP" not in answer
            writer.close()
            actor_of(server.registry.router).broadcast("said", 1)
            assert await events(opened, 1) == [[1]]

    run(work())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def end_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


def test_a_client_that_breaks_off_its_handshake(
    run: Run, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with served(certificates) as server:
            _, gone = await asyncio.open_connection("127.0.0.1", server.port)
            gone.write(hello()[:100])
            await gone.drain()
            gone.transport.abort()
            reader, leaving = await asyncio.open_connection("127.0.0.1", server.port)
            leaving.write(hello())
            assert await reader.readexactly(1) == b"\x16", "the server's part of the handshake"
            leaving.transport.abort()
            async with server.connected("room") as opened:
                actor_of(server.registry.router).broadcast("said", 1)
                assert await events(opened, 1) == [[1]]

    run(work())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_handshake_has_as_long_as_a_connect_message(
    run: Run, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with served(certificates, connect_timeout_s=0.1) as server:
            reader, silent = await asyncio.open_connection("127.0.0.1", server.port)
            await end_of(reader)
            silent.close()
            assert server.registry.router.limits_hit["connect_timeout_s"] == 1

    run(work())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_python_client_whose_handshake_is_cut_only_raises(run: Run, certificates: Certificates) -> None:
    class Nobody:
        def on_message(self, payload: bytes) -> None:
            pytest.fail("there was no connection")

        def on_lost(self, code: int | None, reason: str) -> None:
            pytest.fail("there was no connection")

    async def work() -> None:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert (await reader.read(65_536))[:1] == b"\x16"
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(accept, "127.0.0.1", 0) as cutting:
            url = f"wss://127.0.0.1:{cutting.sockets[0].getsockname()[1]}/connect"
            with pytest.raises(OSError):
                await open_socket(
                    url, Nobody(), Encoding.JSON, ClientConfig(ssl_context=certificates.client_context())
                )
        assert reported == []

    run(work())


def hello() -> bytes:
    """The first bytes of a client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_a_client_that_is_cut_off_is_noticed(run: Run, certificates: Certificates) -> None:
    async def work() -> None:
        async with (
            served(certificates) as server,
            server.connected("room", "ann") as ann,
            server.connected("room", "bob") as bob,
        ):
            room = actor_of(server.registry.router)
            ann.transport.abort()
            async with asyncio.timeout(10):
                while any(conn.connected for conn in room.conns if conn.state.name == "ann"):
                    await bob.send('["call", 1, "runs_so_far", []]')
                    await bob.recv()
            room.broadcast("said", "still here")
            assert await events(bob, 1) == [["still here"]]
            # What the loop knew of the other is gone.
            assert server.registry.router._relay is not None
            assert len(server.registry.router._relay._transports) == 1

    run(work())


def test_a_request_to_upgrade_that_uvicorn_has_to_read_first(run: Run, certificates: Certificates) -> None:
    async def scenario() -> None:
        async with served(certificates) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=server.trust)
            writer.write(
                # The whole address, as proxies are asked for it: no request of a plain client's.
                b"GET https://127.0.0.1/connect HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                b"Sec-WebSocket-Protocol: ringcast.v1.json\r\n\r\n"
            )
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 101 ")
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    run(scenario())
