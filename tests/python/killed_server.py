"""The server that `test_schedule_killed.py` kills: run as a script with the path of its store and a number.

It schedules calls, says which have been acknowledged, and runs what is due, until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from ringcast import Actor, Context, Registry, ServerConfig, SqliteStore, action

KEYS = [str(n) for n in range(2)]


@dataclass
class Work:
    notes: list[int] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    ticks: list[int] = field(default_factory=list)
    slow_ticks: list[int] = field(default_factory=list)
    unfinished: int = 0


class Worker(Actor[Work]):
    """Writes down what runs: twice, or half, would show."""

    @action
    def plan(self, c: Context[Work], delay_s: float, name: str, number: int) -> None:
        c.schedule.after(delay_s, name, number)

    @action
    def note(self, c: Context[Work], number: int) -> None:
        c.state.notes.append(number)

    @action
    async def note_slowly(self, c: Context[Work], number: int) -> None:
        c.state.begun.append(number)
        await asyncio.sleep(0.003)
        c.state.ended.append(number)

    @action
    def tick(self, c: Context[Work], number: int) -> None:
        c.state.ticks.append(number)
        c.schedule.after(0.005, self.tick, number + 1)

    @action
    async def tick_slowly(self, c: Context[Work], number: int) -> None:
        c.schedule.after(0.005, self.tick_slowly, number + 1)
        c.state.unfinished += 1
        await asyncio.sleep(0.003)
        c.state.unfinished -= 1
        c.state.slow_ticks.append(number)

    @action
    def stop_ticking(self, c: Context[Work]) -> None:
        for entry in c.schedule.entries():
            if entry.action.startswith("tick"):
                c.schedule.cancel(entry.id)

    @action
    def read(self, c: Context[Work]) -> Work:
        return c.state


class DurableWorker(Worker):
    """Does the same in turns, with a journal."""

    durable = True


WORKERS: list[tuple[type[Worker], str]] = [(cls, key) for cls in (Worker, DurableWorker) for key in KEYS]


def registry(path: Path) -> Registry:
    # Saved and put to sleep as often as can be: each is a moment at which to be killed.
    config = ServerConfig(save_interval_s=0.001, sleep_after_s=0.02)
    return Registry(Worker, DurableWorker, store=SqliteStore(path, synchronous="normal"), config=config)


async def main(path: Path, first: int) -> None:
    async with registry(path) as server:
        workers = [server.client.get_or_create(cls, [key]) for cls, key in WORKERS]
        if first == 0:
            for worker in workers:
                await worker.plan(0, "tick", 0)
                await worker.plan(0, "tick_slowly", 0)
        print("ready", flush=True)
        for number in count(first):
            name = "note" if number % 2 else "note_slowly"
            # Some come due while no server runs.
            await workers[number % len(workers)].plan(number % 7 / 20, name, number)
            print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
