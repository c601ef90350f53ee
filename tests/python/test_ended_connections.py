"""Nothing is left of a connection that has ended: not where filters look, nor where permissions are kept."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest
import uvloop

from ringcast import Actor, Context, action, where
from ringcast.connection import Connection
from ringcast.testing import LocalServer, eventually

STAYS, GO = "stays", 5


class State:
    """One that cannot be looked through for who holds it, as it leads to a logger."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.log = logging.getLogger("tests")


class Room(Actor[None, Any]):
    def create_conn_state(self, c: Context, params: dict[str, str]) -> Any:
        return dict(params)

    @action
    def say(self, c: Context) -> None:
        c.broadcast("said", where=where(name=STAYS))


class LoggingRoom(Room):
    def create_conn_state(self, c: Context, params: dict[str, str]) -> Any:
        return State(params["name"])


class Guarded(Room):
    def can_subscribe(self, c: Context, event: str) -> bool:
        return bool(c.conn.state)


class LoggingGuarded(LoggingRoom):
    def can_subscribe(self, c: Context, event: str) -> bool:
        return c.conn.state.name != ""


class Pondering(LoggingRoom):
    async def can_subscribe(self, c: Context, event: str) -> bool:
        await asyncio.sleep(0)
        return c.conn.state.name != ""


def connections() -> int:
    """Count all that there are in this process, after what refers to itself has gone."""
    gc.collect()
    return sum(isinstance(each, Connection) for each in gc.get_objects())


@pytest.mark.parametrize("actor", [Room, LoggingRoom, Guarded, LoggingGuarded, Pondering])
@pytest.mark.parametrize("says", [0, 2], ids=["nothing is sent", "events are sent"])
def test_nothing_is_left_of_them(actor: type[Room], says: int) -> None:
    # Another loop keeps timers that were cancelled for a while, and the contexts in which they were set.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(come_and_go(actor, says))


async def come_and_go(actor: type[Room], says: int) -> None:
    async with LocalServer(actor) as server:
        staying = await server.connect(actor, "a", {"name": STAYS}, events=["said"])
        await staying.say()
        room = server.actor(actor, "a")
        before = connections()
        for number in range(GO):
            going = await server.connect(actor, "a", {"name": str(number)}, events=["said"])
            await going.say()
            for each in room.conns:
                assert each.state, "was accessed"
            await going.close()
            await eventually(lambda: len(room.conns) == 1)
        for _ in range(says):
            await staying.say()
        del going, each
        assert connections() == before


async def test_they_are_selected_in_the_order_in_which_their_hooks_have_passed() -> None:
    class Slow(Room):
        gate: asyncio.Event

        async def on_connect(self, c: Context) -> None:
            if c.conn.state["name"] == "slow":
                await self.gate.wait()

    Slow.gate = asyncio.Event()
    async with LocalServer(Slow) as server:
        first = await server.connect(Slow, "a", {"name": STAYS})
        # From here on there is an index.
        await first.say()
        late = asyncio.create_task(server.connect(Slow, "a", {"name": "slow"}))
        room = server.actor(Slow, "a")
        await eventually(lambda: len(room._instance.open_connections) == 2)
        await server.connect(Slow, "a", {"name": "quick"})
        Slow.gate.set()
        await late
        names = [each.state["name"] for each in room.conns]
        assert names == [STAYS, "quick", "slow"]
        assert [each.state["name"] for each in room.conns.where()] == names
        assert room.conns.find() is room.conns.where().find()


async def test_to_find_somebody_by_a_field_is_no_access(monkeypatch: pytest.MonkeyPatch) -> None:
    async with LocalServer(Room) as server:
        await server.connect(Room, "a", {"name": STAYS})
        room = server.actor(Room, "a")
        touched: list[Connection[Any]] = []

        def touch(connection: Connection[Any]) -> None:
            touched.append(connection)

        monkeypatch.setattr(Connection, "_touch", touch)
        found = room.conns.find(name=STAYS)
        assert found is not None and room.conns.find(name="nobody") is None
        # What a dict does not have is None.
        assert room.conns.find(nick=None) is found
        assert not touched
        assert room.conns.find(lambda each: each.state["name"] == STAYS) is found
        assert touched == [found]
