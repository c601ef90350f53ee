"""Cancelling: what was cancelled never runs, not after a crash either; what has begun cannot be cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from linked import call, eventually, running
from scheduling import Notes, Planner, Recording, Stubborn, fall_asleep, idle, lines

from ringcast import Actor, Context, action
from ringcast.errors import ActorDestroyed
from ringcast.router import Router
from ringcast.store import Change, Unscheduled
from ringcast.testing import ManualClock

BOTH = pytest.mark.parametrize("durable", [False, True], ids=["ordinary", "durable"])


# --- between its time and its beginning ---------------------------------------------------------------------


async def test_one_that_waits_for_the_store_can_be_cancelled(clock: ManualClock) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock, save_interval_s=1000) as router:
        id = await call(router, "planner", "k", "plan", 10, "note", "cancelled")
        (instance,) = router._directory
        await eventually(lambda: not instance.tasks)
        store.may_write.clear()
        store.writing.clear()
        plans = [asyncio.ensure_future(call(router, "planner", "k", "plan", 3600, "note", "x"))]
        await store.writing.wait()
        # Not in what is being written: it has to be before anything runs.
        plans.append(asyncio.ensure_future(call(router, "planner", "k", "plan", 3600, "note", "x")))
        await eventually(lambda: len(instance.tasks) == 2)
        await clock.advance(10)
        await eventually(lambda: len(instance.tasks) == 3)
        cancelling = asyncio.ensure_future(call(router, "planner", "k", "cancel", id))
        await eventually(lambda: len(instance.tasks) == 4)
        store.may_write.set()
        await asyncio.gather(*plans)
        assert await cancelling is True
        await idle(router)
        assert await lines(router) == []
        assert len(await store.schedule()) == 2


async def test_one_that_waits_for_its_turn_can_be_cancelled_by_who_has_it(clock: ManualClock) -> None:
    class Shop(Actor[Notes]):
        """Charges later, unless the order falls through."""

        durable = True
        begun, gate = asyncio.Event(), asyncio.Event()

        @action
        async def order(self, c: Context[Notes]) -> bool:
            id = c.schedule.after(1, self.charge)
            await c.save_state()
            Shop.begun.set()
            await Shop.gate.wait()
            return c.schedule.cancel(id)

        @action
        def charge(self, c: Context[Notes]) -> None:
            c.state.lines.append("charged")

        @action
        def lines(self, c: Context[Notes]) -> list[str]:
            return c.state.lines

    async with running(Shop, clock=clock) as router:
        ordering = asyncio.ensure_future(call(router, "shop", "k", "order"))
        await Shop.begun.wait()
        (instance,) = router._directory
        await clock.advance(1)
        await eventually(lambda: len(instance.tasks) == 2)
        Shop.gate.set()
        assert await ordering is True
        await idle(router)
        assert await call(router, "shop", "k", "lines") == []
        assert await router.store.schedule() == []


@dataclass
class Lease:
    holder: str | None = None
    expiry: str | None = None


class Desk(Actor[Lease]):
    """The example of the guide, busy for a while."""

    durable = True
    begun: asyncio.Event
    gate: asyncio.Event

    @action
    def take(self, c: Context[Lease], who: str, seconds: float) -> None:
        if c.state.expiry is not None:
            c.schedule.cancel(c.state.expiry)
        c.state.holder = who
        c.state.expiry = c.schedule.after(seconds, self.expire, who)

    @action
    def expire(self, c: Context[Lease], who: str) -> None:
        c.state.holder = c.state.expiry = None

    @action
    async def clean(self, c: Context[Lease]) -> None:
        Desk.begun.set()
        await Desk.gate.wait()

    @action
    def holder(self, c: Context[Lease]) -> str | None:
        return c.state.holder


async def test_a_lease_is_not_lost_to_the_expiry_of_the_one_before(clock: ManualClock) -> None:
    Desk.begun, Desk.gate = asyncio.Event(), asyncio.Event()
    async with running(Desk, clock=clock) as router:
        await call(router, "desk", "k", "take", "first", 10)
        (instance,) = router._directory
        cleaning = asyncio.ensure_future(call(router, "desk", "k", "clean"))
        await Desk.begun.wait()
        taking = asyncio.ensure_future(call(router, "desk", "k", "take", "second", 10))
        await eventually(lambda: len(instance.turns._waiting) == 1)  # type: ignore[union-attr]
        await clock.advance(10)
        await eventually(lambda: len(instance.turns._waiting) == 2)  # type: ignore[union-attr]
        Desk.gate.set()
        await asyncio.gather(cleaning, taking)
        await idle(router)
        assert await call(router, "desk", "k", "holder") == "second"
        await clock.advance(10)
        await idle(router)
        assert await call(router, "desk", "k", "holder") is None


async def test_one_whose_actor_did_not_start_can_be_cancelled_before_the_next_attempt(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Moody(Planner):
        """Does not always start."""

        failing = False

        def on_start(self) -> None:
            if Moody.failing:
                raise RuntimeError("a secret")

    async with running(Moody, clock=clock) as router:
        id = await call(router, "moody", "k", "plan", 100, "note", "cancelled")
        await call(router, "moody", "k", "plan", 100, "note", "it")
        await fall_asleep(router, clock)
        Moody.failing = True
        await clock.advance(70)
        await eventually(lambda: "it is tried again in 1 s" in caplog.text)
        Moody.failing = False
        assert await call(router, "moody", "k", "cancel", id) is True
        await clock.advance(1)
        await idle(router)
        assert await call(router, "moody", "k", "lines") == ["it"]


# --- from its beginning on ----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("name", ["look", "look_later"])
async def test_one_cannot_cancel_itself(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, name: str, durable: bool
) -> None:
    class Doubter(Actor[Notes]):
        """Would rather not have begun."""

        @action
        def plan(self, c: Context[Notes], name: str) -> None:
            c.schedule.after(1, name)

        @action
        def look(self, c: Context[Notes]) -> None:
            assert c.scheduled is not None
            c.state.lines.append(str(c.schedule.cancel(c.scheduled.id)))

        @action
        async def look_later(self, c: Context[Notes]) -> None:
            await asyncio.sleep(0)
            self.look(c)

        @action
        def lines(self, c: Context[Notes]) -> list[str]:
            return c.state.lines

    monkeypatch.setattr(Doubter, "durable", durable)
    async with running(Doubter, clock=clock) as router:
        await call(router, "doubter", "k", "plan", name)
        await clock.advance(1)
        await idle(router)
        assert await call(router, "doubter", "k", "lines") == ["False"]
        assert await router.store.schedule() == []


class Fickle(Actor[Notes]):
    """Cancels in unusual ways."""

    @action
    def plan(self, c: Context[Notes]) -> str:
        return c.schedule.after(1, self.note)

    @action
    def note(self, c: Context[Notes]) -> None:
        c.state.lines.append("noted")

    @action
    def cancel_and_go_on(self, c: Context[Notes], id: str) -> Any:
        assert c.schedule.cancel(id)
        # As under a decorator that knows no async.
        return self.rest()

    async def rest(self) -> bool:
        return True

    @action
    def cancel_and_end(self, c: Context[Notes], id: str) -> bool:
        c.destroy()
        return c.schedule.cancel(id)


@pytest.mark.parametrize("name", ["cancel_and_go_on", "cancel_and_end"])
async def test_who_cancels_is_told_when_the_store_has_it(clock: ManualClock, name: str) -> None:
    store = Stubborn()
    async with running(Fickle, store=store, clock=clock, save_interval_s=1000) as router:
        id = await call(router, "fickle", "k", "plan")
        (instance,) = router._directory
        await eventually(lambda: not instance.tasks)
        store.may_write.clear()
        store.writing.clear()
        cancelling = asyncio.ensure_future(call(router, "fickle", "k", name, id))
        await store.writing.wait()
        # Every occasion to answer too early.
        for _ in range(20):
            await asyncio.sleep(0)
        assert not cancelling.done()
        store.may_write.set()
        assert await cancelling is True
        assert len(store.with_change(Unscheduled)) == 1


async def test_what_an_action_has_done_that_ends_its_actor_is_not_kept_before_the_end(
    clock: ManualClock,
) -> None:
    class Last(Planner):
        """Ends on schedule, while another action still runs."""

        @action
        def finish(self, c: Context[Notes]) -> None:
            c.state.lines.append("finished")
            c.destroy()

        @action
        async def cancel_slowly(self, c: Context[Notes], id: str) -> bool:
            Planner.begun.set()
            await Planner.gate.wait()
            return c.schedule.cancel(id)

    store = Recording()
    async with running(Last, store=store, clock=clock) as router:
        id = await call(router, "last", "k", "plan", 3600, "note", "cancelled")
        await call(router, "last", "k", "plan", 1, "finish")
        cancelling = asyncio.ensure_future(call(router, "last", "k", "cancel_slowly", id))
        await Planner.begun.wait()
        (instance,) = router._directory
        await clock.advance(1)
        await eventually(lambda: instance.ends_for_good)
        Planner.gate.set()
        assert await cancelling is True
        await eventually(lambda: router.actors == 0)
    last = store.copies[-2]
    # A crash after the last commit: what was cancelled is, and `finish` runs as if it never had.
    assert [kept.action for kept in await last.schedule()] == ["finish"]
    assert [actor.state for actor in last._by_id.values()] == [b'{"lines":[]}']


class Sleepy(Planner):
    """Has something to save when it stops."""

    def on_stop(self) -> None:
        self.state.lines.append("stopped")


@BOTH
async def test_nothing_is_cancelled_during_the_last_save_of_an_actor(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    monkeypatch.setattr(Sleepy, "durable", durable)
    store = Stubborn()
    async with running(Sleepy, store=store, clock=clock) as router:
        id = await call(router, "sleepy", "k", "plan", 100, "note", "it")
        (instance,) = router._directory
        await eventually(lambda: not instance.tasks)
        store.writing.clear()
        store.may_write.clear()
        await clock.advance(30)
        await store.writing.wait()
        # By what it has started by itself, and nobody knows of.
        with pytest.raises(ActorDestroyed):
            instance.actor.schedule.cancel(id)
        store.may_write.set()
        await eventually(lambda: router.actors == 0)
        await clock.advance(70)
        await idle(router)
        assert await call(router, "sleepy", "k", "lines") == ["stopped", "it"]


async def test_an_actor_that_cannot_be_saved_cancels_again_when_it_goes_on(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Stubborn()
    async with running(Sleepy, store=store, clock=clock) as router:
        id = await call(router, "sleepy", "k", "plan", 100, "note", "cancelled")
        (instance,) = router._directory
        await eventually(lambda: not instance.tasks)
        store.failing = True
        await clock.advance(30)
        await eventually(lambda: "the actor stays awake" in caplog.text and instance.is_running)
        store.failing = False
        assert await call(router, "sleepy", "k", "cancel", id) is True
        assert await store.schedule() == []


# --- at any moment ------------------------------------------------------------------------------------------


class Restless(Recording):
    """Takes its time for each commit."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self._order = asyncio.Lock()
        self.cancelled: list[str] = []
        self.cancelled_before: list[frozenset[str]] = []
        """For each copy, of what it was known that it was cancelled."""

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        async with self._order:
            for _ in range(self._random.randrange(8)):
                await asyncio.sleep(0)
            await super().commit(actor_id, changes)

    def _copy(self) -> None:
        super()._copy()
        self.cancelled_before.append(frozenset(self.cancelled))


async def cancel_some(router: Router, clock: ManualClock, store: Restless, random: Random) -> list[str]:
    """Schedule and cancel as chance has it, about when it is due; return what was scheduled."""
    planned = []

    async def one(line: str) -> None:
        name = random.choice(["note", "yield_and_note"])
        id = await call(router, "busy", "k", "plan", random.randrange(3), name, line)
        planned.append(line)
        for _ in range(random.randrange(30)):
            await asyncio.sleep(0)
        if await call(router, "busy", "k", random.choice(["cancel", "cancel_late"]), id):
            store.cancelled.append(line)

    for batch in range(8):
        work = [asyncio.ensure_future(one(f"{batch}-{place}")) for place in range(6)]
        for _ in range(3):
            for _ in range(random.randrange(20)):
                await asyncio.sleep(0)
            await clock.advance(1)
        await asyncio.gather(*work)
    await clock.advance(3)
    await idle(router)
    return planned


@BOTH
@pytest.mark.parametrize("seed", range(5))
async def test_each_is_either_cancelled_or_runs_whenever_it_is_and_after_a_crash(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, seed: int, durable: bool
) -> None:
    class Busy(Planner):
        """Takes a few turns of the loop."""

        @action
        async def yield_and_note(self, c: Context[Notes], line: str) -> None:
            await asyncio.sleep(0)
            c.state.lines.append(line)

        @action
        async def cancel_late(self, c: Context[Notes], id: str) -> bool:
            await asyncio.sleep(0)
            return c.schedule.cancel(id)

    monkeypatch.setattr(Busy, "durable", durable)
    random = Random(seed)
    store = Restless(random)
    async with running(Busy, store=store, clock=clock) as router:
        planned = await cancel_some(router, clock, store, random)
        ran = await call(router, "busy", "k", "lines")
    assert sorted(ran + store.cancelled) == sorted(planned)
    assert ran and store.cancelled
    assert await store.schedule() == []
    for copy, cancelled in list(zip(store.copies, store.cancelled_before, strict=True))[1::7]:
        async with running(Busy, store=copy, clock=clock) as router:
            await idle(router)
            assert not cancelled.intersection(await call(router, "busy", "k", "lines"))
