"""To find a connection by a field is an access to its state only where code could change the state by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pydantic
import pytest

from ringcast import Actor, Context, where
from ringcast.connection import Connection
from ringcast.testing import LocalServer


class Role(Enum):
    ADMIN = "admin"


@dataclass
class Data:
    name: str = "ann"
    role: Role = Role.ADMIN
    place: tuple[int, int] = (1, 2)
    tags: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Slots:
    name: str = "ann"
    role: Role = Role.ADMIN
    place: tuple[int, int] = (1, 2)
    tags: set[str] = field(default_factory=set)


class Model(pydantic.BaseModel):
    name: str = "ann"
    role: Role = Role.ADMIN
    place: tuple[int, int] = (1, 2)
    tags: set[str] = set()


class Object:
    def __init__(self) -> None:
        self.name, self.role, self.place, self.tags = "ann", Role.ADMIN, (1, 2), set[str]()


def as_dict() -> dict[str, Any]:
    return dict(vars(Object()))


class Expiring(Object):
    """Forgets the tags by being asked for something that looks like a field."""

    @property
    def level(self) -> int:
        self.tags.clear()
        return 3


class Computing(Object):
    def __getattr__(self, name: str) -> Any:
        self.tags.clear()
        return 3


class Counting(Object):
    def __getattribute__(self, name: str) -> Any:
        found: Any = object.__getattribute__(self, name) if name != "level" else 3
        if name == "level":
            self.tags.clear()
        return found


class Grown(Model):
    @property
    def level(self) -> int:
        self.tags.clear()
        return 3


class Keeper:
    """A value that keeps what it is compared with."""

    got: Any = None

    def __eq__(self, other: object) -> bool:
        self.got = other
        return False

    __hash__ = None  # type: ignore[assignment]


class Room(Actor[None, Any]):
    kind: Callable[[], Any]

    def create_conn_state(self, c: Context) -> Any:
        return type(self).kind()


async def room_of(server: LocalServer, kind: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(Room, "kind", staticmethod(kind), raising=False)
    await server.connect(Room, "a")
    return server.actor(Room, "a")


@pytest.mark.parametrize("kind", [Data, Slots, Model, Object, as_dict])
async def test_of_plain_fields_it_is_none(kind: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async with LocalServer(Room) as server:
        room = await room_of(server, kind, monkeypatch)
        accessed: list[Connection[Any]] = []

        def touch(connection: Connection[Any]) -> None:
            accessed.append(connection)

        monkeypatch.setattr(Connection, "_touch", touch)
        assert room.conns.find(name="ann", role=Role.ADMIN, place=(1, 2)) is not None
        assert room.conns.find(role="admin") is None, "the member is not its value"
        assert not accessed
        assert room.conns.find(tags=set()) is not None
        assert len(accessed) == 1, "whoever it is compared with could change a set"


@pytest.mark.parametrize("kind", [Expiring, Computing, Counting, Grown])
async def test_what_a_field_changes_that_is_worked_out_filters_see(
    kind: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LocalServer(Room) as server:
        room = await room_of(server, kind, monkeypatch)
        [connection] = room.conns
        connection.state.tags.add("vip")
        assert len(room.conns.where(tags__has="vip")) == 1
        assert room.conns.find(level=3) is connection
        assert len(room.conns.where(tags__has="vip")) == 0


async def test_what_is_changed_by_the_value_that_it_is_compared_with_filters_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with LocalServer(Room) as server:
        room = await room_of(server, Data, monkeypatch)
        value = Keeper()
        vips = where(tags__has="vip")
        assert len(room.conns.where(vips)) == 0
        assert room.conns.find(tags=value) is None
        # After a filter that was used meanwhile, too.
        assert len(room.conns.where(vips)) == 0
        value.got.add("vip")
        assert len(room.conns.where(vips)) == 1
