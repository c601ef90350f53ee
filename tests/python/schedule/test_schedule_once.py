"""What is committed together with a scheduled call: the state, what it schedules itself, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from linked import LinkedSocket, call, eventually, running
from scheduling import Notes, Planner, Stubborn, idle, lines

from ringcast import Actor, Context, MemoryStore, action
from ringcast.errors import UserError
from ringcast.store import Change, Scheduled, StoredActor, Unscheduled
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Connect, Event


async def test_the_state_goes_with_what_is_scheduled_and_with_what_has_run(clock: ManualClock) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "planner", "k", "plan", 1, "count_down", 2)
        for _ in range(3):
            await clock.advance(1)
            await idle(router)
        assert store.with_change(Unscheduled) == [
            # The old one goes, the state changes and the next one comes, all at once.
            ["StateChanged", "Scheduled", "Unscheduled"],
            ["StateChanged", "Scheduled", "Unscheduled"],
            ["StateChanged", "Unscheduled"],
        ]


async def test_nothing_of_an_async_one_is_saved_before_it_has_ended(clock: ManualClock) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock, save_interval_s=1) as router:
        await call(router, "planner", "k", "plan", 1, "note_slowly", "it")
        await clock.advance(1)
        await Planner.begun.wait()
        store.commits.clear()
        for _ in range(5):
            await clock.advance(1)
            await asyncio.sleep(0)
        # What another action schedules is kept nevertheless; the state as it is now is not.
        await call(router, "planner", "k", "plan", 1000, "note", "other")
        assert [[type(change).__name__ for change in changes] for changes in store.commits] == [["Scheduled"]]
        Planner.gate.set()
        await idle(router)
        assert store.with_change(Unscheduled) == [["StateChanged", "Unscheduled"]]
        assert await lines(router) == ["it begun", "it ended"]


async def test_what_an_async_one_schedules_itself_waits_for_its_end(clock: ManualClock) -> None:
    class Twofold(Actor[Notes]):
        """Schedules through the context and through itself, and thinks again."""

        begun, gate = asyncio.Event(), asyncio.Event()

        @action
        def plan(self, c: Context[Notes], seconds: float, name: str) -> str:
            return c.schedule.after(seconds, name)

        @action
        async def work(self, c: Context[Notes]) -> None:
            c.schedule.after(1000, self.rest)
            self.schedule.after(1000, self.rest)
            for entry in c.schedule.entries():
                if entry.due - c.scheduled.due == 500:  # type: ignore[union-attr]
                    c.schedule.cancel(entry.id)
            Twofold.begun.set()
            await Twofold.gate.wait()

        @action
        def rest(self, c: Context[Notes]) -> None: ...

    store = Stubborn()
    async with running(Twofold, store=store, clock=clock) as router:
        await call(router, "twofold", "k", "plan", 1, "work")
        await call(router, "twofold", "k", "plan", 501, "rest")
        await clock.advance(1)
        await Twofold.begun.wait()
        store.commits.clear()
        mine = await call(router, "twofold", "k", "plan", 2000, "rest")
        assert [changes for changes in store.commits for change in changes if change.call.id != mine] == []  # type: ignore[union-attr]
        Twofold.gate.set()
        await idle(router)
        assert store.with_change(Unscheduled) == [["Scheduled", "Scheduled", "Unscheduled", "Unscheduled"]]
        assert len(await store.schedule()) == 3


async def test_what_its_tasks_schedule_waits_for_its_end_and_what_others_schedule_does_not(
    clock: ManualClock,
) -> None:
    class Divided(Actor[Notes]):
        """Does its work in several tasks, and has one that is not of it."""

        begun, gate = asyncio.Event(), asyncio.Event()

        @action
        def plan(self, c: Context[Notes]) -> None:
            c.schedule.after(1, self.work)
            c.spawn(self.beside())

        async def beside(self) -> None:
            await Divided.begun.wait()
            self.schedule.after(3000, self.rest)

        @action
        async def work(self, c: Context[Notes]) -> None:
            c.spawn(self.part(1))
            await asyncio.gather(self.part(2), self.part(3))
            Divided.begun.set()
            await Divided.gate.wait()

        async def part(self, number: int) -> None:
            await asyncio.sleep(0)
            self.schedule.after(1000 + number, self.rest)

        @action
        def rest(self, c: Context[Notes]) -> None: ...

    store = Stubborn()
    async with running(Divided, store=store, clock=clock) as router:
        await call(router, "divided", "k", "plan")
        await clock.advance(1)
        await Divided.begun.wait()
        await eventually(lambda: len(store.commits) == 2)
        assert sorted(entry.due for entry in await store.schedule()) == [clock.now(), clock.now() + 3000]
        Divided.gate.set()
        await idle(router)
        assert store.with_change(Unscheduled) == [["Scheduled", "Scheduled", "Scheduled", "Unscheduled"]]


async def test_one_that_is_cancelled_by_another_action_before_it_is_kept_never_is(clock: ManualClock) -> None:
    class Hasty(Actor[Notes]):
        """Schedules at once and goes on for long."""

        begun, gate = asyncio.Event(), asyncio.Event()

        @action
        def plan(self, c: Context[Notes]) -> None:
            c.schedule.after(1, self.work)

        @action
        async def work(self, c: Context[Notes]) -> None:
            c.schedule.after(5, self.rest)
            Hasty.begun.set()
            await Hasty.gate.wait()

        @action
        def rest(self, c: Context[Notes]) -> None:
            raise AssertionError("it was cancelled")

        @action
        def cancel_all(self, c: Context[Notes]) -> list[bool]:
            return [c.schedule.cancel(entry.id) for entry in c.schedule.entries()]

    store = Stubborn()
    async with running(Hasty, store=store, clock=clock) as router:
        await call(router, "hasty", "k", "plan")
        await clock.advance(1)
        await Hasty.begun.wait()
        assert await call(router, "hasty", "k", "cancel_all") == [True]
        Hasty.gate.set()
        await idle(router)
        assert await store.schedule() == []
        assert len(router.timetable) == 0


async def test_a_state_that_is_saved_on_purpose_is_saved(clock: ManualClock) -> None:
    class Prudent(Actor[Notes]):
        """Says first what it is about to do outside."""

        begun, gate = asyncio.Event(), asyncio.Event()

        @action
        def plan(self, c: Context[Notes]) -> None:
            c.schedule.after(1, self.send)

        @action
        async def send(self, c: Context[Notes]) -> None:
            c.state.lines.append("sending")
            await c.save_state()
            Prudent.begun.set()
            await Prudent.gate.wait()

    store = Stubborn()
    async with running(Prudent, store=store, clock=clock) as router:
        await call(router, "prudent", "k", "plan")
        await clock.advance(1)
        await Prudent.begun.wait()
        assert (await stored(store, "Prudent")).state == b'{"lines":["sending"]}'
        assert len(await store.schedule()) == 1
        Prudent.gate.set()
        await idle(router)
        assert await store.schedule() == []


async def test_an_actor_is_stored_together_with_what_on_create_schedules(clock: ManualClock) -> None:
    class Born(Actor[Notes]):
        """Schedules its first action."""

        def on_create(self, c: Context[Notes]) -> None:
            c.schedule.after(1, self.note)

        @action
        def note(self, c: Context[Notes]) -> None:
            c.state.lines.append("noted")

        @action
        def lines(self, c: Context[Notes]) -> list[str]:
            return c.state.lines

    created: list[Sequence[Change]] = []

    class Store(MemoryStore):
        async def create(self, actor: StoredActor, changes: Sequence[Change] = ()) -> None:
            created.append(changes)
            await super().create(actor, changes)

    async with running(Born, store=Store(), clock=clock) as router:
        await router.resolve(Connect("born", ("k",)))
        assert [[type(change) for change in changes] for changes in created] == [[Scheduled]]
        await clock.advance(1)
        await idle(router)
        assert await call(router, "born", "k", "lines") == ["noted"]


async def test_an_actor_that_does_not_start_has_scheduled_nothing(clock: ManualClock) -> None:
    class Stillborn(Actor[Notes]):
        """Schedules, and fails."""

        def on_start(self) -> None:
            self.schedule.after(1, self.note)
            raise UserError("no")

        @action
        def note(self, c: Context[Notes]) -> None: ...

    async with running(Stillborn, clock=clock) as router:
        with pytest.raises(UserError):
            await router.resolve(Connect("stillborn", ("k",)))
        assert len(router.timetable) == 0
        assert await router.store.schedule() == []


async def stored(store: MemoryStore, name: str) -> StoredActor:
    found = await store.find(name, ("k",))
    assert found is not None
    return found


async def test_events_of_a_scheduled_action_go_out_when_it_is_kept(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Planner, "durable", True)
    store = Stubborn()
    async with running(Planner, store=store, clock=clock) as router, LinkedSocket(router) as client:
        await client.connect("planner", "k", events=("written",))
        await call(router, "planner", "k", "plan", 1, "note", "it")
        store.commits.clear()
        await clock.advance(1)
        assert (await client.receive(Event)).args == ["it"]
        assert sorted(type(change).__name__ for change in store.commits[0]) == [
            "EventAppended", "StateChanged", "Unscheduled"
        ]  # fmt: skip
