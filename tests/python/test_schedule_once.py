"""Each scheduled call once: what is committed together, what a crash between two commits leaves, replies."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from linked import TIMEOUT_S, LinkedSocket, call, eventually, running
from scheduling import Notes, Planner, Recording, Stubborn, idle, lines, reset_planner

from ringcast import Actor, Context, MemoryStore, action
from ringcast.errors import InternalError, OutcomeUnknown, UserError
from ringcast.router import Router
from ringcast.store import Change, Scheduled, StoredActor, Unscheduled
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Call, Connect, Error, Event


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(autouse=True)
def planner() -> None:
    reset_planner()


# --- replies ------------------------------------------------------------------------------------------------


async def test_a_reply_comes_when_the_store_has_what_was_scheduled_and_cancelled(clock: ManualClock) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock) as router:
        await lines(router)
        store.may_write.clear()
        plan = ("plan", 5, "note", "x")
        await answered_when_kept(router, store, *plan)
        (kept,) = await store.schedule()
        await answered_when_kept(router, store, "cancel", kept.id)
        assert await store.schedule() == []
        store.may_write.set()


async def answered_when_kept(router: Router, store: Stubborn, *request: Any) -> None:
    store.writing.clear()
    answer = asyncio.ensure_future(call(router, "planner", "k", *request))
    await store.writing.wait()
    # What schedules nothing is answered meanwhile.
    assert await lines(router) == []
    assert not answer.done()
    store.may_write.set()
    await answer
    store.may_write.clear()


async def test_a_sync_action_that_schedules_nothing_is_answered_before_it_returns(clock: ManualClock) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock) as router:
        await lines(router)
        store.may_write.clear()
        waiting = asyncio.ensure_future(call(router, "planner", "k", "plan", 5, "note", "x"))
        await store.writing.wait()
        (instance,) = router._directory
        answers: list[Any] = []
        # Also while the store is busy with what another one has scheduled.
        instance.call(None, Call(1, "note", ["y"]), lambda *answer: answers.append(answer))
        assert answers == [(1, None, None)]
        store.may_write.set()
        await waiting


class Careless(Actor[Notes]):
    """Schedules, and then something goes wrong."""

    @action
    def raise_after(self, c: Context[Notes]) -> None:
        c.schedule.after(1, self.note, "all the same")
        raise UserError("after all")

    @action
    async def raise_later(self, c: Context[Notes]) -> None:
        c.schedule.after(1, self.note, "all the same")
        await asyncio.sleep(0)
        raise UserError("after all")

    @action
    def note(self, c: Context[Notes], line: str) -> None:
        c.state.lines.append(line)


@pytest.mark.parametrize("name", ["raise_after", "raise_later"])
async def test_an_error_too_comes_when_the_store_has_it(clock: ManualClock, name: str) -> None:
    store = Stubborn()
    async with running(Careless, store=store, clock=clock) as router:
        await router.resolve(Connect("careless", ("k",)))
        store.may_write.clear()
        answer = asyncio.ensure_future(call(router, "careless", "k", name))
        await store.writing.wait()
        assert not answer.done()
        store.may_write.set()
        with pytest.raises(UserError, match="after all"):
            await answer
        assert len(await store.schedule()) == 1


async def test_a_store_that_fails_is_told_to_the_caller_and_tried_again(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock, save_interval_s=1) as router:
        await lines(router)
        store.failing = True
        with pytest.raises(OutcomeUnknown, match="could not keep what the action has scheduled"):
            await call(router, "planner", "k", "plan", 5, "note", "x")
        assert "the disk is full" in caplog.text
        # It does not run before the store has it.
        await clock.advance(5)
        await idle(router)
        assert await lines(router) == []
        store.failing = False
        await clock.advance(1)
        await eventually(lambda: store._calls or not len(router.timetable))
        await clock.advance(0)
        await eventually(lambda: len(router.timetable) == 0)
        assert await lines(router) == ["x"]


async def test_what_is_cancelled_on_its_way_to_the_store_never_gets_there(clock: ManualClock) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock, save_interval_s=1) as router:
        await lines(router)
        store.may_write.clear()
        store.failing = True
        planning = asyncio.ensure_future(call(router, "planner", "k", "plan", 5, "note", "x"))
        await store.writing.wait()
        (item,) = router.timetable.items(next(iter(router._directory)).actor_id)
        cancelling = asyncio.ensure_future(call(router, "planner", "k", "cancel", item.call.id))
        store.may_write.set()
        for outcome in await asyncio.gather(planning, cancelling, return_exceptions=True):
            assert isinstance(outcome, OutcomeUnknown)
        store.failing = False
        await clock.advance(1)
        await eventually(lambda: store.commits)
        # It might have got there: it is taken out, and not written again.
        assert store.with_change(Scheduled) == []
        assert store.with_change(Unscheduled) == [["StateChanged", "Unscheduled"]]
        await clock.advance(5)
        await idle(router)
        assert await lines(router) == []


async def test_one_that_ends_for_good_waits_for_nothing(clock: ManualClock) -> None:
    class Last(Actor[Notes]):
        """Schedules, and ends."""

        @action
        def plan_and_end(self, c: Context[Notes]) -> str:
            c.schedule.after(1, self.plan_and_end)
            c.destroy()
            return "ended"

    store = Stubborn()
    store.failing = True
    async with running(Last, store=store, clock=clock) as router:
        assert await call(router, "last", "k", "plan_and_end") == "ended"
        await eventually(lambda: router.actors == 0)
        assert len(router.timetable) == 0


async def test_a_start_ends_when_the_store_has_what_on_start_schedules(clock: ManualClock) -> None:
    class Early(Actor[Notes]):
        """Schedules as it starts."""

        def on_start(self) -> None:
            self.schedule.after(1, self.note)

        @action
        def note(self, c: Context[Notes]) -> None: ...

    store = Stubborn()
    store.failing = True
    async with running(Early, store=store, clock=clock) as router:
        with pytest.raises(InternalError):
            await router.resolve(Connect("early", ("k",)))
        assert len(router.timetable) == 0
        store.failing = False
        await router.resolve(Connect("early", ("k",)))
        assert len(await store.schedule()) == len(router.timetable) == 1


async def test_a_server_that_stops_first_says_that_it_does_not_know(clock: ManualClock) -> None:
    store = Stubborn()
    async with (
        running(Planner, store=store, clock=clock, shutdown_timeout_s=0.01) as router,
        LinkedSocket(router) as client,
    ):
        await client.connect("planner", "k")
        store.may_write.clear()
        client.send(Call(1, "plan", [5, "note", "x"]))
        await store.writing.wait()
        stopping = asyncio.ensure_future(router.stop())
        try:
            answer = await client.receive(Error)
        finally:
            store.may_write.set()
            await stopping
        assert (answer.id, answer.error["code"]) == (1, "outcome_unknown")


# --- committed together -------------------------------------------------------------------------------------


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


# --- crashes ------------------------------------------------------------------------------------------------


async def play(router: Router, clock: ManualClock) -> None:
    """Let everything run that is to come, an interval of saving at a time."""
    async with asyncio.timeout(TIMEOUT_S):
        for _ in range(200):
            await clock.advance(0.1)
            await idle(router)


SIMPLE = [str(n) for n in range(5)]
EXPECTED: dict[str, list[str]] = {
    "note": SIMPLE,
    "count_down": [*SIMPLE[::-1]],
    "count_down_slowly": list(itertools.chain(*([f"{n} begun", f"{n} ended"] for n in reversed(SIMPLE)))),
}


async def begin_notes(router: Router) -> None:
    for n, line in enumerate(SIMPLE, start=1):
        await call(router, "planner", "k", "plan", n, "note", line)


async def begin_count_down(router: Router) -> None:
    await call(router, "planner", "k", "plan", 0, "count_down", 4)


async def begin_count_down_slowly(router: Router) -> None:
    await call(router, "planner", "k", "plan", 0, "count_down_slowly", 4)


@pytest.mark.parametrize("durable", [False, True], ids=["ordinary", "durable"])
@pytest.mark.parametrize(
    "begin, expected",
    [
        (begin_notes, EXPECTED["note"]),
        (begin_count_down, EXPECTED["count_down"]),
        (begin_count_down_slowly, EXPECTED["count_down_slowly"]),
    ],
)
async def test_a_crash_between_any_two_commits_leaves_each_done_once(
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    begin: Callable[[Router], Any],
    expected: list[str],
    durable: bool,
) -> None:
    monkeypatch.setattr(Planner, "durable", durable)
    store = Recording()
    async with running(Planner, store=store, clock=clock, save_interval_s=0.1) as router:
        await begin(router)
        acknowledged = len(store.copies)
        await play(router, clock)
        assert await lines(router) == expected
    assert len(store.copies) - acknowledged >= 5
    for copy in store.copies[acknowledged - 1 :]:
        async with running(Planner, store=copy, clock=clock) as router:
            await play(router, clock)
            assert await lines(router) == expected
            assert await copy.schedule() == []
        if durable:
            # Each event is there once as well.
            (stream,) = copy._streams.values()
            assert [event.name for event in stream.events] == ["written"] * len(expected)


async def test_a_crash_leaves_no_actor_that_was_to_end(clock: ManualClock) -> None:
    store = Recording()
    async with running(Planner, store=store, clock=clock) as router:
        await call(router, "planner", "k", "plan", 1, "end")
        acknowledged = len(store.copies)
        await clock.advance(1)
        await eventually(lambda: router.actors == 0)
    for copy in store.copies[acknowledged - 1 :]:
        async with running(Planner, store=copy, clock=clock) as router:
            await play(router, clock)
            # The actor goes behind the action.
            await eventually(lambda left=copy: not left._by_id)
            assert len(router.timetable) == 0


async def test_a_store_that_fails_when_it_has_run_is_tried_again_and_it_does_not_run_again(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "planner", "k", "plan", 1, "note", "first")
        await call(router, "planner", "k", "plan", 1, "note", "second")
        store.failing = True
        await clock.advance(1)
        await eventually(lambda: "it is tried again in 1 s" in caplog.text)
        # The first has run; the next one waits until that is kept.
        assert await lines(router) == ["first"]
        await clock.advance(1)
        await eventually(lambda: "it is tried again in 2 s" in caplog.text)
        assert await lines(router) == ["first"]
        store.failing = False
        await clock.advance(2)
        await eventually(lambda: len(router.timetable) == 0)
        await idle(router)
        assert await lines(router) == ["first", "second"]
        assert await store.schedule() == []


async def test_one_that_waits_for_the_store_as_the_server_stops_is_left_for_the_next(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "planner", "k", "plan", 1, "note", "first")
        await call(router, "planner", "k", "plan", 1, "note", "second")
        store.failing = True
        await clock.advance(1)
        await eventually(lambda: "it is tried again in 1 s" in caplog.text)
        store.failing = False
        store.may_write.clear()
        store.writing.clear()
        await clock.advance(1)
        # Before the second one runs, the store has to take that the first one has.
        await store.writing.wait()
        (instance,) = router._directory
        stopping = asyncio.ensure_future(router.stop())
        await eventually(lambda: not instance.is_running)
        store.may_write.set()
        await stopping
        assert len(await store.schedule()) == 1
    async with running(Planner, store=store, clock=clock) as router:
        await idle(router)
        assert await lines(router) == ["first", "second"]


async def test_one_that_is_due_during_the_last_save_before_a_sleep_keeps_its_actor_awake(
    clock: ManualClock,
) -> None:
    store = Stubborn()
    async with running(Planner, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "planner", "k", "plan", 30, "note_slowly", "it")
        (instance,) = router._directory
        await eventually(lambda: not instance.tasks)
        instance.actor.state.lines.append("to be saved")
        store.may_write.clear()
        store.writing.clear()
        # Both at the same time: it goes to sleep, and the action is due.
        await clock.advance(30)
        await store.writing.wait()
        store.may_write.set()
        await Planner.begun.wait()
        Planner.gate.set()
        await idle(router)
        assert await lines(router) == ["to be saved", "it begun", "it ended"]
        assert Planner.starts == 1


async def test_one_that_is_due_while_its_actor_goes_to_sleep_wakes_it_again(clock: ManualClock) -> None:
    class Slow(Planner):
        """Takes its time to go."""

        leaving, may_go = asyncio.Event(), asyncio.Event()

        async def on_stop(self) -> None:
            Slow.leaving.set()
            await Slow.may_go.wait()

    async with running(Slow, clock=clock) as router:
        await call(router, "slow", "k", "plan", 31, "note", "it")
        await eventually(lambda: not any(instance.tasks for instance in router._directory))
        await clock.advance(30)
        await Slow.leaving.wait()
        await clock.advance(1)
        assert len(router.timetable._lanes) == 1
        Slow.may_go.set()
        await idle(router)
        assert await call(router, "slow", "k", "lines") == ["it"]
        assert Planner.starts == 2


async def test_one_that_waits_for_its_turn_as_the_server_stops_is_left_for_the_next(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Planner, "durable", True)
    store = Stubborn()
    async with running(Planner, store=store, clock=clock) as router:
        await call(router, "planner", "k", "plan", 1, "note", "it")
        other = asyncio.ensure_future(call(router, "planner", "k", "note_slowly", "other"))
        await Planner.begun.wait()
        await clock.advance(1)
        (instance,) = router._directory
        # The call and the scheduled action, which waits.
        assert len(instance.tasks) == 2
        stopping = asyncio.ensure_future(router.stop())
        await eventually(lambda: not instance.is_running)
        Planner.gate.set()
        await asyncio.gather(stopping, other)
        assert len(await store.schedule()) == 1
    async with running(Planner, store=store, clock=clock) as router:
        await idle(router)
        assert await lines(router) == ["other begun", "other ended", "it"]


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
