"""An actor whose events its clients filter, and those clients, for the tests of listening with a filter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import pydantic
import pytest
from linked import LinkedSocket, call, resume_from, running
from typing_extensions import TypedDict

from ringcast import Actor, Context, MemoryStore, action, where
from ringcast.errors import UserError
from ringcast.router import Router
from ringcast.store import Store
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connected, Error, Event, Reply, Subscribe, Unsubscribe
from ringcast.wire.topics import topic_of


class Kind(Enum):
    WALK = "walk"
    RUN = "run"


@dataclass
class Moved:
    zone: int = 0
    name: str | None = None
    kind: Kind = Kind.WALK
    tags: set[str] = field(default_factory=set)
    trail: list[int] = field(default_factory=list)
    _secret: int = 0


class Hit(pydantic.BaseModel):
    target_id: int = pydantic.Field(alias="targetId")
    note: str = pydantic.Field("", exclude=True)


class Point(NamedTuple):
    x: int


class Said(TypedDict, total=False):
    room: str


@dataclass
class Player:
    team: str = "red"


def _typed(event: dict[str, Any]) -> dict[str, Any]:
    """Return the values of an event that JSON has other forms for."""
    return {"kind": Kind(event.get("kind", "walk")), "tags": set(event.get("tags", ()))}


class World(Actor[None, Player]):
    """Sends what its tests tell it to."""

    class Events:
        moved: Moved
        hit: Hit
        said: Said
        either: Moved | Said
        anything: Any
        by_key: dict[str, int]
        point: Point
        count: int
        nothing: None
        secret: Moved

        raises: Moved

        def shot(self, shooter: Moved, at: int) -> None: ...
        def quiet(self) -> None: ...

    asked: list[str]

    def on_start(self) -> None:
        self.asked = []

    def can_subscribe(self, c: Context[None, Player], name: str) -> bool:
        self.asked.append(name)
        if name == "raises":
            raise UserError("no", code="not_you")
        return name != "secret"

    @action
    def names_asked(self, c: Context[None, Player]) -> list[str]:
        return self.asked

    @action
    def send(self, c: Context[None, Player], events: list[dict[str, Any]]) -> None:
        for event in events:
            name = event.pop("event", "moved")
            only, exclude, team = event.pop("only", None), event.pop("exclude", ()), event.pop("team", None)
            value = event if name == "said" else Moved(**{**event, **_typed(event)})
            if only is not None:
                next(conn for conn in c.conns if conn.id == only).send(name, value)
            else:
                left_out = [conn for conn in c.conns if conn.id in exclude]
                wanted = None if team is None else where(team=team)
                c.broadcast(name, value, exclude=left_out, where=wanted)


class DurableWorld(World):
    durable = True


class Small(World, max_ring_events=4):
    pass


class DurableSmall(World, max_ring_events=4):
    durable = True


class Undeclared(Actor):
    pass


KINDS = pytest.mark.parametrize("kind", [World, DurableWorld], ids=["ordinary", "durable"])
SMALL = pytest.mark.parametrize("kind", [Small, DurableSmall], ids=["ordinary", "durable"])


class Guest:
    """One client, on the level of messages."""

    def __init__(self, router: Router, kind: type[Actor[Any, Any]], encoding: Encoding) -> None:
        self._router = router
        self._actor = kind.__name__
        self.encoding = encoding
        self.socket = LinkedSocket(router, encoding)
        self.answer: Connected | None = None
        self.position = 0
        self.id = 0

    async def connect(self, *topics: str, team: str = "red") -> Connected:
        self.answer = await self.socket.connect(self._actor, "x", params={"team": team}, events=topics)
        self.position = self.answer.offset
        return self.answer

    async def come_back(self, *topics: str) -> Connected:
        assert self.answer is not None
        self.socket.lose()
        self.socket = LinkedSocket(self._router, self.encoding)
        resume = resume_from(self.answer, self.position)
        self.answer = await self.socket.connect(self._actor, "x", resume=resume, events=topics)
        self.position = self.answer.offset
        return self.answer

    async def ask(self, kind: type[Subscribe | Unsubscribe], topic: str) -> str | None:
        """Return the code of the error that it is refused with, if it is; events from before are dropped."""
        self.id += 1
        self.socket.send(kind(self.id, topic))
        answer = await self.socket.next()
        while isinstance(answer, Event):
            answer = await self.socket.next()
        assert isinstance(answer, Reply | Error)
        assert answer.id == self.id
        return None if isinstance(answer, Reply) else answer.error["code"]

    async def got(self) -> list[int]:
        """Return the offsets of the events that have come by now."""
        self.id += 1
        self.socket.send(Call(self.id, "send", [[]]))
        offsets = []
        while isinstance(event := await self.socket.next(), Event):
            offsets.append(event.offset)
        assert isinstance(event, Reply), event
        self.position = max([self.position, *offsets])
        return offsets


@dataclass
class Place:
    router: Router
    kind: type[World]
    guests: list[Guest] = field(default_factory=list)

    async def guest(self, *topics: str, team: str = "red") -> Guest:
        guest = Guest(self.router, self.kind, list(Encoding)[len(self.guests) % 2])
        self.guests.append(guest)
        await guest.connect(*topics, team=team)
        return guest

    async def send(self, *events: dict[str, Any]) -> None:
        await call(self.router, self.kind.__name__, "x", "send", list(events))


@asynccontextmanager
async def place(kind: type[World], store: Store | None = None, **limits: Any) -> AsyncIterator[Place]:
    async with running(kind, store=store or MemoryStore(), **limits) as router:
        made = Place(router, kind)
        try:
            yield made
        finally:
            for guest in made.guests:
                guest.socket.lose()


def zone(number: int) -> str:
    return topic_of("moved", {"zone": number})
