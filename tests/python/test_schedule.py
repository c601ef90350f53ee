"""Schedules: what an actor asks for runs when it is due, over sleep and restarts, each once and in order."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from linked import LinkedSocket, call, eventually, running
from scheduling import (
    Notes,
    Planner,
    StoreMaker,
    fall_asleep,
    idle,
    lines,
    memory,
    reset_planner,
    sqlite,
)

from ringcast import Actor, Context, ScheduledAction, action
from ringcast.errors import ActorDestroyed, InternalError, ValidationError
from ringcast.store import Store
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Call, Connect, Event, Reply

Open = Callable[[], Store]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=[memory, sqlite], ids=["memory", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Give the store, opened anew for each server."""
    make: StoreMaker = request.param
    return make(tmp_path)


ORDINARY = pytest.mark.parametrize("durable", [False], indirect=True, ids=["ordinary"])
"""For what calls an actor in the middle of an action: a durable one answers when its turn comes."""


@pytest.fixture(params=[False, True], ids=["ordinary", "durable"], autouse=True)
def durable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Make every actor of the tests an ordinary one, and a durable one."""
    monkeypatch.setattr(Actor, "durable", request.param)
    return bool(request.param)


@pytest.fixture(autouse=True)
def planner() -> None:
    reset_planner()


# --- running ------------------------------------------------------------------------------------------------


async def test_it_runs_when_it_is_due_and_once(opened: Open, clock: ManualClock) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        await call(router, "planner", "k", "plan", 5, "note", "five")
        await call(router, "planner", "k", "plan", 3, "note", "three")
        assert await call(router, "planner", "k", "planned") == [("note", ["three"]), ("note", ["five"])]
        await clock.advance(2.9)
        await idle(router)
        assert await lines(router) == []
        await clock.advance(0.1)
        await idle(router)
        assert await lines(router) == ["three"]
        assert await call(router, "planner", "k", "planned") == [("note", ["five"])]
        await clock.advance(1000)
        await idle(router)
        assert await lines(router) == ["three", "five"]
        assert await call(router, "planner", "k", "planned") == []
        assert len(router.timetable) == 0
        assert await router.store.schedule() == []


async def test_it_wakes_an_actor_that_sleeps(opened: Open, clock: ManualClock) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        await call(router, "planner", "k", "plan", 1000, "note", "good morning")
        await fall_asleep(router, clock)
        await clock.advance(1000)
        await idle(router)
        assert Planner.starts == 2
        assert await lines(router) == ["good morning"]
        # And it sleeps again.
        await fall_asleep(router, clock)


async def test_it_outlives_the_server(opened: Open, clock: ManualClock) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        id = await call(router, "planner", "k", "plan", 10, "note", "later")
        await call(router, "planner", "k", "plan", 20, "note", "latest")
    async with running(Planner, store=opened(), clock=clock) as router:
        await clock.advance(10)
        await idle(router)
        assert await lines(router) == ["later"]
        assert await call(router, "planner", "k", "cancel", id) is False
    async with running(Planner, store=opened(), clock=clock) as router:
        await clock.advance(10)
        await idle(router)
        assert await lines(router) == ["later", "latest"]
    async with running(Planner, store=opened(), clock=clock) as router:
        await clock.advance(1000)
        await idle(router)
        assert await lines(router) == ["later", "latest"]


async def test_what_came_due_while_no_server_ran_runs_at_the_start_late_and_in_order(
    opened: Open, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ringcast.timetable")
    async with running(Planner, store=opened(), clock=clock) as router:
        for due in (30, 10, 20, 1000):
            await call(router, "planner", "k", "plan", due, "note", str(due))
    await clock.advance(100)
    async with running(Planner, store=opened(), clock=clock) as router:
        await idle(router)
        assert await lines(router) == ["10", "20", "30"]
        assert Planner.late == [90, 80, 70]
        assert await call(router, "planner", "k", "planned") == [("note", ["1000"])]
    assert "3 scheduled calls came due while no server ran" in caplog.text


async def test_those_of_one_moment_run_in_the_order_in_which_they_were_made(
    opened: Open, clock: ManualClock
) -> None:
    expected = [str(n) for n in range(20)]
    async with running(Planner, store=opened(), clock=clock) as router:
        due = clock.now() + 10
        for line in expected:
            await call(router, "planner", "k", "plan_at", due, "note", line)
        await call(router, "planner", "k", "plan_at", due - 1, "note", "before")
    async with running(Planner, store=opened(), clock=clock) as router:
        await clock.advance(10)
        await idle(router)
        assert await lines(router) == ["before", *expected]


@ORDINARY
async def test_an_actor_runs_one_after_the_other(clock: ManualClock) -> None:
    async with running(Planner, clock=clock) as router:
        await call(router, "planner", "k", "plan", 1, "note_slowly", "first")
        await call(router, "planner", "k", "plan", 2, "note", "second")
        await call(router, "planner", "other", "plan", 2, "note", "elsewhere")
        await clock.advance(2)
        await Planner.begun.wait()
        await eventually(lambda: len(router.timetable) == 2)
        # Calls are answered meanwhile, and other actors run theirs.
        assert await lines(router) == ["first begun"]
        assert await lines(router, "other") == ["elsewhere"]
        Planner.gate.set()
        await idle(router)
        assert await lines(router) == ["first begun", "first ended", "second"]


async def test_an_action_may_schedule_itself_again(opened: Open, clock: ManualClock) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        await call(router, "planner", "k", "plan", 1, "count_down", 3)
        for _ in range(10):
            await clock.advance(1)
            await idle(router)
        assert await lines(router) == ["3", "2", "1", "0"]


async def test_what_is_past_runs_at_once(clock: ManualClock) -> None:
    async with running(Planner, clock=clock) as router:
        await call(router, "planner", "k", "plan_at", clock.now() - 5, "note", "past")
        await call(router, "planner", "k", "plan", 0, "note", "now")
        await clock.advance(0)
        await eventually(lambda: len(router.timetable) == 0)
        assert await lines(router) == ["past", "now"]
        assert Planner.late == [5, 0]


async def test_a_shutdown_waits_for_what_runs_and_begins_nothing_more(
    opened: Open, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        await call(router, "planner", "k", "plan", 1, "note_slowly", "first")
        await call(router, "planner", "k", "plan", 1, "note", "second")
        await clock.advance(1)
        await Planner.begun.wait()
        stopping = asyncio.ensure_future(router.stop())
        await asyncio.sleep(0)
        Planner.gate.set()
        await stopping
    assert caplog.text == ""
    async with running(Planner, store=opened(), clock=clock) as router:
        await idle(router)
        assert await lines(router) == ["first begun", "first ended", "second"]


async def test_what_a_shutdown_cancels_has_run(
    opened: Open, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Planner, store=opened(), clock=clock, shutdown_timeout_s=0.01) as router:
        await call(router, "planner", "k", "plan", 1, "note_slowly", "first")
        await clock.advance(1)
        await Planner.begun.wait()
    assert "the scheduled action note_slowly raised OutcomeUnknown" in caplog.text
    async with running(Planner, store=opened(), clock=clock) as router:
        await clock.advance(1)
        await idle(router)
        assert await lines(router) == ["first begun"]


async def test_what_a_shutdown_cancels_may_schedule_itself_again(opened: Open, clock: ManualClock) -> None:
    class Stubborn(Actor[Notes]):
        """Does not give up."""

        begun: asyncio.Event

        @action
        def plan(self, c: Context[Notes]) -> None:
            c.schedule.after(1, self.work)

        @action
        async def work(self, c: Context[Notes]) -> None:
            c.state.lines.append("begun")
            try:
                Stubborn.begun.set()
                if len(c.state.lines) == 1:
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                c.schedule.after(0, self.work)
                raise

        @action
        def lines(self, c: Context[Notes]) -> list[str]:
            return c.state.lines

    Stubborn.begun = asyncio.Event()
    async with running(Stubborn, store=opened(), clock=clock, shutdown_timeout_s=0.05) as router:
        await call(router, "stubborn", "k", "plan")
        await clock.advance(1)
        await Stubborn.begun.wait()
    async with running(Stubborn, store=opened(), clock=clock) as router:
        await idle(router)
        assert await call(router, "stubborn", "k", "lines") == ["begun", "begun"]
        assert await router.store.schedule() == []


# --- cancelling ---------------------------------------------------------------------------------------------


async def test_what_is_cancelled_does_not_run(opened: Open, clock: ManualClock) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        first = await call(router, "planner", "k", "plan", 10, "note", "first")
        second = await call(router, "planner", "k", "plan", 10, "note", "second")
        assert await call(router, "planner", "k", "cancel", first) is True
        assert await call(router, "planner", "k", "cancel", first) is False
        assert await call(router, "planner", "k", "cancel", "unknown") is False
        # Ids belong to an actor.
        assert await call(router, "planner", "other", "cancel", second) is False
    async with running(Planner, store=opened(), clock=clock) as router:
        await clock.advance(5)
        assert await call(router, "planner", "k", "planned") == [("note", ["second"])]
        await clock.advance(5)
        await idle(router)
        assert await lines(router) == ["second"]


@ORDINARY
async def test_what_runs_can_no_longer_be_cancelled(opened: Open, clock: ManualClock) -> None:
    async with running(Planner, store=opened(), clock=clock) as router:
        id = await call(router, "planner", "k", "plan", 1, "note_slowly", "it")
        await clock.advance(1)
        await Planner.begun.wait()
        assert await call(router, "planner", "k", "cancel", id) is False
        assert await call(router, "planner", "k", "planned") == []
        Planner.gate.set()
        await idle(router)
        assert await call(router, "planner", "k", "cancel", id) is False
        assert await lines(router) == ["it begun", "it ended"]
        assert await router.store.schedule() == []


class Waking(Actor[Notes]):
    """Cancels what has woken it."""

    def on_start(self, c: Context[Notes]) -> None:
        for entry in c.schedule:
            c.state.lines.append(f"cancelled {entry.args[0]}: {c.schedule.cancel(entry.id)}")

    @action
    def plan(self, c: Context[Notes]) -> None:
        c.schedule.after(100, self.note, "it")

    @action
    def plan_and_think_again(self, c: Context[Notes]) -> bool:
        return c.schedule.cancel(c.schedule.after(1, self.note, "it"))

    @action
    def note(self, c: Context[Notes], line: str) -> None:
        c.state.lines.append(line)

    @action
    def lines(self, c: Context[Notes]) -> list[str]:
        return c.state.lines


async def test_what_is_due_can_be_cancelled_until_it_begins(opened: Open, clock: ManualClock) -> None:
    async with running(Waking, store=opened(), clock=clock) as router:
        await call(router, "waking", "k", "plan")
        await fall_asleep(router, clock)
        await clock.advance(100)
        await idle(router)
        assert await call(router, "waking", "k", "lines") == ["cancelled it: True"]
        assert await router.store.schedule() == []


async def test_what_is_cancelled_as_it_is_made_never_was(opened: Open, clock: ManualClock) -> None:
    async with running(Waking, store=opened(), clock=clock) as router:
        assert await call(router, "waking", "k", "plan_and_think_again") is True
        assert await router.store.schedule() == []
        await clock.advance(1)
        await idle(router)
        assert await call(router, "waking", "k", "lines") == []


# --- what is asked for --------------------------------------------------------------------------------------


class Typed(Actor[Notes]):
    """Schedules by every kind of name, time and place."""

    def on_create(self, c: Context[Notes]) -> None:
        c.schedule.after(1, "note", "created")

    def on_start(self) -> None:
        self.schedule.after(2, self.note, "started")
        self.spawn(self.work())

    async def work(self) -> None:
        self.schedule.after(3, self.note, "worked")

    def on_stop(self) -> None:
        self.schedule.after(1000, self.note, "stopped")

    @action
    def note(self, c: Context[Notes], line: str) -> None:
        c.state.lines.append(line)

    @action
    def note_all(self, c: Context[Notes], *times: datetime) -> None:
        c.state.lines.extend(each.isoformat() for each in times)

    @action
    def by_name(self, c: Context[Notes]) -> None:
        c.schedule.after(1, "note", "python")
        c.schedule.after(1, "note_all")
        c.schedule.after(1, "noteAll")
        c.schedule.after(1, self.note, "bound")
        c.schedule.after(1, Typed.note, "unbound")

    @action
    def at_times(self, c: Context[Notes]) -> None:
        moment = datetime.fromtimestamp(self.node_now() + 1, UTC)
        c.schedule.at(moment, self.note, "utc")
        c.schedule.at(moment.astimezone(timezone(timedelta(hours=5))), self.note, "five hours east")
        c.schedule.at(moment.timestamp(), self.note, "seconds")

    @action
    def with_times(self, c: Context[Notes]) -> None:
        c.schedule.after(1, self.note_all, datetime(2020, 1, 1, tzinfo=UTC))

    @action
    def wrong(self, c: Context[Notes], what: str) -> None:
        wrong: dict[str, Callable[[], object]] = {
            "name": lambda: c.schedule.after(1, "nothing"),
            "method": lambda: c.schedule.after(1, self.on_start),
            "function": lambda: c.schedule.after(1, print),
            "other": lambda: c.schedule.after(1, Typed.__new__(Typed).note, "x"),
            "count": lambda: c.schedule.after(1, self.note),
            "type": lambda: c.schedule.after(1, self.note, [1]),
            "object": lambda: c.schedule.after(1, self.note_all, object()),
            "naive": lambda: c.schedule.at(datetime(2030, 1, 1), self.note, "x"),
            "nan": lambda: c.schedule.at(float("nan"), self.note, "x"),
            "infinite": lambda: c.schedule.after(float("inf"), self.note, "x"),
            "negative": lambda: c.schedule.after(-1, self.note, "x"),
            "text": lambda: c.schedule.after("1", self.note, "x"),  # type: ignore[arg-type]
        }
        wrong[what]()

    @action
    def planned(self, c: Context[Notes]) -> list[str]:
        return [str(entry.args[0]) for entry in self.schedule.entries()]

    @action
    def lines(self, c: Context[Notes]) -> list[str]:
        return c.state.lines

    def node_now(self) -> float:
        return self._instance.node.clock.now()


@pytest.mark.parametrize(
    "how, expected",
    [
        ("by_name", ["python", "bound", "unbound"]),
        ("at_times", ["utc", "five hours east", "seconds"]),
        ("with_times", ["2020-01-01T00:00:00+00:00"]),
    ],
)
async def test_every_way_to_name_an_action_and_a_time(
    clock: ManualClock, how: str, expected: list[str]
) -> None:
    async with running(Typed, clock=clock) as router:
        await call(router, "typed", "k", how)
        await clock.advance(1)
        await idle(router)
        assert (await call(router, "typed", "k", "lines"))[1:] == expected


async def test_hooks_and_background_tasks_schedule_too(opened: Open, clock: ManualClock) -> None:
    async with running(Typed, store=opened(), clock=clock) as router:
        await router.resolve(Connect("typed", ("k",)))
        # They are with the store at once, and not when the state is saved the next time.
        await eventually(lambda: len(router.timetable._heap) == 3)
        assert [call.args for call in await router.store.schedule()] == [
            b'["created"]',
            b'["started"]',
            b'["worked"]',
        ]
    async with running(Typed, store=opened(), clock=clock) as router:
        await clock.advance(1)
        await idle(router)
        assert await call(router, "typed", "k", "lines") == ["created"]
        assert "stopped" in await call(router, "typed", "k", "planned")


@pytest.mark.parametrize(
    "what, error, message",
    [
        ("name", InternalError, "Typed has no action 'nothing'"),
        ("method", InternalError, "Typed has no action"),
        ("function", InternalError, "belongs to another object"),
        ("other", InternalError, "belongs to another object"),
        ("count", ValidationError, "note: line: Field required"),
        ("type", ValidationError, "note: line: Input should be a valid string"),
        ("object", ValidationError, "note_all: an argument cannot be written as JSON"),
        ("naive", InternalError, "has no time zone"),
        ("nan", InternalError, "at a datetime or seconds since 1970, not nan"),
        ("infinite", InternalError, "after 0 seconds or more, not inf"),
        ("negative", InternalError, "after 0 seconds or more, not -1"),
        ("text", InternalError, "after 0 seconds or more, not '1'"),
    ],
)
async def test_what_could_not_run_is_refused_at_once(
    clock: ManualClock, caplog: pytest.LogCaptureFixture, what: str, error: type[Exception], message: str
) -> None:
    async with running(Typed, clock=clock) as router:
        with pytest.raises(error) as raised:
            await call(router, "typed", "k", "wrong", what)
        # A mistake of the actor's author is in the log, and masked for the client.
        assert message in (caplog.text if error is InternalError else str(raised.value))
        assert len(router.timetable) == 3


async def test_a_stopped_actor_schedules_nothing(clock: ManualClock) -> None:
    async with running(Planner, clock=clock) as router:
        await lines(router)
        (instance,) = router._directory
    actor = instance.actor
    with pytest.raises(ActorDestroyed, match="has stopped"):
        actor.schedule.after(1, "note", "x")
    with pytest.raises(ActorDestroyed, match="has stopped"):
        actor.schedule.cancel("x")
    with pytest.raises(ActorDestroyed, match="has stopped"):
        actor.schedule.entries()


async def test_an_entry_says_what_it_is(clock: ManualClock) -> None:
    class Reader(Actor):
        """Looks at its schedule."""

        seen: ScheduledAction | None = None

        @action
        def look(self, c: Context, *args: Any) -> list[Any]:
            Reader.seen = c.scheduled
            id = c.schedule.after(10, self.look, 1, {"a": [None]})
            (entry,) = c.schedule
            assert len(c.schedule) == 1 and entry.id == id
            return [entry.action, entry.args, entry.due, entry.due_at, entry.late_s]

    async with running(Reader, clock=clock) as router:
        due = clock.now() + 10
        assert await call(router, "reader", "k", "look") == [
            "look", (1, {"a": [None]}), due, datetime.fromtimestamp(due, UTC), 0.0
        ]  # fmt: skip
        assert Reader.seen is None
        await clock.advance(10)
        await idle(router)
        assert Reader.seen is not None
        assert (Reader.seen.args, Reader.seen.due, Reader.seen.late_s) == ((1, {"a": [None]}), due, 0.0)


# --- replies ------------------------------------------------------------------------------------------------


async def test_it_works_over_a_connection(clock: ManualClock) -> None:
    async with running(Planner, clock=clock) as router, LinkedSocket(router) as client:
        await client.connect("planner", "k")
        client.send(Call(1, "plan", [1, "note", "it"]))
        id = (await client.receive(Reply)).value
        client.send(Call(2, "cancel", [id]), Call(3, "planned", []))
        replies = [await client.receive(Reply), await client.receive(Reply)]
        # The reply of what changes the schedule waits for the store, others do not.
        assert sorted(reply.id for reply in replies) == [2, 3]
        assert {reply.id: reply.value for reply in replies} == {2: True, 3: []}


# --- the page -----------------------------------------------------------------------------------------------


async def test_the_example_of_the_page(
    clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text()
    (tmp_path / "page_example.py").write_text(page.split("```python\n")[1].split("```")[0])
    monkeypatch.syspath_prepend(tmp_path)
    desk: type[Actor[Any]] = importlib.import_module("page_example").Desk

    async with running(desk, clock=clock) as router, LinkedSocket(router) as client:
        await call(router, "desk", "k", "take", "ann", 100)
        await call(router, "desk", "k", "take", "bob", 50)
        (instance,) = router._directory
        await client.connect("desk", "k", events=("expired",))
        await clock.advance(50)
        assert (await client.receive(Event)).args == ["bob"]
        assert instance.actor.state.holder is None
        for _ in range(3):
            await clock.advance(3600)
            await idle(router)
        assert instance.actor.state.reminders == 3
        assert [entry.action for entry in instance.actor.schedule] == ["tidy"]
