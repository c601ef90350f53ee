"""Publishing: to everyone, to one connection, to those that a loop picks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from heard import Heard

import programs
from ringcast import Client, UserError
from ringcast.client import ClientConfig

TRANSPORTS = ("plain", "tls")


async def test_broadcast_reaches_everyone_who_listens(client: Client, key: list[str]) -> None:
    room = client.chat_room.get_or_create(key)
    ann, bob, deaf = room.connect(), room.connect(), room.connect()
    heard = [Heard(each, "messageReceived", "messageDeleted") for each in (ann, bob)]
    nothing = Heard(deaf, "somethingElse")
    async with ann, bob, deaf:
        message = await ann.send_message("ann", "Hello everyone! 👋")
        assert message == {"id": f"{key[0]}/0", "user_id": "ann", "text": "Hello everyone! 👋"}
        await bob.delete_message(message["id"])
        # A reply comes behind every event that was sent before it.
        for connection in (ann, bob, deaf):
            assert await connection.history() == []
    for each in heard:
        assert each.all == [("messageReceived", message), ("messageDeleted", message["id"])]
    assert nothing.all == []
    assert deaf.position[1] == 0, "events of other names were sent all the same"


async def test_broadcast_stays_in_its_actor(client: Client, key: list[str]) -> None:
    here, there = (client.chat_room.get_or_create([*key, place]).connect() for place in ("here", "there"))
    heard = {"here": Heard(here, "said"), "there": Heard(there, "said")}
    async with here, there:
        await here.say("only here")
        await there.history()
    assert heard["here"].of("said") == ["only here"]
    assert heard["there"].all == []


async def test_broadcast_of_a_call_without_a_connection(client: Client, key: list[str]) -> None:
    room = client.chat_room.get_or_create(key)
    listener = room.connect()
    heard = Heard(listener, "messageReceived")
    async with listener:
        message = await room.send_message("ann", "over HTTP")
        assert await heard.until("messageReceived") == [message]


async def test_broadcast_to_all_but_one(client: Client, key: list[str]) -> None:
    room = client.chat_room.get_or_create(key)
    ann, bob = room.connect(), room.connect()
    heard = {"ann": Heard(ann, "overheard"), "bob": Heard(bob, "overheard")}
    async with ann, bob:
        await ann.say_to_others("psst")
        await bob.history()
    assert heard["ann"].all == []
    assert heard["bob"].of("overheard") == ["psst"]


@pytest.mark.parametrize(
    "data",
    [
        (),
        (1, "two", 3.5),
        (None, True, False, "", [], {}),
        ({"nested": [{"deep": [[1]]}], "ünïcode": "\u2028\x00\U0001f600"},),
        (2**53, -(2**63), 1e-300),
        ("x" * 50_000,),
    ],
    ids=["nothing", "several", "empty", "nested", "numbers", "long"],
)
async def test_data_arrives_as_it_was_sent(client: Client, key: list[str], data: tuple[Any, ...]) -> None:
    room = client.chat_room.get_or_create(key)
    ann = room.connect()
    heard = Heard(ann, "said")
    async with ann:
        await ann.say(*data)
    assert heard.all == [("said", *data)]


async def test_both_encodings_in_one_room(
    server: programs.Server, config: ClientConfig, key: list[str]
) -> None:
    async with (
        Client(server.url, config=config) as text,
        Client(server.url, encoding="msgpack", config=config) as binary,
    ):
        connections = [each.chat_room.get_or_create(key).connect() for each in (text, binary)]
        heard = [Heard(each, "said") for each in connections]
        async with connections[0], connections[1]:
            for number in range(20):
                await connections[number % 2].say(number, {"half": number / 2})
            for each in heard:
                await each.until("said", 20)
    assert heard[0].of("said") == heard[1].of("said") == [[n, {"half": n / 2}] for n in range(20)]


async def test_everyone_hears_concurrent_broadcasts_in_one_order(client: Client, key: list[str]) -> None:
    room = client.chat_room.get_or_create(key)
    connections = [room.connect() for _ in range(5)]
    heard = [Heard(each, "said") for each in connections]
    await asyncio.gather(*(each.ready() for each in connections))
    await asyncio.gather(*(each.say(who, n) for n in range(20) for who, each in enumerate(connections)))
    for each in heard:
        await each.until("said", 100)
        assert each.all == heard[0].all
    for who in range(5):
        assert [n for speaker, n in heard[0].of("said") if speaker == who] == list(range(20))


async def test_send_to_one(client: Client, key: list[str]) -> None:
    room = client.game_room.get_or_create(key)
    players = {name: room.connect({"player_id": name}) for name in ("ann", "bob", "cleo")}
    heard = {name: Heard(player, "privateMessage") for name, player in players.items()}
    async with players["ann"] as ann, players["bob"], players["cleo"]:
        await ann.send_private_message("cleo", "to the left!")
        with pytest.raises(UserError, match="dan is not here") as refused:
            await ann.send_private_message("dan", "hello?")
        assert refused.value.code == "no_such_player"
        for each in players.values():
            await each.who_am_i()
    assert heard["cleo"].of("privateMessage") == [{"from": "ann", "text": "to the left!"}]
    assert heard["ann"].all == heard["bob"].all == []


async def test_send_to_everyone_but_the_one_who_moved(client: Client, key: list[str]) -> None:
    room = client.game_room.get_or_create(key)
    players = {name: room.connect({"player_id": name}) for name in ("ann", "bob", "cleo")}
    heard = {name: Heard(player, "playerMoved") for name, player in players.items()}
    async with players["ann"] as ann, players["bob"] as bob, players["cleo"]:
        await ann.move(1.5, 2)
        await bob.move(3, 4)
        for each in players.values():
            await each.who_am_i()
    from_ann, from_bob = ["ann", {"x": 1.5, "y": 2}], ["bob", {"x": 3, "y": 4}]
    assert heard["ann"].of("playerMoved") == [from_bob]
    assert heard["bob"].of("playerMoved") == [from_ann]
    assert heard["cleo"].of("playerMoved") == [from_ann, from_bob]


async def test_filter_in_a_loop(client: Client, key: list[str]) -> None:
    room = client.news_room.get_or_create(key)
    readers = {
        "payer": room.connect({"user_id": "ann", "subscription": "premium"}),
        "guest": room.connect({"user_id": "bob"}),
        "sports fan": room.connect({"user_id": "cleo", "subscription": "premium", "categories": ["sport"]}),
    }
    heard = {name: Heard(reader, "newArticle") for name, reader in readers.items()}
    articles = [
        {"id": "1", "category": "tech", "content": "a", "level": "public"},
        {"id": "2", "category": "tech", "content": "b", "level": "premium"},
        {"id": "3", "category": "sport", "content": "c", "level": "premium"},
        {"id": "4", "category": "sport", "content": "d", "level": "public"},
    ]
    async with readers["payer"], readers["guest"] as guest, readers["sports fan"]:
        for article in articles:
            assert await room.publish_article(article) == article
        # The filter looks at what the connection's state is now.
        await guest.subscribe_to("tech")
        await room.publish_article(articles[3])
        await room.publish_article(articles[0])
        for each in readers.values():
            await each.subscribe_to()

    def ids(name: str) -> list[str]:
        return [article["id"] for article in heard[name].of("newArticle")]

    assert ids("payer") == ["1", "2", "3", "4", "4", "1"]
    assert ids("guest") == ["1", "4", "1"]
    assert ids("sports fan") == ["3", "4", "4"]
