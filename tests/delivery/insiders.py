"""What `ringcast serve delivery.insiders:registry` runs: the arena, and contestants in the server's process.

Nobody harms their network; but they share the process, its loop and its core with everything that is done to
the others. An actor has them, so that `chaos.py` can call for them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ringcast import Actor, Context, MemoryStore, Registry, action

from .arena import Arena
from .contestant import Contestant
from .verdict import Verdict

__all__ = ["Insiders", "Told", "registry"]


@dataclass
class Told:
    """What became of them."""

    returned: list[int]
    """What each of their calls returned."""
    totals: list[int]
    verdict: Verdict


class Insiders(Actor):
    """Brings contestants in, lets them play, and tells what they found."""

    def __init__(self) -> None:
        self.verdict = Verdict()
        self.contestants: list[Contestant] = []
        self.over = asyncio.Event()
        self.playing: list[asyncio.Task[None]] = []

    @action
    async def come(self, c: Context, seed: int, numbers: list[int]) -> None:
        """Connect."""
        client = c.client()
        self.contestants = [Contestant(client, number, seed, self.verdict) for number in numbers]
        await asyncio.gather(*(contestant.ready() for contestant in self.contestants))

    @action
    def play(self, c: Context) -> None:
        """Begin to call, and to come and go."""
        self.playing = [self.spawn(each.play(self.over)) for each in self.contestants]

    @action
    async def stop(self, c: Context) -> None:
        """Have the last calls answered."""
        self.over.set()
        await asyncio.gather(*self.playing)

    @action
    async def tell(self, c: Context) -> Told:
        """Check that everything has come."""
        totals = await asyncio.gather(*(contestant.end() for contestant in self.contestants))
        returned = [value for contestant in self.contestants for value in contestant.returned]
        await asyncio.gather(*(contestant.close() for contestant in self.contestants))
        return Told(returned, totals, self.verdict)


registry = Registry(Arena, Insiders, store=MemoryStore())
