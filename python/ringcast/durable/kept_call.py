"""A call over HTTP to a durable actor that came with a key: its answer is kept together with its effects.

So after a restart, too, a repeat is answered and does not run again. Those of connections are kept with their
sessions (`gateway/session.py`).
"""

from __future__ import annotations

from typing import Any, Final

from ..errors import OutcomeUnknown, RingcastError
from ..request import CallFromOutside, Keep
from ..seam import Node, Respond
from ..store import CallAnswered
from .journal import Journal

__all__ = ["KeptCall"]

_MOST_BYTES: Final = 65_536
"""A larger answer is not kept: a repeat is told that its outcome is unknown."""


class KeptCall:
    """One call, from its turn to its answer."""

    __slots__ = ("_journal", "_keep", "_node", "_request", "_respond")

    def __init__(
        self, journal: Journal, node: Node, request: CallFromOutside, keep: Keep, respond: Respond
    ) -> None:
        self._journal, self._node = journal, node
        self._request, self._keep, self._respond = request, keep, respond

    def committing_half(self, id: int) -> None:
        """Learn that a part of what the call does is committed now, and perhaps not the rest."""
        self._add(self._unknown("it was under way when the server stopped: it may have run in part"))

    def respond(self, id: int, value: Any, error: RingcastError | None) -> None:
        """Take the answer, and hand it on."""
        if self._request.has_begun:
            try:
                answer = self._keep.write(value, error)
            except Exception:
                # Whoever hands it on finds the same, and says so.
                answer = self._unknown("it ran, and its result cannot be written")
            if len(answer) > _MOST_BYTES:
                answer = self._unknown("it ran, and its answer was too large to be kept")
            self._add(answer)
        self._respond(id, value, error)

    def _unknown(self, why: str) -> bytes:
        return self._keep.write(None, OutcomeUnknown(f"{self._request.action}: {why}"))

    def _add(self, answer: bytes) -> None:
        now = self._node.clock.now()
        window_s = self._node.config.keyed_answer_window_s
        self._journal.add(CallAnswered(self._keep.key, now, answer, now - window_s), size_bytes=len(answer))
