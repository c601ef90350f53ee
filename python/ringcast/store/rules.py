"""Which changes may be committed, so that all stores refuse the same: pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .records import (
    EPOCHS_KEPT,
    Change,
    EventAppended,
    EventReaddressed,
    Replied,
    Scheduled,
    SessionEnded,
    SessionOpened,
    StoredSession,
    StreamBegun,
    StreamContinued,
    Subscribed,
    Trimmed,
    Unsubscribed,
)

__all__ = ["check", "surplus_epochs"]


def check(actor_id: str, changes: Sequence[Change], head: int | None, is_open: Callable[[str], bool]) -> None:
    """Raise `ValueError` if these changes, in this order, do not fit the actor's stream.

    `head` is the stream's newest offset, None where none has begun; `is_open` tells of a connection's id
    whether it has a session now.
    """
    stream = _Stream(head, is_open)
    for change in changes:
        if isinstance(change, Scheduled):
            if change.call.actor_id != actor_id:
                raise ValueError(f"{actor_id!r} commits a scheduled call of {change.call.actor_id!r}")
        else:
            stream.check(change)


def surplus_epochs(ends: Sequence[int], first: int) -> list[int]:
    """Return which earlier epochs of a stream are kept no more: their places in `ends`, where each ended.

    `first` is the oldest event that is kept. Besides the newest epochs, those stay that have events.
    """
    surplus, before = [], 0
    for place, end in enumerate(ends[:-EPOCHS_KEPT]):
        if end < first or end == before:
            surplus.append(place)
        before = end
    return surplus


class _Stream:
    """A stream as it would be after the changes so far."""

    def __init__(self, head: int | None, is_open: Callable[[str], bool]) -> None:
        self._head = head
        self._was_open = is_open
        # The sessions that one of the changes has opened or ended.
        self._changed: dict[str, bool] = {}

    def check(self, change: Change) -> None:  # noqa: PLR0912 - one branch for each change
        match change:
            case StreamBegun():
                self._head, self._was_open = 0, _never
                self._changed.clear()
            case EventAppended(event=event):
                if event.offset != self._begun() + 1:
                    raise ValueError(f"the event has the offset {event.offset}, the head is {self._head}")
                self._head = event.offset
            case StreamContinued():
                self._begun()
            case EventReaddressed(offset=offset) if not 0 < offset <= self._begun():
                raise ValueError(f"the event {offset} is not there, the head is {self._head}")
            case Trimmed(let_go=let_go, lost=lost):
                offsets = [offset for _, offset in (*let_go, *lost) if offset is not None]
                if not 0 <= min(offsets, default=0) <= max(offsets, default=0) <= self._begun():
                    raise ValueError(f"an event is let go that is not there, the head is {self._head}")
            case SessionOpened(session=session):
                self._check_new(session)
                self._changed[session.connection_id] = True
            case SessionEnded(connection_id=connection_id):
                self._changed[connection_id] = False
            case Subscribed(offset=offset) | Unsubscribed(offset=offset):
                if self._head is not None and not 0 <= offset <= self._head:
                    raise ValueError(f"a subscription changes at {offset}, the head is {self._head}")
            case Replied(keep=keep) if keep < 1:
                raise ValueError("the newest reply is always kept")
            case _:
                pass

    def _check_new(self, session: StoredSession) -> None:
        if not 0 <= session.offset <= self._begun():
            raise ValueError(f"a session is opened at {session.offset}, the head is {self._head}")
        if session.lost is not None and not 0 <= session.lost <= self._begun():
            raise ValueError(f"a session has lost the event {session.lost}, the head is {self._head}")
        if session.subscriptions or session.replies:
            raise ValueError("a session is opened with subscriptions or replies")
        if self._changed.get(session.connection_id) or (
            session.connection_id not in self._changed and self._was_open(session.connection_id)
        ):
            raise ValueError(f"the connection {session.connection_id!r} has a session already")

    def _begun(self) -> int:
        if self._head is None:
            raise ValueError("the actor has no stream yet")
        return self._head


def _never(connection_id: str) -> bool:
    return False
