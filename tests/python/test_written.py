"""What objects become for clients: one form in both encodings, and nothing that their class keeps back."""

from __future__ import annotations

import datetime as dt
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

import pydantic
import pytest
from linked import LinkedSocket, running
from pydantic import Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from ringcast import Actor, Context, action
from ringcast.errors import InvalidFilter
from ringcast.running.event_filters import event_fields
from ringcast.schema.definition import define
from ringcast.wire.encoding import Encoding, encode_for_all
from ringcast.wire.protocol import Call, Event, Reply
from ringcast.wire.topics import filter_of, topic_of
from shown import shown


@dataclass
class Player:
    name: str
    _password: str = "hunter2"

    @cached_property
    def initial(self) -> str:
        return self.name[0]


@dataclass(slots=True)
class Slotted:
    name: str
    _password: str = "hunter2"


@dataclass
class Later:
    name: str
    rank: int = field(init=False)


class Undecorated(Player):
    pass


class Kept(Enum):
    ANN = Player("ann")


@pydantic_dataclass
class Moved:
    zone: int = Field(serialization_alias="z")
    secret: str = Field(default="s3cret", exclude=True)


class MovedOn(Moved):
    pass


@dataclass
class MovedFar(Moved):
    far: int = 1


class Report(pydantic.BaseModel):
    moved: Moved
    note: str = Field("", exclude=True)


@dataclass
class Deep:
    """Plain, with everything inside that says for itself what it is."""

    moved: Moved
    players: list[Player]
    when: dt.date
    report: Report | None = None


def read_by_initial() -> Player:
    player = Player("ann")
    assert player.initial == "a"
    return player


def with_more() -> Player:
    player = Player("ann")
    vars(player)["more"] = 1
    return player


DEEP = Deep(Moved(3), [Player("ann")], dt.date(2026, 1, 2), Report(moved=Moved(4), note="n"))

WRITTEN = {
    "private": (Player("ann"), {"name": "ann"}),
    "slots": (Slotted("ann"), {"name": "ann"}),
    "cached property": (read_by_initial(), {"name": "ann"}),
    "attribute beside the fields": (with_more(), {"name": "ann"}),
    "field that is not set": (Later("ann"), {"name": "ann"}),
    "subclass that is not decorated": (Undecorated("ann"), {"name": "ann"}),
    "value of an enum": (Kept.ANN, {"name": "ann"}),
    "in a deque": (deque([Player("ann")]), [{"name": "ann"}]),
    "in a tuple": ((Player("ann"),), [{"name": "ann"}]),
    "pydantic's": (Moved(3), {"z": 3}),
    "derived from pydantic's": (MovedOn(3), {"z": 3}),
    "plain, derived from pydantic's": (MovedFar(3, "s3cret"), {"z": 3, "far": 1}),
    "pydantic's, in a list": ([Moved(3)], [{"z": 3}]),
    "pydantic's, in a model": (Report(moved=Moved(3), note="n"), {"moved": {"z": 3}}),
    "time": (dt.time(1, 2, 3, 50_000), "01:02:03.050000"),
    "time with a zone": (dt.time(1, 2, 3, tzinfo=dt.UTC), "01:02:03Z"),
    "times": (
        [dt.datetime(2026, 1, 2, 3, 4, 5, 50_000, dt.UTC), dt.datetime(99, 1, 2), dt.date(99, 1, 2)],
        ["2026-01-02T03:04:05.050000Z", "0099-01-02T00:00:00", "0099-01-02"],
    ),
    "deep": (
        DEEP,
        {
            "moved": {"z": 3},
            "players": [{"name": "ann"}],
            "when": "2026-01-02",
            "report": {"moved": {"z": 4}},
        },
    ),
}


@pytest.mark.parametrize(("value", "written"), WRITTEN.values(), ids=WRITTEN)
def test_both_encodings_write_the_same(value: Any, written: Any) -> None:
    for encoding in Encoding:
        assert encoding.decode(encoding.encode([value])) == [written], encoding
    assert Encoding.MSGPACK.decode(encode_for_all([value])) == [written]


def test_what_only_messagepack_has_is_carried_as_it_is_in_a_dataclass_as_anywhere() -> None:
    @dataclass
    class Picture:
        data: bytes
        by_id: dict[int, str]

    value = Picture(b"text", {1: "x"})
    assert Encoding.JSON.decode(Encoding.JSON.encode(value)) == {"data": "text", "by_id": {"1": "x"}}
    assert Encoding.MSGPACK.decode(Encoding.MSGPACK.encode(value)) == {"data": b"text", "by_id": {1: "x"}}


def test_there_is_no_end_to_how_many_and_one_to_how_deep() -> None:
    @dataclass
    class Link:
        inside: Any = None

    deep: Any = None
    for _ in range(300):
        deep = Link(deep)
    for encoding in Encoding:
        assert encoding.decode(encoding.encode([Link()] * 2000)) == [{"inside": None}] * 2000
        with pytest.raises(TypeError):
            encoding.encode(deep)


class Room(Actor):
    class Events:
        moved: Moved
        on: MovedOn
        far: MovedFar
        joined: Player

    @action
    def go(self, c: Context) -> list[Any]:
        c.broadcast("moved", Moved(3))
        c.broadcast("joined", read_by_initial())
        return [Moved(3), Player("bob")]


@pytest.mark.parametrize("others", [[], [Encoding.JSON], [Encoding.MSGPACK]], ids=shown)
@pytest.mark.parametrize("encoding", Encoding)
async def test_whoever_is_there_a_client_sees_and_filters_the_same(
    encoding: Encoding, others: list[Encoding]
) -> None:
    async with running(Room) as router:
        beside = [LinkedSocket(router, other) for other in others]
        for other in beside:
            await other.connect("room", "a", events=("moved", "joined"))
        async with LinkedSocket(router, encoding) as client:
            topics = topic_of("moved", {"z": 3}), topic_of("joined", {"name": "ann"})
            connected = await client.connect("room", "a", events=topics)
            assert connected.refused_subscriptions == {}
            client.send(Call(1, "go", []))
            assert (await client.receive(Event)).args == [{"z": 3}]
            assert (await client.receive(Event)).args == [{"name": "ann"}]
            assert (await client.receive(Reply)).value == [{"z": 3}, {"name": "bob"}]
        for other in beside:
            other.lose()


@pytest.mark.parametrize(
    ("name", "wanted", "can_be"),
    [
        ("moved", {"zone": 3}, ("z",)),
        ("moved", {"secret": "s3cret"}, ("z",)),
        ("on", {"secret": "s3cret"}, ("z",)),
        ("far", {"secret": "s3cret"}, ("z", "far")),
        ("joined", {"_password": "hunter2"}, ("name",)),
    ],
)
def test_a_filter_takes_what_is_sent_and_nothing_else(
    name: str, wanted: dict[str, Any], can_be: tuple[str, ...]
) -> None:
    fields = event_fields(define(Room), name)
    assert fields.filterable == can_be
    with pytest.raises(InvalidFilter, match="has no field"):
        fields.require(filter_of(topic_of(name, wanted)))
