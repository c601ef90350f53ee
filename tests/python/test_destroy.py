"""A durable actor that is destroyed: what was answered is done, over a crash and a store that fails.

A store that remembers each commit gives the moments at which the process could have been killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import orjson
import pytest
from linked import Closed, LinkedSocket, call, eventually, resume_from, running
from scheduling import Recording

from ringcast import Actor, Context, MemoryStore, action
from ringcast.errors import ActorNotFound, CloseCode, RingcastError
from ringcast.store import Change
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Call, Connect, Connected, Error, Event, Reply


@dataclass
class Guests:
    ids: list[str] = field(default_factory=list)


class Hall(Actor[Guests]):
    """Knows who is there; its end takes as long as the test wants."""

    durable = True
    gate: ClassVar[asyncio.Event]
    heard: ClassVar[list[str]] = []

    def on_connect(self, c: Context[Guests]) -> None:
        c.state.ids.append(c.conn.id)

    async def on_disconnect(self, c: Context[Guests]) -> None:
        self.heard.append(f"{c.conn.id} leaves")
        await asyncio.sleep(0)
        c.state.ids.remove(c.conn.id)
        self.heard.append(f"{c.conn.id} has left")
        c.broadcast("left", c.conn.id)

    async def on_stop(self, c: Context[Guests]) -> None:
        self.heard.append("on_stop")
        await self.gate.wait()

    def on_destroy(self, c: Context[Guests]) -> None:
        self.heard.append("on_destroy")

    @action
    def present(self, c: Context[Guests]) -> list[str]:
        return c.state.ids

    @action
    def end(self, c: Context[Guests]) -> str:
        c.destroy()
        return "destroyed"


class HallAtOnce(Hall):
    """The same with a hook that does not wait."""

    def on_disconnect(self, c: Context[Guests]) -> None:  # type: ignore[override]
        self.heard.append(f"{c.conn.id} leaves")
        c.state.ids.remove(c.conn.id)
        self.heard.append(f"{c.conn.id} has left")
        c.broadcast("left", c.conn.id)


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    Hall.gate = asyncio.Event()
    Hall.gate.set()
    Hall.heard.clear()
    yield


both = pytest.mark.parametrize("kind", [Hall, HallAtOnce], ids=["async", "sync"])


def wire_name(kind: type[Hall]) -> str:
    return kind.__name__[0].lower() + kind.__name__[1:]


async def moments(kind: type[Hall]) -> tuple[list[str], list[MemoryStore]]:
    """Have two clients see their actor destroyed; return who they were, and the store at each moment."""
    store = Recording()
    async with running(kind, store=store) as router:
        async with LinkedSocket(router) as one, LinkedSocket(router) as other:
            answers = [await socket.connect(wire_name(kind), "x") for socket in (one, other)]
            one.send(Call(1, "end", []))
            assert (await one.receive(Reply)).value == "destroyed"
            [actor] = store._by_id.values()
            assert actor.ends_for_good
            await one.closed_with(CloseCode.ACTOR_DESTROYED)
            await other.closed_with(CloseCode.ACTOR_DESTROYED)
        await eventually(lambda: not router.actors)
    assert Hall.heard[-2:] == ["on_stop", "on_destroy"]
    Hall.heard.clear()
    return [answer.connection for answer in answers], store.copies


@both
async def test_whoever_has_left_has_no_session_at_any_moment(kind: type[Hall]) -> None:
    _, copies = await moments(kind)
    found = [(copy._by_id[id], stream) for copy in copies for id, stream in copy._streams.items()]
    for actor, stream in found:
        ids = orjson.loads(actor.state)["ids"]
        assert sorted(ids) == sorted(stream.sessions)
        left = [event for event in stream.events if event.name == "left"]
        assert not left or len(left) + len(ids) == 2
    assert {len(stream.sessions) for actor, stream in found if actor.ends_for_good} >= {0, 2}


@both
async def test_a_crash_does_not_bring_it_back(kind: type[Hall]) -> None:
    guests, copies = await moments(kind)
    ending = [copy for copy in copies if any(actor.ends_for_good for actor in copy._by_id.values())]
    assert ending and all(not copy._by_id for copy in copies[copies.index(ending[-1]) + 1 :])
    for copy in ending:
        [stream] = copy._streams.values()
        still = [id for id in guests if id in stream.sessions]
        Hall.heard.clear()
        async with running(kind, store=copy) as router:
            with pytest.raises(ActorNotFound):
                await router.call(Connect(wire_name(kind), ("x",), lookup="get"), "present", [])
            left = [f"{id} {what}" for id in still for what in ("leaves", "has left")]
            assert Hall.heard == [*left, "on_stop", "on_destroy"]
            assert await copy.with_sessions() == []
            # A new one.
            assert await call(router, wire_name(kind), "x", "present") == []
        assert all(not actor.ends_for_good for actor in copy._by_id.values())


async def test_a_crash_does_not_bring_it_back_though_nobody_asks_for_it() -> None:
    _, copies = await moments(Hall)
    ending = [copy for copy in copies if any(actor.ends_for_good for actor in copy._by_id.values())]
    Hall.heard.clear()
    clock = ManualClock()
    async with running(Hall, store=ending[-1], clock=clock, session_window_s=1):
        await clock.advance(1)
        await eventually(lambda: not ending[-1]._by_id)
    assert Hall.heard == ["on_stop", "on_destroy"]


async def test_a_client_that_comes_back_after_the_crash_finds_a_new_actor() -> None:
    store = Recording()
    async with running(Hall, store=store) as router, LinkedSocket(router) as socket:
        connected = await socket.connect("hall", "x")
        socket.send(Call(1, "end", []))
        await socket.receive(Reply)
        await socket.closed()
    copy = next(copy for copy in store.copies if any(actor.ends_for_good for actor in copy._by_id.values()))
    async with running(Hall, store=copy) as router, LinkedSocket(router) as socket:
        answer = await socket.connect("hall", "x", resume=resume_from(connected))
        assert answer.session != connected.session and answer.gap is not None
        assert await call(router, "hall", "x", "present") == [answer.connection]


async def test_a_client_that_comes_back_while_it_is_destroyed_hears_the_last_events() -> None:
    Hall.gate.clear()
    async with running(Hall) as router, LinkedSocket(router) as socket:
        connected = await socket.connect("hall", "x", events=("left",))
        socket.lose()
        await call(router, "hall", "x", "end")
        await eventually(lambda: "on_stop" in Hall.heard)
        async with LinkedSocket(router) as again:
            resume = resume_from(connected)
            answer = await again.connect("hall", "x", events=("left",), resume=resume)
            assert (answer.session, answer.replayed) == (connected.session, 1)
            assert (await again.receive(Event)).name == "left"
            Hall.gate.set()
            await again.closed_with(CloseCode.ACTOR_DESTROYED)


@both
async def test_on_disconnect_takes_turns(kind: type[Hall]) -> None:
    async with running(kind) as router, LinkedSocket(router) as one, LinkedSocket(router) as other:
        await one.connect(wire_name(kind), "x", events=("left",))
        await other.connect(wire_name(kind), "x")
        await call(router, wire_name(kind), "x", "end")
        assert [(await one.receive(Event)).name for _ in range(2)] == ["left", "left"]
        await one.closed_with(CloseCode.ACTOR_DESTROYED)
    first, second = (line.split()[0] for line in Hall.heard[:4:2])
    turns = [f"{first} leaves", f"{first} has left", f"{second} leaves", f"{second} has left"]
    assert Hall.heard == [*turns, "on_stop", "on_destroy"]


class Crowded(Hall):
    """Nobody gets out of it."""

    async def on_disconnect(self, c: Context[Guests]) -> None:
        self.heard.append(f"{c.conn.id} leaves")
        await asyncio.Event().wait()


async def test_hooks_that_hang_hold_up_neither_each_other_nor_the_end() -> None:
    async with running(Crowded, shutdown_timeout_s=0.4) as router:
        sockets = [LinkedSocket(router) for _ in range(5)]
        answers = [await socket.connect("crowded", "x") for socket in sockets]
        await call(router, "crowded", "x", "end")
        for socket in sockets:
            await socket.closed_with(CloseCode.ACTOR_DESTROYED)
            socket.lose()
        leave = [f"{answer.connection} leaves" for answer in answers]
        assert Hall.heard == [*leave, "on_stop", "on_destroy"]


class Unwilling(MemoryStore):
    """Does not delete as often as it is told to."""

    fails = 0

    async def delete(self, actor_id: str) -> None:
        if self.fails:
            self.fails -= 1
            raise OSError("the disk does not answer")
        await super().delete(actor_id)


async def test_a_delete_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    store = Unwilling()
    store.fails = 2
    async with running(Hall, store=store) as router, LinkedSocket(router) as socket:
        await socket.connect("hall", "x")
        assert await call(router, "hall", "x", "end") == "destroyed"
        # Whoever asks for it waits until it is gone.
        assert await call(router, "hall", "x", "present") == []
        await socket.closed_with(CloseCode.ACTOR_DESTROYED)
    assert store.fails == 0
    assert Hall.heard[2:4] == ["on_stop", "on_destroy"]
    assert [record.message for record in caplog.records if "not deleted yet" in record.message] == [
        "x: the actor is not deleted yet; it is tried again in 0.1 s",
        "x: the actor is not deleted yet; it is tried again in 0.2 s",
    ]


async def test_an_actor_that_the_store_does_not_delete_is_not_found_again() -> None:
    store = Unwilling()
    store.fails = 1_000_000
    async with running(Hall, store=store, shutdown_timeout_s=0.4) as router:
        async with LinkedSocket(router) as socket:
            connected = await socket.connect("hall", "x")
            socket.send(Call(1, "end", []))
            await socket.receive(Reply)
            await socket.closed_with(CloseCode.ACTOR_DESTROYED)
        for _ in range(2):
            with pytest.raises(RingcastError):
                await call(router, "hall", "x", "present")
        assert "on_destroy" not in Hall.heard
        async with LinkedSocket(router) as socket:
            socket.send(Connect("hall", ("y",)))
            assert isinstance(await socket.next(), Connected)
        async with LinkedSocket(router) as socket:
            socket.send(Connect("hall", ("x",)))
            assert isinstance(await socket.next(), Error)
        store.fails = 0
        assert await call(router, "hall", "x", "present") == []
    assert Hall.heard.count("on_destroy") == 1
    assert Hall.heard.count(f"{connected.connection} leaves") == 1


class Stuck(MemoryStore):
    """Takes nothing from a moment on: commits hang until they fail."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.is_stuck = False

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        if self.is_stuck:
            await self.gate.wait()
            raise OSError("nothing is taken")
        await super().commit(actor_id, changes)

    async def delete(self, actor_id: str) -> None:
        if self.is_stuck:
            raise OSError("nothing is taken")
        await super().delete(actor_id)


async def test_clients_are_let_go_though_the_store_takes_nothing_and_not_told_that_it_is_gone() -> None:
    store = Stuck()
    async with (
        running(HallAtOnce, store=store, shutdown_timeout_s=0.2) as router,
        LinkedSocket(router) as socket,
    ):
        await socket.connect(wire_name(HallAtOnce), "x", params="ann")
        (instance,) = router._directory
        store.is_stuck = True
        instance.context.destroy()
        while not isinstance(message := await socket.next(), Closed):
            pass
        assert message.code == CloseCode.INTERNAL_ERROR
        store.gate.set()
        store.is_stuck = False
