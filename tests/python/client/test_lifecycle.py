"""Connecting, losing the network, and coming back: over real sockets."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import pytest

from ringcast.client import Client
from ringcast.errors import (
    CloseCode,
    ConnectionClosed,
)
from ringcast.wire.protocol import Gap, Heartbeat, Resume

from .conftest import Delays, MakeClient
from .scripted import ScriptedServer, event, record, until


async def test_connect_returns_at_once_and_connects_in_the_background(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    assert connection.status == "idle"
    log = record(connection)
    peer = await server.accept()
    assert connection.status == "connecting"
    assert log == []
    await peer.welcome(actor_id="a7", connection="c7")
    await connection.ready()
    assert connection.status == "connected"
    assert (connection.id, connection.actor_id) == ("c7", "a7")
    assert log == [("connected",)]


async def test_a_listener_for_connected_that_comes_too_late_does_not_fire(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    await (await server.accept()).welcome()
    await connection.ready()
    log = record(connection)
    await connection.ready()
    assert log == []


async def test_async_with_waits_until_connected_and_closes(server: ScriptedServer, client: Client) -> None:
    async def serve() -> int | None:
        peer = await server.accept()
        await peer.welcome()
        return await peer.closed()

    serving = asyncio.create_task(serve())
    async with client.room.get_or_create("k").connect() as connection:
        assert connection.status == "connected"
        log = record(connection)
    assert connection.status == "closed"
    assert log == [("disconnected",)]
    assert await serving == CloseCode.NORMAL


async def test_a_lost_network_is_resumed_from_the_last_position(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    peer = await server.accept()
    first = await peer.welcome(event(5, "a", 5), event(7, "a", 7), epoch="e1", offset=4, session="s1")
    await until(lambda: len(log) == 3)
    peer.cut()
    peer = await server.accept()
    assert connection.status == "reconnecting"
    second = await peer.welcome(event(9, "a", 9), epoch="e1", offset=7, session="s1", replayed=1)
    await until(lambda: ("a", 9) in log)
    assert first.resume is None
    assert second.resume == Resume("s1", "e1", 7, (), 0, ())
    assert second.subscriptions == ("a",)
    assert log[3:] == [("disconnected",), ("reconnected",), ("replayed", 1), ("a", 9)]


async def test_duplicates_are_dropped_and_counted(server: ScriptedServer, client: Client) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    peer = await server.accept()
    await peer.welcome(*(event(offset, "a", offset) for offset in (1, 2, 2, 1, 3)))
    await until(lambda: connection.position == ("e1", 3))
    peer.cut()
    # A server that starts further back than the client is.
    peer = await server.accept()
    await peer.welcome(*(event(offset, "a", offset) for offset in (2, 3, 4)), offset=1, replayed=3)
    await until(lambda: connection.position == ("e1", 4))
    assert [entry[1] for entry in log if entry[0] == "a"] == [1, 2, 3, 4]
    assert connection.duplicates == 4


async def test_a_heartbeat_moves_the_position_past_what_was_for_others(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    peer = await server.accept()
    await peer.welcome(event(3, "a"), Heartbeat(1, 90), Heartbeat(2, 500), Heartbeat(1, 80), event(91, "a"))
    await until(lambda: connection.position == ("e1", 91))
    assert log == [("connected",), ("a",), ("a",)]
    peer.send(Heartbeat(1, 7000))
    await until(lambda: connection.position == ("e1", 7000))
    peer.cut()
    connect = await (await server.accept()).welcome(offset=7000, replayed=0)
    assert connect.resume == Resume("s1", "e1", 7000, (), 0, ())
    assert connection.duplicates == 0


async def test_the_position_moves_before_handlers_run(server: ScriptedServer, client: Client) -> None:
    connection = client.room.get_or_create("k").connect()
    positions = []
    connection.on("a", lambda: positions.append(connection.position))
    await (await server.accept()).welcome(event(3, "a"))
    await until(lambda: positions)
    assert positions == [("e1", 3)]


async def test_events_of_another_stream_are_not_for_this_connection(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    await (await server.accept()).welcome(event(9, "a", stream=2), event(1, "a"))
    await until(lambda: connection.position == ("e1", 1))
    assert log == [("connected",), ("a",)]


@pytest.mark.parametrize("name", ["error", "gap", ""])
async def test_an_event_with_a_reserved_name_is_not_taken_for_a_lifecycle_event(
    server: ScriptedServer, client: Client, name: str
) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection)
    await (await server.accept()).welcome(event(1, name, "forged"))
    await until(lambda: connection.position == ("e1", 1))
    assert log == [("connected",)]


async def test_a_new_epoch_takes_its_own_offset(server: ScriptedServer, client: Client) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    peer = await server.accept()
    await peer.welcome(event(90, "a", 90), epoch="e1", offset=80)
    await until(lambda: connection.position == ("e1", 90))
    peer.cut()
    gap = Gap("epoch_changed")
    peer = await server.accept()
    await peer.welcome(event(3, "a", 3), epoch="e2", offset=2, session="s2", gap=gap)
    await until(lambda: ("a", 3) in log)
    assert log[2:] == [("disconnected",), ("reconnected",), ("gap", gap), ("a", 3)]
    peer.cut()
    peer = await server.accept()
    connect = await peer.welcome(epoch="e2", offset=3, session="s2", replayed=0)
    assert connect.resume == Resume("s2", "e2", 3, (), 0, ())


async def test_a_session_that_goes_on_in_another_epoch_is_replayed(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    peer = await server.accept()
    await peer.welcome(event(90, "a", 90), epoch="e1", offset=80)
    await until(lambda: connection.position == ("e1", 90))
    peer.cut()
    peer = await server.accept()
    await peer.welcome(event(91, "a", 91), epoch="e2", offset=90, replayed=1)
    await until(lambda: ("a", 91) in log)
    assert log[2:] == [("disconnected",), ("reconnected",), ("replayed", 1), ("a", 91)]
    peer.cut()
    connect = await (await server.accept()).welcome(epoch="e3", offset=91, replayed=0)
    assert connect.resume == Resume("s1", "e2", 91, (), 0, ())


async def test_a_ring_overflow_is_a_gap_and_then_a_replay(server: ScriptedServer, client: Client) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    peer = await server.accept()
    await peer.welcome()
    await connection.ready()
    peer.cut()
    gap = Gap("ring_overflow", 1, 4)
    await (await server.accept()).welcome(event(5, "a", 5), offset=4, replayed=1, gap=gap)
    await until(lambda: ("a", 5) in log)
    assert log[2:] == [("reconnected",), ("gap", gap), ("replayed", 1), ("a", 5)]


async def test_a_new_session_without_a_gap_is_reported_as_one(server: ScriptedServer, client: Client) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection)
    peer = await server.accept()
    await peer.welcome(session="s1")
    await connection.ready()
    peer.cut()
    await (await server.accept()).welcome(session="s2")
    await until(lambda: len(log) == 4)
    assert log[-1] == ("gap", Gap("session_expired"))


async def test_a_gap_while_connected_moves_the_position(server: ScriptedServer, client: Client) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection, "a")
    gap = Gap("ring_overflow", 2, 8)
    peer = await server.accept()
    await peer.welcome(event(1, "a"), gap_message := gap, event(9, "a"))  # type: ignore[arg-type]
    await until(lambda: connection.position == ("e1", 9))
    assert log == [("connected",), ("a",), ("gap", gap_message), ("a",)]
    peer.send(Gap("ring_overflow", 10, 20))
    await until(lambda: connection.position == ("e1", 20))


async def test_a_gap_that_nobody_listens_for_is_logged(
    server: ScriptedServer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.room.get_or_create("k").connect()
    await (await server.accept()).welcome(Gap("ring_overflow"))  # type: ignore[arg-type]
    await until(lambda: "events are missing (ring_overflow)" in caplog.text)


async def test_lifecycle_events_wait_for_the_handlers_before_them(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    log: list[str] = []
    release = asyncio.Event()

    async def slow() -> None:
        await release.wait()
        log.append("a")

    connection.on("a", slow)
    connection.on("disconnected", lambda: log.append("disconnected"))
    peer = await server.accept()
    await peer.welcome(event(1, "a"))
    await until(lambda: connection.position == ("e1", 1))
    peer.cut()
    await until(lambda: connection.status == "reconnecting")
    assert log == []
    release.set()
    await until(lambda: len(log) == 2)
    assert log == ["a", "disconnected"]


class TestComingBack:
    async def test_attempts_go_on_with_growing_delays_until_the_server_is_back(
        self, server: ScriptedServer, client: Client, delays: Delays
    ) -> None:
        server.refuse_upgrades = True
        connection = client.room.get_or_create("k").connect()
        await until(lambda: len(delays) == 8)
        assert connection.status == "connecting"
        server.refuse_upgrades = False
        await (await server.accept()).welcome()
        await connection.ready()
        # The injected random source gives 0.5: half of each bound.
        assert delays[:8] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]

    async def test_a_server_that_is_not_there_yet(self, config: Any, delays: Delays) -> None:
        async with ScriptedServer() as server:
            url = server.url
        async with Client(url, config=config) as client:
            connection = client.room.get_or_create("k").connect()
            await until(lambda: len(delays) >= 3)
            assert connection.status == "connecting"
            assert isinstance(connection.last_error, OSError)

    async def test_one_warning_for_one_time_without_a_network(
        self, server: ScriptedServer, client: Client, delays: Delays, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.refuse_upgrades = True
        with caplog.at_level(logging.WARNING, "ringcast.client"):
            client.room.get_or_create("k").connect()
            await until(lambda: len(delays) >= 5)
        assert [record.levelname for record in caplog.records if record.name == "ringcast.client"] == [
            "WARNING"
        ]
        assert "503" in caplog.text

    async def test_a_connection_that_was_stable_starts_with_the_short_delay_again(
        self, server: ScriptedServer, make_client: MakeClient, delays: Delays
    ) -> None:
        connection = make_client(stable_after_s=0.0).room.get_or_create("k").connect()
        for _ in range(3):
            peer = await server.accept()
            await peer.welcome(replayed=0)
            await connection.ready()
            peer.cut()
            await until(lambda: connection.status == "reconnecting")
        await server.accept()
        assert delays == [0.25, 0.25, 0.25]

    async def test_a_server_that_drops_each_connection_is_not_hammered(
        self, server: ScriptedServer, client: Client, delays: Delays
    ) -> None:
        client.room.get_or_create("k").connect()
        for _ in range(3):
            peer = await server.accept()
            await peer.welcome(replayed=0)
            peer.cut()
        await server.accept()
        assert delays == [0.25, 0.5, 1.0]

    async def test_the_first_attempt_too_is_spread_over_what_the_server_asks_for(
        self, server: ScriptedServer, make_client: MakeClient, delays: Delays
    ) -> None:
        make_client(stable_after_s=0.0).room.get_or_create("k").connect()
        peer = await server.accept()
        await peer.welcome(reconnect_within_s=8.0)
        peer.cut()
        # The newest word counts.
        peer = await server.accept()
        await peer.welcome(Heartbeat(1, 0, 12.0), replayed=0)
        peer.cut()
        peer = await server.accept()
        await peer.welcome(Heartbeat(1, 0, 12.0), Heartbeat(1, 0), replayed=0)
        peer.cut()
        await server.accept()
        assert delays == [4.0, 6.0, 0.25]

    async def test_a_server_that_is_busy_says_when_to_come_and_is_no_failure(
        self, server: ScriptedServer, client: Client, delays: Delays
    ) -> None:
        connection = client.room.get_or_create("k").connect()
        log = record(connection)
        peer = await server.accept()
        await peer.welcome()
        await connection.ready()
        peer.cut()
        for retry_after_ms in (7000, 100, 40_000):
            await (await server.accept()).turn_away({"retry_after_ms": retry_after_ms})
        await until(lambda: len(delays) == 4)
        # What it says and half of the first bound, by chance; the series does not go on for it.
        assert delays == [0.25, 7.25, 0.35, 40.25]
        assert connection.status == "reconnecting"
        peer = await server.accept()
        await peer.welcome(replayed=0)
        await connection.ready()
        peer.cut()
        await server.accept()
        assert delays[4] == 0.5
        assert "error" not in [entry[0] for entry in log]

    @pytest.mark.parametrize(
        "metadata",
        [None, {}, {"retry_after_ms": -1}, {"retry_after_ms": "1"}, {"retry_after_ms": 10**9}, [1]],
    )
    async def test_a_busy_server_that_does_not_say_when_is_one_more_failure(
        self, server: ScriptedServer, client: Client, delays: Delays, metadata: Any
    ) -> None:
        client.room.get_or_create("k").connect()
        for _ in range(3):
            await (await server.accept()).turn_away(metadata)
        await server.accept()
        assert delays == [0.25, 0.5, 1.0]

    @pytest.mark.parametrize("code", [1001, 1011, 1012, 1013, 4500, 4501, 4502])
    async def test_close_codes_that_say_come_back(
        self, server: ScriptedServer, client: Client, code: int
    ) -> None:
        connection = client.room.get_or_create("k").connect()
        log = record(connection)
        peer = await server.accept()
        await peer.welcome()
        await connection.ready()
        await peer.close(code)
        await (await server.accept()).welcome(replayed=0)
        await until(lambda: len(log) == 4)
        assert log == [("connected",), ("disconnected",), ("reconnected",), ("replayed", 0)]

    async def test_an_empty_close_frame_says_come_back(self, server: ScriptedServer, client: Client) -> None:
        connection = client.room.get_or_create("k").connect()
        peer = await server.accept()
        await peer.welcome()
        await connection.ready()
        peer.send_raw(b"\x88\x00")
        await (await server.accept()).welcome(replayed=0)
        await connection.ready()

    async def test_a_server_that_never_answers_the_connect_message(
        self, server: ScriptedServer, make_client: MakeClient
    ) -> None:
        connection = make_client(connect_timeout_s=0.05).room.get_or_create("k").connect()
        await server.accept()
        peer = await server.accept()
        assert connection.status == "connecting"
        assert isinstance(connection.last_error, TimeoutError)
        await peer.welcome()
        await connection.ready()

    async def test_a_cut_before_the_answer_is_retried_without_a_resume(
        self, server: ScriptedServer, client: Client
    ) -> None:
        connection = client.room.get_or_create("k").connect()
        log = record(connection)
        peer = await server.accept()
        await peer.receive()
        peer.cut()
        connect = await (await server.accept()).welcome()
        await connection.ready()
        assert connect.resume is None
        assert log == [("connected",)]

    async def test_closed_for_good_before_the_connect_message(
        self, server: ScriptedServer, client: Client
    ) -> None:
        connection = client.room.get_or_create("k").connect()
        connection.on("error", lambda _error: None)
        peer = await server.accept()
        # The upgrade's answer and the close frame may come in one read.
        await peer.close(CloseCode.CONNECT_REFUSED, "too many")
        await until(lambda: connection.status == "closed")
        assert server.attempts == 1

    async def test_a_half_finished_fragment_is_forgotten(
        self, server: ScriptedServer, client: Client
    ) -> None:
        connection = client.room.get_or_create("k").connect()
        log = record(connection, "a")
        peer = await server.accept()
        await peer.welcome()
        await connection.ready()
        peer.send_raw(peer.frame(event(1, "a", "x" * 100))[:20])
        peer.cut()
        await (await server.accept()).welcome(event(1, "a", "whole"), replayed=1)
        await until(lambda: ("a", "whole") in log)
        assert connection.duplicates == 0


class TestParams:
    async def test_a_value(self, server: ScriptedServer, client: Client) -> None:
        @dataclass
        class Reader:
            user_id: str

        client.room.get_or_create("k").connect(Reader("ann"))
        assert (await (await server.accept()).welcome()).params == {"user_id": "ann"}

    @pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine function"])
    async def test_a_function_is_called_for_each_connect(
        self, server: ScriptedServer, client: Client, is_async: bool
    ) -> None:
        calls = iter(range(1, 10))

        def token() -> dict[str, int]:
            return {"token": next(calls)}

        async def token_later() -> dict[str, int]:
            await asyncio.sleep(0)
            return token()

        connection = client.room.get_or_create("k").connect(token_later if is_async else token)
        peer = await server.accept()
        assert (await peer.welcome()).params == {"token": 1}
        await connection.ready()
        peer.cut()
        assert (await (await server.accept()).welcome(replayed=0)).params == {"token": 2}

    async def test_a_function_that_raises_is_an_error_event_and_called_again(
        self, server: ScriptedServer, client: Client, delays: Delays
    ) -> None:
        failures = [ValueError("no token"), ConnectionClosed("not yet")]

        def token() -> str:
            if failures:
                raise failures.pop(0)
            return "t"

        connection = client.room.get_or_create("k").connect(token)
        log = record(connection)
        connect = await (await server.accept()).welcome()
        await connection.ready()
        assert connect.params == "t"
        assert [type(entry[1]) for entry in log if entry[0] == "error"] == [ValueError, ConnectionClosed]
        assert delays == [0.25, 0.5]

    async def test_a_function_whose_own_work_is_cancelled_has_failed_and_is_called_again(
        self, server: ScriptedServer, client: Client
    ) -> None:
        fetching = asyncio.get_running_loop().create_future()
        fetching.cancel()

        async def token() -> str:
            nonlocal fetching
            cancelled, fetching = fetching, asyncio.get_running_loop().create_future()
            fetching.set_result("t")
            result: str = await cancelled
            return result

        connection = client.room.get_or_create("k").connect(token)
        log = record(connection)
        assert (await (await server.accept()).welcome()).params == "t"
        await connection.ready()
        assert [type(entry[1]) for entry in log if entry[0] == "error"] == [asyncio.CancelledError]

    async def test_closing_ends_a_function_that_is_waited_for(self, client: Client) -> None:
        entered = asyncio.Event()

        async def token() -> None:
            entered.set()
            await asyncio.Event().wait()

        connection = client.room.get_or_create("k").connect(token)
        log = record(connection)
        await entered.wait()
        await connection.close()
        assert log == []

    async def test_what_cannot_be_encoded_is_the_callers_error(self, client: Client) -> None:
        with pytest.raises((TypeError, ValueError)):
            client.room.get_or_create("k").connect({"socket": object()})

    async def test_what_a_function_gives_and_cannot_be_encoded_is_an_error_event(
        self, server: ScriptedServer, client: Client
    ) -> None:
        values = iter([object(), "t"])
        connection = client.room.get_or_create("k").connect(lambda: next(values))
        log = record(connection)
        assert (await server.accept()).path == "/connect"
        assert (await (await server.accept()).welcome()).params == "t"
        await connection.ready()
        assert [entry[0] for entry in log] == ["error", "connected"]
