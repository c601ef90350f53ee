"""Actors that go to sleep, and what tells whether they do, for the tests of sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from linked import eventually

from ringcast import Actor, Context, MemoryStore, action
from ringcast.router import Router
from ringcast.store import Change


@dataclass
class Page:
    lines: list[str] = field(default_factory=list)


class Diary(Actor[Page]):
    """Writes down when it starts and stops."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    def on_start(self) -> None:
        self.state.lines.append("start")

    def on_stop(self) -> None:
        self.state.lines.append("stop")

    @action
    def read(self, c: Context[Page]) -> list[str]:
        return list(c.state.lines)

    @action
    def write(self, c: Context[Page], line: str) -> None:
        c.state.lines.append(line)

    @action
    async def wait(self, c: Context[Page]) -> None:
        await self.release.wait()

    @action
    def work_behind(self, c: Context[Page]) -> None:
        c.spawn(self.wait(c))

    @action
    def let_go(self, c: Context[Page]) -> None:
        self.release.set()


class Chronicle(Diary):
    """Keeps its events as well."""

    durable = True

    @action
    def tell(self, c: Context[Page], line: str) -> None:
        c.state.lines.append(line)
        c.broadcast("told", line)


class Doorman(Actor[Page]):
    """Takes its time with those who come and go."""

    at_the_door: asyncio.Event
    may_pass: asyncio.Event

    async def on_before_connect(self, c: Context[Page], params: Any) -> None:
        await self.pass_door()

    async def on_disconnect(self, c: Context[Page]) -> None:
        await self.pass_door()

    @action
    def look(self, c: Context[Page]) -> None:
        """Nothing that anybody is asked about, from inside of the process."""

    async def pass_door(self) -> None:
        Doorman.at_the_door.set()
        await Doorman.may_pass.wait()
        Doorman.at_the_door, Doorman.may_pass = asyncio.Event(), asyncio.Event()


class Reluctant(Diary):
    """Takes its time to go."""

    leaving: asyncio.Event
    may_go: asyncio.Event

    async def on_stop(self) -> None:
        self.state.lines.append("stop")
        Reluctant.leaving.set()
        await Reluctant.may_go.wait()


class Unreliable(MemoryStore):
    """Fails to save when it is told to, and lets the test wait for a save."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = False
        self.saving = asyncio.Event()
        self.may_save = asyncio.Event()
        self.may_save.set()

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        self.saving.set()
        await self.may_save.wait()
        if self.failing:
            raise OSError("the disk is full")
        await super().commit(actor_id, changes)


async def asleep(router: Router) -> None:
    await eventually(lambda: router.actors == 0)


async def stays_awake(router: Router) -> None:
    """Give it every occasion to stop: more turns of the loop than going to sleep takes."""
    for _ in range(50):
        await asyncio.sleep(0)
    assert router.actors == 1


async def stored(store: MemoryStore, cls: type[Actor[Any]], key: str = "k") -> bytes:
    found = await store.find(cls.__name__, (key,))
    assert found is not None
    return found.state
