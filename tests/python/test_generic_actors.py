"""Type parameters of actors: what a class says that they are, values have to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pydantic
import pytest
from linked import LinkedSocket, call, running

from ringcast import Actor, Context, action
from ringcast.errors import InvalidEvent, ValidationError
from ringcast.running.event_filters import event_fields
from ringcast.schema.definition import define
from ringcast.wire.protocol import Event
from ringcast.wire.topics import topic_of

T = TypeVar("T")
StateT = TypeVar("StateT")
ParamsT = TypeVar("ParamsT")


@dataclass
class Note:
    text: str = ""
    level: int = 0


@dataclass
class Guest:
    name: str = ""


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


class Desk(Actor[StateT, ParamsT]):
    """What is put on it depends on whose it is."""

    class Events(Generic[StateT]):
        put: StateT
        page: Page[StateT]

        def several(self, things: list[StateT], by: ParamsT | None) -> None: ...

    def create_conn_state(self, c: Context[StateT, ParamsT], params: ParamsT) -> ParamsT:
        return params

    @action
    def put(self, c: Context[StateT, ParamsT], thing: StateT) -> str:
        c.broadcast("put", thing)
        return type(thing).__name__

    @action
    def put_all(self, c: Context[StateT, ParamsT], *things: list[StateT]) -> list[str]:
        return [type(each).__name__ for thing in things for each in thing]

    @action
    def turn(self, c: Context[StateT, ParamsT], page: Page[StateT], by: ParamsT | None = None) -> list[str]:
        return [type(each).__name__ for each in [*page.items, by]]


class NoteDesk(Desk[Note, Guest]):
    pass


class Between(Desk[T, Guest], Generic[T]):
    pass


class ByText(Between["Note"]):
    pass


class Open(Desk[Any, Any]):
    pass


class Unsaid(Desk):  # type: ignore[type-arg]
    pass


CONCRETE = pytest.mark.parametrize("cls", [NoteDesk, ByText])


@CONCRETE
async def test_arguments_are_what_the_class_says_that_they_are(cls: type[Any]) -> None:
    note = {"text": "a", "level": 1}
    async with running(cls) as router, LinkedSocket(router) as client:
        name = cls.__name__
        await client.connect(name, "a", params={"name": "ann"}, events=(topic_of("put", {"level__ge": 1}),))
        assert await call(router, name, "a", "put", note) == "Note"
        assert (await client.receive(Event)).args == [note]
        assert await call(router, name, "a", "put_all", [note], [note, note]) == ["Note"] * 3
        assert await call(router, name, "a", "turn", {"items": [note]}, {"name": "bob"}) == ["Note", "Guest"]
        for method, args, told in [
            ("put", [5], "put: thing"),
            ("put", [{"text": "a", "level": "high"}], "put: thing.level"),
            ("put_all", [[note], [3]], "put_all: things.1.0"),
            ("turn", [{"items": [3]}], "turn: page.items.0"),
            ("turn", [{"items": []}, 3], "turn: by"),
        ]:
            with pytest.raises(ValidationError, match=told):
                await call(router, name, "a", method, *args)


@CONCRETE
async def test_the_value_that_a_hook_takes_from_outside_is_held_to_it(cls: type[Any]) -> None:
    checked = define(cls).checked("create_conn_state", "params", {"name": "ann"})
    assert checked == Guest("ann")
    with pytest.raises(ValidationError, match="name"):
        define(cls).checked("create_conn_state", "params", {"name": 3})


@CONCRETE
async def test_events_are_what_the_class_says_that_they_are(cls: type[Any]) -> None:
    events = define(cls).events
    assert events is not None
    events["put"].check((Note("a", 1),))
    events["page"].check((Page[Note](items=[Note()]),))
    events["several"].check(([Note()], Guest("ann")))
    events["several"].check(([], None))
    for name, data in [("put", ("a",)), ("put", (Note(3),)), ("several", ([1], None)), ("several", ([], 3))]:  # type: ignore[arg-type]
        with pytest.raises(InvalidEvent):
            events[name].check(data)
    assert event_fields(define(cls), "put").filterable == ("text", "level")


@pytest.mark.parametrize("cls", [Open, Unsaid, Desk])
async def test_where_no_class_says_it_anything_is_taken(cls: type[Any]) -> None:
    definition = define(cls)
    assert definition.events is not None
    for value in (5, "a", {"text": 1}):
        definition.events["put"].check((value,))
        definition.events["several"].check(([value], value))
        assert definition.actions["put"].arguments.bind([value]) == [value]
        assert definition.actions["put_all"].arguments.bind([[value]]) == [[value]]


class First(Actor[Any, Any], Generic[T]):
    @action
    def one(self, c: Context[Any, Any], value: T) -> None: ...


class Second(Actor[Any, Any], Generic[T]):
    @action
    def two(self, c: Context[Any, Any], value: T) -> None: ...


class Both(First[int], Second[str]):
    @action
    def three(self, c: Context[Any, Any], value: list[int]) -> None: ...


def test_one_parameter_stands_for_another_type_in_each_base() -> None:
    actions = define(Both).actions
    assert actions["one"].arguments.bind(["3"]) == [3]
    assert actions["two"].arguments.bind(["3"]) == ["3"]
    for name, value in (("one", "a"), ("two", 3), ("three", ["a"])):
        with pytest.raises(ValidationError):
            actions[name].arguments.bind([value])
