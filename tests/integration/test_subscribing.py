"""Listening: subscribe, once, the forms of off, streams, and handling under a condition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from heard import TIMEOUT_S, Heard

from ringcast import Client
from ringcast.client import Connection
from ringcast.errors import NotConnected


async def test_subscribe_before_and_after_connecting(client: Client, key: list[str]) -> None:
    feed = client.feed.get_or_create(key)
    connection = feed.connect()
    early = Heard(connection, "item")
    async with connection:
        await connection.emit(2)
        late = Heard(connection, "item")
        await connection.emit(2)
    assert early.of("item") == [1, 2, 3, 4]
    assert late.of("item") == [3, 4]


async def test_handlers_run_in_the_order_they_were_added(client: Client, key: list[str]) -> None:
    connection = client.feed.get_or_create(key).connect()
    ran: list[tuple[str, int]] = []

    async def slow(number: int) -> None:
        await asyncio.sleep(0)
        ran.append(("slow", number))

    done = asyncio.Event()
    connection.on("item", lambda number: ran.append(("first", number)))
    connection.on("item", slow)
    connection.on("item", lambda number: done.set() if number == 3 else None)
    async with connection, asyncio.timeout(TIMEOUT_S):
        await connection.emit(3)
        await done.wait()
    assert ran == [(who, number) for number in (1, 2, 3) for who in ("first", "slow")]


async def test_the_function_that_on_returns_unsubscribes(client: Client, key: list[str]) -> None:
    heard: list[int] = []
    connection = client.feed.get_or_create(key).connect()
    unsubscribe = connection.on("item", heard.append)
    async with connection:
        await connection.emit(1)
        unsubscribe()
        unsubscribe()
        await connection.emit(1)
        assert connection.position[1] == 1, "the server was not told"
    assert heard == [1]


async def test_once(client: Client, key: list[str]) -> None:
    heard: list[int] = []
    connection = client.feed.get_or_create(key).connect()
    connection.once("item", heard.append)
    async with connection:
        await connection.emit(5)
        await connection.emit(1)
        before = connection.position
        await connection.emit(1)
        assert connection.position == before, "the server was not told"
    assert heard == [1]


async def test_once_beside_on(client: Client, key: list[str]) -> None:
    connection = client.feed.get_or_create(key).connect()
    once: list[int] = []
    heard = Heard(connection, "item")
    connection.once("item", once.append)
    withdrawn = connection.once("item", lambda number: pytest.fail("it was withdrawn"))
    withdrawn()
    async with connection:
        await connection.emit(3)
    assert once == [1]
    assert heard.of("item") == [1, 2, 3]


class Three(Heard):
    """Two handlers of one event and one of another; the names are those of the handlers."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        connection.on("said", self.one)
        connection.on("said", self.other)
        connection.on("overheard", self.leave)

    def one(self, *args: object) -> None:
        self.add("one", *args)

    def other(self, *args: object) -> None:
        self.add("other", *args)

    def leave(self, *args: object) -> None:
        self.add("leave", *args)


OFF: dict[str, tuple[Callable[[Connection, Three], None], list[str]]] = {
    "one handler": (lambda connection, heard: connection.off("said", heard.one), ["other", "leave"]),
    "one event": (lambda connection, heard: connection.off("said"), ["leave"]),
    "everything": (lambda connection, heard: connection.off(), []),
}


@pytest.mark.parametrize("form", OFF)
async def test_off(client: Client, key: list[str], form: str) -> None:
    remove, left = OFF[form]
    room = client.chat_room.get_or_create(key)
    connection, speaker = room.connect(), room.connect()
    heard = Three(connection)
    async with connection, speaker:
        await speaker.say("before")
        await speaker.say_to_others("before")
        await connection.history()
        assert heard.names == ["one", "other", "leave"]
        heard.all.clear()
        remove(connection, heard)
        await connection.history()
        position = connection.position
        await speaker.say("after")
        await speaker.say_to_others("after")
        await connection.history()
        assert heard.all == [(name, "after") for name in left]
        assert (connection.position == position) is (not left), "the server was told wrongly"


async def test_off_inside_a_handler_takes_effect_at_once(client: Client, key: list[str]) -> None:
    connection = client.feed.get_or_create(key).connect()
    heard: list[int] = []

    def stop_at_two(number: int) -> None:
        if number == 2:
            connection.off("item", heard.append)

    connection.on("item", stop_at_two)
    connection.on("item", heard.append)
    async with connection:
        await connection.emit(4)
    assert heard == [1]


async def test_a_listener_that_comes_back_gets_what_is_sent_from_then_on(
    client: Client, key: list[str]
) -> None:
    connection = client.feed.get_or_create(key).connect()
    heard: list[int] = []
    async with connection:
        connection.on("item", heard.append)
        await connection.emit(1)
        connection.off("item")
        await connection.emit(1)
        connection.on("item", heard.append)
        await connection.emit(1)
    assert heard == [1, 3]


async def test_stream(client: Client, key: list[str]) -> None:
    taken = []
    async with client.feed.get_or_create(key).connect() as connection, asyncio.timeout(TIMEOUT_S):
        items = connection.stream("item")
        await connection.emit(10)
        async for item in items:
            taken.append(item)
            if item == 7:
                break
    assert taken == [1, 2, 3, 4, 5, 6, 7]


async def test_conditional_handling(client: Client, key: list[str]) -> None:
    room = client.news_room.get_or_create(key)
    shown: list[str] = []
    reader = room.connect({"user_id": "ann", "subscription": "premium"})

    def show(article: dict[str, str]) -> None:
        if article["category"] not in {"tech", "sport"}:
            return
        if article["level"] == "premium":
            shown.append(f"{article['id']} in full")
        else:
            shown.append(f"{article['id']} in short")

    reader.on("newArticle", show)
    async with reader:
        for id_, category, level in [
            ("1", "tech", "public"),
            ("2", "cooking", "public"),
            ("3", "sport", "premium"),
        ]:
            await reader.publish_article({"id": id_, "category": category, "content": "…", "level": level})
    assert shown == ["1 in short", "3 in full"]


async def test_conditional_handling_by_the_players_own_place(client: Client, key: list[str]) -> None:
    room = client.game_room.get_or_create(key)
    near: list[str] = []
    ann = room.connect({"player_id": "ann"})
    ann.on("playerMoved", lambda who, place: near.append(who) if place["x"] < 10 else None)
    async with ann, room.connect({"player_id": "bob"}) as bob, room.connect({"player_id": "cleo"}) as cleo:
        await bob.move(3, 0)
        await cleo.move(30, 0)
        await ann.who_am_i()
    assert near == ["bob"]


@pytest.mark.parametrize("method", ["on", "once", "off", "stream"])
async def test_events_need_a_connection(client: Client, key: list[str], method: str) -> None:
    with pytest.raises(NotConnected, match=r"\.connect\(\)"):
        getattr(client.feed.get_or_create(key), method)("item", print)
