"""Filters of clients on what a serializer makes of a field: what is sent is what counts, or it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any

import pydantic
import pytest
from linked import LinkedSocket, call, running
from pydantic import (
    Field,
    PlainSerializer,
    WrapSerializer,
    computed_field,
    field_serializer,
    model_serializer,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass

from ringcast import Actor, Context, action
from ringcast.errors import InvalidFilter
from ringcast.running.event_filters import event_fields
from ringcast.schema.definition import define
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Event, Reply
from ringcast.wire.topics import filter_of, topic_of


class Kind(Enum):
    WALK = "walk"


class Tone(StrEnum):
    LOUD = "loud"


AsText = Annotated[int, PlainSerializer(lambda value: f"n{value}", return_type=str)]
Untold = Annotated[int, PlainSerializer(lambda value: f"n{value}")]
Wrapped = Annotated[int, WrapSerializer(lambda value, write: [write(value)], return_type=list[int])]


class Moved(pydantic.BaseModel):
    id: AsText
    or_none: AsText | None = None
    untold: Untold = 1
    wrapped: Wrapped = 1
    zone: int = 1
    left_out: int | None = Field(None, exclude_if=lambda value: value is None)

    @field_serializer("zone")
    def _zone(self, value: int) -> str:
        return f"zone {value}"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def far(self) -> bool:
        return self.zone > 3

    @computed_field(alias="kindOf")  # type: ignore[prop-decorator]
    @property
    def kind(self) -> Kind | None:
        return Kind.WALK

    @computed_field  # type: ignore[prop-decorator]
    @property
    def trail(self) -> list[int]:
        return [1]


@pydantic_dataclass
class Hit:
    id: AsText

    @computed_field  # type: ignore[prop-decorator]
    @property
    def hard(self) -> bool:
        return True


class Own(pydantic.BaseModel):
    id: int

    @model_serializer
    def _own(self) -> dict[str, Any]:
        return {"other": self.id}


@dataclass
class Plain:
    """Written without pydantic, unless it is inside something that it serializes."""

    id: AsText
    _secret: int = 0


class Root(pydantic.RootModel[Plain]):
    pass


class OwnRoot(pydantic.RootModel[int]):
    @model_serializer
    def _own(self) -> dict[str, Any]:
        return {"other": self.root}


class Holds(pydantic.BaseModel):
    """Written as pydantic does it by itself, all but one."""

    model_config = pydantic.ConfigDict(use_enum_values=True)

    kind: Kind = Kind.WALK
    tone: Tone = Tone.LOUD
    path: Path = Path("/a")
    inside: Holds | None = None
    tags: set[str] = {"a"}
    some: Sequence[str] = ("a",)
    hidden: pydantic.SecretStr = pydantic.SecretStr("a")
    own: OwnRoot
    level: pydantic.RootModel[int]


class Ground(Actor):
    class Events:
        moved: Moved
        hit: Hit
        own: Own
        plain: Plain
        root: Root
        own_root: OwnRoot
        holds: Holds
        either: Hit | Own

    @action
    def send(self, c: Context) -> None:
        c.broadcast("moved", Moved(id=5))
        c.broadcast("hit", Hit(5))
        c.broadcast("plain", Plain(5))
        c.broadcast("root", Root(Plain(5, 7)))
        c.broadcast("holds", Holds(own=OwnRoot(1), level=pydantic.RootModel[int](2)))


MATCHING = [
    ("moved", {"id": "n5"}, {"id": "5"}),
    ("moved", {"id__prefix": "n"}, {"id__prefix": "m"}),
    ("moved", {"or_none__is": None}, {"or_none": "n1"}),
    ("moved", {"zone": "zone 1"}, {"zone": "zone 2"}),
    ("moved", {"far": False}, {"far": True}),
    ("moved", {"kindOf": "walk"}, {"kindOf__is": None}),
    ("moved", {"left_out__is": None}, {"left_out": 1}),
    ("hit", {"id": "n5", "hard": True}, {"hard": False}),
    ("plain", {"id": 5}, {"id": 6}),
    ("root", {"id": "n5", "_secret": 7}, {"id": "n6"}),
    ("holds", {"level": 2}, {"level": 3}),
    ("holds", {"kind": "walk", "tags__has": "a"}, {"tags__has": "b"}),
    ("holds", {"tone": "loud"}, {"tags__has": "b"}),
]


@pytest.mark.parametrize(("name", "wanted", "other"), MATCHING)
@pytest.mark.parametrize("encoding", Encoding)
async def test_what_is_sent_is_what_is_filtered(
    name: str, wanted: dict[str, Any], other: dict[str, Any], encoding: Encoding
) -> None:
    async with running(Ground) as router, LinkedSocket(router, encoding) as client:
        connected = await client.connect("ground", "a", events=(topic_of(name, wanted),))
        assert connected.refused_subscriptions == {}
        async with LinkedSocket(router, encoding) as second:
            connected = await second.connect("ground", "a", events=(topic_of(name, other),))
            assert connected.refused_subscriptions == {}
            await call(router, "ground", "a", "send")
            second.send(Call(1, "send", []))
            assert isinstance(await second.next(), Reply), "and nothing before it"
        assert (await client.receive(Event)).name == name


REFUSED = [
    ("moved", {"id": 5}, "attribute('id') == 5 never matches: Moved.id has the type str"),
    ("moved", {"or_none": 5}, "Moved.or_none has the type str | None"),
    ("moved", {"zone": 1}, "Moved.zone has the type str"),
    (
        "moved",
        {"untold": 1},
        "Moved.untold has the type unknown (a serializer does not tell it), which cannot",
    ),
    ("moved", {"wrapped": 1}, "Moved.wrapped has the type unknown"),
    ("moved", {"kindOf": "run"}, "Moved.kindOf has the type Kind | None, whose values are 'walk'"),
    ("moved", {"kind": "walk"}, "Moved has no field 'kind' (did you mean 'kindOf'?)"),
    ("moved", {"trail": 1}, "Moved.trail has the type unknown"),
    ("hit", {"id": 5}, "Hit.id has the type str"),
    ("own", {"id": 5}, "Own.id has the type unknown (Own serializes itself), which cannot be filtered"),
    ("own", {"other": 5}, "Own.other has the type unknown (Own serializes itself), which cannot be filtered"),
    ("plain", {"id": "n5"}, "Plain.id has the type int"),
    ("plain", {"_secret": 7}, "Plain has no field '_secret'"),
    ("root", {"id": 5}, "Plain.id has the type str"),
    ("own_root", {"root": 5}, "OwnRoot.root has the type unknown (OwnRoot serializes itself)"),
    ("holds", {"own": 5}, "Holds.own has the type unknown"),
    (
        "either",
        {"id": "n5"},
        "id has the type str | unknown (Own serializes itself), which cannot be filtered",
    ),
]


@pytest.mark.parametrize(("name", "wanted", "message"), REFUSED)
def test_what_would_never_match_is_refused_and_named(name: str, wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        event_fields(define(Ground), name).require(filter_of(topic_of(name, wanted)))
    assert message in caught.value.message
