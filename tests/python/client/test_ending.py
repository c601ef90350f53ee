"""The end of a connection: refused or ended by the server for good, or closed by this side."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from ringcast.client import Client, ClientConfig
from ringcast.errors import (
    ActorNotFound,
    CloseCode,
    ConnectionClosed,
    ConnectionRefused,
    ProtocolError,
    UserError,
)
from ringcast.wire.protocol import Connect

from .conftest import MakeClient
from .scripted import ScriptedServer, event, record, until


class TestRefusedForGood:
    async def test_ready_raises_with_what_the_actor_said(
        self, server: ScriptedServer, client: Client
    ) -> None:
        connection = client.room.get_or_create("k").connect()
        log = record(connection)
        waiting = asyncio.create_task(connection.ready())
        peer = await server.accept()
        await peer.receive()
        peer.send(["error", None, {"code": "banned", "message": "not you", "metadata": {"until": 9}}])
        await peer.close(CloseCode.CONNECT_REFUSED)
        with pytest.raises(ConnectionRefused, match="not you") as refused:
            await waiting
        assert refused.value.code == "banned"
        assert refused.value.metadata == {"until": 9}
        assert isinstance(refused.value.__cause__, UserError)
        assert connection.status == "closed"
        assert connection.last_error is refused.value
        assert log == [("error", refused.value)]
        with pytest.raises(ConnectionRefused):
            await connection.ready()
        assert server.attempts == 1

    async def test_async_with_raises_and_names_the_cause(
        self, server: ScriptedServer, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def refuse() -> None:
            peer = await server.accept()
            assert isinstance(await peer.receive(), Connect)
            peer.send(["error", None, {"code": "actor_not_found", "message": "no such room"}])
            await peer.close(CloseCode.CONNECT_REFUSED)

        refusing = asyncio.create_task(refuse())
        with pytest.raises(ConnectionRefused) as refused:
            async with client.room.get("k").connect():
                pytest.fail("it was refused")
        assert isinstance(refused.value.__cause__, ActorNotFound)
        await refusing
        # Whoever waits is told; the log is for when nobody is.
        assert "no such room" not in caplog.text

    async def test_it_is_logged_when_nobody_is_told(
        self, server: ScriptedServer, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = client.room.get_or_create("k").connect()
        peer = await server.accept()
        await peer.receive()
        await peer.close(CloseCode.CONNECT_REFUSED, "go away")
        await until(lambda: connection.status == "closed")
        assert "go away" in caplog.text

    async def test_an_actor_that_ends_the_connection(self, server: ScriptedServer, client: Client) -> None:
        connection = client.room.get_or_create("k").connect()
        log = record(connection)
        peer = await server.accept()
        await peer.welcome()
        await connection.ready()
        await peer.close(CloseCode.DISCONNECTED, "kicked")
        await until(lambda: connection.status == "closed")
        assert [entry[0] for entry in log] == ["connected", "disconnected", "error"]
        assert isinstance(log[2][1], ConnectionClosed)
        assert log[2][1].message == "kicked"
        assert server.attempts == 1

    async def test_refused_on_the_way_back(self, server: ScriptedServer, client: Client) -> None:
        connection = client.room.get_or_create("k").connect()
        log = record(connection)
        peer = await server.accept()
        await peer.welcome()
        await connection.ready()
        peer.cut()
        peer = await server.accept()
        await peer.receive()
        await peer.close(CloseCode.CONNECT_REFUSED, "expired token")
        await until(lambda: connection.status == "closed")
        assert [entry[0] for entry in log] == ["connected", "disconnected", "error"]
        assert isinstance(log[2][1], ConnectionRefused)

    @pytest.mark.parametrize(
        ("payload", "code"),
        [
            (["event", 1], CloseCode.INVALID_MESSAGE),
            (["event", "1", 1, "a", []], CloseCode.INVALID_MESSAGE),
            ({"no": "array"}, CloseCode.INVALID_MESSAGE),
        ],
    )
    async def test_a_server_that_breaks_the_protocol_is_left_and_come_back_to(
        self, server: ScriptedServer, client: Client, payload: Any, code: int
    ) -> None:
        connection = client.room.get_or_create("k").connect()
        log = record(connection)
        peer = await server.accept()
        await peer.welcome()
        await connection.ready()
        peer.send(event(1, "a"), payload, event(2, "b"))
        assert await peer.closed() == code
        connect = await (await server.accept()).welcome(replayed=0)
        assert connect.resume is not None and connect.resume.offset == 1
        await until(lambda: connection.status == "connected")
        # A bug of the server's is not passed over in silence, even when coming back goes well.
        assert [entry[0] for entry in log[:3]] == ["connected", "disconnected", "error"]
        assert isinstance(log[2][1], ProtocolError)

    async def test_a_message_of_an_unknown_kind_is_ignored(
        self, server: ScriptedServer, client: Client
    ) -> None:
        connection = client.room.get_or_create("k").connect()
        peer = await server.accept()
        await peer.welcome()
        peer.send(["later", {"offset": 3}], event(1, "a"))
        await until(lambda: connection.position == ("e1", 1))
        assert connection.status == "connected"


class TestClosing:
    async def test_close_twice_and_at_once(self, server: ScriptedServer, client: Client) -> None:
        connection = client.room.get_or_create("k").connect()
        log = record(connection)
        peer = await server.accept()
        await peer.welcome()
        await connection.ready()
        await asyncio.gather(connection.close(), connection.close())
        await connection.close()
        assert await peer.closed() == CloseCode.NORMAL
        assert connection.status == "closed"
        assert log == [("connected",), ("disconnected",)]

    async def test_close_before_connecting_has_started(self, server: ScriptedServer, client: Client) -> None:
        connection = client.room.get_or_create("k").connect()
        log = record(connection)
        await connection.close()
        assert connection.status == "closed"
        assert log == []
        assert server.attempts == 0
        with pytest.raises(ConnectionClosed):
            await connection.ready()

    async def test_close_while_connecting(self, server: ScriptedServer, client: Client) -> None:
        connection = client.room.get_or_create("k").connect()
        peer = await server.accept()
        await peer.receive()
        await connection.close()
        assert await peer.closed() == CloseCode.NORMAL

    async def test_close_while_a_subscription_is_unanswered(
        self, server: ScriptedServer, client: Client
    ) -> None:
        connection = client.room.get_or_create("k").connect()
        log = record(connection)
        await (await server.accept()).welcome()
        await connection.ready()
        connection.on("a", print)
        await connection.close()
        assert log == [("connected",), ("disconnected",)]

    async def test_close_while_the_socket_is_being_opened(self) -> None:
        asked = asyncio.Event()
        ended = asyncio.Event()

        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            ended.set()
            writer.close()

        async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
            port = silent.sockets[0].getsockname()[1]
            # The time for the upgrade is not what ends it.
            patient = ClientConfig(connect_timeout_s=3600)
            async with Client(f"http://127.0.0.1:{port}", transport="websocket", config=patient) as client:
                client.room.get_or_create("k").connect()
                await asked.wait()
            async with asyncio.timeout(10):
                await ended.wait()

    async def test_close_between_attempts(self, server: ScriptedServer, make_client: MakeClient) -> None:
        waiting = asyncio.Event()

        async def for_ever(_delay_s: float) -> None:
            waiting.set()
            await asyncio.Event().wait()

        server.refuse_upgrades = True
        connection = make_client(sleep=for_ever).room.get_or_create("k").connect()
        await waiting.wait()
        await connection.close()
        assert connection.status == "closed"

    async def test_close_does_not_wait_for_a_server_that_is_dead(
        self, server: ScriptedServer, make_client: MakeClient
    ) -> None:
        connection = make_client(close_timeout_s=0.05).room.get_or_create("k").connect()
        peer = await server.accept()
        await peer.welcome()
        await connection.ready()
        peer.stop_reading()
        await connection.close()
        assert connection.status == "closed"

    async def test_close_from_inside_a_handler(self, server: ScriptedServer, client: Client) -> None:
        connection = client.room.get_or_create("k").connect()
        got: list[int] = []

        async def handler(number: int) -> None:
            got.append(number)
            await connection.close()
            got.append(-number)

        connection.on("a", handler)
        peer = await server.accept()
        await peer.welcome(event(1, "a", 1), event(2, "a", 2))
        assert await peer.closed() == CloseCode.NORMAL
        await until(lambda: len(got) == 2)
        assert got == [1, -1]

    @pytest.mark.parametrize("how", ["client", "gather", "task", "wait_for"])
    async def test_close_by_way_of_another_task_from_inside_a_handler(
        self, server: ScriptedServer, client: Client, how: str
    ) -> None:
        connection = client.room.get_or_create("k").connect()
        got: list[int] = []

        async def handler(number: int) -> None:
            got.append(number)
            match how:
                case "client":
                    await client.close()
                case "gather":
                    await asyncio.gather(connection.close())
                case "task":
                    await asyncio.create_task(connection.close())
                case "wait_for":
                    await asyncio.wait_for(connection.close(), 100)
            got.append(-number)

        connection.on("a", handler)
        peer = await server.accept()
        await peer.welcome(event(1, "a", 1), event(2, "a", 2))
        assert await peer.closed() == CloseCode.NORMAL
        # Waiting for itself, the handler would be cancelled after the close timeout.
        await until(lambda: len(got) == 2)
        assert got == [1, -1]

    async def test_close_by_a_task_that_outlived_its_handler_waits_for_the_one_that_runs(
        self, server: ScriptedServer, client: Client
    ) -> None:
        connection = client.room.get_or_create("k").connect()
        begun, may_close, release = asyncio.Event(), asyncio.Event(), asyncio.Event()
        closing: list[asyncio.Task[None]] = []
        ended: list[int] = []

        async def close() -> None:
            await may_close.wait()
            await connection.close()
            ended.append(0)

        async def handler(number: int) -> None:
            if number == 1:
                closing.append(asyncio.create_task(close()))
            else:
                begun.set()
                await release.wait()
                ended.append(number)

        connection.on("a", handler)
        peer = await server.accept()
        await peer.welcome(event(1, "a", 1))
        await until(lambda: closing)
        await asyncio.sleep(0)  # the first handler ends before the second event comes
        peer.send(event(2, "a", 2))
        await begun.wait()
        may_close.set()
        assert await peer.closed() == CloseCode.NORMAL
        release.set()
        await closing[0]
        assert ended == [2, 0]

    async def test_close_waits_for_a_running_handler_and_starts_no_other(
        self, server: ScriptedServer, client: Client
    ) -> None:
        connection = client.room.get_or_create("k").connect()
        log: list[str] = []
        release = asyncio.Event()

        async def slow(number: int) -> None:
            log.append(f"start {number}")
            await release.wait()
            log.append(f"end {number}")

        connection.on("a", slow)
        await (await server.accept()).welcome(event(1, "a", 1), event(2, "a", 2))
        await until(lambda: log)
        closing = asyncio.create_task(connection.close())
        await until(lambda: connection.status == "closed")
        assert not closing.done()
        release.set()
        await closing
        assert log == ["start 1", "end 1"]

    async def test_a_handler_that_does_not_end_is_cancelled(
        self, server: ScriptedServer, make_client: MakeClient
    ) -> None:
        connection = make_client(close_timeout_s=0.05).room.get_or_create("k").connect()
        log: list[str] = []

        async def endless() -> None:
            try:
                log.append("start")
                await asyncio.Event().wait()
            finally:
                log.append("cancelled")

        connection.on("a", endless)
        connection.on("disconnected", lambda: log.append("disconnected"))
        stream = connection.stream("b")
        await (await server.accept()).welcome(event(1, "a"))
        await until(lambda: log)
        await connection.close()
        assert log == ["start", "cancelled", "disconnected"]
        assert [item async for item in stream] == []

    async def test_a_handler_that_swallows_its_cancellation_is_left_to_itself(
        self, server: ScriptedServer, make_client: MakeClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = make_client(close_timeout_s=0.05).room.get_or_create("k").connect()
        log: list[str] = []
        release, ended = asyncio.Event(), asyncio.Event()

        async def stubborn() -> None:
            log.append("start")
            while not release.is_set() and len(log) < 5:
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    log.append("swallowed")
            ended.set()

        connection.on("a", stubborn)
        connection.on("a", lambda: log.append("behind it"))
        connection.on("disconnected", lambda: log.append("disconnected"))
        stream = connection.stream("b")
        await (await server.accept()).welcome(event(1, "a"))
        await until(lambda: log)
        try:
            async with asyncio.timeout(10):
                await connection.close()
            assert log == ["start", "swallowed", "disconnected"]
            assert [item async for item in stream] == []
        finally:
            release.set()
        await ended.wait()
        await asyncio.sleep(0)
        assert log == ["start", "swallowed", "disconnected"]
        assert "goes on although it was cancelled" in caplog.text

    async def test_parameters_that_swallow_their_cancellation_open_nothing(
        self, server: ScriptedServer, make_client: MakeClient
    ) -> None:
        asked, release, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def token() -> str:
            asked.set()
            for _ in range(5):
                with contextlib.suppress(asyncio.CancelledError):
                    await release.wait()
            ended.set()
            return "too late"

        connection = make_client(close_timeout_s=0.05).room.get_or_create("k").connect(token)
        await asked.wait()
        try:
            async with asyncio.timeout(10):
                await connection.close()
        finally:
            release.set()
        await ended.wait()
        await connection._lifecycle._run_task
        assert connection.status == "closed"

    async def test_a_cancelled_close_goes_on(self, server: ScriptedServer, client: Client) -> None:
        connection = client.room.get_or_create("k").connect()
        peer = await server.accept()
        await peer.welcome()
        await connection.ready()
        closing = asyncio.create_task(connection.close())
        await asyncio.sleep(0)
        closing.cancel()
        assert await peer.closed() == CloseCode.NORMAL

    async def test_closing_the_client_closes_its_connections(
        self, server: ScriptedServer, client: Client
    ) -> None:
        connections = [client.room.get_or_create(key).connect() for key in "ab"]
        peers = [await server.accept() for _ in connections]
        for peer in peers:
            await peer.welcome()
        await asyncio.gather(*(connection.ready() for connection in connections))
        await client.close()
        assert [connection.status for connection in connections] == ["closed", "closed"]
        assert [await peer.closed() for peer in peers] == [CloseCode.NORMAL] * 2
