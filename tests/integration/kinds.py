"""Actors with every kind of annotation, whose generated types are in `kinds.d.ts`.

`Kinds` gives and takes one value of each kind; `Shop` is what an author would write.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, RootModel, computed_field
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypeAliasType, TypedDict

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action

ItemT = TypeVar("ItemT")


class Colour(Enum):
    """What it looks like: `*/` is no end here."""

    red = "red"
    green = "green"


class Rank(IntEnum):
    first = 1
    second = 2


class Rights(IntFlag):
    read = 1
    write = 2


@dataclass
class Item:
    """A thing to buy."""

    id: str
    price: Decimal
    """In euros."""
    colour: Colour = Colour.red
    tags: set[str] = field(default_factory=set)
    made: dt.datetime | None = None


class Stock:
    """Only a namespace, with a class of a name that another one has."""

    @dataclass
    class Item:
        shelf: int


@dataclass
class Page(Generic[ItemT]):
    items: list[ItemT]
    more: bool = False


@dataclass
class Tree:
    name: str
    branches: list[Tree] = field(default_factory=list)


@dataclass
class Empty:
    pass


@dataclass
class Record:
    """TypeScript has a type of this name, too."""

    number: int


class Options(TypedDict):
    """Some may be absent."""

    size: int
    label: NotRequired[str]


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Order(BaseModel):
    """Sent under other names than its own."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    number: int = Field(alias="orderNumber")
    """Counts from 1."""
    wait: dt.timedelta = dt.timedelta()
    secret: str = Field(default="s", exclude=True)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return 2 * self.number


@pydantic_dataclass
class Badge:
    """A dataclass of pydantic's: it says itself what is sent of it, and so of what is inside."""

    number: int = Field(alias="badgeNumber")
    secret: str = Field(default="s", exclude=True)
    inside: Item | None = None


@dataclass
class Held:
    """Its underscore is for nobody; a dataclass of pydantic's inside says for itself what is sent."""

    badge: Badge
    _password: str = "p"


class Day(BaseModel):
    """Is sent as something that it does not take."""

    day: Annotated[dt.date, PlainSerializer(lambda value: value.year, return_type=int)]


@dataclass
class PlainDay:
    """The same on a dataclass, where it changes nothing."""

    day: Annotated[dt.date, PlainSerializer(lambda value: value.year, return_type=int)]


class Card(BaseModel):
    method: Literal["card"] = "card"
    digits: str


class Cash(BaseModel):
    method: Literal["cash"] = "cash"


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")

    known: int


class Numbers(RootModel[list[int]]):
    pass


UserId = NewType("UserId", str)
Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | str | int | None")
Payment = Annotated[Card | Cash, Field(discriminator="method")]

KINDS: dict[str, tuple[Any, Any]] = {
    "text": (str, "x"),
    "whole": (int, 3),
    "number": (float, 1.5),
    "truth": (bool, True),
    "nothing": (None, None),
    "optional": (int | None, None),
    "truth_or_none": (bool | None, True),
    "union": (int | str | list[str], ["a"]),
    "literal": (Literal["a", 1, True, None], "a"),
    "literal_of_both": (Literal[1, Rank.first, "a"], 1),
    "enum": (Colour, Colour.green),
    "int_enum": (Rank, Rank.second),
    "flag": (Rights, Rights.read | Rights.write),
    "new_type": (UserId, UserId("u")),
    "limited": (Annotated[int, Field(ge=1, le=9)], 5),
    "list": (list[Item], [Item("1", Decimal("1.10"), made=dt.datetime(2024, 5, 6, tzinfo=dt.UTC))]),
    "sequence": (Sequence[int], [1]),
    "set": (set[str], {"a"}),
    "frozen_set": (frozenset[int], frozenset({1})),
    "deque": (deque[int], deque([1])),
    "pair": (tuple[int, str], (1, "a")),
    "several": (tuple[int, ...], (1, 2)),
    "no_tuple": (tuple[()], ()),
    "named_tuple": (Point, Point(1, 2)),
    "dict": (dict[str, list[int]], {"a": [1]}),
    "int_keys": (dict[int, str], {1: "a"}),
    "enum_keys": (dict[Colour, int], {Colour.red: 1}),
    "literal_keys": (dict[Literal["a", "b"], int], {"b": 1}),
    "date_time": (dt.datetime, dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)),
    "date": (dt.date, dt.date(2024, 5, 6)),
    "time": (dt.time, dt.time(7, 8, 9)),
    "time_delta": (dt.timedelta, dt.timedelta(seconds=90)),
    "uuid": (UUID, UUID(int=5)),
    "decimal": (Decimal, Decimal("1.10")),
    "path": (Path, Path("/a")),
    "bytes": (bytes, b"text"),
    "list_of_bytes": (list[bytes], [b"text"]),
    "data": (Item, Item("1", Decimal("2"), Colour.green, {"a"})),
    "other_item": (Stock.Item, Stock.Item(3)),
    "generic": (Page[Item], Page([Item("1", Decimal("2"))])),
    "generic_of_text": (Page[str], Page(["a"], more=True)),
    "tree": (Tree, Tree("a", [Tree("b")])),
    "empty": (Empty, Empty()),
    "record": (Record, Record(4)),
    "typed_dict": (Options, {"size": 1}),
    "model": (Order, Order(orderNumber=2, wait=dt.timedelta(seconds=1))),
    "dataclass_of_pydantic": (Badge, Badge(badgeNumber=2)),
    "held": (Held, Held(Badge(badgeNumber=2))),
    "model_of_its_own_mind": (Day, Day(day=dt.date(2024, 5, 6))),
    "plain_day": (PlainDay, PlainDay(dt.date(2024, 5, 6))),
    "choice": (Payment, Card(digits="12")),
    "loose": (Loose, Loose.model_validate({"known": 1, "more": "x"})),
    "root": (Numbers, Numbers([1, 2])),
    "recursive": (Json, {"a": [1, {"b": None}]}),
    "anything": (Any, {"a": 1}),
}
"""By name: a type, and a value of it."""


class KindsBase(Actor[None, None]):
    """Gives and takes a value of each kind, and sends each as an event when it is given."""


def _give(name: str, annotation: Any, value: Any) -> Callable[..., Any]:
    def give(self: Actor[Any, Any], c: Context[Any, Any]) -> Any:
        c.broadcast(name, *([] if value is None and annotation is None else [value]))
        return value

    give.__annotations__ = {"return": annotation}
    give.__name__ = f"give_{name}"
    return action(give)


def _take(name: str, annotation: Any) -> Callable[..., Any]:
    def take(self: Actor[Any, Any], c: Context[Any, Any], value: Any) -> None:
        pass

    take.__annotations__ = {"value": annotation, "return": None}
    take.__name__ = f"take_{name}"
    return action(take)


Kinds = type(
    "Kinds",
    (KindsBase,),
    {
        "__doc__": KindsBase.__doc__,
        **{f"give_{name}": _give(name, *kind) for name, kind in KINDS.items()},
        **{f"take_{name}": _take(name, annotation) for name, (annotation, _) in KINDS.items()},
        "Events": type("Events", (), {"__annotations__": {name: kind[0] for name, kind in KINDS.items()}}),
    },
)


@dataclass
class Customer:
    name: str
    vip: bool = False


@dataclass
class Goods:
    title: str
    items: list[Item] = field(default_factory=list)


class Selling(Actor[Goods, Customer], Generic[ItemT]):
    """What is sold is for a class that derives from this to say."""

    class Events:
        closed: None

    @action
    def sell(self, c: Context[Goods, Customer], thing: ItemT, copies: int = 1) -> list[ItemT]:
        """Sell it so many times.

        Nobody hears of it.
        """
        return [thing] * min(copies, 100)


class Shop(Selling[Item]):
    """One shop."""

    class Events(Selling.Events):
        sold: Item

        def moved(self, x: float, y: float, by: str | None) -> None:
            """Where to, and who did it."""

    def create_state(self, c: Context[Goods, Customer], input: Goods) -> Goods:
        return input

    def snapshot(self, c: Context[Goods, Customer]) -> Goods:
        return c.state

    @action
    async def new(self, c: Context[Goods, Customer], default: str, *, loud: bool = False) -> None:
        """Names that TypeScript has for itself, and an argument that no client can give."""

    @action
    def find(self, c: Context[Goods, Customer], *words: str) -> Item | None:
        return next((item for item in c.state.items if item.id in words), None)

    @action
    def list_some(
        self,
        c: Context[Goods, Customer],
        first: int = 0,
        colour: Colour | None = None,
        most: int = 10,
        last: str | None = None,
    ) -> list[Any]:
        """What is left out in the middle of its arguments is null, where that means the same."""
        return [first, colour, most, last]

    @action
    def unannotated(self, c, a, b=None):  # type: ignore[no-untyped-def]
        return [a, b]


class Silent(Actor[None, None]):
    """Declares no events, and takes what it is given."""

    @action
    def say(self, c: Context[None, None], text: str) -> None:
        c.broadcast("said", text)


class Idle(Actor[None, None]):
    """Has nothing to call, and nothing to listen for."""

    class Events:
        pass


class Camera(Actor[None, None], msgpack_only=True):
    class Events:
        frame: bytes

    @action
    def shoot(self, c: Context[None, None], picture: bytes) -> None:
        c.broadcast("frame", picture)


registry = Registry(Kinds, Shop, Silent, Idle, Camera, store=MemoryStore(), config=ServerConfig(docs=True))
