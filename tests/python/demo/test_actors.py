"""The demo's actors, in process: who hears what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from ringcast import Client, MemoryStore, Registry, UserError
from ringcast.client import Connection
from ringcast.demo import ChatRoom, GameRoom, NewsRoom, Ticker
from ringcast.demo.chat import KEPT_MESSAGES
from ringcast.demo.prices import read_prices

TIMEOUT_S = 5.0


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Registry(ChatRoom, GameRoom, NewsRoom, Ticker, store=MemoryStore()) as registry:
        yield registry.client


async def hear(connection: Connection, name: str, act: Callable[[], Any]) -> Any:
    """Return the next event `name` on `connection` after `act` was awaited."""
    async with asyncio.timeout(TIMEOUT_S), connection.stream(name) as events:
        await act()
        return await anext(events)


def record(connection: Connection, *names: str) -> list[tuple[Any, ...]]:
    heard: list[tuple[Any, ...]] = []
    for name in names:
        connection.on(name, lambda *args, name=name: heard.append((name, *args)))
    return heard


async def test_chat_reaches_everyone_the_speaker_included(client: Client) -> None:
    room = client.get_or_create(ChatRoom, ["general"])
    ann, bob = room.connect(), room.connect()
    heard = [record(each, "messageReceived", "messageDeleted") for each in (ann, bob)]
    async with ann, bob:
        message = await ann.send_message("ann", "Hello everyone!")
        assert message["text"] == "Hello everyone!"
        assert await ann.history() == [message]
        await ann.delete_message(message["id"])
        with pytest.raises(UserError, match="there is no message") as refused:
            await bob.delete_message(message["id"])
        assert refused.value.code == "no_such_message"
    assert heard[0] == heard[1] == [("messageReceived", message), ("messageDeleted", message["id"])]


async def test_everyone_in_a_room_sees_who_is_there(client: Client) -> None:
    room = client.get_or_create(ChatRoom, ["open"])
    async with room.connect() as nobody:
        heard = record(nobody, "presenceChanged")
        async with room.connect({"user_id": "ann"}):
            async with room.connect({"user_id": "ann"}):
                pass
            bob = room.connect({"user_id": "bob"})
            views: list[Any] = []
            bob.on("resynced", views.append)
            async with bob:
                await bob.history()
        await nobody.history()
    assert [names for _, names in heard] == [["ann"], ["ann"], ["ann"], ["ann", "bob"], ["ann"], []]
    assert views == [{"messages": [], "present": ["ann"]}]


async def test_chat_keeps_a_bounded_history(client: Client) -> None:
    room = client.get_or_create(ChatRoom, ["busy"])
    for number in range(KEPT_MESSAGES + 5):
        await room.send_message("ann", str(number))
    texts = [message["text"] for message in await room.history()]
    assert texts == [str(number) for number in range(5, KEPT_MESSAGES + 5)]


async def test_players_see_others_move_and_not_themselves(client: Client) -> None:
    room = client.get_or_create(GameRoom, ["eu", "1"])
    ann, bob = room.connect({"player_id": "ann"}), room.connect({"player_id": "bob"})
    heard = {"ann": record(ann, "playerMoved"), "bob": record(bob, "playerMoved")}
    async with ann, bob:
        await ann.move({"x": 1, "y": 2})
        await bob.move({"x": 3, "y": 4})
        assert await ann.places() == {"ann": {"x": 1, "y": 2}, "bob": {"x": 3, "y": 4}}
        assert await bob.places() == await ann.places()  # by now both have what came before
    assert heard["ann"] == [("playerMoved", {"player_id": "bob", "place": {"x": 3, "y": 4}})]
    assert heard["bob"] == [("playerMoved", {"player_id": "ann", "place": {"x": 1, "y": 2}})]


async def test_a_private_message_reaches_one_player(client: Client) -> None:
    room = client.get_or_create(GameRoom, ["eu", "2"])
    players = {name: room.connect({"player_id": name}) for name in ("ann", "bob", "cleo")}
    heard = {name: record(player, "privateMessage") for name, player in players.items()}
    async with players["ann"] as ann, players["bob"] as bob, players["cleo"] as cleo:
        await ann.send_private_message("cleo", "to the left!")
        with pytest.raises(UserError, match="dan is not in this room"):
            await ann.send_private_message("dan", "hello?")
        for each in (bob, cleo):
            await each.places()
    assert heard["cleo"] == [("privateMessage", {"sender": "ann", "text": "to the left!"})]
    assert heard["ann"] == heard["bob"] == []


async def test_a_game_starts_once_and_spectators_do_not_move(client: Client) -> None:
    room = client.get_or_create(GameRoom, ["eu", "3"])
    async with room.connect({"player_id": "ann", "role": "spectator"}) as ann:
        heard = record(ann, "gameStarted")
        assert await ann.start() is True
        assert await ann.start() is False
        with pytest.raises(UserError, match="spectators do not move"):
            await ann.move({"x": 1, "y": 1})
        assert heard == [("gameStarted",)]


async def test_a_player_is_in_a_room_once_and_leaves_with_the_connection(client: Client) -> None:
    room = client.get_or_create(GameRoom, ["eu", "4"])
    async with room.connect({"player_id": "ann"}):
        assert await room.places() == {"ann": {"x": 0, "y": 0}}
        again = room.connect({"player_id": "ann"})
        with pytest.raises(Exception, match="ann plays already"):
            await again.ready()
    async with room.connect({"player_id": "bob"}) as bob:
        assert await bob.places() == {"bob": {"x": 0, "y": 0}}


async def test_players_hear_who_comes_and_goes_and_begin_with_all_places(client: Client) -> None:
    room = client.get_or_create(GameRoom, ["eu", "5"])
    async with room.connect({"player_id": "ann"}) as ann:
        heard = record(ann, "playerJoined", "playerLeft")
        await ann.move({"x": 1, "y": 2})
        bob = room.connect({"player_id": "bob"})
        views: list[Any] = []
        bob.on("resynced", views.append)
        async with bob:
            await bob.ready()
            async with room.connect({"player_id": "cleo", "role": "spectator"}) as cleo:
                await cleo.ready()
        await ann.places()
    assert heard == [("playerJoined", "bob"), ("playerLeft", "bob")]
    assert views == [{"started": False, "places": {"ann": {"x": 1, "y": 2}}}]


async def test_premium_articles_reach_premium_readers_only(client: Client) -> None:
    room = client.get_or_create(NewsRoom, ["world"])
    public = {"id": "1", "category": "tech", "content": "a", "level": "public"}
    premium = {"id": "2", "category": "tech", "content": "b", "level": "premium"}
    ann = room.connect({"user_id": "ann", "subscription": "premium"})
    bob = room.connect({"user_id": "bob"})
    heard = {"ann": record(ann, "newArticle"), "bob": record(bob, "newArticle")}
    async with ann, bob:
        assert await room.publish_article(public) == public
        assert await room.publish_article(premium) == premium
        for each in (ann, bob):
            assert await each.public_articles() == [public]
    assert heard["ann"] == [("newArticle", public), ("newArticle", premium)]
    assert heard["bob"] == [("newArticle", public)]


async def test_the_ticker_plays_the_series_in_order_and_starts_again(client: Client) -> None:
    ticker = client.get_or_create(Ticker, ["fast"])
    prices = read_prices()
    async with ticker.connect() as connection, asyncio.timeout(20):
        quotes = connection.stream("price")
        await connection.set_speed(5000)
        seen = [await anext(quotes)]
        while not (seen[-1]["round"] == 2 and len(seen) > 600):
            seen.append(await anext(quotes))
    first = next(i for i, price in enumerate(prices) if _matches(price, seen[0]))
    for distance, quote in enumerate(seen):
        index = first + distance
        assert _matches(prices[index % len(prices)], quote)
        assert quote["round"] == 1 + index // len(prices)
        assert quote["number"] == 1 + index


async def test_the_ticker_tells_what_it_has_played_in_this_round(client: Client) -> None:
    async with client.get_or_create(Ticker, ["late"]).connect() as connection:
        quote = await hear(connection, "price", lambda: connection.set_speed(100))
        played = await connection.played()
    assert quote in played
    assert [each["number"] for each in played] == list(range(1, len(played) + 1))


async def test_the_ticker_tells_its_latest_price_and_takes_a_sensible_speed(client: Client) -> None:
    ticker = client.get_or_create(Ticker, ["own"])
    async with ticker.connect() as connection:
        quote = await hear(connection, "price", lambda: connection.set_speed(1000))
        assert (await ticker.latest(quote["symbol"].lower()))["symbol"] == quote["symbol"]
    assert await ticker.set_speed(2) == 1000
    with pytest.raises(UserError, match="a speed is above 0"):
        await ticker.set_speed(0)
    with pytest.raises(UserError, match="no price of NOPE"):
        await ticker.latest("NOPE")


def _matches(price: Any, quote: dict[str, Any]) -> bool:
    return (price.symbol, price.date.isoformat(), price.price) == (
        quote["symbol"],
        quote["date"],
        quote["price"],
    )
