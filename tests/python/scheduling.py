"""An actor that schedules what it is told to and writes down what runs, for the tests of schedules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linked import call, eventually

from ringcast import Actor, Context, MemoryStore, SqliteStore, UserError, action
from ringcast.router import Router
from ringcast.store import Change, Scheduled, Store, StoredActor, Unscheduled
from ringcast.testing import ManualClock


@dataclass
class Notes:
    lines: list[str] = field(default_factory=list)


class Planner(Actor[Notes]):
    """Schedules what it is told to, and writes down what runs."""

    starts = 0
    late: list[float] = []  # noqa: RUF012
    begun: asyncio.Event
    """Says that `note_slowly` has."""
    gate: asyncio.Event
    """Lets it go on."""

    def on_start(self) -> None:
        Planner.starts += 1

    @action
    def plan(self, c: Context[Notes], seconds: float, name: str, *args: Any) -> str:
        return c.schedule.after(seconds, name, *args)

    @action
    def plan_at(self, c: Context[Notes], when: float, name: str, *args: Any) -> str:
        return c.schedule.at(when, name, *args)

    @action
    def cancel(self, c: Context[Notes], id: str) -> bool:
        return c.schedule.cancel(id)

    @action
    def planned(self, c: Context[Notes]) -> list[tuple[str, list[Any]]]:
        return [(entry.action, list(entry.args)) for entry in c.schedule]

    @action
    def lines(self, c: Context[Notes]) -> list[str]:
        return list(c.state.lines)

    def write(self, line: str) -> None:
        self.state.lines.append(line)
        self.broadcast("written", line)

    @action
    def note(self, c: Context[Notes], line: str) -> None:
        self.write(line)
        if c.scheduled is not None:
            assert c.scheduled.args == (line,) and not c.has_conn
            Planner.late.append(c.scheduled.late_s)

    @action
    async def note_slowly(self, c: Context[Notes], line: str) -> None:
        self.write(f"{line} begun")
        Planner.begun.set()
        await Planner.gate.wait()
        self.write(f"{line} ended")

    @action
    def count_down(self, c: Context[Notes], left: int) -> None:
        """Run again each second until nothing is left."""
        self.write(str(left))
        if left:
            c.schedule.after(1, self.count_down, left - 1)

    @action
    async def count_down_slowly(self, c: Context[Notes], left: int) -> None:
        self.write(f"{left} begun")
        if left:
            c.schedule.after(1, self.count_down_slowly, left - 1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.write(f"{left} ended")

    @action
    def fail(self, c: Context[Notes], line: str) -> None:
        c.state.lines.append(line)
        raise UserError("it does not work")

    @action
    def break_down(self, c: Context[Notes], line: str) -> None:
        c.state.lines.append(line)
        raise RuntimeError("a secret")

    @action(timeout_s=0.01)
    async def hang(self, c: Context[Notes], line: str) -> None:
        c.state.lines.append(line)
        await asyncio.Event().wait()

    @action
    def end(self, c: Context[Notes]) -> None:
        c.destroy()


class Stubborn(MemoryStore):
    """Notes what is committed, lets the test wait for a commit, and fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[list[Change]] = []
        self.failing = False
        self.writing = asyncio.Event()
        self.may_write = asyncio.Event()
        self.may_write.set()

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        self.writing.set()
        await self.may_write.wait()
        if self.failing:
            raise OSError("the disk is full")
        self.commits.append(list(changes))
        await super().commit(actor_id, changes)

    def with_change(self, kind: type[Scheduled] | type[Unscheduled]) -> list[list[str]]:
        """Return the commits that had this kind of change, as the names of their changes."""
        return [
            [type(change).__name__ for change in changes]
            for changes in self.commits
            if any(isinstance(change, kind) for change in changes)
        ]


class Recording(MemoryStore):
    """Keeps a copy of all that it has after each write: what a crash at that moment would leave."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[MemoryStore] = []

    async def create(self, actor: StoredActor, changes: Sequence[Change] = ()) -> None:
        await super().create(actor, changes)
        self._copy()

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        await super().commit(actor_id, changes)
        self._copy()

    async def delete(self, actor_id: str) -> None:
        await super().delete(actor_id)
        self._copy()

    def _copy(self) -> None:
        copy = MemoryStore()
        copy._by_id, copy._ids, copy._calls = dict(self._by_id), dict(self._ids), dict(self._calls)
        copy._streams = deepcopy(self._streams)
        self.copies.append(copy)


def reset_planner() -> None:
    Planner.starts, Planner.begun, Planner.gate = 0, asyncio.Event(), asyncio.Event()
    Planner.late.clear()


class WallClock(ManualClock):
    """A clock whose time of day can be set; what is to come later comes as if it had not been."""

    def __init__(self) -> None:
        super().__init__()
        self._set_by_s = 0.0

    def now(self) -> float:
        return super().now() + self._set_by_s

    def set(self, now: float) -> None:
        self._set_by_s = now - super().now()


Open = Callable[[], Store]
"""Opens the same store each time, as a restart does."""
StoreMaker = Callable[[Path], Open]
"""Takes a directory for the store."""


def memory(directory: Path) -> Open:
    store = MemoryStore()
    return lambda: store


def sqlite(directory: Path) -> Open:
    return lambda: SqliteStore(directory / "test.db", synchronous="normal")


async def idle(router: Router) -> None:
    """Wait until nothing that is due is left, or runs."""
    await eventually(lambda: not router.timetable._lanes)


async def fall_asleep(router: Router, clock: ManualClock) -> None:
    """Leave the only actor alone for long enough."""
    await eventually(lambda: not any(instance.tasks for instance in router._directory))
    await clock.advance(30)
    await eventually(lambda: router.actors == 0)


async def lines(router: Router, key: str = "k") -> list[str]:
    found: list[str] = await call(router, "planner", key, "lines")
    return found
