"""The parameters that a client connects with: a value, or a function that is asked for it each time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from ringcast.client import Client
from ringcast.errors import ConnectionClosed

from .conftest import Delays
from .scripted import ScriptedServer, record


async def test_a_value(server: ScriptedServer, client: Client) -> None:
    @dataclass
    class Reader:
        user_id: str

    client.room.get_or_create("k").connect(Reader("ann"))
    assert (await (await server.accept()).welcome()).params == {"user_id": "ann"}


@pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine function"])
async def test_a_function_is_called_for_each_connect(
    server: ScriptedServer, client: Client, is_async: bool
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
    server: ScriptedServer, client: Client, delays: Delays
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
    server: ScriptedServer, client: Client
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


async def test_closing_ends_a_function_that_is_waited_for(client: Client) -> None:
    entered = asyncio.Event()

    async def token() -> None:
        entered.set()
        await asyncio.Event().wait()

    connection = client.room.get_or_create("k").connect(token)
    log = record(connection)
    await entered.wait()
    await connection.close()
    assert log == []


async def test_what_cannot_be_encoded_is_the_callers_error(client: Client) -> None:
    with pytest.raises((TypeError, ValueError)):
        client.room.get_or_create("k").connect({"socket": object()})


async def test_what_a_function_gives_and_cannot_be_encoded_is_an_error_event(
    server: ScriptedServer, client: Client
) -> None:
    values = iter([object(), "t"])
    connection = client.room.get_or_create("k").connect(lambda: next(values))
    log = record(connection)
    assert (await server.accept()).path == "/connect"
    assert (await (await server.accept()).welcome()).params == "t"
    await connection.ready()
    assert [entry[0] for entry in log] == ["error", "connected"]
