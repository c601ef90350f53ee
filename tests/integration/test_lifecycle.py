"""A connection's own events and its status, from the first connect to the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from heard import TIMEOUT_S, Heard, eventually

from ringcast import Client
from ringcast.errors import ConnectionClosed, ConnectionRefused, UserError
from ringcast.testing import NetworkProxy

TRANSPORTS = ("plain", "tls")

LIFE = ("connected", "disconnected", "reconnected", "replayed", "gap", "error")


async def test_connected_disconnected_reconnected(
    network: NetworkProxy, far: Client, client: Client, key: list[str]
) -> None:
    feed = client.feed.get_or_create(key)
    connection = far.feed.get_or_create(key).connect()
    heard = Heard(connection, *LIFE)
    statuses: list[str] = []
    for name in ("connected", "disconnected", "reconnected"):
        connection.on(name, lambda: statuses.append(connection.status))
    statuses.append(connection.status)
    async with connection:
        await heard.until("connected")
        id_ = connection.id
        assert await feed.presence() == [[id_, True]]
        for count in (1, 2, 3):
            network.cut()
            await heard.until("disconnected", count)
            # The actor keeps the connection, and sees that its client is away.
            await eventually(feed.presence, [[id_, False]])
            network.restore()
            await heard.until("reconnected", count)
            await heard.until("replayed", count)
            assert connection.last_error is None
            assert await feed.presence() == [[id_, True]]
        assert connection.id == id_
        assert await feed.connects_so_far() == 1
    assert heard.names == ["connected", *(["disconnected", "reconnected", "replayed"] * 3), "disconnected"]
    assert statuses == ["idle", "connected", *(["reconnecting", "connected"] * 3), "closed"]


async def test_closing_ends_the_session_at_once(client: Client, key: list[str]) -> None:
    feed = client.feed.get_or_create(key)
    async with feed.connect() as watcher, feed.connect() as leaving:
        heard = Heard(watcher, "left")
        await watcher.presence()  # once this is answered it listens
        name = leaving.id
        await leaving.close()
        assert await heard.until("left") == [name]
        assert await feed.presence() == [[watcher.id, True]]


async def test_a_server_that_is_not_there_yet_is_waited_for(
    network: NetworkProxy, far: Client, key: list[str]
) -> None:
    network.cut()
    connection = far.feed.get_or_create(key).connect()
    heard = Heard(connection, *LIFE)
    call = asyncio.create_task(connection.add(5))
    async with asyncio.timeout(TIMEOUT_S):
        while connection.last_error is None:  # noqa: ASYNC110  # a failed attempt is announced to nobody
            await asyncio.sleep(0)
        network.restore()
        async with connection:
            assert await call == 5
    assert heard.names == ["connected", "disconnected"]


async def test_refused_for_good(client: Client, key: list[str]) -> None:
    connection = client.game_room.get_or_create(key).connect({"player_id": "banned"})
    heard = Heard(connection, *LIFE)
    with pytest.raises(ConnectionRefused, match="you cheated") as refused:
        await connection.ready()
    assert (refused.value.code, refused.value.metadata) == ("banned", {"for_days": 7})
    assert isinstance(refused.value.__cause__, UserError)
    assert connection.status == "closed"
    assert heard.all == [("error", refused.value)]
    with pytest.raises(ConnectionClosed, match="you cheated"):
        await connection.start_game()


async def test_ended_by_the_actor(client: Client, key: list[str]) -> None:
    room = client.game_room.get_or_create(key)
    ann, bob = room.connect({"player_id": "ann"}), room.connect({"player_id": "bob"})
    heard = Heard(bob, *LIFE)
    async with ann:
        await bob.ready()
        await ann.kick("bob")
        (error,) = await heard.until("error")
        assert isinstance(error, ConnectionClosed) and "be nice" in error.message
        assert bob.status == "closed"
        assert heard.names == ["connected", "disconnected", "error"]
        await ann.who_am_i()


async def test_parameters_reach_the_actor(client: Client, key: list[str]) -> None:
    room = client.game_room.get_or_create(key)
    params: dict[str, Any] = {"player_id": "ann", "role": "spectator", "unknown": [1, {"a": None}]}
    async with room.connect(params) as ann, room.connect({"player_id": "bob"}) as bob:
        assert await ann.who_am_i() == {"id": ann.id, "params": params, "role": "spectator"}
        assert await bob.who_am_i() == {"id": bob.id, "params": {"player_id": "bob"}, "role": "player"}


@pytest.mark.parametrize(
    "params", [None, {}, {"player_id": 1}, {"player_id": "ann", "role": "king"}], ids=str
)
async def test_parameters_that_do_not_fit_refuse_the_connection(
    client: Client, key: list[str], params: Any
) -> None:
    connection = client.game_room.get_or_create(key).connect(params)
    heard = Heard(connection, "error")
    with pytest.raises(ConnectionRefused) as refused:
        await connection.ready()
    assert refused.value.code == "validation_error"
    named = "role" if isinstance(params, dict) and "role" in params else "player_id"
    assert params is None or named in refused.value.message
    assert heard.all == [("error", refused.value)]


async def test_a_parameter_function_is_asked_for_every_connect(
    network: NetworkProxy, far: Client, key: list[str]
) -> None:
    asked = 0

    async def fresh_token() -> dict[str, str]:
        nonlocal asked
        asked += 1
        return {"player_id": "ann", "token": str(asked)}

    connection = far.game_room.get_or_create(key).connect(fresh_token)
    heard = Heard(connection, *LIFE)
    async with connection:
        assert asked == 1
        network.cut()
        await heard.until("disconnected")
        network.restore()
        await heard.until("reconnected")
        assert asked >= 2
        # The session goes on with what it began with.
        assert (await connection.who_am_i())["params"] == {"player_id": "ann", "token": "1"}
