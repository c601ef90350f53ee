"""Where a client is in its actor's stream of events: pure.

A position is a pair. It changes as a pair when a connection starts and moves by its offset only, so that a
new epoch is never paired with an offset of an old one.
"""

from __future__ import annotations

from ..wire.protocol import Connected

__all__ = ["Position"]


class Position:
    """The epoch and the offset up to which this client has seen everything it was entitled to."""

    __slots__ = ("duplicates", "epoch", "offset")

    def __init__(self) -> None:
        self.epoch: str | None = None
        self.offset = 0
        self.duplicates = 0
        """Events that came twice and were dropped."""

    def start(self, answer: Connected) -> None:
        """Take the position that a connection starts from."""
        if answer.epoch == self.epoch:
            # A server that starts further back sends again what was seen already: `advance` drops that.
            self.offset = max(self.offset, answer.offset)
        else:
            self.epoch, self.offset = answer.epoch, answer.offset

    def advance(self, offset: int) -> bool:
        """Move to an event's offset. False if the event was seen already: it must not be handled again."""
        if offset <= self.offset:
            self.duplicates += 1
            return False
        self.offset = offset
        return True

    def skip(self, last: int | None) -> None:
        """Move past events that do not come, up to and including the offset `last`, where it is known.

        They are lost, or were not for this client.
        """
        if last is not None:
            self.offset = max(self.offset, last)
