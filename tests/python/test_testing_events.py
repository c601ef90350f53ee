"""Assertions about events: which are found and which are left, and what a failure says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import ANY

import pytest

from ringcast import Actor, Context, action
from ringcast.client import Connection
from ringcast.testing import (
    LocalServer,
    RecordedEvent,
    assert_event,
    assert_no_event,
    eventually,
    record,
)
from ringcast.wire.protocol import Gap


@dataclass
class Move:
    x: int
    y: int


class Board(Actor):
    """Says what it is told to say."""

    def on_connect(self, c: Context) -> None:
        c.broadcast("joined", len(c.conns))

    def can_subscribe(self, c: Context, event: str) -> bool:
        return event != "secret"

    @action
    def say(self, c: Context, *words: Any) -> None:
        c.broadcast("said", *words)

    @action
    def move(self, c: Context, x: int, y: int) -> None:
        c.broadcast("moved", "ann", Move(x, y))

    @action
    def end(self, c: Context) -> None:
        c.conn.disconnect("enough")


class BinaryBoard(Board, msgpack_only=True):
    pass


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    async with LocalServer(Board, BinaryBoard) as server:
        yield server


@pytest.fixture
async def ann(server: LocalServer) -> Connection:
    return await server.connect(Board, events=["said", "moved"])


# --- assert_event -------------------------------------------------------------------------------------------


async def test_an_event_is_found_whether_it_has_come_or_is_to_come(
    server: LocalServer, ann: Connection
) -> None:
    await ann.say("first")
    assert await assert_event(ann, "said", "first") == ("said", ("first",))
    waiting = asyncio.create_task(assert_event(ann, "said"))
    await asyncio.sleep(0)
    server.actor(Board).broadcast("said", "second")
    assert (await waiting).value == "second"


async def test_nothing_is_missed_between_connecting_and_asserting(server: LocalServer) -> None:
    ann = await server.connect(Board, events=["joined"])
    await assert_event(ann, "connected")
    await assert_event(ann, "joined", 0)


async def test_events_are_taken_in_any_order_and_each_once(ann: Connection) -> None:
    for word in ("a", "b", "b", "c"):
        await ann.say(word)
    for word in ("c", "b", "b", "a"):
        await assert_event(ann, "said", word)
    with pytest.raises(AssertionError, match="no event said"):
        await assert_event(ann, "said", timeout_s=0)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_arguments_are_compared_as_they_arrive(server: LocalServer, encoding: Any) -> None:
    ann = await server.connect(Board, events=["said", "moved"], encoding=encoding)
    await ann.move(1, 2)
    await ann.move(3, 4)
    with pytest.raises(AssertionError):
        await assert_event(ann, "moved", "ann", Move(1, 3), timeout_s=0.01)
    with pytest.raises(AssertionError):
        await assert_event(ann, "moved", "ann", timeout_s=0.01)
    assert (await assert_event(ann, "moved", ANY, Move(3, 4))).args == ("ann", {"x": 3, "y": 4})
    await assert_event(ann, "moved", "ann", {"x": 1, "y": ANY})


async def test_bytes_are_compared_as_msgpack_brings_them(server: LocalServer) -> None:
    ann = await server.connect(BinaryBoard, events=["said"], encoding="msgpack")
    await ann.say(b"\xff", (1, 2))
    await assert_event(ann, "said", b"\xff", (1, 2))


async def test_a_condition_chooses_among_events(ann: Connection) -> None:
    for number in (1, 20, 3):
        await ann.say(number)
    assert (await assert_event(ann, "said", where=lambda number: number > 10)).value == 20
    with pytest.raises(AssertionError, match="no event said that fits `where` came within"):
        await assert_event(ann, "said", where=lambda number: number > 10, timeout_s=0.01)


async def test_without_arguments_any_will_do(ann: Connection) -> None:
    await ann.say()
    await ann.say(1, 2)
    assert (await assert_event(ann, "said")).args == ()
    with pytest.raises(ValueError, match="values to unpack"):
        _ = (await assert_event(ann, "said")).value


async def test_a_failure_says_what_came_instead(ann: Connection) -> None:
    await ann.say("hello")
    await ann.say("hullo")
    await assert_event(ann, "said", "hello")
    with pytest.raises(AssertionError) as failed:
        await assert_event(ann, "said", "goodbye", timeout_s=0.01)
    assert str(failed.value).splitlines() == [
        "no event said('goodbye') came within 0.01 s.",
        "Came, and no assertion has taken it:",
        "  connected()",
        "  said('hullo')",
        "Taken by assertions before: said('hello')",
        f"<Connection {ann.id} connected> listens for: moved, said.",
    ]


async def test_a_failure_lists_only_the_newest_of_many(ann: Connection) -> None:
    for number in range(50):
        await ann.say(number)
    with pytest.raises(AssertionError) as failed:
        await assert_event(ann, "said", -1, timeout_s=0.01)
    lines = str(failed.value).splitlines()
    assert lines[2:5] == ["  ... and 31 before", "  said(30)", "  said(31)"]
    assert len(lines) == 2 + 1 + 20 + 1


async def test_nothing_is_waited_for_once_the_connection_has_ended(ann: Connection) -> None:
    waiting = asyncio.create_task(assert_event(ann, "said", timeout_s=3600))
    await ann.end()
    with pytest.raises(AssertionError) as failed:
        await waiting
    assert "no event said came before the connection ended." in str(failed.value)
    assert "Its last error: ConnectionClosed('enough" in str(failed.value)


async def test_an_end_without_an_event_is_noticed_too(server: LocalServer, ann: Connection) -> None:
    await server.cut(ann)
    waiting = asyncio.create_task(assert_event(ann, "said", timeout_s=3600))
    await asyncio.sleep(0)
    await ann.close()
    with pytest.raises(AssertionError, match="before the connection ended"):
        await waiting


async def test_events_that_nobody_keeps_are_an_error_and_no_failure(
    server: LocalServer, ann: Connection
) -> None:
    with pytest.raises(LookupError, match="nothing keeps events 'joined'"):
        await assert_event(ann, "joined")
    with pytest.raises(LookupError, match="nothing keeps events 'joined'"):
        await assert_no_event(ann, "joined")
    async with server.client().board.get_or_create().connect() as bob:
        with pytest.raises(LookupError, match="nothing keeps the events of <Connection"):
            await assert_event(bob, "said")


async def test_lifecycle_events_are_asserted_alike(server: LocalServer, ann: Connection) -> None:
    await server.cut(ann)
    await assert_event(ann, "disconnected")
    await server.clock.advance(30)
    server.restore(ann)
    await assert_event(ann, "gap", Gap("session_expired"))
    await assert_event(ann, "reconnected")


# --- assert_no_event ----------------------------------------------------------------------------------------


async def test_an_event_on_its_way_counts(server: LocalServer, ann: Connection) -> None:
    await assert_no_event(ann)
    server.actor(Board).broadcast("said", "x")
    with pytest.raises(AssertionError, match=r"said\('x'\) came, which was not to come"):
        await assert_no_event(ann, "said")


async def test_what_was_taken_or_is_another_does_not_count(ann: Connection) -> None:
    await ann.say("x")
    await ann.move(1, 1)
    await assert_no_event(ann, "said", "y")
    await assert_no_event(ann, "said", where=lambda word: word != "x")
    await assert_event(ann, "said", "x")
    await assert_no_event(ann, "said")
    with pytest.raises(AssertionError, match="moved"):
        await assert_no_event(ann)
    with pytest.raises(AssertionError, match="connected"):
        await assert_no_event(ann, "connected")


async def test_an_event_behind_a_handler_that_still_runs_counts(ann: Connection) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def handle(*_: Any) -> None:
        started.set()
        await release.wait()

    ann.on("moved", handle)
    await ann.move(1, 1)
    await started.wait()
    await ann.say("behind it")
    checking = asyncio.create_task(assert_no_event(ann, "said"))
    await ann.move(2, 2)  # an answer behind that of the check
    assert not checking.done()
    release.set()
    with pytest.raises(AssertionError, match="behind it"):
        await checking


async def test_events_of_a_lost_network_are_waited_for(server: LocalServer, ann: Connection) -> None:
    await server.cut(ann)
    server.actor(Board).broadcast("said", "missed")
    checking = asyncio.create_task(assert_no_event(ann, "said"))
    await asyncio.sleep(0)
    server.restore(ann)
    with pytest.raises(AssertionError, match="missed"):
        await checking


async def test_of_a_session_that_ends_meanwhile_nothing_more_comes(
    server: LocalServer, ann: Connection
) -> None:
    server.partition(ann)
    server.actor(Board).broadcast("said", "lost with the session")
    checking = asyncio.create_task(assert_no_event(ann, "said"))
    await server.clock.advance(0)  # the question has been sent, into nothing
    await server.cut(ann)
    await server.clock.advance(30)
    server.restore(ann)
    await checking
    await assert_event(ann, "gap")


async def test_without_an_answer_it_cannot_be_told(server: LocalServer, ann: Connection) -> None:
    server.partition(ann)
    with pytest.raises(AssertionError, match="whether an event said is on its way cannot be told"):
        await assert_no_event(ann, "said", timeout_s=0.01)


async def test_of_a_connection_that_has_ended_nothing_more_comes(ann: Connection) -> None:
    await ann.say("last words")
    await ann.close()
    await assert_no_event(ann, "moved")
    with pytest.raises(AssertionError, match="last words"):
        await assert_no_event(ann, "said")


# --- recorders ----------------------------------------------------------------------------------------------


async def test_a_recorder_keeps_everything_in_order(server: LocalServer, ann: Connection) -> None:
    recorder = record(ann)
    await ann.say("a")
    await ann.move(1, 2)
    await ann.say("b")
    await server.drop_connection(ann)
    await assert_event(recorder, "reconnected")
    assert [event.name for event in recorder.events][:5] == [
        "connected", "said", "moved", "said", "disconnected"
    ]  # fmt: skip
    assert recorder.events[1] == RecordedEvent("said", ("a",))
    assert (recorder.of("said"), recorder.of("moved")) == (["a", "b"], [("ann", {"x": 1, "y": 2})])
    recorder.clear()
    assert recorder.events == []
    await assert_no_event(recorder, "said")


async def test_recording_begins_with_the_connect_message(server: LocalServer) -> None:
    connection = server.client().board.get_or_create().connect()
    recorder = record(connection, "joined")
    assert record(connection, "said") is recorder
    assert recorder.connection is connection
    async with connection:
        await connection.say("x")
        assert recorder.of("joined") == [0] and recorder.of("said") == ["x"]


async def test_removing_every_handler_does_not_end_the_recording(ann: Connection) -> None:
    ann.off()
    await ann.say("x")
    await assert_event(ann, "said", "x")


async def test_errors_are_kept_where_they_are_named(server: LocalServer, ann: Connection) -> None:
    with pytest.raises(LookupError):
        await assert_event(ann, "error")
    bob = await server.connect(Board, events=["secret", "error"])
    await assert_event(bob, "error", where=lambda error: "'secret'" in str(error))


# --- eventually ---------------------------------------------------------------------------------------------


async def test_anything_else_can_be_waited_for() -> None:
    async def later(value: int) -> int:
        return value

    turns = iter(range(10))
    assert await eventually(lambda: next(turns) > 5) is True
    assert await eventually(lambda: later(next(turns))) == 7
    with pytest.raises(AssertionError, match=r"not true within 0\.01 s: the condition is 0"):
        await eventually(lambda: 0, timeout_s=0.01)
