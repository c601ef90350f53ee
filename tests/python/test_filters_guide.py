"""`docs/filters.md`: its snippets run, its tables are what the code does, its tasks select whom they name."""

from __future__ import annotations

import asyncio
import collections.abc
import datetime
import re
from contextlib import AsyncExitStack
from dataclasses import make_dataclass
from typing import Any, Literal

import pydantic
import pytest
from linked import LinkedSocket, eventually, running

import programs
from ringcast import Client, MemoryStore, Registry, ServerConfig, attribute, where
from ringcast._core import Attributes
from ringcast._core import Filter as CoreFilter
from ringcast.errors import CloseCode, InvalidFilter
from ringcast.filters import MAX_DEPTH, MAX_NODES, Filter
from ringcast.running.event_filters import event_fields
from ringcast.schema.attributes import attributes_of
from ringcast.schema.definition import define
from ringcast.schema.filterable import fields_of
from ringcast.server.serve import serving
from ringcast.wire.event_match import matches_received
from ringcast.wire.protocol import Call, Event, Reply
from ringcast.wire.topics import MAX_FILTER_BYTES, filter_of, from_wire, topic_of

PAGE = (programs.PROJECT / "docs" / "filters.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def run_snippets() -> dict[str, Any]:
    """Run all of them in their order, as one program."""
    # Under the name of a module, as dataclasses look up their annotations.
    names: dict[str, Any] = {"__name__": __name__}
    for snippet in SNIPPETS:
        exec(compile(snippet, "filters.md", "exec", dont_inherit=True), names)
    return names


NAMES = run_snippets()
Reader, Role = NAMES["Reader"], NAMES["Role"]


def rows(*columns: str) -> list[list[str]]:
    """Return the cells of all tables with these columns."""
    found = []
    for rest in PAGE.split("| " + " | ".join(columns) + " |\n")[1:]:
        for line in rest.split("\n\n", 1)[0].splitlines()[1:]:
            cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            assert len(cells) == len(columns), line
            found.append(cells)
    assert found
    return found


def code(cell: str) -> list[str]:
    return re.findall(r"`(.+?)`", cell)


def evaluated(cell: str) -> Any:
    [written] = code(cell)
    return eval(written)


def matching(wanted: Filter, states: dict[str, Any]) -> set[str]:
    attributes = Attributes()
    for slot, state in enumerate(states.values()):
        attributes.set(slot, attributes_of(state))
    return {list(states)[slot] for slot in attributes.select(CoreFilter(wanted.compiled))}


READERS = {
    "ann": Reader("ann", "Ann", "premium", "red", Role.ADMIN, 4, tags={"vip"}),
    "ann's other device": Reader("ann", "Ann", "premium", "red", Role.ADMIN, 4, tags={"vip"}),
    "bob": Reader("bob", "Bob", "free", "red", level=7, muted=True, tags={"guest"}),
    "cyd": Reader("cyd", None, "free", "blue", level=9, tags={"vip", "on call"}),
    "dan": Reader("dan", "an alias", "premium", "green", Role.ADMIN, 10, history=["vip"]),
}
ANNS = {"ann", "ann's other device"}


@pytest.mark.parametrize(
    ("task", "readers"),
    [
        ("premium", ANNS | {"dan"}),
        ("others", {"bob", "cyd", "dan"}),
        ("admins", ANNS),
        ("seniors", ANNS | {"bob"}),
        ("audible_seniors", ANNS),
        ("vips", ANNS | {"cyd"}),
        ("vips_and_guests", ANNS | {"bob", "cyd"}),
        ("vips_on_call", {"cyd"}),
        ("unnamed", {"cyd"}),
        ("named", ANNS | {"bob", "dan"}),
        ("two_teams", ANNS | {"bob", "cyd"}),
        ("elsewhere", {"dan"}),
        ("middle", ANNS | {"bob", "cyd"}),
        ("an", ANNS),
        ("same", ANNS | {"bob"}),
    ],
)
def test_a_task_selects_whom_it_names(task: str, readers: set[str]) -> None:
    fields_of(Reader).require(NAMES[task])
    assert matching(NAMES[task], READERS) == readers


def test_every_task_is_tested() -> None:
    tasks = {name for name, value in NAMES.items() if isinstance(value, Filter)}
    [marker] = [mark for mark in test_a_task_selects_whom_it_names.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {task for task, _ in marker.args[1]} == tasks


@pytest.mark.parametrize(
    ("keywords", "expression"), [row[:2] for row in rows("keyword", "expression", "matches where the field")]
)
def test_both_forms_of_an_operator_are_the_same(keywords: str, expression: str) -> None:
    [written] = code(expression)
    for keyword in code(keywords):
        assert eval(f"where({keyword})") == eval(written)


def test_every_operator_is_listed() -> None:
    listed = " ".join(row[0] for row in rows("keyword", "expression", "matches where the field"))
    with pytest.raises(InvalidFilter) as refusal:
        where(x__unlike="any")
    [known] = re.findall(r"there are (.+?)\.", str(refusal.value))
    assert set(re.findall(r"__(\w+)=", listed)) == set(known.split(", "))


def filterable(annotation: str) -> bool:
    names = {"Role": Role, "Literal": Literal, "pydantic": pydantic, "collections": collections, "Any": Any}
    kind = eval(annotation, {**names, "datetime": datetime})
    return fields_of(make_dataclass("State", [("x", kind)])).filterable == ("x",)


@pytest.mark.parametrize(
    "annotation", [each for row in rows("type of the field", "how it is compared") for each in code(row[0])]
)
def test_a_type_that_can_be_filtered(annotation: str) -> None:
    assert filterable(annotation)


def test_types_that_cannot_be_filtered() -> None:
    [sentence] = re.findall(r"Fields of all other types.*?, such as (.*?)\. So are", PAGE, re.DOTALL)
    assert len(code(sentence)) == 4
    for annotation in code(sentence):
        assert not filterable(annotation)


@pytest.mark.parametrize(("held", "wanted", "answer"), rows("the field holds", "filter", "matches"))
def test_what_matches_and_what_does_not(held: str, wanted: str, answer: str) -> None:
    state = {} if held == "*missing*" else {"x": evaluated(held)}
    assert answer.startswith(("yes", "no"))
    assert bool(matching(evaluated(wanted), {"only": state})) is answer.startswith("yes")


@pytest.mark.parametrize(("written", "message"), rows("filter", "message"))
def test_a_filter_is_refused_with_the_message(written: str, message: str) -> None:
    with pytest.raises(InvalidFilter) as refusal:
        fields_of(Reader).require(evaluated(written))
    if message.endswith("…"):
        assert str(refusal.value).startswith(message.removesuffix("…").rstrip())
    else:
        assert str(refusal.value) == message


def test_other_claims_of_the_page() -> None:
    assert f"at most {MAX_DEPTH} filters deep" in PAGE
    assert f"at most {MAX_NODES} comparisons" in PAGE
    assert 'attribute("signed__in") == True' in PAGE
    assert matching(attribute("signed__in") == True, {"here": {"signed__in": True}, "not": {}}) == {"here"}  # noqa: E712
    assert matching(where(), READERS) == set(READERS)
    assert len({NAMES["admins"]: 1, where(role=Role.ADMIN, team="red"): 2}) == 1


async def test_the_actor_of_the_guide_does_what_the_page_says() -> None:
    readers = {
        "writer": {"user_id": "writer", "subscription": "premium", "team": "red"},
        "ann": {"user_id": "ann", "subscription": "premium", "team": "red"},
        "bob": {"user_id": "bob", "subscription": "free", "team": "red"},
        "cyd": {"user_id": "cyd", "subscription": "premium", "team": "blue"},
    }
    async with running(NAMES["NewsRoom"]) as router, AsyncExitStack() as stack:
        sockets = {}
        for name, params in readers.items():
            socket = sockets[name] = await stack.enter_async_context(LinkedSocket(router))
            await socket.connect("newsRoom", "x", params=params, events=("article",))
        writer = sockets["writer"]
        writer.send(Call(1, "publish", ["first", "red"]), Call(2, "promote", ["bob"]))
        assert [await writer.receive(Reply) for _ in range(2)] == [Reply(1, None), Reply(2, 1)]
        assert (await sockets["ann"].receive(Event)).args == ["first"]
        assert (await sockets["bob"].receive(Event)).name == "promoted"
        writer.send(Call(3, "closeFor", ["red"]))
        assert await writer.receive(Reply) == Reply(3, None)
        for name in ("ann", "bob"):
            await sockets[name].closed_with(CloseCode.DISCONNECTED)
        writer.send(Call(4, "publish", ["second", "blue"]))
        assert (await sockets["cyd"].receive(Event)).args == ["second"]


MOVES = [
    ("ann", 3, 0, None, []),
    ("bob", 4, 2, "red", ["vip"]),
    ("anna", 5, 9, "red", []),
    ("cyd", 3, 10, "blue", ["vip"]),
]


@pytest.mark.parametrize(
    ("written", "players"),
    [
        ('{"zone": 3}', {"ann", "cyd"}),
        ('{"zone__in": [3, 4]}', {"ann", "bob", "cyd"}),
        ('{"player__ne": "ann"}', {"bob", "anna", "cyd"}),
        ('{"level__ge": 2}', {"bob", "anna", "cyd"}),
        ('{"level__ge": 2, "level__lt": 10}', {"bob", "anna"}),
        ('{"player__prefix": "an"}', {"ann", "anna"}),
        ('{"tags__has": "vip"}', {"bob", "cyd"}),
        ('{"team__is": None}', {"ann"}),
    ],
)
def test_what_a_client_asks_for_is_what_it_gets(written: str, players: set[str]) -> None:
    topic = topic_of("playerMoved", eval(written))
    event_fields(define(NAMES["GameRoom"]), "playerMoved").require(filter_of(topic))
    names = ("player", "zone", "level", "team", "tags")
    events = [dict(zip(names, move, strict=True)) for move in MOVES]
    assert {event["player"] for event in events if matches_received(topic, [event])} == players


def test_every_row_of_what_is_wanted_is_tested() -> None:
    [marker] = [
        mark for mark in test_what_a_client_asks_for_is_what_it_gets.pytestmark if mark.name == "parametrize"
    ]  # type: ignore[attr-defined]
    assert [written for written, _ in marker.args[1]] == [code(row[1])[0] for row in rows("wanted", "where")]


@pytest.mark.parametrize(("written", "message"), rows("where", "message"))
def test_a_filter_over_an_event_is_refused_with_the_message(written: str, message: str) -> None:
    topic = from_wire(["playerMoved", evaluated(written)])
    assert topic is not None
    with pytest.raises(InvalidFilter) as refusal:
        event_fields(define(NAMES["GameRoom"]), "playerMoved").require(filter_of(topic))
    assert str(refusal.value).startswith(message.removesuffix("…").rstrip())
    assert f"of more than {MAX_FILTER_BYTES} bytes" in PAGE
    assert f"at most {ServerConfig().max_filters_per_actor} different filters" in PAGE


async def test_the_client_of_the_guide_hears_what_it_asked_for() -> None:
    async with serving(Registry(NAMES["GameRoom"], store=MemoryStore())) as url, Client(url) as client:
        got: list[str] = []
        async with client.game_room.get_or_create("x").connect() as room:
            stop = NAMES["listen"](room, lambda move: got.append(move["player"]))
            following = asyncio.create_task(
                NAMES["follow"](room, lambda move: got.append(f"{move['zone']}!"))
            )
            for player, zone, level in [
                ("bob", 3, 0),
                ("cyd", 4, 2),
                ("dan", 4, 0),
                ("ann", 5, 0),
                ("ann", 5, 0),
            ]:
                await room.move(player, zone, level)
            stop()
            await room.move("eve", 3)
            await eventually(lambda: len(got) == 5)
            following.cancel()
        assert [each for each in got if each != "3!"] == ["bob", "cyd", "ann"]
        assert got.count("3!") == 2
