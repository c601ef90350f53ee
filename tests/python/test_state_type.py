"""What a state may hold: it comes back from the store as it was, or is refused when it is written."""

from __future__ import annotations

import datetime as dt
import math
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from linked import call, running
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from ringcast import Actor, Context, MemoryStore, Registry, SqliteStore, action
from ringcast.errors import DefinitionError, InternalError
from ringcast.schema.state_type import StateType
from ringcast.wire.protocol import Connect


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: float


class Size(TypedDict):
    wide: float


@dataclass
class Inner:
    ratio: float = math.nan
    raw: bytes = b"\xff\x00"


@dataclass
class Circle:
    radius: float
    kind: Literal["circle"] = "circle"


@dataclass
class Square:
    side: float
    kind: Literal["square"] = "square"


class Model(BaseModel):
    x: float = 0.0
    limit: float | None = None


class OpenModel(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")
    x: float = 0.0


@dataclass
class Everything:
    number: float = -math.inf
    maybe: float | None = math.inf
    many: list[float] = field(default_factory=lambda: [math.nan, 1.5])
    by_float: dict[float, int] = field(default_factory=lambda: {math.inf: 1, 1.5: 2})
    anything: Any = math.nan
    inner: Inner = field(default_factory=Inner)
    inners: dict[int, Inner] = field(default_factory=lambda: {7: Inner(math.inf)})
    raw: bytes = b"\xfe"
    raw_keys: dict[bytes, int] = field(default_factory=lambda: {b"\xff": 1})
    price: Decimal = Decimal("1.10")
    when: dt.datetime = dt.datetime(2024, 2, 29, 12, 30, 15, 123456, dt.UTC)
    local: dt.datetime = dt.datetime(2024, 2, 29)
    zone: dt.datetime = dt.datetime(2024, 2, 29, tzinfo=dt.timezone(dt.timedelta(hours=-3)))
    day: dt.date = dt.date(2024, 2, 29)
    at: dt.time = dt.time(1, 2, 3, 4)
    lasts: dt.timedelta = dt.timedelta(days=3, microseconds=5)
    by_day: dict[dt.date, int] = field(default_factory=lambda: {dt.date(2024, 2, 29): 1})
    colour: Colour = Colour.RED
    level: Level = Level.HIGH
    by_colour: dict[Colour, int] = field(default_factory=lambda: {Colour.RED: 1})
    numbers: set[int] = field(default_factory=lambda: {3, 1, 2})
    words: frozenset[str] = frozenset({"b", "a", "größe"})
    pair: tuple[int, str] = (1, "a")
    row: tuple[int, ...] = (1, 2, 3)
    by_number: dict[int, list[str]] = field(default_factory=lambda: {1: ["a"]})
    by_flag: dict[bool, int] = field(default_factory=lambda: {True: 1})
    shape: Annotated[Circle | Square, Field(discriminator="kind")] = field(
        default_factory=lambda: Square(math.inf)
    )
    either: int | str = "1"
    id: uuid.UUID = field(default_factory=lambda: uuid.UUID(int=5))
    by_id: dict[uuid.UUID, int] = field(default_factory=lambda: {uuid.UUID(int=5): 1})
    point: Point = field(default_factory=lambda: Point(1, 2.0))
    size: Size = field(default_factory=lambda: Size(wide=1.5))
    model: OpenModel = field(default_factory=lambda: OpenModel(x=math.inf))
    large: int = 2**70


class Keeper(Actor[Everything]):
    @action
    def touch(self, c: Context[Everything]) -> str:
        return written(c.state)


def written(state: Any) -> str:
    """Return a state as text; times in equal zones look the same, and equal sets."""
    return (
        re.sub(r"\{([^{}:]*)\}", lambda found: f"{{{sorted(found[1].split(', '))}}}", repr(state))
        .replace("TzInfo(0)", "datetime.timezone.utc")
        .replace("TzInfo(-10800)", "datetime.timezone(datetime.timedelta(days=-1, seconds=75600))")
    )


async def test_everything_is_as_it_was_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        async with running(Keeper, store=SqliteStore(tmp_path / "kept.db")) as router:
            assert await call(router, "keeper", "a", "touch") == written(Everything())


# --- what is refused ----------------------------------------------------------------------------------------


@dataclass
class Bounded:
    level: Annotated[int, Field(ge=0)] = 0
    plain: int = 0
    tags: set[str] = field(default_factory=set)
    deep: dict[str, list[Inner]] = field(default_factory=dict)
    price: Decimal = Decimal(0)
    reset: int = field(init=False, default=3)
    model: Model = field(default_factory=Model)


def put(name: str, value: Any) -> Callable[[Any], None]:
    return lambda state: setattr(state, name, value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (put("level", -1), "level"),
        (put("plain", "many"), "plain"),
        (put("plain", None), "plain"),
        (put("plain", object()), "plain"),
        (put("deep", {"k": [Inner(), Inner(object())]}), "deep.k.1.ratio"),  # type: ignore[arg-type]
        (put("price", Decimal("NaN")), "price"),
        (put("reset", 4), "reset"),
        (put("model", Model(x=math.nan)), "model.x"),
        (put("model", Model(limit=math.inf)), "model.limit"),
    ],
)
def test_a_value_that_would_not_come_back_is_refused_by_its_name(
    change: Callable[[Any], None], named: str
) -> None:
    kind = StateType(Bounded, "Desk state")
    state = Bounded()
    kept = kind.dump_to_keep(state)
    state.plain = 1
    change(state)
    with pytest.raises(ValueError, match=rf"Desk state: {named}\b"):
        kind.dump_to_keep(state, kept)


def test_a_value_that_only_looks_wrong_is_taken() -> None:
    kind = StateType(Bounded, "Desk state")
    state = Bounded(plain=2.0, tags=["b", "a"])  # type: ignore[arg-type]
    again = kind.load(kind.dump_to_keep(state))
    assert (again.plain, again.tags) == (2, {"a", "b"})


@pytest.mark.parametrize(
    "key", [tuple[int, int], Point, frozenset[int], Inner, str | None, int | str, Model], ids=str
)
def test_keys_that_json_does_not_give_back_are_refused_when_the_class_is_registered(key: Any) -> None:
    board = make_dataclass("Board", [("cells", list[dict[key, int]], field(default_factory=list))])

    class Game(Actor[board]):  # type: ignore[valid-type]
        pass

    class Ordinary(Actor[None, board]):  # type: ignore[valid-type]
        pass

    class Durable(Actor[None, board]):  # type: ignore[valid-type]
        durable = True

    for actor in (Game, Durable):
        with pytest.raises(DefinitionError, match="cannot be read back"):
            Registry(actor, store=MemoryStore())
    # It is not kept.
    Registry(Ordinary, store=MemoryStore())


class Desk(Actor[Bounded]):
    def create_state(self, c: Context[Bounded], value: int) -> Bounded:
        return Bounded(level=value)

    @action
    async def set(self, c: Context[Bounded], value: int) -> str:
        c.state.level = value
        try:
            await c.save_state()
        except ValueError as error:
            c.state.level = 0
            return str(error)
        return "saved"


async def test_an_action_that_saves_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Desk) as router:
        with pytest.raises(InternalError):
            await router.call(_creating(-5), "set", [1])
        assert "level" in caplog.text
        assert await router.call(_creating(1), "set", [2]) == "saved"
        assert (await router.call(_creating(1), "set", [-1])).startswith("Desk state: level could not be")


def _creating(value: int) -> Connect:
    return Connect("desk", ("a",), input=value)
