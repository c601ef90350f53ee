"""What a durable actor's ring has let go, so that after a restart, too, a gap is told only where one is real.

The core knows it exactly while the actor runs (`_core.Stream.let_go`). Here is worked out how little of it
the store needs; `restore.py` puts that together again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..seam import CoreStream
from ..store import Trimmed
from ..wire.event_match import Listened
from ..wire.topics import is_filtered

__all__ = ["Ledger", "Member"]


@dataclass(slots=True)
class Member:
    """One open connection."""

    id: str = ""
    kept: bool = False
    """Whether the store has its session."""
    names: dict[str, int] = field(default_factory=dict)
    """What it listens for, with the offset after which that began."""
    left_at: int = -1
    """The offset at which it last ceased to listen for something."""
    lost: int | None = None
    """What the store has as `StoredSession.lost`."""
    asked: dict[str, int] = field(default_factory=dict)
    """What it may perhaps no longer listen for, with the offset after which that is to be decided."""
    again: int | None = None
    """The offset from which on that is to be decided anew."""
    matched: list[tuple[str, int]] = field(default_factory=list)
    """Events of those names that a filter has chosen it for meanwhile: names and offsets."""


class Ledger:
    """What the store knows of events that are gone, and what it has to be told at a trim.

    Names are topics: those with a filter are as good as names of their own. For nearly everybody, what they
    have lost follows from names: the newest event that is gone of a name that
    they listen for, if it came after they began to. The store has these events by name, and a number of its
    own only for a session of which that would be wrong: something was for it alone or kept from it, or it has
    ceased to listen. So a trim costs what is particular, and not a row for each session.
    """

    def __init__(self, members: Mapping[int, Member], first: int, let_go: Iterable[tuple[str, int]]) -> None:
        """`first` is the oldest event that the store has, `let_go` what it knows of those before."""
        self.first = first
        self._members = members
        self._let_go = dict(let_go)
        self._listeners: Counter[str] = Counter()
        self.filtered = Listened()
        """The topics with a filter that somebody listens for, or may turn out to."""
        # Of whom the core has to be asked, because what they have lost may not follow from names.
        self._particular: set[int] = set()

    def listens(self, name: str) -> None:
        """Somebody has begun to listen for a name, or for another topic."""
        self._listeners[name] += 1
        if is_filtered(name):
            self.filtered.add(name)

    def leaves(self, name: str) -> None:
        """Somebody listens for it no more."""
        self._listeners[name] -= 1
        if not self._listeners[name]:
            del self._listeners[name]
        if is_filtered(name):
            self.filtered.remove(name)

    def doubts(self, name: str) -> None:
        """It is to be decided whether somebody who has left a name may go on listening for it."""
        if is_filtered(name):
            self.filtered.add(name)

    def decides(self, name: str) -> None:
        """That is decided; whoever may has begun to listen."""
        if is_filtered(name):
            self.filtered.remove(name)

    def single_out(self, connection: int) -> None:
        """What this connection has lost may from now on not follow from names."""
        self._particular.add(connection)

    def keep(self, connection: int) -> int | None:
        """Return what `lost` is of a session that the store is to keep from now on.

        It may have been open for so long that events are gone since. Its client begins behind them.
        """
        member = self._members[connection]
        if self._lost_by_name(member):
            member.lost = 0
            self.single_out(connection)
        return member.lost

    def trim(self, stream: CoreStream) -> Trimmed:
        """Return what makes the store forget what the ring has forgotten, and know what it has to of that."""
        first, names, lost = stream.let_go(self.first - 1, list(self._particular))
        told = {name: offset for name, offset in names if self._listeners[name]}
        told |= {name: 0 for name in self._let_go if not self._listeners[name]}
        for name, offset in told.items():
            if offset:
                self._let_go[name] = offset
            else:
                del self._let_go[name]
        self.first = first
        self._particular.clear()
        changed = [
            (self._members[connection].id, self._members[connection].lost)
            for connection, offset in lost
            if self._set_lost(connection, offset)
        ]
        return Trimmed(first, tuple(told.items()), tuple(changed))

    def _set_lost(self, connection: int, offset: int) -> bool:
        """Take what a connection has lost; tell whether the store has to be told."""
        member = self._members.get(connection)
        if member is None:
            return False
        if not member.kept:
            self.single_out(connection)
            return False
        # What it ceased to listen for is gone from the store once it ended before the oldest event.
        follows = member.left_at < self.first and offset == self._lost_by_name(member)
        before, member.lost = member.lost, None if follows else offset
        if not follows:
            self.single_out(connection)
        return member.lost != before

    def _lost_by_name(self, member: Member) -> int:
        let_go = self._let_go
        listens = member.names.items()
        return max((let_go[name] for name, since in listens if let_go.get(name, 0) > since), default=0)
