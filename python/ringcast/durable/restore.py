"""A durable actor's stream given to the core again: sessions, subscriptions and events, in their order.

What the store has kept is in `store/records.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from ..seam import CoreStream
from ..store import StoredSession, StoredStream
from ..wire.encoding import Encoding

__all__ = ["base_of", "replay"]

_UNREAD: Final = {encoding: encoding.encode([]) for encoding in Encoding}
"""What stands for an event in an encoding that nobody used when it was emitted: it is for nobody who reads
that one, but the stream, where all connections are open from the base on, asks for it. Filters read the other
one then."""


def base_of(kept: StoredStream) -> int:
    """Return the offset before the oldest event that is kept."""
    return kept.head - len(kept.events)


def replay(kept: StoredStream, stream: CoreStream) -> dict[str, int]:
    """Do in `stream`, opened at the base, what was done before; return the connections' numbers by id.

    An event finds the subscriptions that there were when it was emitted.
    """
    numbers: dict[str, int] = {}
    changes = sorted(_changes(kept, stream, numbers), key=lambda change: change[0])
    position = 0
    for event in kept.events:
        while position < len(changes) and changes[position][0] < event.offset:
            changes[position][1]()
            position += 1
        offset = stream.publish(
            event.name,
            event.json or _UNREAD[Encoding.JSON],
            event.msgpack or _UNREAD[Encoding.MSGPACK],
            only=None if event.only is None else _open(event.only, numbers),
            exclude=_open(event.exclude, numbers),
        )
        assert offset == event.offset
    for _, change in changes[position:]:
        change()
    return numbers


def _changes(
    kept: StoredStream, stream: CoreStream, numbers: dict[str, int]
) -> list[tuple[int, Callable[[], object]]]:
    """Return what happened to the sessions, each with the newest offset at that time."""
    changes: list[tuple[int, Callable[[], object]]] = []
    base, let_go = base_of(kept), dict(kept.let_go)
    for session in kept.sessions:
        encoding, lost = Encoding[session.encoding], _lost(session, base, let_go)

        def open_it(id: str = session.connection_id, index: int = encoding.index, lost: int = lost) -> None:
            numbers[id] = stream.open(index, lost=lost)

        # At the base at the latest: an event may be for a connection before its session is complete.
        changes.append((base, open_it))
        for interval in session.subscriptions:
            listen = partial(_listen, stream.subscribe, numbers, session.connection_id, interval.name)
            changes.append((max(interval.since, base), listen))
            if interval.until is not None:
                leave = partial(_listen, stream.unsubscribe, numbers, session.connection_id, interval.name)
                changes.append((interval.until, leave))
    return changes


def _lost(session: StoredSession, base: int, let_go: Mapping[str, int]) -> int:
    """Return the newest event at or below the base that was for a session; 0 if none was."""
    if session.lost is not None:
        return min(session.lost, base)
    covered = (
        let_go[interval.name]
        for interval in session.subscriptions
        if interval.since < let_go.get(interval.name, 0)
        and (interval.until is None or let_go[interval.name] <= interval.until)
    )
    return max(covered, default=0)


def _listen(
    change: Callable[[int, str], object], numbers: dict[str, int], connection_id: str, name: str
) -> None:
    change(numbers[connection_id], name)


def _open(ids: Sequence[str], numbers: dict[str, int]) -> list[int]:
    """Return the numbers of those whose session goes on."""
    return [numbers[id] for id in ids if id in numbers]
