"""What may be asked of a schedule: every way to name an action and a time, and what is refused at once."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from linked import LinkedSocket, call, eventually, running
from scheduling import Notes, Open, Planner, idle, lines

from ringcast import Actor, Context, ScheduledAction, action
from ringcast.errors import ActorDestroyed, InternalError, ValidationError
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Call, Connect, Event, Reply

pytestmark = pytest.mark.usefixtures("durable")


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


async def test_the_example_of_the_page(
    clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "schedules.md").read_text()
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
