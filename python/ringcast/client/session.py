"""What a connection keeps while its network is lost: the session's token, the position, the requests. Pure.

It answers what the next connect message says about the past, and what a connect answer means for it. Sockets,
listeners and waiting belong to `lifecycle.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from ..wire.encoding import Encoding
from ..wire.protocol import Connect, Connected, Gap, Resume
from .position import Position
from .requests import Requests

__all__ = ["Arrival", "Session"]

_WIDEST: Final = 2**63 - 1
"""No number in a message takes more bytes."""

_SESSION_ENDING_REASONS: Final = frozenset({"session_expired", "epoch_changed", "encoding_changed"})


@dataclass(slots=True, frozen=True)
class Arrival:
    """What a connect answer means to a client.

    Whether it is the first, what it missed, what it sends again.
    """

    first: bool
    gap: Gap | None
    replayed: int | None
    resend: list[bytes]


class Session:
    """One client's half of a session, over all of its sockets."""

    def __init__(self, encoding: Encoding, max_offline_calls: int, max_unanswered_calls: int = 512) -> None:
        self.position = Position()
        self.requests = Requests(encoding, max_offline_calls, max_unanswered_calls)
        self.answer: Connected | None = None
        """The latest connect answer."""
        self.snapshot: Any = None
        """The latest snapshot in one."""
        self._resumes = 0
        """How many connect messages have said where to go on."""

    def resume(self, unconfirmed: tuple[str, ...]) -> Resume | None:
        """Return what to resume from; None before the first connect answer.

        `unconfirmed` are those names of the connect message that the session may not have.
        """
        if self.answer is None or self.position.epoch is None:
            return None
        self._resumes += 1
        return Resume(
            *(self.answer.session, self.position.epoch, self.position.offset),
            unanswered=self.requests.unanswered_ids(),
            answered=self.requests.answered,
            unconfirmed=unconfirmed,
            number=self._resumes,
        )

    def connect_message(
        self, connect: Connect, names: tuple[str, ...], unconfirmed: tuple[str, ...]
    ) -> Connect:
        """Return the connect message that goes on from here, with as many of `names` as fit: send it.

        `unconfirmed` are as for `resume`. Where not all fit, those that the session has come first: what they
        have missed comes to those alone that are in it.
        """
        resume = self.resume(unconfirmed)
        if resume is None:
            return connect._replace(subscriptions=names)
        message = connect._replace(subscriptions=names, resume=resume)
        if not self.requests.fits(message):
            names = self._first_that_fit(connect, names, unconfirmed)
            resume = replace(resume, unconfirmed=tuple(name for name in names if name in unconfirmed))
            message = connect._replace(subscriptions=names, resume=resume)
        # A server can do without these two; by `unconfirmed` it finds out if its store has lost a name.
        for fewer in ({"unanswered": None}, {"unconfirmed": None}):
            if not self.requests.fits(message):
                resume = replace(resume, **fewer)  # type: ignore[arg-type]  # either may be absent
                message = message._replace(resume=resume)
        self.requests.tell(resume.unanswered)
        return message

    def _first_that_fit(
        self, connect: Connect, names: tuple[str, ...], unconfirmed: tuple[str, ...]
    ) -> tuple[str, ...]:
        carried: tuple[str, ...] = ()
        for name in sorted(names, key=unconfirmed.__contains__):
            if self.has_room(connect, (*carried, name)):
                carried = (*carried, name)
        return carried

    def has_room(self, connect: Connect, names: tuple[str, ...]) -> bool:
        """Tell whether these names fit into a connect message that goes on from here, now and later."""
        if self.answer is None:
            return True
        resume = Resume(self.answer.session, self.answer.epoch, _WIDEST, answered=_WIDEST, number=_WIDEST)
        return self.requests.fits(connect._replace(subscriptions=names, resume=resume))

    def accept(self, answer: Connected) -> Arrival:
        """Take a connect answer in.

        Calls that only the old session could answer reject with `OutcomeUnknown`.
        """
        previous, self.answer = self.answer, answer
        self.requests.max_bytes = answer.max_message_bytes
        if answer.snapshot is not None:
            self.snapshot = answer.snapshot
        self.position.start(answer)
        if previous is None:
            return Arrival(True, answer.gap, answer.replayed, [])
        resumed = answer.session == previous.session and not (
            answer.gap is not None and answer.gap.reason in _SESSION_ENDING_REASONS
        )
        gap = answer.gap
        if not resumed:
            self.requests.replace_session()
            # A new session means that events may be lost, whether or not the server says so.
            gap = gap or Gap("session_expired")
        return Arrival(False, gap, answer.replayed, self.requests.resend())

    def lost(self) -> None:
        """Prepare for a time without network."""
        self.requests.lost()
