"""A state that would come back as another type: refused when it is written, though its JSON is the same."""

from __future__ import annotations

import copy
import datetime as dt
import re
import uuid
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field, make_dataclass
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linked import LinkedSocket, call, running
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, SecretStr

from ringcast import Actor, Context, MemoryStore, action
from ringcast.schema.retyped import doubt_about
from ringcast.schema.state_type import StateType
from ringcast.wire.protocol import Call, Reply
from shown import shown

DAY = dt.date(2020, 1, 1)
ID = uuid.UUID(int=1)


@dataclass
class Deposit:
    amount: int = 0


@dataclass
class Withdrawal:
    amount: int = 0


@dataclass
class Circle:
    size: int = 0
    kind: Literal["circle"] = "circle"


@dataclass
class Square:
    size: int = 0
    kind: Literal["square"] = "square"


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int


class Cash(BaseModel):
    amount: int = 0


class Cheque(BaseModel):
    amount: int = 0


@dataclass
class Tree:
    value: bytes | str = ""
    below: list[Tree] = field(default_factory=list)


Shape = Annotated[Circle | Square, Field(discriminator="kind")]


def state_of(kind: Any, value: Any) -> tuple[StateType, Any]:
    """Return a type with one field of this kind, and a state of it."""
    cls = make_dataclass("Box", [("value", kind)])
    return StateType(cls, "Box state"), cls(value)


REFUSED: list[tuple[Any, Any, str]] = [
    (bytes | str, "test", "value .*bytes instead of str"),
    (dt.date | str, "2020-01-01", "value .*date instead of str"),
    (uuid.UUID | str, str(ID), "value .*UUID instead of str"),
    (Colour | str, Colour.RED, "value .*str instead of Colour"),
    (Level | int, Level.HIGH, "value .*int instead of Level"),
    (tuple[int, ...] | list[int], (1, 2), "value .*list instead of tuple"),
    (list[tuple[int, ...] | list[int]], [[], [1], (1,)], r"value\.2 .*list instead of tuple"),
    (list[list[int]] | list[tuple[int, ...]], [(1,)], r"value\.0 .*list instead of tuple"),
    (set[int] | list[int], {1}, "value .*list instead of set"),
    (Point | list[int], Point(1), "value .*list instead of Point"),
    (dict[int, int] | dict[str, int], {1: 2}, r"value\.1 .*str instead of int"),
    (list[Deposit | Withdrawal], [Deposit(7), Withdrawal(7)], r"value\.1 .*Deposit instead of Withdrawal"),
    (dict[str, Cash | Cheque], {"a": Cheque(amount=7)}, r"value\.a .*Cash instead of Cheque"),
    (Deposit | dict[str, int], {"amount": 7}, "value .*Deposit instead of dict"),
    (frozenset[bytes | str], frozenset({"test", "other?"}), "value .*bytes instead of str"),
    (tuple[int, bytes | str], (1, "test"), r"value\.1 .*bytes instead of str"),
    (deque[bytes | str], deque(["?", "test"]), r"value\.1 .*bytes instead of str"),
    (Tree, Tree("?", [Tree(b"abc"), Tree("test")]), r"value\.below\.1\.value .*bytes instead of str"),
    (Any, DAY, "value .*str instead of date"),
    (Any, {"a": [1, b"x"]}, r"value\.a\.1 .*str instead of bytes"),
    (Any, [Deposit(1)], r"value\.0 .*dict instead of Deposit"),
    (Any, Decimal(1), "value .*str instead of Decimal"),
    (dict, {1: 2, "1": 3}, "value"),  # type: ignore[type-arg]
    (Shape, Circle(7, "square"), "value .*Square instead of Circle"),  # type: ignore[arg-type]
]

TAKEN: list[tuple[Any, Any]] = [
    (bytes | str, b"test"),
    (bytes | str, "what?"),
    (dt.date | str, DAY),
    (dt.date | str, "today"),
    (uuid.UUID | str, ID),
    (Colour | str, "red"),
    (tuple[int, ...] | list[int], [1, 2]),
    (list[int] | list[str], ["a"]),
    (dict[int, int] | dict[str, int], {"a": 2}),
    (list[Deposit | Withdrawal], [Deposit(7)]),
    (list[Shape], [Circle(7), Square(7)]),
    (list[Circle | Square], [Square(7), Circle(7)]),
    (Circle | dict[str, int] | None, None),
    (set[bytes | str], {b"abc", "what?", "?"}),
    (set[tuple[str, bytes | str]], {("a", b"abc"), ("b", "?")}),
    (Tree, Tree("?", [Tree(b"abc")])),
    (Any, {"a": [1, 2.5, None, True, "x", {"b": []}]}),
    (Any, float("nan")),
    (defaultdict[str, int], defaultdict(int, a=1)),
]


@pytest.mark.parametrize(("kind", "value", "named"), REFUSED, ids=shown)
def test_a_value_that_would_come_back_as_another_is_refused_by_its_name(
    kind: Any, value: Any, named: str
) -> None:
    states, state = state_of(kind, value)
    with pytest.raises(ValueError, match=f"^Box state: {named}"):
        states.dump_to_keep(state)


@pytest.mark.parametrize(("kind", "value"), TAKEN, ids=shown)
def test_a_value_that_comes_back_is_taken(kind: Any, value: Any) -> None:
    states, state = state_of(kind, value)
    again = states.load(states.dump_to_keep(state)).value
    assert type(again) is type(value)
    if isinstance(value, set):
        assert (again, Counter(map(type, again))) == (value, Counter(map(type, value)))
    else:
        assert repr(again) == repr(value)


def test_another_value_with_the_json_that_is_kept_is_refused_too() -> None:
    states, state = state_of(bytes | str, b"abc")
    kept = states.dump_to_keep(state)
    state.value = "YWJj"
    with pytest.raises(ValueError, match="value would be another one"):
        states.dump_to_keep(state, kept)


# --- derived classes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [Deposit, Cash])
@pytest.mark.parametrize("more", [{}, {"reason": ""}], ids=["nothing more", "an attribute more"])
def test_an_object_of_a_derived_class_is_refused(base: type[Any], more: dict[str, str]) -> None:
    class Base(base):  # type: ignore[misc]
        pass

    states, state = state_of(dict[str, list[Base]], {"a": [Base(amount=1)]})
    kept = states.dump_to_keep(state)

    derived = type("Derived", (Base,), {"__annotations__": dict.fromkeys(more, str), **more})
    assert states.dump_to_keep(state, kept) == kept
    state.value["a"][0] = derived(amount=1)
    with pytest.raises(ValueError, match=r"value\.a\.0 .*Base instead of .*Derived"):
        states.dump_to_keep(state, kept)


# --- what is taken all the same -----------------------------------------------------------------------------


def test_what_json_does_not_know_becomes_what_it_knows_in_a_field_without_a_type() -> None:
    states, state = state_of(Any, {"pair": (1, 2), "set": {3}, "by_number": {1: "a"}})
    again = states.load(states.dump_to_keep(state))
    assert again.value == {"pair": [1, 2], "set": [3], "by_number": {"1": "a"}}


@pytest.mark.parametrize(
    ("kind", "value", "again"),
    [
        (dt.date, "2020-01-01", DAY),
        (Deposit, {"amount": 1}, Deposit(1)),
        (set[int], [1, 2], {1, 2}),
        (float, 2, 2.0),
        (int, Level.HIGH, 3),
        (dict[str, int], Counter("a"), {"a": 1}),
    ],
    ids=shown,
)
def test_a_value_that_is_not_of_its_type_becomes_what_its_type_makes_of_it(
    kind: Any, value: Any, again: Any
) -> None:
    states, state = state_of(kind, value)
    found = states.load(states.dump_to_keep(state)).value
    assert (found, type(found)) == (again, type(again))


def test_where_members_look_alike_it_has_to_be_of_its_type() -> None:
    cls = make_dataclass("Box", [("value", bytes | str), ("tags", set[int]), ("ratio", float)])
    states = StateType(cls, "Box state")
    assert states.load(states.dump_to_keep(cls(b"", {1}, 2))) == cls(b"", {1}, 2.0)
    with pytest.raises(ValueError, match=r"tags would be another one .*set instead of list"):
        states.dump_to_keep(cls(b"", [1], 2.0))


class Masked(BaseModel):
    model_config = ConfigDict(extra="allow")
    either: bytes | str = b""
    secret: SecretStr = SecretStr("")
    cache: Annotated[Any, Field(exclude=True)] = None
    token: Annotated[Decimal | None, PlainSerializer(lambda value: None)] = None
    named: bytes | str = Field(b"", alias="called", serialization_alias="said")


def test_what_a_serializer_leaves_out_is_no_other_value() -> None:
    states = StateType(Masked, "Masked state")
    state = Masked(secret=SecretStr("x"), cache=DAY, token=Decimal(1), more=[1, "a"])
    again = states.load(states.dump_to_keep(state))
    assert (again.cache, again.token, again.more) == (None, None, [1, "a"])
    state.either = "test"
    with pytest.raises(ValueError, match="either would be another one"):
        states.dump_to_keep(state)


def test_bytes_in_a_model_that_are_no_text_are_refused() -> None:
    class Raw(BaseModel):
        raw: bytes = b""

    class Open(Raw):
        model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    states = StateType(Open, "Open state")
    assert states.load(states.dump_to_keep(Open(raw=b"\xff>?"))) == Open(raw=b"\xff>?")
    states = StateType(Raw, "Raw state")
    assert states.load(states.dump_to_keep(Raw(raw=b"text"))) == Raw(raw=b"text")
    with pytest.raises(ValueError, match=r"Raw state: .*cannot be written as JSON"):
        states.dump_to_keep(Raw(raw=b"\xff"))


# --- which types it can happen to ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "is_present", "is_open"),
    [
        (int | str | None, False, False),
        (int | float | bool, False, False),
        (list[Circle] | int, False, False),
        (Literal["a"] | str, False, False),
        (dict[str, list[Circle | None]], False, False),
        (Shape, False, True),
        (Any, False, True),
        (list, False, True),
        (Circle | Square, True, False),
        (bytes | str, True, False),
        (Literal["a"] | bytes, True, False),
        (Colour | str, True, False),
        (list[int] | tuple[int], True, False),
        (Any | int, True, True),
        (Tree, True, False),
    ],
    ids=shown,
)
def test_other_types_are_not_looked_at(kind: Any, is_present: bool, is_open: bool) -> None:
    states, _ = state_of(kind, None)
    assert states._adapter is not None
    doubt = doubt_about(states._adapter.core_schema)
    assert (doubt.is_present(), doubt.is_open) == (is_present, is_open)


# --- any state ----------------------------------------------------------------------------------------------

texts = st.one_of(
    st.text(max_size=8), st.text("YWJj", max_size=8), st.sampled_from(["2020-01-01", str(ID), "red", "NaN"])
)
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True), texts, st.binary(max_size=6)
) | st.sampled_from([DAY, ID, Colour.RED, Deposit(1), Withdrawal(1), Circle(1), Square(1)])


@dataclass
class Mixed:
    one: bool | int | float | bytes | str | dt.date | uuid.UUID | Colour | Deposit | Withdrawal | Shape | None
    many: list[int | str | bytes | tuple[str, ...] | list[str]]
    by_key: dict[str, int] | dict[int, int]
    chosen: set[bytes | str]


@given(
    values,
    st.lists(st.integers() | texts | st.binary(max_size=6) | st.lists(texts) | st.tuples(texts, texts)),
    st.dictionaries(st.text("12a", max_size=2), st.integers())
    | st.dictionaries(st.integers(), st.integers()),
    st.sets(texts | st.binary(max_size=6), max_size=3),
)
def test_whatever_it_is_comes_back_as_it_was_or_is_refused(
    one: Any, many: list[Any], by_key: dict[Any, int], chosen: set[Any]
) -> None:
    states, state = StateType(Mixed, "Mixed state"), Mixed(one, many, by_key, chosen)
    try:
        written = states.dump_to_keep(state)
    except ValueError as error:
        assert re.match(r"Mixed state: (one|many|by_key|chosen)\b", str(error))
        return
    again = states.load(written)
    assert repr([again.one, again.many, again.by_key]) == repr([one, many, by_key])
    assert sorted(map(repr, again.chosen)) == sorted(map(repr, chosen))


# --- an actor -----------------------------------------------------------------------------------------------


@dataclass
class Book:
    entries: list[Deposit | Withdrawal] = field(default_factory=list)


class Bank(Actor[None, Book]):
    durable = True

    @action
    def put(self, c: Context[None, Book]) -> int:
        c.conn.state.entries += [Deposit(100), Withdrawal(30)]
        return len(c.conn.state.entries)

    @action
    def count(self, c: Context[None, Book]) -> list[int]:
        return [len(conn.state.entries) for conn in c.conns]


async def test_the_log_names_the_field_of_a_connection_state(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    async with running(Bank, store=store) as router, LinkedSocket(router) as client:
        await client.connect("bank", "a")
        client.send(Call(1, "put", []))
        assert await client.receive(Reply) == Reply(1, 2)
        crashed = copy.deepcopy(store)
    assert "entries.1 would be another one when it is read back: Deposit instead of Withdrawal" in caplog.text
    async with running(Bank, store=crashed) as router:
        assert await call(router, "bank", "a", "count") == [0]
