"""The model of what a registry offers: names of types, parameters, and what stands as unknown."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Generic, TypeVar

import pydantic
import pytest

from ringcast import Actor, Context, MemoryStore, Registry, action
from ringcast.describe import Interface, interface_of, typescript

T = TypeVar("T")


def described(*actors: Any) -> Interface:
    return interface_of(Registry(*actors, store=MemoryStore()))


def declared(interface: Interface) -> str:
    return typescript(interface, "a test")


@dataclass
class Item:
    number: int
    more: int = 0


@dataclass
class ItemInput:
    """Has the name that another one gets when it is sent."""

    text: str


@dataclass
class Box(Generic[T]):
    inside: T


def module_with_an_item(name: str) -> Any:
    """Return a class `Item` of a module of its own."""
    module = ModuleType(name)
    sys.modules[name] = module
    exec("from dataclasses import dataclass\n@dataclass\nclass Item:\n    shelf: str\n", vars(module))
    return module


def test_equal_names_of_two_modules_are_kept_apart() -> None:
    other = module_with_an_item("shop_of_test_describe")

    class Room(Actor[None, None]):
        @action
        def give(self, c: Context[None, None], own: Item) -> Any: ...

    Room.give.__annotations__["return"] = other.Item
    interface = described(Room)
    assert sorted(interface.types) == ["ShopOfTestDescribeItem", "TestDescribeItem"]
    assert "give(own: TestDescribeItem): ShopOfTestDescribeItem;" in declared(interface)
    del sys.modules["shop_of_test_describe"]


def test_a_name_is_never_given_twice() -> None:
    class Room(Actor[None, None]):
        @action
        def swap(self, c: Context[None, None], item: Item, other: ItemInput) -> Item: ...

        @action
        def pack(self, c: Context[None, None], item: Box[Item]) -> Box[list[str]]: ...

    text = declared(described(Room))
    assert "swap(item: ItemInput2, other: ItemInput): Item;" in text
    assert "pack(item: BoxItem): BoxListStr;" in text
    assert text.count("export interface ItemInput ") == 1


def test_names_that_mean_something_else_are_changed() -> None:
    never = type("never", (pydantic.BaseModel,), {"__annotations__": {"x": int}, "__module__": __name__})

    class Room(Actor[None, None]):
        @action
        def give(self, c: Context[None, None]) -> Any: ...

    Room.give.__annotations__["return"] = never
    assert "give(): never2;" in declared(described(Room))


@pytest.mark.parametrize("name", ["Uint8Array", "enum", "keyof", "Registry"])
def test_no_type_has_the_name_of_one_of_typescripts(name: str) -> None:
    cls = type(name, (pydantic.BaseModel,), {"__annotations__": {"x": int}, "__module__": __name__})

    class Room(Actor[None, None]):
        @action
        def give(self, c: Context[None, None]) -> Any: ...

    Room.give.__annotations__["return"] = cls
    assert f"give(): {name}2;" in declared(described(Room))


def test_a_record_is_the_authors_and_not_typescripts() -> None:
    class Room(Actor[None, None]):
        """Without actions, and with an object that has no fields."""

        def on_before_connect(self, c: Context[None, None], params: Any) -> None: ...

        def snapshot(self, c: Context[None, None]) -> Any: ...

    Room.on_before_connect.__annotations__["params"] = pydantic.create_model("Empty")
    Room.snapshot.__annotations__["return"] = pydantic.create_model("Record", x=int)
    text = declared(described(Room))
    assert "snapshot: Record;" in text
    assert "Record<" not in text


@dataclass
class Needs:
    user: str


@dataclass
class NeedsNothing:
    user: str = "nobody"


class TakesState(Actor[None, Needs]):
    pass


class TakesOptionalState(Actor[None, NeedsNothing]):
    pass


class TakesBoth(Actor[None, NeedsNothing]):
    def on_before_connect(self, c: Context[None, NeedsNothing], params: Needs) -> None: ...


class TakesItTwice(Actor[None, Needs]):
    def on_before_connect(self, c: Context[None, Needs], params: Needs) -> None: ...

    def create_conn_state(self, c: Context[None, Needs], params: Needs) -> Needs:
        return params


class TakesAnything(Actor[None, None]):
    def on_before_connect(self, c, params):  # type: ignore[no-untyped-def]
        pass


class MayTakeNone(Actor[None, None]):
    def on_before_connect(self, c: Context[None, None], params: Needs | None) -> None: ...


class TakesNone(Actor[None, None]):
    def on_before_connect(self, c: Context[None, None]) -> None: ...


@pytest.mark.parametrize(
    ("actor", "params"),
    [
        (TakesState, "Needs"),
        (TakesOptionalState, "NeedsNothing | undefined"),
        (TakesBoth, "Needs & NeedsNothing"),
        (TakesItTwice, "Needs"),
        (TakesAnything, "unknown | undefined"),
        (MayTakeNone, "Needs | null | undefined"),
        (TakesNone, None),
    ],
)
def test_parameters_are_those_of_the_hooks_and_of_the_state(actor: type, params: str | None) -> None:
    text = declared(described(actor))
    if params is None:
        assert "params" not in text
    else:
        assert f"    params: {params};\n" in text


class Opaque:
    """Nothing that could be sent."""


def test_what_has_no_json_stands_as_unknown_and_is_remarked() -> None:
    class Room(Actor[None, None]):
        @action
        def give(self, c: Context[None, None]) -> Opaque: ...

        @action
        def give_list(self, c: Context[None, None]) -> list[Opaque]: ...

    interface = described(Room)
    [remark] = interface.remarks
    assert "Opaque" in remark
    assert "unknown" in remark
    text = declared(interface)
    assert "give(): unknown;" in text
    assert "giveList(): unknown[];" in text


def test_hidden_fields_are_taken_and_not_given() -> None:
    @dataclass
    class Half:
        shown: int
        _hidden: int = 0

    class Room(Actor[None, None]):
        @action
        def swap(self, c: Context[None, None], half: Half) -> Half: ...

    interface = described(Room)
    assert list(interface.types["Half"]["properties"]) == ["shown"]
    assert list(interface.types["HalfInput"]["properties"]) == ["shown", "_hidden"]


def test_long_signatures_are_broken() -> None:
    class Room(Actor[None, None]):
        @action
        def tell(
            self,
            c: Context[None, None],
            first_argument: list[str],
            second_argument: dict[str, list[int]],
            third: list[tuple[str, int]],
        ) -> None: ...

    assert """\
      tell(
        first_argument: string[],
        second_argument: { [key: string]: number[] },
        third: [string, number][],
      ): void;
""" in declared(described(Room))


def test_an_argument_with_a_default_is_left_out_and_not_undefined() -> None:
    class Room(Actor[None, None]):
        @action
        def move(self, c: Context[None, None], x: int, y: int = 5) -> None: ...

        @action
        def find(
            self, c: Context[None, None], text: str | None = None, most: int = 5, *more: str
        ) -> None: ...

        @action
        def open(self, c: Context[None, None], x: int, door: str | None = None, wide: Any = None) -> None: ...

        @action
        def shut(self, c: Context[None, None], door: str | None = "front", hard: bool = False) -> None: ...

    text = declared(described(Room))
    assert "move(...args: [x: number] | [x: number, y: number]): void;" in text
    assert (
        """\
      find(
        ...args:
          | [text?: string | null]
          | [text: string | null | undefined, most: number, ...more: string[]]
      ): void;
"""
        in text
    )
    assert "open(x: number, door?: string | null, wide?: unknown): void;" in text
    assert "shut(...args: [] | [door: string | null] | [door: string | null, hard: boolean]): void;" in text
