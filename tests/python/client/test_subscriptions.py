"""Listening: `on`, `once` and `off` over a real socket, and what the server is told about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from ringcast.client import Client, Connection
from ringcast.errors import SubscriptionRefused
from ringcast.wire.protocol import Call, Connect, Error, Event, Heartbeat, Reply, Subscribe, Unsubscribe

from .scripted import Peer, ScriptedServer, event, until


@pytest.fixture
async def connection(client: Client) -> Connection:
    return client.chat_room.get_or_create(["general"]).connect()


@pytest.fixture
async def peer(server: ScriptedServer, connection: Connection) -> AsyncIterator[Peer]:
    """The server's end of `connection`, connected and subscribed to `news`."""
    connection.on("news", lambda *_: None)
    peer = await server.accept()
    await peer.welcome()
    await connection.ready()
    yield peer


async def test_listeners_from_before_travel_in_the_connect_message(
    server: ScriptedServer, connection: Connection
) -> None:
    connection.on("b", print)
    connection.once("a", print)
    connection.on("connected", lambda: None)
    connect = await (await server.accept()).welcome()
    assert connect.actor == "chat_room"
    assert connect.key == ("general",)
    assert connect.lookup == "get_or_create"
    assert connect.subscriptions == ("b", "a")
    assert connect.resume is None


async def test_events_arrive_in_order_with_all_their_arguments(peer: Peer, connection: Connection) -> None:
    got: list[tuple[Any, ...]] = []
    connection.on("move", lambda *args: got.append(args))
    peer.send(event(1, "move", "ann", {"x": 1}), event(2, "move"), event(3, "move", None))
    await until(lambda: len(got) == 3)
    assert got == [("ann", {"x": 1}), (), (None,)]


async def test_the_first_listener_subscribes_and_the_last_one_unsubscribes(
    peer: Peer, connection: Connection
) -> None:
    first = connection.on("move", print)
    second = connection.on("move", print)
    assert await peer.receive() == Subscribe(1, "move")
    first()
    second()
    second()
    assert await peer.receive() == Unsubscribe(2, "move")
    connection.on("move", print)
    assert await peer.receive() == Subscribe(3, "move")


async def test_once_fires_once_for_a_batch_and_unsubscribes(peer: Peer, connection: Connection) -> None:
    got: list[int] = []
    connection.once("start", got.append)
    assert await peer.receive() == Subscribe(1, "start")
    peer.send(event(1, "start", 1), event(2, "start", 2), event(3, "start", 3))
    assert await peer.receive() == Unsubscribe(2, "start")
    await until(lambda: connection.position == ("e1", 3))
    assert got == [1]


async def test_once_keeps_the_subscription_while_another_listener_needs_it(
    peer: Peer, connection: Connection
) -> None:
    got: list[str] = []
    connection.once("start", lambda: got.append("once"))
    connection.on("start", lambda: got.append("on"))
    assert await peer.receive() == Subscribe(1, "start")
    peer.send(event(1, "start"), event(2, "start"))
    await until(lambda: len(got) == 3)
    assert got == ["once", "on", "on"]
    connection.off("start")
    assert await peer.receive() == Unsubscribe(2, "start")


@pytest.mark.parametrize(
    ("remove", "left"),
    [
        (lambda connection, handler: connection.off("a", handler), ["a2", "b"]),
        (lambda connection, handler: connection.off("a"), ["b"]),
        (lambda connection, handler: connection.off(), []),
    ],
    ids=["off(name, handler)", "off(name)", "off()"],
)
async def test_off_in_its_three_forms(
    peer: Peer, connection: Connection, remove: Callable[..., None], left: list[str]
) -> None:
    got: list[str] = []

    def handler() -> None:
        got.append("a1")

    connection.on("a", handler)
    connection.on("a", lambda: got.append("a2"))
    connection.on("b", lambda: got.append("b"))
    remove(connection, handler)
    peer.send(event(1, "a"), event(2, "b"))
    await until(lambda: connection.position == ("e1", 2))
    assert got == left


async def test_off_without_a_name_removes_lifecycle_listeners(peer: Peer, connection: Connection) -> None:
    got: list[str] = []
    connection.on("disconnected", lambda: got.append("disconnected"))
    connection.off()
    assert await peer.receive() == Unsubscribe(1, "news")
    peer.cut()
    await until(lambda: connection.status == "reconnecting")
    assert got == []


async def test_listeners_may_be_changed_inside_a_handler(peer: Peer, connection: Connection) -> None:
    got: list[str] = []

    def first() -> None:
        got.append("first")
        connection.off("a")
        connection.on("a", lambda: got.append("new"))

    connection.on("a", first)
    connection.on("a", lambda: got.append("second"))
    peer.send(event(1, "a"), event(2, "a"))
    await until(lambda: connection.position == ("e1", 2))
    # The second listener was removed before its turn, and the new one hears from the next event on.
    assert got == ["first", "new"]
    assert [await peer.receive() for _ in range(3)] == [
        Subscribe(1, "a"),
        Unsubscribe(2, "a"),
        Subscribe(3, "a"),
    ]


async def test_a_failing_handler_reaches_error_listeners_and_stops_nothing(
    peer: Peer, connection: Connection
) -> None:
    errors: list[BaseException] = []
    got: list[str] = []

    async def fails_later() -> None:
        await asyncio.sleep(0)
        raise ValueError("async")

    def fails() -> None:
        raise KeyError("sync")

    connection.on("error", errors.append)
    connection.on("a", fails)
    connection.on("a", fails_later)
    connection.on("a", lambda: got.append("a"))
    peer.send(event(1, "a"), event(2, "a"))
    await until(lambda: len(got) == 2 and len(errors) == 4)
    assert [type(error) for error in errors] == [KeyError, ValueError] * 2
    assert errors[0].__notes__ == ["raised by a handler of 'a'"]
    assert connection.status == "connected"


async def test_a_failing_handler_is_logged_when_nobody_listens(
    peer: Peer, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[int] = []
    connection.on("a", lambda number: 1 // number)
    connection.on("a", got.append)
    peer.send(event(1, "a", 0), event(2, "a", 1))
    await until(lambda: got == [0, 1])
    assert "a handler of 'a' failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_refused_subscription_is_an_error_event_and_keeps_its_listener(
    peer: Peer, connection: Connection
) -> None:
    errors: list[SubscriptionRefused] = []
    got: list[int] = []
    connection.on("error", errors.append)
    connection.on("secret", got.append)
    assert await peer.receive() == Subscribe(1, "secret")
    peer.send(["error", 1, {"code": "not_allowed", "message": "members only", "metadata": {"level": 3}}])
    await until(lambda: errors)
    assert isinstance(errors[0], SubscriptionRefused)
    assert errors[0].code == "not_allowed"
    assert errors[0].metadata == {"level": 3}
    assert "'secret'" in errors[0].message
    assert "members only" in errors[0].message
    peer.send(event(1, "secret", 7))
    await until(lambda: got == [7])


async def test_subscriptions_refused_in_the_connect_answer_are_error_events(
    server: ScriptedServer, connection: Connection
) -> None:
    errors: list[SubscriptionRefused] = []
    connection.on("error", errors.append)
    connection.on("a", print)
    connection.on("b", print)
    peer = await server.accept()
    await peer.welcome(
        refused_subscriptions={name: {"code": "subscription_refused", "message": "no"} for name in "ab"}
    )
    await until(lambda: len(errors) == 2)
    assert {type(error) for error in errors} == {SubscriptionRefused}
    assert connection.status == "connected"


async def test_listeners_changed_between_connect_message_and_answer(
    server: ScriptedServer, connection: Connection
) -> None:
    gone = connection.on("gone", print)
    peer = await server.accept()
    # The connect message is on its way as soon as the socket is open; wait until it has been sent.
    connect = await peer.receive()
    gone()
    connection.on("new", print)
    peer.send(peer.answer())
    assert connect.subscriptions == ("gone",)
    assert [await peer.receive(), await peer.receive()] == [Subscribe(1, "new"), Unsubscribe(2, "gone")]


async def test_a_late_listener_is_subscribed_before_calls_that_waited_are_sent(
    server: ScriptedServer, connection: Connection
) -> None:
    peer = await server.accept()
    await peer.receive()
    call = asyncio.ensure_future(connection.act())
    await asyncio.sleep(0)
    connection.on("new", print)
    peer.send(peer.answer())
    assert [await peer.receive(), await peer.receive()] == [Subscribe(1, "new"), Call(2, "act", [])]
    peer.send(Reply(2, None))
    await call


async def test_events_that_nobody_listens_for_are_dropped_and_still_counted_in_the_position(
    peer: Peer, connection: Connection
) -> None:
    peer.send(event(5, "private", "for you"))
    await until(lambda: connection.position == ("e1", 5))
    assert connection.status == "connected"


async def test_async_handlers_run_one_at_a_time_in_order(peer: Peer, connection: Connection) -> None:
    log: list[str] = []
    release = asyncio.Event()

    async def slow(number: int) -> None:
        log.append(f"start {number}")
        await release.wait()
        log.append(f"end {number}")

    connection.on("a", slow)
    connection.on("a", lambda number: log.append(f"second {number}"))
    connection.on("b", lambda: log.append("b"))
    peer.send(event(1, "a", 1), event(2, "a", 2), event(3, "b"))
    await until(lambda: connection.position == ("e1", 3) and log)
    assert log == ["start 1"]
    release.set()
    await until(lambda: "b" in log)
    assert log == ["start 1", "end 1", "second 1", "start 2", "end 2", "second 2", "b"]


async def test_a_name_or_handler_that_cannot_be_one_is_refused_at_once(connection: Connection) -> None:
    with pytest.raises(TypeError, match="must be a function"):
        connection.on("a", None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 to 128 characters"):
        connection.on("", print)
    with pytest.raises(ValueError, match="at most 256"):
        for number in range(257):
            connection.on(f"name{number}", print)


async def test_a_listener_that_is_new_while_offline_gets_nothing_from_before(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    old: list[int] = []
    new: list[int] = []
    kept: list[int] = []
    connection.on("a", old.append)
    connection.on("b", kept.append)
    peer = await server.accept()
    await peer.welcome(event(1, "a", 1))
    await connection.ready()
    peer.cut()
    await until(lambda: connection.status == "reconnecting")
    connection.off("a")
    connection.on("a", new.append)
    peer = await server.accept()
    connect = await peer.welcome(event(2, "a", 2), event(3, "b", 3), replayed=2, offset=1)
    assert connect.subscriptions == ("b",)
    subscribe = await peer.receive()
    assert isinstance(subscribe, Subscribe) and subscribe.name == "a"
    peer.send(Reply(subscribe.id, None), event(4, "a", 4))
    await until(lambda: new)
    assert (old, new, kept) == ([1], [4], [3])


async def test_a_listener_that_is_new_after_a_cut_gets_nothing_from_before_though_the_last_one_left_earlier(
    server: ScriptedServer, client: Client
) -> None:
    """Whether or not the server has read that it left."""
    connection = client.room.get_or_create("k").connect()
    old: list[int] = []
    new: list[int] = []
    connection.on("a", old.append)
    peer = await server.accept()
    await peer.welcome(event(1, "a", 1))
    await until(lambda: old)
    connection.off("a")
    assert isinstance(await peer.receive(), Unsubscribe)
    peer.cut()
    await until(lambda: connection.status == "reconnecting")
    connection.on("a", new.append)
    peer = await server.accept()
    connect = await peer.welcome(event(2, "a", 2), replayed=1, offset=1)
    assert connect.subscriptions == ()
    subscribe = await peer.receive()
    assert isinstance(subscribe, Subscribe)
    peer.send(Reply(subscribe.id, None), event(3, "a", 3))
    await until(lambda: new)
    assert (old, new) == ([1], [3])


async def test_a_listener_that_is_replaced_while_the_connection_comes_back_begins_anew(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    old: list[int] = []
    new: list[int] = []
    connection.on("a", old.append)
    peer = await server.accept()
    await peer.welcome()
    await connection.ready()
    peer.cut()
    peer = await server.accept()
    connect = await peer.receive()
    connection.off("a")
    connection.on("a", new.append)
    peer.send(peer.answer(replayed=1), event(1, "a", 1))
    assert isinstance(connect, Connect) and connect.subscriptions == ("a",)
    subscribe = await peer.receive()
    assert isinstance(subscribe, Subscribe)
    peer.send(Reply(subscribe.id, None), event(2, "a", 2))
    await until(lambda: new)
    assert (old, new) == ([], [2])


async def test_a_resume_says_which_names_and_answers_are_certain(
    server: ScriptedServer, client: Client
) -> None:
    connection = client.room.get_or_create("k").connect()
    connection.on("first", print)
    peer = await server.accept()
    await peer.welcome()
    await connection.ready()
    for name in ("second", "third"):
        connection.on(name, print)
    second, third = await peer.receive(), await peer.receive()
    assert isinstance(second, Subscribe) and isinstance(third, Subscribe)
    peer.send(Reply(second.id, None), event(1, "first"))
    await until(lambda: connection.position == ("e1", 1))
    peer.cut()
    await until(lambda: connection.status == "reconnecting")
    connection.on("fourth", print)
    peer = await server.accept()
    connect = await peer.welcome(replayed=0, offset=1)
    assert connect.subscriptions == ("first", "second", "third", "fourth")
    assert connect.resume is not None
    assert connect.resume.unconfirmed == ("third", "fourth")
    assert connect.resume.answered == second.id
    # The answer has confirmed all of them.
    peer.cut()
    peer = await server.accept()
    again = await peer.welcome(replayed=0, offset=1)
    assert again.resume is not None
    assert (again.resume.unconfirmed, again.resume.answered) == ((), second.id)


async def test_an_event_is_not_for_handlers_whose_subscription_has_not_begun_or_is_refused(
    peer: Peer, connection: Connection
) -> None:
    got: list[tuple[str, int]] = []

    def on(label: str, where: dict[str, Any] | None = None) -> Callable[[], None]:
        return connection.on("moved", lambda fields: got.append((label, fields["at"])), where=where)

    def moved(at: int) -> Event:
        return event(at, "moved", {"at": at, "zone": 1})

    leave = on("zone", {"zone": 1})
    peer.send(moved(1))  # sent to this connection by itself: no subscription of its name is confirmed
    request = await peer.receive()
    assert isinstance(request, Subscribe)
    peer.send(Reply(request.id, None), moved(2))
    await until(lambda: len(got) == 2)
    on("early", {"at__ge": 0})
    on("refused", {"at__ge": -1})
    early, refused = await peer.receive(), await peer.receive()
    assert isinstance(early, Subscribe)
    assert isinstance(refused, Subscribe)
    fault = SubscriptionRefused("no").to_wire()
    peer.send(moved(3), Reply(early.id, None), moved(4), Error(refused.id, fault), moved(5))
    # A subscription that is taken back, after which its handlers hear only what is sent to it by itself.
    gone = Heartbeat(1, 5, 0.0, {early.name: fault})
    peer.send(gone, moved(6), event(7, "moved", {"at": 7, "zone": 2}))
    await until(lambda: connection.position == ("e1", 7))
    assert [at for label, at in got if label == "zone"] == [1, 2, 3, 4, 5, 6]
    assert [at for label, at in got if label == "early"] == [4, 5, 7]
    assert [at for label, at in got if label == "refused"] == [7]
    # Of what comes by a subscription that is about to end nobody else hears.
    leave()
    peer.send(moved(8))
    await until(lambda: connection.position == ("e1", 8))
    assert [at for _, at in got][-1] == 7
