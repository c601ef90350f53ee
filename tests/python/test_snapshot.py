"""`snapshot()`: what stands for every event so far, given with the position that belongs to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from linked import LinkedSocket, call, eventually, resume_from, running

from ringcast import Actor, Context, MemoryStore, Registry, UserError, action
from ringcast.errors import CloseCode, DefinitionError
from ringcast.router import Router
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Connect, Connected, Error, Event, Gap


@dataclass
class Items:
    items: list[int] = field(default_factory=list)


class Board(Actor[Items], max_ring_events=4):
    """A list whose every change is an event: who applies the events to the snapshot has the list."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    def snapshot(self, c: Context[Items]) -> list[int] | None:
        if c.conn.params == "none":
            return None
        if c.conn.params == "refuse":
            raise UserError("not for you", code="no_snapshot")
        if c.conn.params == "break":
            raise LookupError("a secret")
        if c.conn.params == "unwritable":
            return [object()]  # type: ignore[list-item]
        return c.state.items

    async def can_subscribe(self, c: Context[Items], event: str) -> bool:
        if event == "slowly":
            await self.gate.wait()
        return True

    async def on_connect(self, c: Context[Items]) -> None:
        c.conn.send("welcome")
        if c.conn.params == "add":
            c.state.items.append(-1)
            c.broadcast("added", -1)
            await asyncio.sleep(0)

    @action
    def add(self, c: Context[Items], *items: int) -> None:
        for item in items:
            c.state.items.append(item)
            c.broadcast("added", item)

    @action
    def connections(self, c: Context[Items]) -> int:
        return len(c.conns)

    @action
    def open_the_gate(self, c: Context[Items]) -> None:
        self.gate.set()


@pytest.fixture(params=list(Encoding), ids=["json", "msgpack"])
def encoding(request: pytest.FixtureRequest) -> Encoding:
    found: Encoding = request.param
    return found


async def add(router: Router, *items: int) -> None:
    await call(router, "board", "a", "add", *items)


async def added(client: LinkedSocket, count: int) -> list[Any]:
    """Return what the next `count` events `added` brought."""
    events = [await client.receive(Event) for _ in range(count)]
    assert {event.name for event in events} == {"added"}
    return [event.args[0] for event in events]


# --- the first connect --------------------------------------------------------------------------------------


async def test_a_client_begins_with_the_snapshot_and_only_events_after_it(encoding: Encoding) -> None:
    async with running(Board) as router:
        await add(router, 1, 2, 3)
        async with LinkedSocket(router, encoding) as client:
            answer = await client.connect("board", "a", events=("added",))
            assert (answer.snapshot, answer.offset, answer.gap) == ([1, 2, 3], 3, None)
            await client.receive(Event)  # the welcome
            await add(router, 4)
            assert await added(client, 1) == [4]


async def test_what_on_connect_sends_and_changes_comes_after_the_snapshot(encoding: Encoding) -> None:
    """The snapshot is the state at its position, though the hook changed it before the answer was written."""
    async with running(Board) as router:
        await add(router, 1)
        async with LinkedSocket(router, encoding) as client:
            answer = await client.connect("board", "a", params="add", events=("added",))
            assert answer.snapshot == [1]
            assert (await client.receive(Event)).name == "welcome"
            assert await added(client, 1) == [-1]


async def test_events_while_a_subscription_is_being_decided_are_in_the_snapshot(encoding: Encoding) -> None:
    async with running(Board) as router:
        await add(router, 1)
        async with LinkedSocket(router, encoding) as client:
            client.send(Connect("board", ("a",), subscriptions=("added", "slowly")))
            await add(router, 2)
            await call(router, "board", "a", "open_the_gate")
            answer = await client.receive(Connected)
            assert (answer.snapshot, answer.offset) == ([1, 2], 2)
            assert (await client.receive(Event)).name == "welcome"


async def test_an_actor_may_have_none_for_a_client() -> None:
    async with running(Board) as router, LinkedSocket(router) as client:
        answer = await client.connect("board", "a", params="none")
        assert answer.snapshot is None


async def test_a_snapshot_that_raises_refuses_the_connection() -> None:
    async with running(Board) as router:
        for params, code in (
            ("refuse", "no_snapshot"),
            ("break", "internal_error"),
            ("unwritable", "internal_error"),
        ):
            async with LinkedSocket(router) as client:
                client.send(Connect("board", ("a",), params=params))
                refused = await client.receive(Error)
                assert refused.error["code"] == code
                assert "secret" not in refused.error["message"]
                await client.closed_with(CloseCode.CONNECT_REFUSED)
        assert router.connections == 0
        assert await call(router, "board", "a", "connections") == 0


def test_a_snapshot_cannot_be_async() -> None:
    class Waits(Actor):
        async def snapshot(self, c: Context) -> int:
            return 1

    with pytest.raises(DefinitionError, match="snapshot cannot be async"):
        Registry(Waits, store=MemoryStore())


# --- coming back --------------------------------------------------------------------------------------------


async def test_nothing_lost_is_replayed_without_a_snapshot(encoding: Encoding) -> None:
    async with running(Board) as router:
        async with LinkedSocket(router, encoding) as first:
            connected = await first.connect("board", "a", events=("added",))
            await first.receive(Event)
        await add(router, 1, 2, 3)
        async with LinkedSocket(router, encoding) as second:
            again = await second.connect("board", "a", resume=resume_from(connected, 1), events=("added",))
            assert (again.replayed, again.gap, again.snapshot) == (3, None, None)
            assert await added(second, 3) == [1, 2, 3]


async def test_what_is_lost_is_made_good_by_a_snapshot(encoding: Encoding) -> None:
    """The snapshot stands for what is retained too, which would otherwise be applied twice."""
    async with running(Board) as router:
        async with LinkedSocket(router, encoding) as first:
            connected = await first.connect("board", "a", events=("added",))
            await first.receive(Event)
        await add(router, *range(9))
        async with LinkedSocket(router, encoding) as second:
            again = await second.connect("board", "a", resume=resume_from(connected, 1), events=("added",))
            assert again.session == connected.session
            assert (again.snapshot, again.offset, again.replayed) == ([*range(9)], 10, None)
            assert again.gap == Gap("ring_overflow", 2, 6)
            await add(router, 9)
            assert await added(second, 1) == [9]


async def test_without_a_snapshot_for_it_a_client_gets_the_gap() -> None:
    async with running(Board) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("board", "a", params="none", events=("added",))
            await first.receive(Event)
        await add(router, *range(9))
        async with LinkedSocket(router) as second:
            again = await second.connect("board", "a", resume=resume_from(connected, 1), events=("added",))
            assert (again.snapshot, again.replayed, again.gap) == (None, 4, Gap("ring_overflow", 2, 6))
            assert await added(second, 4) == [5, 6, 7, 8]


async def test_a_new_session_begins_with_a_snapshot_again() -> None:
    async with running(Board, session_window_s=0) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("board", "a", events=("added",))
            await first.receive(Event)
        await eventually(lambda: router.connections == 0)
        await add(router, 1)
        async with LinkedSocket(router) as second:
            again = await second.connect("board", "a", resume=resume_from(connected, 1), events=("added",))
            assert again.session != connected.session
            assert (again.snapshot, again.gap) == ([1], Gap("session_expired"))


# --- in a client --------------------------------------------------------------------------------------------


async def test_a_client_hears_of_each_snapshot_and_then_of_what_follows() -> None:
    async with Registry(Board, store=MemoryStore()) as registry:
        board = registry.client.get_or_create(Board, "a")
        await board.add(1, 2)
        seen: list[Any] = []
        connection = board.connect()
        connection.on("connected", lambda: seen.append("connected"))
        connection.on("resynced", seen.append)
        connection.on("added", seen.append)
        async with connection:
            await connection.add(3)
            assert seen == ["connected", [1, 2], 3]
            assert connection.snapshot == [1, 2]
