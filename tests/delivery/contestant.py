"""One client of the chaos test: it listens, calls, and checks every counter that it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from ringcast import Client
from ringcast.protocol import Gap

from .arena import CLASSES, NAMES
from .verdict import Sequence, Verdict

__all__ = ["Contestant"]


class Contestant:
    """A real client, behind a network that does what it likes."""

    def __init__(self, client: Client, number: int, seed: int, verdict: Verdict) -> None:
        self.returned: list[int] = []
        """What each of its calls returned."""
        self.answers = 0
        """How many calls of any kind were answered."""
        self.name = f"client {number}"
        self._random = Random(f"{seed}/{self.name}")
        self._verdict = verdict
        self._receipts: set[int] = set()
        self._connection = client.arena.get_or_create(["a"]).connect(number)
        chosen = self._random.sample(NAMES, 4)
        self._toggled = chosen.pop()
        self._sequences = {name: Sequence(verdict) for name in (*chosen, "personal", "team")}
        self._sequences["others"] = Sequence(verdict, mine=lambda n: n % CLASSES != number % CLASSES)
        for name, sequence in self._sequences.items():
            self._connection.on(name, self._check(sequence))
        self._connection.on("receipt", self._take_receipt)
        self._connection.on("gap", self._take_gap)
        self._connection.on("error", self._take_error)

    def __str__(self) -> str:
        return f"{self.name}: {self._connection.status}, {len(self.returned)} calls answered"

    async def ready(self) -> None:
        await self._connection.ready()

    async def add(self, count: int, at_once: int, time_is_up: asyncio.Event) -> None:
        """Add 1 so many times, with so many calls under way, however often they have to be sent again."""
        left = iter(range(count))

        async def work() -> None:
            for _ in left:
                if time_is_up.is_set():
                    return
                action = self._random.choice(("add", "add_later"))
                value = await self._connection.call(action, 1)
                self.returned.append(value)
                self.answers += 1
                if value not in self._receipts:
                    self._problem(f"the answer {value} came before the event of its action")

        async with asyncio.TaskGroup() as workers:
            for _ in range(at_once):
                workers.create_task(work())

    async def come_and_go(self, done: asyncio.Event) -> None:
        """Begin and end to listen for one more name, again and again."""
        name = self._toggled
        while not done.is_set():
            got: list[int] = []
            stop = self._connection.on(name, lambda number, _pad, got=got: got.append(number))
            begun = (await self._tally())["names"][name]
            await asyncio.sleep(self._random.uniform(0, 0.5))
            ended = (await self._tally())["names"][name]
            stop()
            # Only when the server has handled this too, no late event can find the next listener.
            await self._tally()
            self._check_stretch(got, begun, ended)

    def _check_stretch(self, got: list[int], begun: int, ended: int) -> None:
        """While it listened there came all that was sent from `begun` to `ended`, and perhaps more."""
        if not got:
            self._verdict.lost += ended - begun
            return
        sequence = Sequence(self._verdict, first=min(got[0], begun + 1))
        for number in got:
            sequence.take(number)
        sequence.end(ended)

    async def end(self) -> int:
        """Check that everything has come; return the sum that the server tells."""
        tally = await self._tally()
        # The answer came behind everything.
        counted = {**tally["names"], **{name: tally[name] for name in ("others", "personal")}}
        counted["team"] = tally["in_team"]
        for name, sequence in self._sequences.items():
            sequence.end(counted[name])
        self._verdict.duplicated += self._connection.duplicates
        total: int = tally["total"]
        return total

    async def _tally(self) -> dict[str, Any]:
        tally: dict[str, Any] = await self._connection.tally()
        self.answers += 1
        return tally

    async def close(self) -> None:
        await self._connection.close()

    def _check(self, sequence: Sequence) -> Callable[[int, str], None]:
        return lambda number, _pad: sequence.take(number)

    def _take_receipt(self, value: int) -> None:
        self._verdict.deliveries += 1
        if value in self._receipts:
            self._verdict.duplicated += 1
        self._receipts.add(value)

    def _take_gap(self, gap: Gap) -> None:
        self._verdict.gaps += 1
        self._problem(f"was told of {gap}")

    def _take_error(self, error: BaseException) -> None:
        self._problem(f"an error: {error!r}")

    def _problem(self, what: str) -> None:
        self._verdict.problems.append(f"{self.name}: {what}")
