"""How a class declares its events, and what is refused there."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import (
    Any,
    ClassVar,
    Final,
    Protocol,
)

import pytest
from event_types import (
    Article,
    Said,
)

from ringcast import Actor
from ringcast.errors import (
    DefinitionError,
    InvalidEvent,
    InvalidEventName,
    ReservedName,
    RingcastError,
)
from ringcast.schema.declared import DeclaredEvents
from ringcast.schema.definition import define
from shown import shown


def declared(events: Any, **attributes: Any) -> DeclaredEvents:
    cls = type("Room", (Actor,), {"__module__": __name__, "Events": events, **attributes})
    found = define(cls).events
    assert found is not None
    return found


def parameters_of(events: DeclaredEvents) -> dict[str, list[tuple[str, Any]]]:
    return {name: [(each.name, each.annotation) for each in spec.parameters] for name, spec in events.items()}


def test_annotations_declare_one_argument_and_methods_any_number() -> None:
    class Events:
        """What happens in a room."""

        newArticle: Article
        started: None

        def moved(self, x: int, /, y: int, anything) -> None: ...  # type: ignore[no-untyped-def]

        def ended(self) -> None: ...

    assert parameters_of(declared(Events)) == {
        "newArticle": [("data", Article)],
        "started": [],
        "moved": [("x", int), ("y", int), ("anything", Any)],
        "ended": [],
    }


def test_types_that_are_local_or_inside_the_actor_are_found() -> None:
    @dataclass
    class Local:
        x: int

    class Room(Actor):
        @dataclass
        class Inner:
            y: int

        class Events:
            one: list[Local]

            def two(self, inner: Inner, local: Local) -> None: ...  # noqa: F821  # found in the actor

    events = define(Room).events
    assert events is not None
    assert parameters_of(events) == {
        "one": [("data", list[Local])],
        "two": [("inner", Room.Inner), ("local", Local)],
    }


def test_annotations_that_are_no_text_are_the_same() -> None:
    events = declared(type("Events", (), {"__annotations__": {"a": int, "b": None, "c": "Said | None"}}))
    assert parameters_of(events)["a"] == [("data", int)]
    assert parameters_of(events)["b"] == []
    with pytest.raises(InvalidEvent):
        events["a"].check(("1",))


def test_events_are_inherited_with_the_actor_and_by_the_class_events_itself() -> None:
    class Common:
        note: str
        size: int

    class Room(Actor):
        class Events(Common):
            size: float  # type: ignore[assignment]

    class Loud:
        class Events:
            shouted: str

    class Big(Loud, Room):
        class Events:
            def note(self, text: str, by: str) -> None: ...

    class Plain(Room):
        pass

    found = [define(cls).events for cls in (Room, Big, Plain)]
    assert [parameters_of(events) for events in found if events is not None] == [
        {"note": [("data", str)], "size": [("data", float)]},
        {"note": [("text", str), ("by", str)], "size": [("data", float)], "shouted": [("data", str)]},
        {"note": [("data", str)], "size": [("data", float)]},
    ]


def test_a_protocol_may_declare_them() -> None:
    class Events(Protocol):
        size: int

        def said(self, text: str) -> None: ...

    assert parameters_of(declared(Events)) == {"size": [("data", int)], "said": [("text", str)]}


def test_none_declared_is_something_else_than_an_empty_declaration() -> None:
    class Free(Actor):
        pass

    class Silent(Actor):
        class Events:
            pass

    assert define(Free).events is None
    silent = define(Silent).events
    assert silent is not None and list(silent) == []


async def _later(self: Any) -> None: ...


def _given() -> Any:
    def after(self: Any, x: int = 3) -> None: ...

    def rest(self: Any, *x: int) -> None: ...

    def keyword(self: Any, *, x: int) -> None: ...

    def without_self(x: int) -> None: ...

    def answers(self: Any) -> int: ...

    def generator(self: Any) -> Any:
        yield

    return locals()


FUNCTIONS = _given()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"__annotations__": {"said": int}, "said": 3}, "an event has no value"),
        (
            {"said": 3},
            r"is an annotation \(said: Type\) or a plain method \(def said\(self, …\)\), not a int",
        ),
        ({"said": staticmethod(FUNCTIONS["answers"])}, "not a staticmethod"),
        ({"said": property(FUNCTIONS["answers"])}, "not a property"),
        ({"Said": Said}, "or a plain method"),
        ({"said": _later}, "neither async nor yields"),
        ({"said": FUNCTIONS["generator"]}, "neither async nor yields"),
        ({"said": FUNCTIONS["after"]}, "x: the arguments of an event are positional and have no defaults"),
        ({"said": FUNCTIONS["rest"]}, "x: the arguments of an event are positional"),
        ({"said": FUNCTIONS["keyword"]}, "x: the arguments of an event are positional"),
        ({"said": FUNCTIONS["without_self"]}, "takes self first"),
        ({"said": FUNCTIONS["answers"]}, "an event returns None"),
        ({"__annotations__": {"said": ClassVar[int]}}, r"typing\.ClassVar\[int\] is not the type"),
        ({"__annotations__": {"said": "ClassVar[int]"}}, "is not the type of an argument"),
        ({"__annotations__": {"said": Final}}, "is not the type of an argument"),
        ({"__annotations__": {"said": threading.Lock}}, "said: data has the type .* cannot be validated"),
        ({"__annotations__": {"said": "Missing"}}, r"of Room\.Events\.said cannot be resolved: .*Missing"),
        ({"__annotations__": {"_said": int}}, "does not start with an underscore"),
    ],
    ids=shown,
)
def test_anything_else_is_an_error_that_says_what_is_wrong(body: dict[str, Any], told: str) -> None:
    with pytest.raises(DefinitionError, match=told) as caught:
        declared(type("Events", (), {"__module__": __name__, **body}))
    assert "Room.Events." in caught.value.message


def test_events_is_a_class() -> None:
    with pytest.raises(DefinitionError, match=r"Room\.Events is a class that declares events, not 5"):
        declared(5)


@pytest.mark.parametrize("as_method", [False, True])
@pytest.mark.parametrize(("name", "error"), [("gap", ReservedName), ("x" * 129, InvalidEventName)])
def test_names_that_no_event_may_have(name: str, error: type[RingcastError], as_method: bool) -> None:
    def method(self: Any) -> None: ...

    body: dict[str, Any] = {name: method} if as_method else {"__annotations__": {name: int}}
    with pytest.raises(error, match=rf"Room\.Events\.{name}: "):
        declared(type("Events", (), {"__module__": __name__, **body}))
