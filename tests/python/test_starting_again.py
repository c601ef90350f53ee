"""A durable actor that starts again: who comes back meanwhile waits for the start, and is let in then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import ClassVar

import pytest
from linked import LinkedSocket, call, eventually, resume_from, running

from ringcast import Actor, Context, MemoryStore, action
from ringcast.errors import CloseCode
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Connect, Connected, Error


class Slow(Actor):
    """Its start takes as long as the test wants, or fails."""

    durable = True
    gate: ClassVar[asyncio.Event]
    fails: ClassVar[int] = 0
    heard: ClassVar[list[str]] = []

    async def on_start(self, c: Context) -> None:
        self.heard.append("on_start begins")
        await self.gate.wait()
        if type(self).fails:
            type(self).fails -= 1
            raise RuntimeError("not this time")
        self.heard.append("on_start ends")

    def can_subscribe(self, c: Context, name: str) -> bool:
        self.heard.append(f"can_subscribe {name}")
        return True

    def on_disconnect(self, c: Context) -> None:
        self.heard.append("on_disconnect")

    async def on_destroy(self, c: Context) -> None:
        self.gate.clear()
        await self.gate.wait()

    @action
    def present(self, c: Context) -> int:
        return len(c.conns)

    @action
    def end(self, c: Context) -> None:
        self.destroy()


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    Slow.gate, Slow.fails = asyncio.Event(), 0
    Slow.gate.set()
    Slow.heard.clear()
    yield
    Slow.fails = 0


async def visited(store: MemoryStore, count: int = 1) -> list[Connected]:
    """Have clients connect; they are to come back after the restart that follows."""
    answers = []
    async with running(Slow, store=store) as router:
        for _ in range(count):
            async with LinkedSocket(router) as socket:
                answers.append(await socket.connect("slow", "x"))
    Slow.heard.clear()
    return answers


async def test_a_start_that_failed_locks_nobody_out() -> None:
    store = MemoryStore()
    first, second = await visited(store, 2)
    Slow.fails = 1
    async with running(Slow, store=store) as router:
        async with LinkedSocket(router) as unlucky:
            unlucky.send(Connect("slow", ("x",), resume=resume_from(first)))
            assert isinstance(await unlucky.next(), Error)
        for connected in (second, first):
            async with LinkedSocket(router) as socket:
                answer = await socket.connect("slow", "x", resume=resume_from(connected))
                assert (answer.session, answer.replayed) == (connected.session, 0)
        assert await call(router, "slow", "x", "present") == 2


async def test_no_code_of_a_connection_runs_before_the_actor_has_started() -> None:
    store = MemoryStore()
    first, second = await visited(store, 2)
    Slow.gate.clear()
    async with (
        running(Slow, store=store) as router,
        LinkedSocket(router) as one,
        LinkedSocket(router) as other,
    ):
        one.send(Connect("slow", ("x",), subscriptions=("news",), resume=resume_from(first)))
        await eventually(lambda: Slow.heard)
        other.send(Connect("slow", ("x",), subscriptions=("news",), resume=resume_from(second)))
        for _ in range(100):
            await asyncio.sleep(0)
        assert Slow.heard == ["on_start begins"]
        Slow.gate.set()
        answers = [await socket.receive(Connected) for socket in (one, other)]
        assert [answer.session for answer in answers] == [first.session, second.session]
        assert Slow.heard[1:] == ["on_start ends", "can_subscribe news", "can_subscribe news"]


async def test_no_session_ends_while_its_actor_starts() -> None:
    store, clock = MemoryStore(), ManualClock()
    [connected] = await visited(store)
    Slow.gate.clear()
    async with (
        running(Slow, store=store, clock=clock, session_window_s=1) as router,
        LinkedSocket(router) as socket,
    ):
        socket.send(Connect("slow", ("x",), resume=resume_from(connected)))
        await eventually(lambda: Slow.heard)
        await clock.advance(10)
        Slow.gate.set()
        assert (await socket.receive(Connected)).session == connected.session
        assert "on_disconnect" not in Slow.heard


async def test_who_comes_back_while_the_actor_is_destroyed_is_told() -> None:
    async with running(Slow) as router:
        async with LinkedSocket(router) as socket:
            connected = await socket.connect("slow", "x")
        await call(router, "slow", "x", "end")
        await eventually(lambda: not Slow.gate.is_set())
        async with LinkedSocket(router) as socket:
            resume = resume_from(connected)
            socket.send(Connect("slow", ("x",), subscriptions=("news",), resume=resume))
            assert isinstance(await socket.next(), Error)
            await socket.closed_with(CloseCode.INTERNAL_ERROR)
        Slow.gate.set()
        await eventually(lambda: not router.actors)
        async with LinkedSocket(router) as socket:
            socket.send(Connect("slow", ("x",), resume=resume))
            await socket.closed_with(CloseCode.ACTOR_DESTROYED)


class Refusing(Actor, max_ring_events=2):
    """Its snapshots fail: one that is too deep at once, and the others when the connection has joined."""

    left: ClassVar[int] = 0
    deep: ClassVar[bool] = False

    def on_connect(self, c: Context) -> None:
        if not self.deep:
            # More than the ring remembers, so that a second snapshot is asked for.
            for number in range(9):
                c.broadcast("news", number)

    def snapshot(self, c: Context) -> object:
        if self.deep:
            value: object = 1
            for _ in range(253):
                value = [value]
            return value
        if len(c.conns):
            raise RuntimeError("no second one")
        return "all"

    def on_disconnect(self, c: Context) -> None:
        type(self).left += 1

    @action
    def present(self, c: Context) -> int:
        return len(c.conns)


class RefusingDurably(Refusing, max_ring_events=2):
    durable = True


@pytest.mark.parametrize("kind", [Refusing, RefusingDurably], ids=["ordinary", "durable"])
@pytest.mark.parametrize("deep", [False, True], ids=["raises", "too deep"])
async def test_a_connection_that_is_refused_for_its_snapshot_leaves(
    monkeypatch: pytest.MonkeyPatch, kind: type[Refusing], deep: bool
) -> None:
    monkeypatch.setattr(kind, "left", 0)
    monkeypatch.setattr(kind, "deep", deep)
    name = kind.__name__[0].lower() + kind.__name__[1:]
    store = MemoryStore()
    async with running(kind, store=store) as router, LinkedSocket(router) as socket:
        socket.send(Connect(name, ("x",), subscriptions=("news",)))
        assert isinstance(await socket.next(), Error)
        await socket.closed()
        assert await call(router, name, "x", "present") == 0
        assert kind.left == (0 if deep else 1)
    assert await store.with_sessions() == []


async def test_a_restart_forgets_who_was_refused_and_gives_a_gap_to_nobody_else() -> None:
    store = MemoryStore()
    [connected] = await visited(store)
    Slow.fails = 1
    async with running(Slow, store=store) as router, LinkedSocket(router) as socket:
        socket.send(Connect("slow", ("x",)))
        assert isinstance(await socket.next(), Error)
        async with LinkedSocket(router) as again:
            assert (await again.connect("slow", "x", resume=resume_from(connected))).gap is None
        assert await call(router, "slow", "x", "present") == 1
