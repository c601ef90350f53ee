"""What `ringcast serve arena:registry` runs for the chaos test: events of every sort, each with a counter.

Every stream of events that a client is entitled to counts up by one, so that the client can tell by itself
whether anything is missing, doubled or out of order.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Final

from ringcast import Actor, Connection, Context, MemoryStore, Registry, action

NAMES: Final = tuple(f"news{number}" for number in range(24))
"""Many, so that most of what is sent is not for most: a client skips more offsets than it is told of."""
TEAMS: Final = 4
CLASSES: Final = 5
"""Every event `others` is kept from the clients of one class."""
DRAIN_EVERY: Final = 50
PADS: Final = (0, 0, 0, 0, 0, 10, 120, 200, 3000)
RARE_PAD: Final = 70_000
"""Characters that an event carries beside its counter: frames of all three lengths of RFC 6455."""


@dataclass
class Total:
    value: int = 0


@dataclass
class Player:
    """One client, with how much has been sent to it alone."""

    number: int
    team: int = 0
    personal: int = 0
    in_team: int = 0


@dataclass
class Tally:
    """How much a client should have got by now: of events and of the sum."""

    names: dict[str, int]
    others: int
    personal: int
    in_team: int
    total: int


class Arena(Actor[Total, Player], max_ring_events=1_000_000, max_ring_bytes=512 << 20):
    """Sends events of every sort, and adds up."""

    def __init__(self) -> None:
        self.random = Random(0)
        self.names = dict.fromkeys(NAMES, 0)
        self.others = 0
        self.players: list[Connection[Player]] = []
        """Those for whom something is drawn, by their numbers."""

    def create_conn_state(self, c: Context[Total, Player], params: int) -> Player:
        return Player(params, team=params % TEAMS)

    @action
    def begin(self, c: Context[Total, Player], seed: int) -> None:
        """Draw from a seed, for all who are there: the same events again, in whatever order they came."""
        self.random = Random(f"{seed}/events")
        players = [conn for conn in self.conns if conn is not c.conn]
        self.players = sorted(players, key=lambda conn: conn.state.number)

    @action
    async def publish(self, c: Context[Total, Player], count: int) -> dict[str, int]:
        """Send so many events, and let others have their turns; return how much has been sent to many."""
        for number in range(count):
            self._send_one()
            if number % DRAIN_EVERY == 0:
                await c.drain()
                await asyncio.sleep(0)
        return {**self.names, "others": self.others}

    def _send_one(self) -> None:
        random = self.random
        pad = "x" * (RARE_PAD if random.random() < 0.0005 else random.choice(PADS))
        kind = random.random()
        if kind < 0.75:
            name = random.choice(NAMES)
            self.names[name] += 1
            self.broadcast(name, self.names[name], pad)
        elif kind < 0.79:
            self.others += 1
            out = self.others % CLASSES
            excluded = [conn for conn in self.players if conn.state.number % CLASSES == out]
            self.broadcast("others", self.others, pad, exclude=excluded)
        elif kind < 0.95:
            conn = random.choice(self.players)
            conn.state.personal += 1
            conn.send("personal", conn.state.personal, pad)
            # From now on it is in another team: what was sent to the one before is still for it.
            conn.state.team = random.randrange(TEAMS)
        else:
            team = random.randrange(TEAMS)
            for conn in self.players:
                if conn.state.team == team:
                    conn.state.in_team += 1
                    conn.send("team", conn.state.in_team, pad)

    @action
    def add(self, c: Context[Total, Player], amount: int) -> int:
        """Add, tell the caller by an event, and return the sum."""
        c.state.value += amount
        c.conn.send("receipt", c.state.value)
        return c.state.value

    @action
    async def add_later(self, c: Context[Total, Player], amount: int) -> int:
        await asyncio.sleep(0)
        return self.add(c, amount)

    @action
    def sent(self, c: Context[Total, Player], name: str) -> int:
        """Return how many events of a name have been sent."""
        return self.names[name]

    @action
    def tally(self, c: Context[Total, Player]) -> Tally:
        """Return how much the caller should have got when this is answered."""
        player = c.conn.state
        return Tally(dict(self.names), self.others, player.personal, player.in_team, c.state.value)


registry = Registry(Arena, store=MemoryStore())
