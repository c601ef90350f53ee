"""What a proof found: counts of what was done, counts of what went wrong, in one line."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields

__all__ = ["Chosen", "Sequence", "Verdict"]


@dataclass
class Verdict:
    """Counts over one run of one proof, or over many of them."""

    clients: int = 0
    events: int = 0
    """As sent by actors."""
    deliveries: int = 0
    """As received by clients."""
    actions: int = 0
    cuts: int = 0
    kills: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    gaps: int = 0
    """That a client was told of and should not have been."""
    unentitled: int = 0
    """Deliveries to a client for whom the event was not, when it was sent."""
    problems: list[str] = field(default_factory=list)
    """Whatever else was wrong."""

    @property
    def ok(self) -> bool:
        wrong = self.lost + self.duplicated + self.reordered + self.gaps + self.unentitled
        return not (wrong or self.problems)

    def add(self, other: Verdict) -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def line(self, word: str | None = None) -> str:
        """Say it in one line, which begins with how it went, or with another word."""
        counts = [f"{getattr(self, each.name)} {each.name}" for each in fields(self) if each.type == "int"]
        return f"{word or ('ok' if self.ok else 'FAILED')}: {', '.join(counts)}"


class Sequence:
    """Counters that should come one after the other, from `first` on; not those that are not `mine`."""

    def __init__(
        self, verdict: Verdict, first: int = 1, mine: Callable[[int], bool] = lambda number: True
    ) -> None:
        self._verdict = verdict
        self._mine = mine
        self._next = first
        self._missing: set[int] = set()

    @property
    def last(self) -> int:
        """The highest counter that came; before there is one, the one before the first."""
        return self._next - 1

    def take(self, number: int) -> None:
        """Take the next counter that came."""
        self._verdict.deliveries += 1
        if number in self._missing:
            self._missing.discard(number)
            self._verdict.reordered += 1
        elif number < self._next:
            self._verdict.duplicated += 1
        elif not self._mine(number):
            self._verdict.unentitled += 1
        else:
            self._skip_to(number)
            self._next = number + 1

    def end(self, last: int) -> None:
        """Nothing is to come any more: `last` was the last counter sent."""
        self._skip_to(last + 1)
        self._verdict.lost += len(self._missing)

    def _skip_to(self, number: int) -> None:
        self._missing.update(filter(self._mine, range(self._next, number)))
        self._next = max(self._next, number)


class Chosen:
    """Counters of which those should come, in their order, that were for this client when they were sent.

    Which ones these are is known in the end.
    """

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._got: set[int] = set()
        self._last = 0

    def take(self, number: int) -> None:
        """Take the next counter that came."""
        self._verdict.deliveries += 1
        if number in self._got:
            self._verdict.duplicated += 1
        elif number < self._last:
            self._verdict.reordered += 1
        self._got.add(number)
        self._last = max(self._last, number)

    def end(self, entitled: Collection[int], perhaps: Collection[int] = ()) -> None:
        """Nothing is to come any more: these were for the client, and of others it may have got `perhaps`."""
        self._verdict.lost += len(set(entitled) - self._got)
        self._verdict.unentitled += len(self._got.difference(entitled, perhaps))
