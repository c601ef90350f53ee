"""Connections as an actor sees them: the collection, selections, sending to some, and broadcasts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from linked import TIMEOUT_S, LinkedSocket, running
from typing_extensions import TypedDict

from ringcast import Actor, Connection, Context
from ringcast.errors import (
    CloseCode,
    ConnectionGone,
    EventNotJson,
    EventTooLarge,
    InvalidEventName,
    ReservedName,
    ValidationError,
)
from ringcast.router import Router
from ringcast.wire.encoding import Encoding
from ringcast.wire.naming import RESERVED_EVENTS
from ringcast.wire.protocol import Connect, Error, Event


@dataclass
class Player:
    name: str
    level: int = 1


class Game(Actor[None, Player]):
    """Does what the test makes it do."""


class Party:
    """A game with a client for each name."""

    def __init__(self, router: Router, clients: dict[str, LinkedSocket]) -> None:
        self.router = router
        self.clients = clients

    @property
    def game(self) -> Game:
        (instance,) = self.router._directory
        assert isinstance(instance.actor, Game)
        return instance.actor

    def conn(self, name: str) -> Connection[Player]:
        found = self.game.conns.find(name=name)
        assert found is not None
        return found

    async def received(self, name: str) -> list[Any]:
        """Return the arguments of the events that a client has got, up to the mark that this sends."""
        self.conn(name).send("mark")
        found = []
        while (event := await self.clients[name].receive(Event)).name != "mark":
            found.append(event.args)
        return found


@asynccontextmanager
async def party(*names: str, encodings: tuple[Encoding, ...] = (Encoding.JSON,)) -> AsyncIterator[Party]:
    async with running(Game) as router:
        clients = {}
        for position, name in enumerate(names):
            client = LinkedSocket(router, encodings[position % len(encodings)])
            await client.connect("game", "g", params={"name": name, "level": position}, events=("move",))
            clients[name] = client
        yield Party(router, clients)
        for client in clients.values():
            client.lose()


async def test_the_collection_is_live() -> None:
    async with party("ann", "bob") as p:
        conns = p.game.conns
        ann = p.conn("ann")
        assert len(conns) == 2
        assert [conn.state.name for conn in conns] == ["ann", "bob"]
        assert conns.get(ann.id) is ann
        assert conns.get("nobody") is None
        assert ann in conns
        p.clients["ann"].lose(1000)
        assert len(conns) == 1
        assert ann not in conns
        assert conns.get(ann.id) is None


async def test_connections_may_end_inside_a_loop_over_them() -> None:
    async with party("ann", "bob", "cat") as p:
        seen = []
        for conn in p.game.conns:
            seen.append(conn.state.name)
            p.clients[conn.state.name].lose(1000)
        assert seen == ["ann", "bob", "cat"]
        assert len(p.game.conns) == 0


async def test_one_is_found_by_fields_and_by_predicate() -> None:
    async with party("ann", "bob", "cat") as p:
        conns = p.game.conns
        assert conns.find(name="bob", level=1) is p.conn("bob")
        assert conns.find(name="bob", level=2) is None
        assert conns.find(lambda conn: conn.state.level > 0, name="cat") is p.conn("cat")
        assert conns.find(lambda conn: conn.state.level > 5) is None
        assert conns.find() is p.conn("ann")
        with pytest.raises(AttributeError, match="levle"):
            conns.find(levle=1)


async def test_fields_of_a_state_that_is_a_dict_can_be_found() -> None:
    class Fields(TypedDict, total=False):
        name: str

    class Room(Actor[None, Fields]):
        pass

    async with running(Room) as router, LinkedSocket(router) as client:
        await client.connect("room", "k", params={"name": "ann"})
        (instance,) = router._directory
        assert instance.conns.find(name="ann") is not None
        assert instance.conns.find(other=1) is None


async def test_an_event_to_one_reaches_it_alone_subscribed_or_not() -> None:
    async with party("ann", "bob") as p:
        p.conn("ann").send("secret", {"text": "psst"}, 2)
        assert await p.received("ann") == [[{"text": "psst"}, 2]]
        assert await p.received("bob") == []


async def test_a_plain_loop_reaches_those_that_it_chooses() -> None:
    async with party("ann", "bob", "cat") as p:
        for conn in p.game.conns:
            if conn.state.level >= 1:
                conn.send("article", conn.state.name)
        assert [await p.received(name) for name in ("ann", "bob", "cat")] == [[], [["bob"]], [["cat"]]]


@pytest.mark.parametrize("as_iterable", [False, True])
async def test_a_broadcast_can_leave_some_out(as_iterable: bool) -> None:
    async with party("ann", "bob") as p:
        ann = p.conn("ann")
        p.game.broadcast("move", 1, exclude=[ann] if as_iterable else ann)
        p.game.broadcast("move", 2)
        assert await p.received("ann") == [[2]]
        assert await p.received("bob") == [[1], [2]]


class Lobby(Game):
    """Another actor, whose connections have the same numbers."""


@pytest.mark.parametrize("threadsafe", [False, True])
async def test_a_connection_of_another_actor_leaves_nobody_out(threadsafe: bool) -> None:
    async with running(Game, Lobby) as router, LinkedSocket(router) as ann, LinkedSocket(router) as bob:
        for client, actor, name in ((ann, "game", "ann"), (bob, "lobby", "bob")):
            await client.connect(actor, "k", params={"name": name}, events=("move",))
        game, lobby = sorted(
            (instance.actor for instance in router._directory), key=lambda one: type(one).__name__
        )
        [mine], [other] = game.conns, lobby.conns
        assert mine._number == other._number
        send = game.broadcast_threadsafe if threadsafe else game.broadcast
        send("move", 1, exclude=other)
        send("move", 2, exclude=[other])
        send("move", 3, exclude=[other, mine])
        send("move", 4)
        assert [(await ann.receive(Event)).args for _ in range(3)] == [[1], [2], [4]]


async def test_a_connection_from_before_the_actor_was_made_anew_leaves_nobody_out() -> None:
    async with running(Game) as router:
        async with LinkedSocket(router) as ann:
            await ann.connect("game", "k", params={"name": "ann"})
            [instance] = router._directory
            [before] = instance.conns
            instance.actor.destroy()
            assert (await ann.closed()).code == CloseCode.ACTOR_DESTROYED
        async with LinkedSocket(router) as bob:
            await bob.connect("game", "k", params={"name": "bob"}, events=("move",))
            [instance] = router._directory
            [now] = instance.conns
            assert now._number == before._number
            instance.actor.broadcast("move", 1, exclude=before)
            assert (await bob.receive(Event)).args == [1]


@pytest.mark.parametrize(
    ("wrong", "kind"), [(3, "int"), ("ann", "str"), ([None], "NoneType"), ({"ann": 1}, "str"), ([[]], "list")]
)
async def test_what_is_no_connection_cannot_be_left_out(wrong: Any, kind: str) -> None:
    async with party("ann") as p:
        for send in (p.game.broadcast, p.game.broadcast_threadsafe):
            with pytest.raises(
                TypeError, match=f"exclude takes connections, not a value of the type {kind}$"
            ):
                send("move", 1, exclude=wrong)
        with pytest.raises(TypeError, match="takes connections, not a value of the type"):
            p.game.conns.exclude(wrong)
        assert await p.received("ann") == []


async def test_a_selection_leaves_some_out_and_stays_live() -> None:
    async with party("ann", "bob", "cat") as p:
        others = p.game.conns.exclude(p.conn("ann"))
        assert len(others) == 2
        assert p.conn("ann") not in others and p.conn("bob") in others
        assert [conn.state.name for conn in others.exclude(p.conn("cat"))] == ["bob"]
        assert others.find(name="ann") is None
        others.send("note", "hi")
        assert [await p.received(name) for name in ("ann", "bob", "cat")] == [[], [["hi"]], [["hi"]]]
        p.clients["bob"].lose(1000)
        assert len(others) == 1


async def test_all_connections_can_be_sent_to_subscribed_or_not() -> None:
    async with party("ann", "bob") as p:
        p.game.conns.send("unheard", 1)
        assert [await p.received(name) for name in ("ann", "bob")] == [[[1]], [[1]]]


async def test_sending_to_nobody_appends_nothing() -> None:
    async with party("ann") as p:
        (instance,) = p.router._directory
        head = instance.stream.head
        p.game.conns.exclude(p.conn("ann")).send("note")
        assert instance.stream.head == head


async def test_an_event_is_encoded_once_for_each_encoding_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted:
        encoded = 0

        def __str__(self) -> str:
            return "counted"

    from ringcast.running import event  # noqa: PLC0415

    counts = {"json": 0, "msgpack": 0}

    def counting(name: str, encode: Any) -> Any:
        def counted(value: Any) -> bytes:
            counts[name] += 1
            written: bytes = encode(value)
            return written

        return counted

    monkeypatch.setattr(event, "_encode_json", counting("json", Encoding.JSON.encode))
    packing = counting("msgpack", event.encode_msgpack_of_json)
    monkeypatch.setattr(event, "encode_msgpack_of_json", packing)
    async with party("ann", "bob", "cat") as p:
        p.game.broadcast("move", 1)
        assert counts == {"json": 1, "msgpack": 0}
    counts["json"] = 0
    async with party("ann", "bob", "cat", encodings=(Encoding.JSON, Encoding.MSGPACK)) as p:
        p.game.broadcast("move", 1)
        assert counts == {"json": 1, "msgpack": 1}
        assert [await p.received(name) for name in ("ann", "bob")] == [[[1]], [[1]]]


@pytest.mark.parametrize("name", sorted(RESERVED_EVENTS))
async def test_reserved_names_are_refused(name: str) -> None:
    async with party("ann") as p:
        for send in (p.game.broadcast, p.game.broadcast_threadsafe, p.conn("ann").send, p.game.conns.send):
            with pytest.raises(ReservedName, match=name):
                send(name, 1)  # type: ignore[operator]
        assert await p.received("ann") == []


@pytest.mark.parametrize("name", ["", "x" * 129, None, 5, ["a"], b"a"], ids=lambda name: f"{name!r:.10}")
async def test_what_no_client_can_subscribe_to_is_no_name(name: Any) -> None:
    async with party("ann") as p:
        for send in (p.game.broadcast, p.game.broadcast_threadsafe, p.conn("ann").send, p.game.conns.send):
            with pytest.raises(InvalidEventName, match="1 to 128 characters"):
                send(name, 1)  # type: ignore[operator]
        p.game.conns.send("x" * 128, 1)
        assert await p.received("ann") == [[1]]


async def test_data_that_cannot_be_written_is_the_senders_error() -> None:
    async with party("ann") as p:
        with pytest.raises(Exception, match="object"):
            p.game.broadcast("move", object())
        assert await p.received("ann") == []


@pytest.mark.parametrize("encoding", Encoding)
async def test_what_no_client_could_read_is_the_senders_error_and_harms_nobody(encoding: Encoding) -> None:
    deep: list[Any] = []
    for _ in range(1021):  # as deep as a MessagePack client can send it
        deep = [deep]
    cycle: list[Any] = []
    cycle.append(cycle)
    async with party("ann", encodings=(encoding,)) as game:
        for data in (deep, cycle, {(1, 2): "x"}, 2**70, object()):
            with pytest.raises(EventNotJson, match=r"the event 'said' of Game .* JSON cannot carry"):
                game.game.broadcast("said", data)
        game.conn("ann").send("said", "well")
        assert (await game.clients["ann"].receive(Event)).args == ["well"]


async def test_an_event_larger_than_the_ring_is_the_senders_error() -> None:
    class Small(Actor, max_ring_bytes=1024):
        pass

    async with running(Small) as router, LinkedSocket(router) as client:
        await client.connect("small", "k", events=("x",))
        (instance,) = router._directory
        with pytest.raises(EventTooLarge):
            instance.actor.broadcast("x", "y" * 2000)


async def test_sending_to_a_connection_that_has_ended_does_nothing() -> None:
    async with party("ann", "bob") as p:
        ann = p.conn("ann")
        p.clients["ann"].lose(1000)
        ann.send("late", 1)
        ann.disconnect()
        assert not ann.connected
        assert await p.received("bob") == []


@pytest.mark.parametrize("reason", [None, 5, b"late"])
async def test_a_reason_that_is_no_text_is_refused_and_ends_nobody(reason: Any) -> None:
    async with party("ann", "bob") as p:
        nobody = p.game.conns.where(name="cat")
        for found in (p.conn("ann"), p.game.conns, p.game.conns.where(name="ann"), nobody):
            with pytest.raises(TypeError, match=f"a reason that is a str, not a {type(reason).__name__}"):
                found.disconnect(reason)
        assert await p.received("ann") == []
        p.conn("ann").disconnect("late")
        assert await p.clients["ann"].closed() == (CloseCode.DISCONNECTED, "late")


async def test_a_connection_that_is_not_open_yet_cannot_be_sent_to() -> None:
    class Early(Actor):
        async def on_connect(self, c: Context) -> None:
            c.conn.send("fine")

        def create_conn_state(self, c: Context) -> None: ...

    async with running(Early) as router, LinkedSocket(router) as client:
        await client.connect("early", "k")
        assert (await client.receive(Event)).name == "fine"
    lone: Connection[None] = Connection("id", None, None, None)  # type: ignore[arg-type]
    with pytest.raises(ConnectionGone, match="not open yet"):
        lone.send("x")


async def test_any_thread_may_broadcast() -> None:
    async with party("ann", "bob", encodings=(Encoding.JSON, Encoding.MSGPACK)) as p:
        game = p.game

        def work() -> None:
            for n in range(200):
                game.broadcast_threadsafe("move", n)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(200):
            game.broadcast("move", -1)
        await asyncio.to_thread(lambda: [thread.join(TIMEOUT_S) for thread in threads])
        for name in ("ann", "bob"):
            got = [args[0] for args in await p.received(name)]
            assert len(got) == 800
            assert sorted(n for n in got if n >= 0) == sorted(list(range(200)) * 3)


async def test_drain_waits_for_the_sweep_and_many_may_wait() -> None:
    async with party("ann") as p:
        (instance,) = p.router._directory

        async def publish(count: int) -> int:
            for n in range(count):
                p.game.broadcast("move", n)
            head: int = instance.stream.head
            await p.game.drain()
            return head

        heads = await asyncio.wait_for(asyncio.gather(*(publish(50) for _ in range(10))), TIMEOUT_S)
        assert instance.stream.swept >= max(heads) == 500  # type: ignore[attr-defined]
        await asyncio.wait_for(p.game.drain(), TIMEOUT_S)


# --- the state of a connection ------------------------------------------------------------------------------


async def test_a_state_is_validated_from_params_or_made_without() -> None:
    @dataclass
    class Options:
        volume: int = 5

    class Room(Actor[None, Options]):
        pass

    async with running(Room) as router:
        for params, volume in ((None, 5), ({"volume": "7"}, 7), ({}, 5)):
            async with LinkedSocket(router) as client:
                connected = await client.connect("room", "k", params=params)
                (instance,) = router._directory
                conn = instance.conns.get(connected.connection)
                assert conn is not None
                assert conn.state == Options(volume)
                assert conn.params == params


async def test_a_state_that_needs_params_refuses_a_connection_without() -> None:
    async with running(Game) as router, LinkedSocket(router) as client:
        client.send(Connect("game", ("k",)))
        error = (await client.receive(Error)).error
        assert error["code"] == ValidationError.code
        assert error["message"] == "Game: params.name: Field required"


async def test_an_actor_without_a_state_for_connections_takes_any_params() -> None:
    class Room(Actor):
        pass

    async with running(Room) as router, LinkedSocket(router) as client:
        await client.connect("room", "k", params={"token": "secret"})
        (instance,) = router._directory
        (conn,) = instance.conns
        assert conn.state is None
        assert conn.params == {"token": "secret"}
        assert "secret" not in repr(conn)
