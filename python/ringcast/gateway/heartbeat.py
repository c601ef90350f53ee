"""Heartbeats: what a server tells all its clients now and then, encoded once for everybody of a stream.

When a socket is due is `server/websocket.py`'s to know, and what the client makes of it the client's.
"""

from __future__ import annotations

from ..seam import GatewayStream
from ..wire.encoding import Encoding
from ..wire.protocol import Heartbeat

__all__ = ["Beat"]


class Beat:
    """One round of heartbeats, over all streams; made anew for each round."""

    __slots__ = ("_messages", "_reconnect_within_s")

    def __init__(self, reconnect_within_s: float) -> None:
        self._reconnect_within_s = reconnect_within_s
        self._messages: dict[tuple[int, int], bytes] = {}

    def message(self, stream: GatewayStream, encoding: Encoding) -> bytes:
        """Return the heartbeat for the connections of `stream`.

        It names the stream's head as it was when this was first asked for, and `Sink.send` puts a message
        behind every event that was published by the time of that call: whoever gets it has been handed
        everything up to this offset, and perhaps more.
        """
        key = stream.id, encoding.index
        message = self._messages.get(key)
        if message is None:
            heartbeat = Heartbeat(key[0], stream.head, self._reconnect_within_s)
            message = self._messages[key] = encoding.encode(heartbeat.to_wire())
        return message
