"""A durable actor whose store takes nothing: what waits for it is bounded, and goes on afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from linked import TIMEOUT_S, LinkedSocket, call, eventually, resume_from, running
from unwilling_store import UnwillingStore

from ringcast import Actor, Context, action
from ringcast.durable.room import LEAST_BYTES, LEAST_COUNT
from ringcast.errors import CloseCode, StoreUnavailable
from ringcast.router import Router
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Call, Connect, Error, Event, Reply, Subscribe


@dataclass
class Count:
    total: int = 0


class Feed(Actor[Count], max_ring_events=10, max_ring_bytes=1024):
    """Its ring holds less than what may wait at least."""

    durable = True

    @action
    def add(self, c: Context[Count]) -> int:
        c.state.total += 1
        return c.state.total

    @action
    def tell(self, c: Context[Count], text: str) -> None:
        c.state.total += 1
        c.broadcast("told", text)

    @action
    def flood(self, c: Context[Count], count: int) -> None:
        for number in range(count):
            c.broadcast("flooded", number)

    @action
    def spoil(self, c: Context[Count]) -> None:
        c.state.total = object()  # type: ignore[assignment]

    @action
    def later(self, c: Context[Count]) -> None:
        c.schedule.after(1, self.add)


class Album(Feed, max_ring_bytes=3 * LEAST_BYTES):
    """Its ring holds few events, which may be large."""


class Stage:
    """A feed, somebody who listens to it, and a store that can be full."""

    def __init__(
        self, router: Router, store: UnwillingStore, clock: ManualClock, client: LinkedSocket
    ) -> None:
        self.router = router
        self.store = store
        self.clock = clock
        self.client = client
        (self.instance,) = router._directory
        self.actor: Feed = self.instance.actor

    def fill(self) -> int:
        """Broadcast until that is refused; return how many were taken."""
        for taken in range(10 * LEAST_COUNT):
            try:
                self.actor.broadcast("filled", taken)
            except StoreUnavailable:
                return taken
        raise AssertionError("nothing is refused")

    async def fail(self) -> None:
        """Let the store be full, and the actor find that out."""
        self.store.full = True
        self.actor.broadcast("filled", -1)
        await eventually(lambda: self.instance.room.failing)

    async def recover(self) -> None:
        self.store.full = False
        await self.clock.advance(1.0)
        await eventually(lambda: not self.instance.room.failing)


@asynccontextmanager
async def stage(cls: type[Feed] = Feed) -> AsyncIterator[Stage]:
    store, clock = UnwillingStore(), ManualClock()
    async with running(cls, store=store, clock=clock) as router, LinkedSocket(router) as client:
        await client.connect(cls.__name__, "a", events=("told",))
        yield Stage(router, store, clock, client)


async def test_events_are_refused_past_a_bound_and_those_before_it_are_delivered() -> None:
    async with stage() as s:
        await s.fail()
        assert s.fill() == LEAST_COUNT - 1
        with pytest.raises(StoreUnavailable):
            s.actor.conns.send("told", "nobody")
        with pytest.raises(StoreUnavailable):
            await asyncio.to_thread(s.actor.broadcast_threadsafe, "told", "nobody")
        with pytest.raises(StoreUnavailable):
            s.actor.schedule.after(1, "add")
        assert len(s.actor.schedule) == 0
        head = s.instance.position
        await s.recover()
        assert s.instance.stream.head == head == LEAST_COUNT
        s.actor.broadcast("told", "again")
        assert (await s.client.receive(Event)).args == ["again"]


async def test_the_bound_is_one_of_bytes_too() -> None:
    async with stage(Album) as s:
        await s.fail()
        with pytest.raises(StoreUnavailable):
            for _ in range(40):
                s.actor.broadcast("filled", "x" * 100_000)
        assert s.instance.position == pytest.approx(3 * LEAST_BYTES / 100_000, abs=2)


async def test_a_state_that_cannot_be_written_is_bounded_in_the_same_way() -> None:
    async with stage() as s:
        s.client.send(Call(1, "spoil", []))
        await eventually(lambda: s.instance.room.failing)
        assert s.fill() < LEAST_COUNT
        s.actor.state.total = 3
        await s.recover()
        assert await s.client.receive(Reply) == Reply(1, None)
        assert await call(s.router, "feed", "a", "add") == 4


async def test_a_store_that_hangs_counts_as_one_that_fails() -> None:
    async with stage() as s:
        s.store.gate.clear()
        for number in range(2 * LEAST_COUNT):
            s.actor.broadcast("filled", number)  # it may only be slow
        await s.clock.advance(10.0)
        assert s.fill() == 0
        s.store.gate.set()
        await eventually(lambda: not s.instance.room.failing)
        s.actor.broadcast("told", "again")
        assert (await s.client.receive(Event)).args == ["again"]


async def test_what_one_action_does_is_not_bounded_while_commits_go_well() -> None:
    async with stage() as s:
        await call(s.router, "feed", "a", "flood", 3 * LEAST_COUNT)
        assert s.instance.stream.head == 3 * LEAST_COUNT


async def test_an_action_that_is_refused_an_event_has_done_what_it_did_and_its_caller_is_told() -> None:
    async with stage() as s:
        await s.fail()
        s.client.send(Call(1, "flood", [2 * LEAST_COUNT]))
        await eventually(lambda: s.instance.room.is_full)
        await s.recover()
        answer = await s.client.receive(Error)
        assert (answer.id, answer.error["code"]) == (1, "store_unavailable")


async def test_requests_of_a_connection_wait_for_the_store_and_are_answered_in_their_order() -> None:
    async with stage() as s:
        await s.fail()
        s.fill()
        s.client.send(Call(1, "tell", ["one"]), Subscribe(2, "other"), Call(3, "tell", ["three"]))
        await s.clock.advance(30.0)
        assert s.actor.state.total == 0
        assert s.client.link.is_behind is False
        await s.recover()
        heard = [await s.client.next() for _ in range(5)]
        texts = [message.args[0] for message in heard if isinstance(message, Event)]
        assert texts == ["one", "three"]
        assert [message for message in heard if isinstance(message, Reply)] == [
            Reply(1, None), Reply(2, None), Reply(3, None)
        ]  # fmt: skip


async def test_more_requests_than_may_wait_are_not_read() -> None:
    async with stage() as s:
        await s.fail()
        s.fill()
        s.client.send(*(Call(number, "add", []) for number in range(1, 201)))
        assert s.client.link.is_behind
        await s.recover()
        assert [await s.client.receive(Reply) for _ in range(200)] == [
            Reply(number, number) for number in range(1, 201)
        ]


async def test_a_call_without_a_connection_is_refused_and_has_done_nothing() -> None:
    async with stage() as s:
        await s.fail()
        s.fill()
        async with asyncio.timeout(TIMEOUT_S):
            with pytest.raises(StoreUnavailable):
                await call(s.router, "feed", "a", "add")
        await s.recover()
        assert await call(s.router, "feed", "a", "add") == 1


async def test_clients_that_connect_are_told_to_come_back() -> None:
    async with stage() as s:
        async with LinkedSocket(s.router) as before:
            connected = await before.connect("feed", "a", events=("told",))
        await s.fail()
        s.fill()
        waiting = s.instance.room._count
        for resume in (None, resume_from(connected)):
            async with LinkedSocket(s.router) as client:
                client.send(Connect("feed", ("a",), subscriptions=("told",), resume=resume))
                assert (await client.receive(Error)).error["code"] == "store_unavailable"
                await client.closed_with(CloseCode.INTERNAL_ERROR)
        assert s.instance.room._count == waiting
        await s.recover()
        async with LinkedSocket(s.router) as client:
            again = await client.connect("feed", "a", events=("told",), resume=resume_from(connected))
            assert again.session == connected.session


async def test_an_actor_that_stops_meanwhile_lets_nobody_wait(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    async with stage() as s:
        await s.fail()
        s.fill()
        s.client.send(Call(1, "add", []))
        async with asyncio.timeout(TIMEOUT_S):
            await s.router.stop()
        await s.client.closed_with(CloseCode.SERVER_RESTART)
