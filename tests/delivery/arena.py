"""The actor of the chaos test, which `insiders.py` serves: events of every sort, each with a counter.

Every stream of events that a client is entitled to counts up by one, so that the client can tell by itself
whether anything is missing, doubled or out of order. Of those that go by a filter of the arena's, the arena
tells in the end which ones were for whom. Those that clients filter have fields that follow from the counter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from ringcast import Actor, Connection, Context, action, where

from .wants import fields

NAMES: Final = tuple(f"news{number}" for number in range(24))
"""Many, so that most of what is sent is not for most: a client skips more offsets than it is told of."""
TEAMS: Final = 4
RANKS: Final = 4
BADGES: Final = ("bronze", "silver", "gold")
CLASSES: Final = 5
"""Every event `others` is kept from the clients of one class."""
DRAIN_EVERY: Final = 50
PADS: Final = (0, 0, 0, 0, 0, 10, 120, 200, 3000)
RARE_PAD: Final = 70_000
"""Characters that an event carries beside its counter: frames of all three lengths of RFC 6455."""


@dataclass
class Moved:
    """What clients filter: see `wants.fields`."""

    number: int
    zone: int
    level: int
    team: str | None
    tags: set[str]


def _counted(self: object, number: int, pad: str) -> None: ...


def _moved(self: object, what: Moved, pad: str) -> None: ...


def _receipt(self: object, total: int) -> None: ...


@dataclass
class Total:
    value: int = 0


def is_kept_from(player: int, moved: int) -> bool:
    """Tell whether the arena excludes a player from an event `moved`, whatever the player listens for."""
    return moved % 2 == 1 and player % CLASSES == moved // 2 % CLASSES


@dataclass
class Player:
    """One client, with how much has been sent to it alone."""

    number: int
    team: int = 0
    rank: int = 0
    badges: set[str] = field(default_factory=set)
    personal: int = 0
    in_team: int = 0


@dataclass
class Known:
    """What the arena itself remembers of one player: filters know nothing of it.

    Nor does it touch the connection's state, which would have the filters look at that again.
    """

    conn: Connection[Player]
    number: int
    team: int
    rank: int = 0
    badges: set[str] = field(default_factory=set)
    filtered: list[int] = field(default_factory=list)
    """Events that were sent with a filter when this player was such that they were for it."""


@dataclass
class Tally:
    """How much a client should have got by now: of events and of the sum."""

    names: dict[str, int]
    others: int
    personal: int
    in_team: int
    filtered: list[int]
    total: int


class Arena(Actor[Total, Player], max_ring_events=1_000_000, max_ring_bytes=512 << 20):
    """Sends events of every sort, and adds up."""

    Events = type(
        "Events",
        (),
        {
            **dict.fromkeys((*NAMES, "others", "filtered", "personal", "team"), _counted),
            "moved": _moved,
            "receipt": _receipt,
        },
    )

    def __init__(self) -> None:
        self.random = Random(0)
        self.names = dict.fromkeys((*NAMES, "moved"), 0)
        self.others = 0
        self.filtered = 0
        self.players: list[Known] = []
        """Those for whom something is drawn, by their numbers."""

    def create_conn_state(self, c: Context[Total, Player], params: int) -> Player:
        return Player(params, team=params % TEAMS)

    @action
    def begin(self, c: Context[Total, Player], seed: int) -> None:
        """Draw from a seed, for all who are there: the same events again, in whatever order they came."""
        self.random = Random(f"{seed}/events")
        players = [
            Known(conn, conn.state.number, conn.state.team) for conn in self.conns if conn is not c.conn
        ]
        self.players = sorted(players, key=lambda player: player.number)

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
        if kind < 0.62:
            name = random.choice(NAMES)
            self.names[name] += 1
            self.broadcast(name, self.names[name], pad)
        elif kind < 0.7:
            self._send_moved(pad)
        elif kind < 0.74:
            self.others += 1
            out = self.others % CLASSES
            excluded = [player.conn for player in self.players if player.number % CLASSES == out]
            self.broadcast("others", self.others, pad, exclude=excluded)
        elif kind < 0.82:
            self._send_filtered(pad)
            # From now on it is somebody else: what was sent to who it was before is still for it.
            self._change(random.choice(self.players))
        elif kind < 0.95:
            player = random.choice(self.players)
            state = player.conn.state
            state.personal += 1
            player.conn.send("personal", state.personal, pad)
            self._change(player)
        else:
            team = random.randrange(TEAMS)
            for player in self.players:
                if player.team == team:
                    state = player.conn.state
                    state.in_team += 1
                    player.conn.send("team", state.in_team, pad)

    def _send_moved(self, pad: str) -> None:
        """Send to those whose filters it matches; every other one is kept from one class all the same."""
        self.names["moved"] += 1
        number = self.names["moved"]
        excluded = [player.conn for player in self.players if is_kept_from(player.number, number)]
        self.broadcast(
            "moved", Moved(**{**fields(number), "tags": set(fields(number)["tags"])}), pad, exclude=excluded
        )

    def _send_filtered(self, pad: str) -> None:
        """Send to whom a filter finds, and ask everybody as well."""
        random = self.random
        team, rank, badge = random.randrange(TEAMS), random.randrange(RANKS), random.choice(BADGES)
        excluded: list[Known] = []
        self.filtered += 1
        data = ("filtered", self.filtered, pad)
        fits: Callable[[Known], bool]
        match random.randrange(4):
            case 0:
                fits = lambda player: player.team == team  # noqa: E731
                self.broadcast(*data, where=where(team=team))
            case 1:
                excluded = [player for player in self.players if player.number % CLASSES == team]
                fits = lambda player: player.team != team  # noqa: E731
                out = [player.conn for player in excluded]
                self.broadcast(*data, where=where(team__ne=team), exclude=out)
            case 2:
                excluded = random.sample(self.players, 1)
                fits = lambda player: player.rank >= rank or badge in player.badges  # noqa: E731
                wanted = where(rank__ge=rank) | where(badges__has=badge)
                self.broadcast(*data, where=wanted, exclude=excluded[0].conn)
            case _:
                fits = lambda player: player.rank < rank and badge not in player.badges  # noqa: E731
                self.conns.where(~where(badges__has=badge), rank__lt=rank).send(*data)
        for player in self.players:
            if fits(player) and player not in excluded:
                player.filtered.append(self.filtered)

    def _change(self, player: Known) -> None:
        """Change a player's state, by assignment and in place."""
        state, badge = player.conn.state, self.random.choice(BADGES)
        player.team = state.team = self.random.randrange(TEAMS)
        player.rank = state.rank = self.random.randrange(RANKS)
        player.badges ^= {badge}
        state.badges ^= {badge}

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
        filtered = next(known.filtered for known in self.players if known.conn is c.conn)
        sent = (dict(self.names), self.others, player.personal, player.in_team)
        return Tally(*sent, filtered, c.state.value)
