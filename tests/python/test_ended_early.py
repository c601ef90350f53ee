"""A connection that its actor ends before its client knows of it: the client is told, and acts no more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

import pytest
from linked import LinkedSocket, call, eventually, resume_from, running
from unwilling_store import UnwillingStore

from ringcast import Actor, Context, action
from ringcast.errors import CloseCode
from ringcast.wire.protocol import Call, Connect, Reply


class Door(Actor):
    """Turns people away at any moment."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.gate = asyncio.Event()

    async def on_connect(self, c: Context) -> None:
        self.heard.append("comes")
        if c.conn.params == "banned":
            c.conn.disconnect("banned")
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def on_disconnect(self, c: Context) -> None:
        self.heard.append("goes")

    async def can_subscribe(self, c: Context, name: str) -> bool:
        if name == "banned":
            c.conn.disconnect("banned")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if name == "slow":
            self.heard.append("asked")
            await self.gate.wait()
        return True

    @action
    def kick_all(self, c: Context) -> int:
        found = list(c.conns)
        for conn in found:
            conn.disconnect("kicked")
        return len(found)

    @action
    def act(self, c: Context) -> None:
        self.heard.append("acts")

    @action
    def look(self, c: Context) -> list[str]:
        return self.heard

    @action
    def open(self, c: Context) -> None:
        self.gate.set()


class DurableDoor(Door):
    durable = True


KINDS = pytest.mark.parametrize("kind", [Door, DurableDoor], ids=["ordinary", "durable"])


def name_of(kind: type[Door]) -> str:
    return kind.__name__[0].lower() + kind.__name__[1:]


@KINDS
async def test_one_that_is_ended_in_on_connect_is_told_that_and_does_not_come_back(kind: type[Door]) -> None:
    name = name_of(kind)
    async with running(kind) as router, LinkedSocket(router) as socket:
        socket.send(Connect(name, ("x",), params="banned"))
        await socket.closed_with(CloseCode.DISCONNECTED)
        assert await call(router, name, "x", "look") == ["comes", "goes"]


async def test_one_that_is_ended_while_its_connect_is_committed_is_told_that() -> None:
    store = UnwillingStore()
    async with running(DurableDoor, store=store) as router, LinkedSocket(router) as socket:
        await call(router, "durableDoor", "x", "look")
        (instance,) = router._directory
        store.gate.clear()
        socket.send(Connect("durableDoor", ("x",)))
        await eventually(lambda: len(instance.conns) == 1)
        kick = asyncio.create_task(call(router, "durableDoor", "x", "kick_all"))
        await eventually(lambda: len(instance.conns) == 0)
        store.gate.set()
        await socket.closed_with(CloseCode.DISCONNECTED)
        assert await kick == 1


@KINDS
async def test_one_that_is_ended_while_it_comes_back_is_told_that(kind: type[Door]) -> None:
    name = name_of(kind)
    async with running(kind) as router:
        async with LinkedSocket(router) as socket:
            connected = await socket.connect(name, "x")
        async with LinkedSocket(router) as socket:
            resume = resume_from(connected)
            socket.send(Connect(name, ("x",), subscriptions=("slow",), resume=resume))
            (instance,) = router._directory
            await eventually(lambda: "asked" in instance.actor.heard)
            (conn,) = instance.conns
            conn.disconnect("kicked")
            await eventually(lambda: len(instance.conns) == 0)
            instance.actor.gate.set()
            await socket.closed_with(CloseCode.DISCONNECTED)
        assert await call(router, name, "x", "look") == ["comes", "asked", "goes"]


async def test_one_that_has_ended_acts_no_more_while_that_is_committed() -> None:
    store = UnwillingStore()
    async with running(DurableDoor, store=store) as router, LinkedSocket(router) as socket:
        await socket.connect("durableDoor", "x")
        (instance,) = router._directory
        store.gate.clear()
        kick = asyncio.create_task(call(router, "durableDoor", "x", "kick_all"))
        await eventually(lambda: len(instance.conns) == 0)
        socket.send(*(Call(id, "act", []) for id in range(1, 9)))
        for _ in range(50):
            await asyncio.sleep(0)
        store.gate.set()
        await socket.closed_with(CloseCode.DISCONNECTED)
        assert await kick == 1
        assert await call(router, "durableDoor", "x", "look") == ["comes", "goes"]


async def test_what_waits_for_its_turn_is_not_begun_for_one_that_has_ended() -> None:
    async with (
        running(DurableDoor) as router,
        LinkedSocket(router) as socket,
        LinkedSocket(router) as other,
    ):
        await socket.connect("durableDoor", "x")
        await other.connect("durableDoor", "x")
        (instance,) = router._directory
        async with instance.turn():
            socket.send(Call(1, "act", []))
            (conn, _) = instance.conns
            conn.disconnect("kicked")
            await eventually(lambda: len(instance.conns) == 1)
        await socket.closed_with(CloseCode.DISCONNECTED)
        other.send(Call(1, "look", []))
        assert await other.receive(Reply) == Reply(1, ["comes", "comes", "goes"])


@KINDS
async def test_one_that_is_ended_while_it_asks_to_listen_never_comes(kind: type[Door]) -> None:
    name = name_of(kind)
    async with running(kind) as router, LinkedSocket(router) as socket:
        socket.send(Connect(name, ("x",), subscriptions=("banned", "other")))
        await socket.closed_with(CloseCode.DISCONNECTED)
        assert await call(router, name, "x", "look") == []


async def test_what_waits_for_its_turn_is_done_for_one_that_has_closed_by_itself() -> None:
    async with running(DurableDoor) as router, LinkedSocket(router) as socket:
        await socket.connect("durableDoor", "x")
        (instance,) = router._directory
        async with instance.turn():
            socket.send(Call(1, "act", []))
            socket.lose(CloseCode.NORMAL)
        assert await call(router, "durableDoor", "x", "look") == ["comes", "acts", "goes"]


@pytest.fixture
def break_access_log() -> Iterator[Callable[[], None]]:
    """Gives what makes the access log raise from then on, as a filter of the user's may."""
    access = logging.getLogger("ringcast.access")
    level = access.level

    def broken(_record: logging.LogRecord) -> bool:
        raise RuntimeError("the filter of a log is broken")

    def break_it() -> None:
        access.setLevel(logging.INFO)
        access.addFilter(broken)

    yield break_it
    access.removeFilter(broken)
    access.setLevel(level)


@KINDS
async def test_an_error_in_the_middle_of_an_end_leaves_nobody_half_ended(
    kind: type[Door], break_access_log: Callable[[], None]
) -> None:
    name = name_of(kind)
    async with running(kind) as router, LinkedSocket(router) as socket:
        await socket.connect(name, "x")
        (instance,) = router._directory
        (conn,) = instance.conns
        break_access_log()
        conn.disconnect("kicked")
        await socket.closed_with(CloseCode.DISCONNECTED)
        assert await call(router, name, "x", "look") == ["comes", "goes"]
        assert router.connections == 0


@KINDS
async def test_an_error_while_a_socket_is_lost_leaves_nobody_there(
    kind: type[Door], break_access_log: Callable[[], None]
) -> None:
    name = name_of(kind)
    async with running(kind) as router, LinkedSocket(router) as socket:
        await socket.connect(name, "x")
        break_access_log()
        with pytest.raises(RuntimeError, match="filter of a log"):
            socket.link.on_lost(CloseCode.NORMAL)
        assert await call(router, name, "x", "look") == ["comes", "goes"]
        assert router.connections == 0
