"""The WebSocket itself: fragments, forbidden frames, limits, a dead peer, and a full backlog."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)
from websockets.frames import Frame, Opcode

from ringcast.client import Client, ClientConfig, Connection
from ringcast.client.liveness import Liveness, Step
from ringcast.errors import CloseCode, ConnectionFailure, OutcomeUnknown, RingcastError
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Connected, Reply

from .conftest import MakeClient
from .scripted import TIMEOUT_S, Peer, ScriptedServer, event, record, until


@pytest.fixture
async def connection(client: Client) -> Connection:
    return client.room.get_or_create("k").connect()


@pytest.fixture
async def peer(server: ScriptedServer, connection: Connection) -> Peer:
    peer = await server.accept()
    await peer.welcome()
    await connection.ready()
    return peer


def data_opcode(peer: Peer) -> Opcode:
    return Opcode.TEXT if peer.encoding.is_text else Opcode.BINARY


def payload(peer: Peer, message: Any) -> bytes:
    return peer.encoding.encode(message.to_wire())


def frame(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin=fin).serialize(mask=False)


async def test_a_fragmented_message_with_a_ping_in_between(peer: Peer, connection: Connection) -> None:
    got: list[Any] = []
    connection.on("a", got.append)
    data = payload(peer, event(1, "a", "héllo"))
    peer.send_raw(
        frame(data_opcode(peer), data[:5], fin=False)
        + frame(Opcode.PING, b"still there?")
        + frame(Opcode.CONT, b"", fin=False)
        + frame(Opcode.CONT, data[5:])
        + peer.frame(event(2, "a", "whole"))
    )
    await until(lambda: got == ["héllo", "whole"])


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (lambda peer: frame(Opcode.CONT, b"x"), CloseCode.PROTOCOL_ERROR),
        (
            lambda peer: frame(data_opcode(peer), b"x", fin=False) + frame(data_opcode(peer), b"y"),
            CloseCode.PROTOCOL_ERROR,
        ),
        (lambda peer: b"\xc1\x01x" if peer.encoding.is_text else b"\xc2\x01x", CloseCode.PROTOCOL_ERROR),
        (
            lambda peer: frame(Opcode.BINARY if peer.encoding.is_text else Opcode.TEXT, b"x"),
            CloseCode.UNSUPPORTED_DATA,
        ),
        (lambda peer: b"\x83\x00", CloseCode.PROTOCOL_ERROR),
        (lambda peer: frame(data_opcode(peer), b"\xff\xfe"), CloseCode.INVALID_MESSAGE),
    ],
    ids=["continuation alone", "nested", "reserved bit", "wrong type", "unknown opcode", "no text"],
)
async def test_frames_that_a_server_must_not_send(
    server: ScriptedServer, peer: Peer, connection: Connection, frames: Any, code: int
) -> None:
    # What comes behind the offence in the same read is not handled.
    peer.send_raw(frames(peer) + peer.frame(event(1, "a")))
    assert await peer.closed() == code
    assert connection.position == ("e1", 0)
    await (await server.accept()).welcome(replayed=0)
    await until(lambda: connection.status == "connected")


@pytest.mark.parametrize("fragmented", [False, True])
async def test_a_message_that_is_too_large(
    server: ScriptedServer, make_client: MakeClient, fragmented: bool
) -> None:
    connection = make_client(max_message_bytes=1000).room.get_or_create("k").connect()
    peer = await server.accept()
    await peer.welcome(event(1, "a", "x" * 900))
    await until(lambda: connection.position == ("e1", 1))
    if fragmented:
        peer.send_raw(frame(Opcode.TEXT, b"x" * 900, fin=False) + frame(Opcode.CONT, b"x" * 101))
    else:
        peer.send_raw(frame(Opcode.TEXT, b"x" * 1001))
    assert await peer.closed() == CloseCode.MESSAGE_TOO_BIG
    await (await server.accept()).welcome(replayed=0)
    await until(lambda: connection.status == "connected")


async def test_large_messages_both_ways(peer: Peer, connection: Connection) -> None:
    text = "x" * 1_000_000
    call = asyncio.ensure_future(connection.echo(text))
    assert (await peer.receive_call()).args == [text]
    peer.send(Reply(1, text))
    assert await call == text


async def test_a_server_that_does_not_speak_the_encoding(server: ScriptedServer, client: Client) -> None:
    server.agree_on_subprotocol = False
    connection = client.room.get_or_create("k").connect()
    await until(lambda: server.attempts >= 2 and connection.last_error is not None)
    assert isinstance(connection.last_error, ConnectionFailure)
    assert "does not speak ringcast.v1" in connection.last_error.message
    assert connection.status == "connecting"


class EventForPing(WSListener):
    """A server that never answers a ping, but sends an event whenever one comes."""

    def __init__(self) -> None:
        self.events = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            answer = Connected(1, "e1", 0, "c1", "s1", "a1", 30.0)
            transport.send(WSMsgType.TEXT, Encoding.JSON.encode(answer.to_wire()))
        elif frame.msg_type is WSMsgType.PING:
            self.events += 1
            transport.send(WSMsgType.TEXT, Encoding.JSON.encode(event(self.events, "a").to_wire()))
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()


class TestLiveness:
    @pytest.mark.parametrize(
        ("settings", "heartbeat_s"),
        [({"ping_idle_s": 0.05, "ping_reply_s": 0.05}, None), ({}, 0.05)],
        ids=["no pong", "no heartbeat"],
    )
    async def test_a_dead_peer_is_noticed(
        self,
        server: ScriptedServer,
        make_client: MakeClient,
        settings: dict[str, float],
        heartbeat_s: float | None,
    ) -> None:
        connection = make_client(**settings).room.get_or_create("k").connect()
        log = record(connection)
        peer = await server.accept()
        await peer.welcome(heartbeat_s=heartbeat_s)
        await connection.ready()
        peer.stop_reading()
        peer = await server.accept()
        assert connection.status == "reconnecting"
        assert log == [("connected",), ("disconnected",)]
        assert "nothing came from the server" in str(connection.last_error)
        await peer.welcome(replayed=0)
        await connection.ready()

    async def test_a_part_of_a_message_shows_that_a_peer_lives(
        self, server: ScriptedServer, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ticks: list[bool] = []

        def tick(self: Liveness, *, heard: bool, reading: bool, sent: bool, missed: int) -> Step:
            ticks.append(heard)
            return original(self, heard=heard, reading=reading, sent=sent, missed=missed)

        original = Liveness.tick
        monkeypatch.setattr(Liveness, "tick", tick)
        connection = make_client().room.get_or_create("k").connect()
        peer = await server.accept()
        await peer.welcome(heartbeat_s=0.05)
        await connection.ready()
        peer.stop_reading()  # so that no ping is answered
        frame = peer.frame(event(1, "a", "x" * 10_000))
        for byte in frame[:30]:
            before = len(ticks)
            peer.send_raw(bytes([byte]))
            await until(lambda before=before: True in ticks[before:])
        assert (connection.status, server.attempts) == ("connected", 1)
        await server.accept()
        assert connection.status == "reconnecting"

    async def test_a_peer_that_answers_pings_is_kept(
        self, server: ScriptedServer, make_client: MakeClient
    ) -> None:
        connection = make_client(ping_idle_s=0.1, ping_reply_s=0.1).room.get_or_create("k").connect()
        await (await server.accept()).welcome()
        await connection.ready()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.35):
                await server._accepted.get()
        assert connection.status == "connected"

    async def test_events_show_that_a_peer_lives(self, config: ClientConfig) -> None:
        listeners: list[EventForPing] = []

        def accept(_request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
            listeners.append(EventForPing())
            agreed = {"Sec-WebSocket-Protocol": Encoding.JSON.subprotocol}
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(agreed), listeners[-1])

        server = await ws_create_server(accept, "127.0.0.1", 0, enable_auto_pong=False)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        impatient = replace(config, ping_idle_s=0.1, ping_reply_s=0.1)
        async with server, Client(url, config=impatient) as client:
            connection = client.room.get_or_create("k").connect()
            await until(lambda: connection.position[1] == 3)
            assert len(listeners) == 1

    @pytest.mark.parametrize("heartbeat_s", [None, 0.05])
    async def test_a_slow_handler_is_not_a_dead_peer(
        self, server: ScriptedServer, make_client: MakeClient, heartbeat_s: float | None
    ) -> None:
        client = make_client(ping_idle_s=0.1, ping_reply_s=0.1, max_unhandled_events=2)
        connection = client.room.get_or_create("k").connect()
        release = asyncio.Event()
        got: list[int] = []

        async def slow(number: int) -> None:
            await release.wait()
            got.append(number)

        connection.on("a", slow)
        peer = await server.accept()
        await peer.welcome(*(event(n, "a", n) for n in range(1, 5)), heartbeat_s=heartbeat_s)
        await until(lambda: connection.position == ("e1", 4))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.35):
                await server._accepted.get()
        release.set()
        await until(lambda: len(got) == 4)
        peer.send(event(5, "a", 5))
        await until(lambda: got == [1, 2, 3, 4, 5])
        assert server.attempts == 1


class TestBackpressure:
    async def flood(self, peer: Peer, count: int = 200_000) -> int:
        """Send until the client's side takes no more; return how many events went out."""
        transport = peer._socket.transport
        for offset in range(1, count):
            peer.send(event(offset, "a", offset, "x" * 1000))
            if transport.get_write_buffer_size() > 1_000_000:
                return offset
            if offset % 100 == 0:
                await asyncio.sleep(0)
        raise AssertionError("the client read everything")

    async def test_a_slow_handler_stops_the_reading_and_loses_nothing(
        self, server: ScriptedServer, make_client: MakeClient
    ) -> None:
        connection = make_client(max_unhandled_events=2000).room.get_or_create("k").connect()
        got: list[int] = []
        release = asyncio.Event()

        async def slow(number: int, _text: str) -> None:
            await release.wait()
            got.append(number)

        connection.on("a", slow)
        peer = await server.accept()
        await peer.welcome()
        sent = await self.flood(peer)
        assert connection.position[1] < 2000 + 2000  # the bound, and what one read may bring
        # A call is answered all the same: reading goes on for it.
        call = asyncio.ensure_future(connection.act())
        await peer.receive_call()
        peer.send(Reply(1, "answer"))
        assert await call == "answer"
        release.set()
        await until(lambda: len(got) == sent)
        assert got == list(range(1, sent + 1))

    async def test_a_stream_that_is_not_read_stops_the_reading_until_it_is_closed(
        self, server: ScriptedServer, make_client: MakeClient
    ) -> None:
        connection = make_client(max_unhandled_events=100).room.get_or_create("k").connect()
        stream = connection.stream("a")
        peer = await server.accept()
        await peer.welcome()
        sent = await self.flood(peer)
        assert connection.position[1] < sent
        assert await anext(stream) == (1, "x" * 1000)
        stream.close()
        await until(lambda: connection.position[1] == sent)

    @pytest.mark.parametrize("consumer", ["handler", "stream", "gather"])
    async def test_a_consumer_whose_answer_is_behind_too_many_events_gives_up_and_goes_on(
        self, server: ScriptedServer, make_client: MakeClient, consumer: str
    ) -> None:
        connection = make_client(max_unhandled_events=10).room.get_or_create("k").connect()
        got: list[Any] = []

        async def handle(number: int, _text: str) -> None:
            if number == 1:
                try:
                    await (asyncio.gather(connection.act()) if consumer == "gather" else connection.act())
                except RingcastError as error:
                    got.append(type(error))
            got.append(number)

        async def read() -> None:
            async for item in stream:
                await handle(*item)

        reading = None
        if consumer == "handler":
            connection.on("a", handle)
        else:
            stream = connection.stream("a")
            reading = asyncio.ensure_future(read())
        peer = await server.accept()
        await peer.welcome(event(1, "a", 1, ""))
        await peer.receive_call()
        count = 10 * 16 + 100
        for offset in range(2, count):
            peer.send(event(offset, "a", offset, "x" * 5000))
        await until(lambda: got == [OutcomeUnknown, *range(1, count)])
        peer.send(Reply(1, "late"))
        await connection.close()
        if reading is not None:
            await reading

    async def test_a_call_by_others_waits_for_room_and_memory_is_bounded(
        self, server: ScriptedServer, make_client: MakeClient
    ) -> None:
        connection = make_client(max_unhandled_events=10).room.get_or_create("k").connect()
        release = asyncio.Event()

        async def slow(_number: int, _text: str) -> None:
            await release.wait()

        connection.on("a", slow)
        peer = await server.accept()
        await peer.welcome()
        call = asyncio.ensure_future(connection.act())
        await peer.receive_call()
        sent = await self.flood(peer)
        assert connection.position[1] < 10 * 16 + 2000
        peer.send(Reply(1, "answer"))
        release.set()
        assert await call == "answer"
        assert connection.position[1] == sent

    async def test_closing_while_not_reading(self, server: ScriptedServer, make_client: MakeClient) -> None:
        client = make_client(max_unhandled_events=10, close_timeout_s=60.0)
        connection = client.room.get_or_create("k").connect()
        stream = connection.stream("a")
        peer = await server.accept()
        await peer.welcome(*(event(n, "a", n) for n in range(1, 50)))
        await until(lambda: connection.position == ("e1", 49))
        async with asyncio.timeout(TIMEOUT_S):
            await connection.close()
        assert await peer.closed() == CloseCode.NORMAL
        assert len([item async for item in stream]) == 49
