"""One client of the chaos test: it listens, calls, and checks every counter that it gets.

It need not know by what its client is carried, nor whether anybody harms that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from random import Random
from typing import Any

from ringcast import Client
from ringcast.wire.protocol import Gap

from .arena import CLASSES, NAMES, is_kept_from
from .verdict import Chosen, Sequence, Verdict
from .wants import WANTS, fields

__all__ = ["Contestant"]

CALLS_AT_ONCE = 3
LONGEST_PAUSE_S = 4.0
"""Between two calls: what keeps a machine busy should be what clients are sent, not what they ask for."""
LONGEST_STRETCH_S = 2.0
FILTERS_AT_ONCE = 2
FILTERING_EVERY = 4
"""One client in so many changes its filters: each change is four calls."""


class Contestant:
    """A real client, behind a network that does what it likes."""

    def __init__(self, client: Client, number: int, seed: int, verdict: Verdict) -> None:
        self.returned: list[int] = []
        """What each of its calls returned."""
        self.answers = 0
        """How many calls of any kind were answered."""
        self.has_come = False
        self.name = f"client {number}"
        self._number = number
        self._seed = f"{seed}/{self.name}"
        self._verdict = verdict
        self._receipts: set[int] = set()
        self._connection = client.arena.get_or_create(["a"]).connect(number)
        chosen = Random(self._seed).sample(NAMES, 4)
        self._toggled = chosen.pop()
        self._steady = (*chosen, "others")
        self._sequences = {name: Sequence(verdict) for name in (*chosen, "personal", "team")}
        self._sequences["others"] = Sequence(verdict, mine=lambda n: n % CLASSES != number % CLASSES)
        self._filtered = Chosen(verdict)
        for name, sequence in self._sequences.items():
            self._connection.on(name, self._check(sequence))
        self._connection.on("filtered", self._check(self._filtered))
        self._connection.on("receipt", self._take_receipt)
        self._connection.on("gap", self._take_gap)
        self._connection.on("error", self._take_error)

    def __str__(self) -> str:
        return f"{self.name}: {self._connection.status}, {len(self.returned)} calls answered"

    async def ready(self) -> None:
        await self._connection.ready()
        self.has_come = True

    def behind(self, sent: dict[str, int]) -> int:
        """Return how many of the events that have been sent to many are still to come to this one."""
        return sum(max(0, sent[name] - self._sequences[name].last) for name in self._steady)

    async def play(self, over: asyncio.Event) -> None:
        """Call, and come and go, until it is over."""
        async with asyncio.TaskGroup() as play:
            play.create_task(self.come_and_go(over))
            play.create_task(self.add(over))
            for number in range(0 if self._number % FILTERING_EVERY else FILTERS_AT_ONCE):
                play.create_task(self.roam(number, over))

    async def add(self, over: asyncio.Event) -> None:
        """Add 1 again and again, with some calls under way, however often they have to be sent again."""
        async with asyncio.TaskGroup() as workers:
            for number in range(CALLS_AT_ONCE):
                workers.create_task(self._add(Random(f"{self._seed}/calls {number}"), over))

    async def _add(self, random: Random, over: asyncio.Event) -> None:
        while not over.is_set():
            value = await self._connection.call(random.choice(("add", "add_later")), 1)
            self.returned.append(value)
            self.answers += 1
            self._verdict.actions += 1
            if value not in self._receipts:
                self._problem(f"the answer {value} came before the event of its action")
            await pause(random.uniform(0, LONGEST_PAUSE_S), over)

    async def come_and_go(self, over: asyncio.Event) -> None:
        """Begin and end to listen for one more name, again and again."""
        name, random = self._toggled, Random(f"{self._seed}/stretches")
        while not over.is_set():
            got: list[int] = []
            stop = self._connection.on(name, lambda number, _pad, got=got: got.append(number))
            begun = await self._sent(name)
            await pause(random.uniform(0, LONGEST_STRETCH_S), over)
            ended = await self._sent(name)
            stop()
            # Only when the server has handled this too, no late event can find the next listener.
            await self._sent(name)
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

    async def roam(self, which: int, over: asyncio.Event) -> None:
        """Listen for `moved` with one filter after the other; another does so too, perhaps with the same."""
        random = Random(f"{self._seed}/filters {which}")
        while not over.is_set():
            want, got = random.choice(WANTS), Chosen(self._verdict)
            before = await self._sent("moved")
            stop = self._connection.on("moved", self._check_moved(got), where=want.where)
            begun = await self._sent("moved")
            await pause(random.uniform(0, LONGEST_STRETCH_S), over)
            ended = await self._sent("moved")
            stop()
            after = await self._sent("moved")
            fitting = [
                number
                for number in range(before + 1, after + 1)
                if want.fits(fields(number)) and not is_kept_from(self._number, number)
            ]
            got.end([number for number in fitting if begun < number <= ended], perhaps=fitting)

    def _check_moved(self, got: Chosen) -> Callable[[dict[str, Any], str], None]:
        return lambda what, _pad: got.take(what["number"])

    async def end(self) -> int:
        """Check that everything has come; return the sum that the server tells."""
        tally = await self._connection.tally()
        self.answers += 1
        # The answer came behind everything.
        counted = {**tally["names"], **{name: tally[name] for name in ("others", "personal")}}
        counted["team"] = tally["in_team"]
        for name, sequence in self._sequences.items():
            sequence.end(counted[name])
        self._filtered.end(tally["filtered"])
        self._verdict.duplicated += self._connection.duplicates
        total: int = tally["total"]
        return total

    async def _sent(self, name: str) -> int:
        count: int = await self._connection.sent(name)
        self.answers += 1
        return count

    async def close(self) -> None:
        await self._connection.close()

    def _check(self, sequence: Sequence | Chosen) -> Callable[[int, str], None]:
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


async def pause(seconds: float, over: asyncio.Event) -> None:
    """Wait for so long, or until it is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await over.wait()
