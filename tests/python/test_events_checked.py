"""Declared events in a running actor: every way to send them checks, unless it is switched off."""

from __future__ import annotations

import logging
import sys
import threading
from enum import StrEnum
from functools import partial
from typing import (
    Any,
    NoReturn,
)

import pytest
from event_types import (
    Place,
)
from linked import LinkedSocket, call, running

from ringcast import Actor, Context, action, where
from ringcast.connection import Connection
from ringcast.errors import (
    DefinitionError,
    InvalidEvent,
    InvalidEventName,
    ReservedName,
    UnknownEvent,
)
from ringcast.router import Router
from ringcast.running.event import Emitter
from ringcast.schema.definition import define
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Event, Reply, Subscribe
from ringcast.wire.protocol import Error as ErrorMessage
from shown import shown

# --- in a running actor -------------------------------------------------------------------------------------


class Game(Actor[None, dict[str, Any]]):
    class Events:
        started: None
        whispered: str

        def moved(self, player: str, to: Place) -> None: ...

    @action
    def start(self, c: Context[None, Any], *data: Any) -> None:
        c.broadcast("started", *data)

    @action
    def whisper(self, c: Context[None, Any], text: Any) -> None:
        c.broadcast("whispered", "first")
        c.broadcast("whispered", text)

    @action
    def move(self, c: Context[None, Any], player: str, x: float) -> None:
        c.broadcast("moved", player, Place(x))

    @action
    def wander(self, c: Context[None, Any]) -> None:
        c.broadcast("mvoed", "ann", Place(1))


class DurableGame(Game):
    durable = True


class FastGame(Game, validate_events=False):
    pass


class SlowGame(FastGame, validate_events=True):
    pass


def actor_of(router: Router) -> Any:
    (instance,) = router._directory
    return instance.actor


def in_thread(work: Any) -> None:
    """Run it in another thread; raise what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def senders(actor: Any) -> dict[str, Any]:
    """Return every way to send."""
    conn: Connection[Any]
    (conn,) = actor.conns
    return {
        "broadcast": actor.broadcast,
        "broadcast where": lambda *event: actor.broadcast(*event, where=where(level=1)),
        "broadcast_threadsafe": lambda *event: in_thread(partial(actor.broadcast_threadsafe, *event)),
        "conn.send": conn.send,
        "conns.send": actor.conns.send,
        "selection.send": actor.conns.where(level=1).send,
        "nobody.send": actor.conns.exclude(conn).send,
    }


@pytest.mark.parametrize("cls", [Game, DurableGame])
async def test_every_way_to_send_checks_and_then_sends_nothing(cls: type[Any]) -> None:
    async with running(cls) as router, LinkedSocket(router, Encoding.MSGPACK) as client:
        await client.connect(cls.__name__, "a", params={"level": 1}, events=("started", "moved"))
        actor = actor_of(router)
        for kind, send in senders(actor).items():
            with pytest.raises(UnknownEvent, match=r"Game has no event 'movd' \(did you mean 'moved'\?\)"):
                send("movd", "ann", Place(1))
            with pytest.raises(InvalidEvent, match=r"'moved' of \w*Game takes \(player: str, to: Place\)"):
                send("moved", "ann")
            with pytest.raises(InvalidEvent, match=r"to\.x: .* \(str was given\)"):
                send("moved", "ann", Place("1"))  # type: ignore[arg-type]
            with pytest.raises(InvalidEvent):
                send("started", None)
            send("moved", kind, Place(1))
        arrived = [await client.receive(Event) for _ in range(6)]
        # From another thread, a durable actor's is handed over to the loop.
        sent = sorted(kind for kind in senders(actor) if kind != "nobody.send")
        assert sorted(event.args[0] for event in arrived) == sent
        assert [event.offset for event in arrived] == [1, 2, 3, 4, 5, 6]
        assert arrived[0].args == ["broadcast", {"x": 1, "y": 0.0}], "it is sent as it is"


class Oven(Actor):
    class Events:
        heated: float

        def timed(self, of: Place, at: Any) -> None: ...


class Probe(Oven, msgpack_only=True):
    pass


@pytest.mark.parametrize("encodings", [[Encoding.JSON], [Encoding.MSGPACK], list(Encoding)], ids=shown)
async def test_a_number_that_json_has_not_is_refused_whoever_is_there(encodings: list[Encoding]) -> None:
    async with running(Oven) as router:
        clients = [LinkedSocket(router, encoding) for encoding in encodings]
        for client in clients:
            await client.connect("oven", "a", events=("heated", "timed"))
        actor = actor_of(router)
        for number in (float("nan"), float("inf"), float("-inf")):
            for send in (actor.broadcast, actor.conns.send):
                with pytest.raises(InvalidEvent, match="data: Input should be a finite number"):
                    send("heated", number)
                with pytest.raises(InvalidEvent, match=r"of\.y: Input should be a finite number"):
                    send("timed", Place(1, number), 2)
        actor.broadcast("heated", 1e308)
        for client in clients:
            assert (await client.receive(Event)).args == [1e308]
            client.lose()


async def test_where_all_clients_use_messagepack_any_number_is_sent() -> None:
    async with running(Probe) as router, LinkedSocket(router, Encoding.MSGPACK) as client:
        await client.connect("probe", "a", events=("heated", "timed"))
        actor_of(router).broadcast("heated", float("inf"))
        actor_of(router).broadcast("timed", Place(1, float("-inf")), None)
        assert (await client.receive(Event)).args == [float("inf")]
        assert (await client.receive(Event)).args == [{"x": 1, "y": float("-inf")}, None]


async def test_an_event_to_a_connection_that_has_ended_is_checked_too() -> None:
    async with running(Game) as router:
        async with LinkedSocket(router) as client:
            await client.connect("game", "a", params={})
            (conn,) = actor_of(router).conns
            client.lose(1000)
        conn.send("whispered", "too late")
        with pytest.raises(InvalidEvent):
            conn.send("whispered", 5)


@pytest.mark.parametrize("name", ["", "x" * 129, 5, None, ["moved"]])
async def test_what_is_no_name_is_said_to_be_none(name: Any) -> None:
    async with running(Game) as router:
        await call(router, "game", "a", "start")
        for send in (actor_of(router).broadcast, actor_of(router).conns.send):
            with pytest.raises(InvalidEventName):
                send(name)
            with pytest.raises(ReservedName):
                send("gap")


async def test_a_name_may_be_a_member_of_an_enum_of_str() -> None:
    class Names(StrEnum):
        STARTED = "started"
        LOUD = "loud"

    async with running(Game) as router, LinkedSocket(router) as client:
        await client.connect("game", "a", params={}, events=("started",))
        actor_of(router).broadcast(Names.STARTED)
        assert (await client.receive(Event)).name == "started"
        with pytest.raises(UnknownEvent):
            actor_of(router).broadcast(Names.LOUD)


@pytest.mark.parametrize("cls", [Game, DurableGame])
async def test_the_caller_and_the_log_are_told_what_is_wrong(
    cls: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with running(cls) as router, LinkedSocket(router) as client:
        await client.connect(cls.__name__, "a", params={}, events=("whispered",))
        with caplog.at_level(logging.ERROR):
            client.send(Call(1, "whisper", [["a secret"]]))
            assert (await client.receive(Event)).args == ["first"], "what was sent before stays sent"
            error = (await client.receive(ErrorMessage)).error
        assert error == {
            "code": "invalid_event",
            "message": f"'whispered' of {cls.__name__} takes (data: str); "
            "data: Input should be a valid string (list was given)",
        }
        assert "data was ['a secret']" in caplog.text
        client.send(Call(2, "wander", []))
        assert (await client.receive(ErrorMessage)).error["code"] == "unknown_event"
        client.send(Call(3, "whisper", ["psst"]))
        assert [(await client.receive(Event)).args for _ in range(2)] == [["first"], ["psst"]]
        assert await client.receive(Reply) == (3, None)


async def test_a_subscription_to_an_unknown_name_is_refused_and_harms_no_other() -> None:
    async with running(Game) as router, LinkedSocket(router) as client:
        connected = await client.connect("game", "a", params={}, events=("mvoed", "moved", "gap"))
        assert {name: error["code"] for name, error in connected.refused_subscriptions.items()} == {
            "mvoed": "unknown_event",
            "gap": "reserved_name",
        }
        assert "did you mean 'moved'" in connected.refused_subscriptions["mvoed"]["message"]
        client.send(Subscribe(1, "started"), Subscribe(2, "stopped"))
        assert await client.receive(Reply) == (1, None)
        assert (await client.receive(ErrorMessage)).error == {
            "code": "unknown_event",
            "message": "Game has no event 'stopped'",
        }
        client.send(Call(3, "start", []), Call(4, "move", ["ann", 1]))
        events = [await client.receive(Event), await client.receive(Reply), await client.receive(Event)]
        assert [event.name for event in events if isinstance(event, Event)] == ["started", "moved"]


async def test_can_subscribe_is_not_asked_about_a_name_that_does_not_exist() -> None:
    asked: list[str] = []

    class Asking(Game):
        def can_subscribe(self, c: Context[None, Any], event: str) -> bool:
            asked.append(event)
            return event != "whispered"

    async with running(Asking) as router, LinkedSocket(router) as client:
        connected = await client.connect("asking", "a", params={}, events=("moved", "whispered", "nothing"))
        codes = {name: error["code"] for name, error in connected.refused_subscriptions.items()}
    assert codes == {"whispered": "subscription_refused", "nothing": "unknown_event"}
    assert asked == ["moved", "whispered"]


# --- the switch ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "server", "validates"),
    [
        (Game, True, True),
        (Game, False, False),
        (FastGame, True, False),
        (FastGame, False, False),
        (SlowGame, True, True),
        (SlowGame, False, True),
    ],
)
async def test_the_class_goes_before_the_server(cls: type[Any], server: bool, validates: bool) -> None:
    async with running(cls, validate_events=server) as router, LinkedSocket(router) as client:
        await client.connect(cls.__name__, "a", params={}, events=("moved",))
        actor = actor_of(router)
        if validates:
            with pytest.raises(InvalidEvent):
                actor.broadcast("moved", 1, 2, 3)
        else:
            actor.broadcast("moved", 1, 2, 3)
            assert (await client.receive(Event)).args == [1, 2, 3]
        for send in (actor.broadcast, actor.conns.send):
            with pytest.raises(UnknownEvent):
                send("movd", 1)


async def test_an_actor_that_declares_nothing_sends_anything() -> None:
    class Free(Actor):
        @action
        def touch(self, c: Context) -> None: ...

    async with running(Free) as router, LinkedSocket(router) as client:
        connected = await client.connect("free", "a", events=("anything",))
        assert connected.refused_subscriptions == {}
        actor_of(router).broadcast("anything", {"x": [1]})
        assert (await client.receive(Event)).args == [{"x": [1]}]


def test_it_is_true_or_false() -> None:
    with pytest.raises(DefinitionError, match="validate_events is True or False, not 'no'"):

        class Wrong(Actor, validate_events="no"):  # type: ignore[arg-type]
            pass


class Recorded:
    """A stream that nobody listens to."""

    encodings = 0

    def __init__(self) -> None:
        self.taken: list[str] = []

    def publish(self, name: str, *_: Any, **__: Any) -> int:
        self.taken.append(name)
        return len(self.taken)


def no_filters() -> NoReturn:
    raise AssertionError("nothing is filtered here")


def calls_of_python_in(work: Any) -> list[str]:
    """Return which functions of Python are called meanwhile."""
    called: list[str] = []

    def profile(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called


def test_without_validation_an_event_costs_no_call_more() -> None:
    stream: Any = Recorded()
    emit = [
        Emitter(stream, "game", no_filters, checks=checks).emit
        for checks in (None, define(Game).event_checks(False), define(Game).event_checks(True))
    ]
    undeclared, names_only, validated = (calls_of_python_in(partial(each, "started", ())) for each in emit)
    assert undeclared == names_only == ["emit", "publish"]
    assert validated == ["emit", "check", "publish"]
    assert stream.taken == ["started"] * 3
