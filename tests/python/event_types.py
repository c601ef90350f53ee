"""Types that the tests of declared events have as arguments: one of each kind."""

from __future__ import annotations

import datetime
from dataclasses import InitVar, dataclass, field
from enum import Enum, IntEnum, StrEnum
from typing import (
    Annotated,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    NotRequired,
    TypeVar,
)

import pydantic
from typing_extensions import TypedDict


@dataclass
class Place:
    x: float
    y: float = 0.0


@dataclass(slots=True)
class Move:
    player: str
    to: Place
    seen_by: list[str] = field(default_factory=list)


class FarMove(Move):
    pass


@dataclass
class Numbered:
    """Makes itself a number: a second instance would have another one."""

    made: ClassVar[int] = 0
    start: InitVar[int]
    number: int = field(init=False, default=0)

    def __post_init__(self, start: int) -> None:
        Numbered.made += 1
        self.number = start + Numbered.made


@dataclass
class Tree:
    name: str
    inside: list[Tree] = field(default_factory=list)


class Article(pydantic.BaseModel):
    title: str
    tags: list[str] = []


class Premium(Article):
    price: int


ItemT = TypeVar("ItemT")


class Page(pydantic.BaseModel, Generic[ItemT]):
    items: list[ItemT]


@pydantic.dataclasses.dataclass
class Checked:
    size: int


@pydantic.dataclasses.dataclass
class Weighed:
    kg: float


class Said(TypedDict):
    text: str
    type: NotRequired[Literal["loud", "quiet"]]


class Scored(TypedDict):
    points: int
    place: NotRequired[Place]
    seen: NotRequired[set[int]]
    rounds: NotRequired[list[int]]
    seconds: NotRequired[float]


class Table(TypedDict):
    scores: list[Scored]


@dataclass
class Played:
    best: Scored


class Lax(TypedDict):
    """Whose configuration would convert."""

    __pydantic_config__ = pydantic.ConfigDict(strict=False)  # type: ignore[misc]
    points: int


class Open(TypedDict):
    """Which may have more keys than it names."""

    __pydantic_config__ = pydantic.ConfigDict(extra="allow")  # type: ignore[misc]
    points: int


class Point(NamedTuple):
    x: int
    y: int


class Role(Enum):
    MEMBER = "member"
    ADMIN = "admin"


class Tone(StrEnum):
    LOUD = "loud"


class Size(IntEnum):
    BIG = 3


@dataclass
class Cat:
    kind: Literal["cat"]
    lives: int


@dataclass
class Dog:
    kind: Literal["dog"]
    name: str


Pet = Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
