"""When a client comes back: after which delays, whom it waits for, and which ends are not for good."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from ringcast.client import Client
from ringcast.errors import CloseCode
from ringcast.wire.protocol import Heartbeat

from .conftest import Delays, MakeClient
from .scripted import ScriptedServer, event, record, until

# --- delays -------------------------------------------------------------------------------------------------


async def test_attempts_go_on_with_growing_delays_until_the_server_is_back(
    server: ScriptedServer, client: Client, delays: Delays
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


async def test_a_server_that_is_not_there_yet(config: Any, delays: Delays) -> None:
    async with ScriptedServer() as server:
        url = server.url
    async with Client(url, config=config) as client:
        connection = client.room.get_or_create("k").connect()
        await until(lambda: len(delays) >= 3)
        assert connection.status == "connecting"
        assert isinstance(connection.last_error, OSError)


async def test_one_warning_for_one_time_without_a_network(
    server: ScriptedServer, client: Client, delays: Delays, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuse_upgrades = True
    with caplog.at_level(logging.WARNING, "ringcast.client"):
        client.room.get_or_create("k").connect()
        await until(lambda: len(delays) >= 5)
    assert [record.levelname for record in caplog.records if record.name == "ringcast.client"] == ["WARNING"]
    assert "503" in caplog.text


async def test_a_connection_that_was_stable_starts_with_the_short_delay_again(
    server: ScriptedServer, make_client: MakeClient, delays: Delays
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
    server: ScriptedServer, client: Client, delays: Delays
) -> None:
    client.room.get_or_create("k").connect()
    for _ in range(3):
        peer = await server.accept()
        await peer.welcome(replayed=0)
        peer.cut()
    await server.accept()
    assert delays == [0.25, 0.5, 1.0]


async def test_the_first_attempt_too_is_spread_over_what_the_server_asks_for(
    server: ScriptedServer, make_client: MakeClient, delays: Delays
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
    server: ScriptedServer, client: Client, delays: Delays
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
    server: ScriptedServer, client: Client, delays: Delays, metadata: Any
) -> None:
    client.room.get_or_create("k").connect()
    for _ in range(3):
        await (await server.accept()).turn_away(metadata)
    await server.accept()
    assert delays == [0.25, 0.5, 1.0]


# --- ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013, 4500, 4501, 4502])
async def test_close_codes_that_say_come_back(server: ScriptedServer, client: Client, code: int) -> None:
    connection = client.room.get_or_create("k").connect()
    log = record(connection)
    peer = await server.accept()
    await peer.welcome()
    await connection.ready()
    await peer.close(code)
    await (await server.accept()).welcome(replayed=0)
    await until(lambda: len(log) == 4)
    assert log == [("connected",), ("disconnected",), ("reconnected",), ("replayed", 0)]


async def test_an_empty_close_frame_says_come_back(server: ScriptedServer, client: Client) -> None:
    connection = client.room.get_or_create("k").connect()
    peer = await server.accept()
    await peer.welcome()
    await connection.ready()
    peer.send_raw(b"\x88\x00")
    await (await server.accept()).welcome(replayed=0)
    await connection.ready()


async def test_a_server_that_never_answers_the_connect_message(
    server: ScriptedServer, make_client: MakeClient
) -> None:
    connection = make_client(connect_timeout_s=0.05).room.get_or_create("k").connect()
    await server.accept()
    peer = await server.accept()
    assert connection.status == "connecting"
    assert isinstance(connection.last_error, TimeoutError)
    await peer.welcome()
    await connection.ready()


async def test_a_cut_before_the_answer_is_retried_without_a_resume(
    server: ScriptedServer, client: Client
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


async def test_closed_for_good_before_the_connect_message(server: ScriptedServer, client: Client) -> None:
    connection = client.room.get_or_create("k").connect()
    connection.on("error", lambda _error: None)
    peer = await server.accept()
    # The upgrade's answer and the close frame may come in one read.
    await peer.close(CloseCode.CONNECT_REFUSED, "too many")
    await until(lambda: connection.status == "closed")
    assert server.attempts == 1


async def test_a_half_finished_fragment_is_forgotten(server: ScriptedServer, client: Client) -> None:
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
