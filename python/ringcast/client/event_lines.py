"""Server-sent events out of the bytes of a response (WHATWG HTML, section 9.2.6): pure.

Only `event` and `data` are read: positions are in the messages, and when to come back is `backoff.py`'s.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import CloseCode, ProtocolError

__all__ = ["EventLines", "ServerSentEvent"]

_BOM: Final = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event: its type, `message` where it has none, and its data."""

    kind: str
    data: bytes


class EventLines:
    """Take bytes as they come, and give the events that are whole. No event has more than `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._line: list[bytes] = []
        """The parts of a line whose end has not come."""
        self._bytes = 0
        """In the present event so far, that line included."""
        self._begun = False
        self._after_cr = False
        self._kind = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that `chunk` completes. Raises `ProtocolError` for one that is too long."""
        if not chunk:
            return []
        if self._after_cr:
            # The second half of a line's end, which may be all that has come.
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        events: list[ServerSentEvent] = []
        for part in chunk.splitlines(keepends=True):  # of bytes: at LF, CR and CRLF
            self._bytes += len(part)
            if self._bytes > self._max_bytes:
                raise ProtocolError("the server sent an event that is too long", close_code=_TOO_BIG)
            self._line.append(part)
            if part.endswith((b"\n", b"\r")):
                line, self._line = b"".join(self._line).rstrip(b"\r\n"), []
                self._take(line, events)
        return events

    def _take(self, line: bytes, events: list[ServerSentEvent]) -> None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BOM)
        if not line:
            if self._data:
                events.append(ServerSentEvent(self._kind or "message", b"\n".join(self._data)))
            self._kind, self._data, self._bytes = "", [], 0
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._kind = value.decode(errors="replace")


_TOO_BIG: Final = CloseCode.MESSAGE_TOO_BIG
