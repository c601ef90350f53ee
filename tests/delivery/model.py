"""What ought to happen: a list of all events, each with the connections that it was for when it was sent.

As naive as can be, and independent of the product: nothing is forgotten, nothing is worked out later, there
are no intervals, no ledger and no positions of a server. `reading.py` compares what clients get with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from .hall import Order
from .wants import covers

__all__ = ["Answer", "Conn", "Missed", "Model", "Moment", "Sent"]

LAST_RESORT: Final = 4
"""So many times the bound of a record, answers are forgotten that have not arrived."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request was answered: with a value, or with the code of an error."""

    value: Any = None
    code: str | None = None
    after: int = 0
    """The newest event when the request ended: the answer comes behind it."""


@dataclass(slots=True)
class Requests:
    """What is remembered of one connection's requests: so many of the newest answers.

    Of a client that says which answers have arrived, only those are forgotten: until there are far too many.
    """

    kept: int
    newest: int = 0
    running: set[int] = field(default_factory=set)
    answered: list[tuple[int, Answer]] = field(default_factory=list)
    acknowledges: bool = False
    forgotten: int = 0
    """The newest request whose answer was forgotten before it had arrived."""
    stored: tuple[list[tuple[int, Answer]], int] = field(default_factory=lambda: ([], 0))
    """What a durable actor has after a restart: `answered` and `forgotten` as of the last answer."""

    def is_new(self, id: int) -> bool:
        """Tell whether the request has never been here; it has now."""
        if id <= self.newest or id in dict(self.answered):
            return False
        self.newest = id
        self.running.add(id)
        return True

    @property
    def is_full(self) -> bool:
        """Whether a new call is refused."""
        return self.acknowledges and len(self.answered) >= self.kept

    def end(self, id: int, answer: Answer) -> Answer:
        self.running.remove(id)
        self.answered.append((id, answer))
        most = self.kept * (LAST_RESORT if self.acknowledges else 1)
        for forgotten, _ in self.answered[:-most]:
            self.forgotten = max(self.forgotten, forgotten)
        self.answered = self.answered[-most:]
        self.stored = list(self.answered), self.forgotten
        return answer

    def restart(self) -> None:
        """The server begins with what the store has. What has no answer there has had no effect."""
        answered, self.forgotten = self.stored
        # Only of a client that says what has arrived is so much kept. Whether one does is not kept itself.
        self.answered, self.acknowledges = list(answered), len(answered) > self.kept
        self.newest = self.forgotten

    def repeat(self, id: int, head: int) -> Answer | None:
        """Return the answer to a request that is sent again; None while it runs."""
        if id in self.running:
            return None
        return dict(self.answered).get(id, Answer(code="outcome_unknown", after=head))

    def arrived(self, ids: Iterable[int]) -> None:
        """The client has these answers."""
        self.acknowledges = True
        self.answered = [(id, answer) for id, answer in self.answered if id not in ids]

    def wanted(self, ids: Iterable[int]) -> None:
        """The client wants these answers and no others."""
        self.arrived([id for id, _ in self.answered if id not in ids])


@dataclass(eq=False, slots=True)
class Conn:
    """One connection, from the moment at which events may be for it."""

    who: int
    names: set[str]
    """What it listens for, as `wants.covers` has it."""
    requests: Requests
    level: int = 0
    badges: frozenset[str] = frozenset()
    farewell_until: float = 0
    """Until when its client is told that the actor has ended it, if it comes back."""

    def move_to(self, level: int) -> None:
        """Do what `hall.Guest.move_to` does."""
        self.level = level
        self.badges ^= {str(level)}


@dataclass(frozen=True, slots=True)
class Sent:
    """One event, and whom it was for at the moment of the call."""

    offset: int
    name: str
    args: list[Any]
    entitled: frozenset[Conn]


@dataclass(frozen=True, slots=True)
class Moment:
    """What a durable actor had committed at some time."""

    head: int
    runs: int
    life: int
    lineage: dict[int, int]
    joined: list[Conn]
    open: list[tuple[Conn, set[str], int, frozenset[str], Requests]]
    """With what each listened for, its level, its badges and its requests."""


@dataclass(frozen=True, slots=True)
class Missed:
    """What a client that comes back is told: how many events follow, and which offsets are lost."""

    replayed: int
    lost: tuple[int, int] | None


class Model:
    """One actor's events and connections.

    `max_events` is what its ring retains; None if that is not counted in events, and `retained_from` tells.
    """

    def __init__(
        self,
        max_events: int | None,
        window_s: float,
        kept_answers: int,
        retained_from: Callable[[], int],
    ) -> None:
        self.sent: list[Sent] = []
        self.open: list[Conn] = []
        """Everybody to whom events can be sent."""
        self.joined: list[Conn] = []
        """Those whom the actor sees, in the order of joining."""
        self.away: dict[Conn, float] = {}
        """When those whose client is gone end for want of it, in the order in which the clients went."""
        self.life = 0
        """Which life of the stream this is: a new one with each restart."""
        self.lineage: dict[int, int] = {}
        """The lives that this one continues, with the newest event when each ended."""
        self._lives = count(1)
        self.runs = 0
        """How many actions have run to their end."""
        self.now = 0.0
        self._max_events = max_events
        self._window_s = window_s
        self._kept_answers = kept_answers
        self._retained_from = retained_from

    @property
    def head(self) -> int:
        """The newest event's offset."""
        return len(self.sent)

    @property
    def first(self) -> int:
        """The oldest event that is retained."""
        if self._max_events is None:
            return self._retained_from()
        return max(1, self.head - self._max_events + 1)

    # --- sending ------------------------------------------------------------------------------------------

    def _append(self, name: str, args: list[Any], to: Iterable[Conn]) -> None:
        self.sent.append(Sent(self.head + 1, name, args, frozenset(to)))

    def broadcast(
        self,
        name: str,
        args: list[Any],
        exclude: Iterable[Conn] = (),
        where: Callable[[Conn], bool] = lambda conn: True,
    ) -> None:
        """Ask everybody, now."""
        listening = [conn for conn in self.open if any(covers(wish, name, args) for wish in conn.names)]
        self._append(name, args, {conn for conn in listening if where(conn)}.difference(exclude))

    def send(self, name: str, args: list[Any], *to: Conn) -> None:
        self._append(name, args, [conn for conn in to if conn in self.open])

    def emit(self, order: Order, caller: Conn | None) -> None:
        """Send what `hall.emit` sends for the same order."""
        name, args = order.name, order.args
        match order.how:
            case "broadcast":
                self.broadcast(name, args)
            case "to others":
                self.broadcast(name, args, exclude=[] if caller is None else [caller])
            case "from a level":
                self.broadcast(name, args, exclude=[c for c in self.joined if c.level < order.level])
            case "to one":
                for conn in [c for c in self.joined if c.who == order.who]:
                    self.send(name, args, conn)
            case "to each of a level":
                for conn in [c for c in self.joined if c.level == order.level]:
                    self.send(name, args, conn)
            case "to the first of a level":
                for conn in [c for c in self.joined if c.level == order.level][:1]:
                    self.send(name, args, conn)
            case "to a selection":
                if chosen := [c for c in self.joined if c.who != order.who]:
                    self.send(name, args, *chosen)
            case _:
                self._emit_filtered(order, caller)

    def _emit_filtered(self, order: Order, caller: Conn | None) -> None:
        """Send what `hall.emit_filtered` sends."""
        name, args, level, badge = order.name, order.args, order.level, str(order.level)
        match order.how:
            case "where a level":
                self.broadcast(name, args, where=lambda c: c.level >= level)
            case "where a level, but for some":
                some = [c for c in self.joined if c is caller or c.who == order.who]
                self.broadcast(name, args, some, where=lambda c: c.level == level)
            case "where a badge":
                self.broadcast(name, args, where=lambda c: badge in c.badges)
            case "where a mixture":

                def fits(c: Conn) -> bool:
                    return (badge in c.badges or c.level < level) and c.who != order.who

                self.broadcast(name, args, where=fits)
            case "to who matches":
                if chosen := [c for c in self.joined if c.level == level]:
                    self.send(name, args, *chosen)
            case "to who matches, but for one":
                if chosen := [c for c in self.joined if c.level <= level and c.who != order.who]:
                    self.send(name, args, *chosen)
            case _:
                raise AssertionError(order.how)

    # --- connections --------------------------------------------------------------------------------------

    def enter(self, who: int, names: Iterable[str]) -> Conn:
        """A connection is open: events may be for it."""
        conn = Conn(who, set(names), Requests(self._kept_answers))
        self.open.append(conn)
        return conn

    def join(self, conn: Conn) -> None:
        """`on_connect` runs, then the actor sees the connection."""
        self.broadcast("joined", [conn.who])
        self.send("welcome", [conn.who], conn)
        self.joined.append(conn)

    def leave(self, conn: Conn) -> None:
        """The session has ended."""
        self.open.remove(conn)
        self.away.pop(conn, None)
        if conn in self.joined:
            self.joined.remove(conn)
            self.broadcast("left", [conn.who])

    def send_away(self, conn: Conn) -> None:
        """The actor ends the session for good."""
        self.leave(conn)
        conn.farewell_until = self.now + self._window_s

    def wait_for(self, conn: Conn) -> None:
        """The client is gone and may come back."""
        if conn in self.open:
            self.away[conn] = self.now + self._window_s

    def advance(self, seconds: float) -> None:
        """Let time pass; who has waited too long leaves, in the order of time."""
        self.now += seconds
        late = [conn for conn, deadline in self.away.items() if deadline <= self.now]
        for conn in sorted(late, key=lambda conn: self.away[conn]):
            self.leave(conn)

    def restart(self) -> None:
        """A durable actor begins again with what the store has; everybody has a whole window to come back."""
        self.lineage[self.life] = self.head
        self.life = next(self._lives)
        self.away = dict.fromkeys(self.open, self.now + self._window_s)
        for conn in self.open:
            conn.requests.restart()

    def remember(self) -> Moment:
        """Return what would be left if the store came back as it is now."""
        kept = [
            (conn, set(conn.names), conn.level, conn.badges, deepcopy(conn.requests)) for conn in self.open
        ]
        return Moment(self.head, self.runs, self.life, dict(self.lineage), list(self.joined), kept)

    def put_back(self, moment: Moment) -> None:
        """Nothing has happened since that moment."""
        del self.sent[moment.head :]
        self.runs, self.life, self.lineage = moment.runs, moment.life, dict(moment.lineage)
        self.joined = list(moment.joined)
        self.open = [conn for conn, *_ in moment.open]
        for conn, names, level, badges, requests in moment.open:
            conn.names, conn.requests = set(names), deepcopy(requests)
            conn.level, conn.badges = level, badges

    def continues(self, life: int, seen: int) -> bool:
        """Tell whether what a client has seen in a life of the stream is part of this one."""
        return life == self.life or seen <= self.lineage.get(life, -1)

    def begin_anew(self) -> None:
        """An actor that is not durable begins another stream."""
        for conn in list(self.open):
            self.leave(conn)
        self.sent.clear()
        self.lineage.clear()
        self.life = next(self._lives)

    # --- what a client is to get --------------------------------------------------------------------------

    def events_for(self, conn: Conn, seen: int) -> list[Sent]:
        """Return what was sent to `conn` after the offset `seen`."""
        return [event for event in self.sent[seen:] if conn in event.entitled]

    def missed(self, conn: Conn, seen: int) -> Missed:
        """Return what a client is told that comes back, having seen everything up to `seen`."""
        events = self.events_for(conn, seen)
        lost = [event for event in events if event.offset < self.first]
        return Missed(len(events) - len(lost), (seen + 1, self.first - 1) if lost else None)
