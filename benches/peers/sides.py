"""Ringcast and its peers seen alike: open connections, have events sent, check that everybody has got them.

Both are received by the same load, which speaks to each in its own way.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from peer import Peer

from ringcast.bench.actors import FIRST
from ringcast.bench.cores import Cores
from ringcast.bench.rig import Load, Server, complete, require_descriptors

__all__ = ["RINGCAST", "Options", "Sent", "Side", "Used", "opened", "received", "side_of"]

RINGCAST: Final = "ringcast"

_ACTOR: Final = "feed"
_KEY: Final = "peers"
_OPEN_TIMEOUT_S: Final = 60.0

_MAX_OPENING: Final = 400
"""Sockets on their way at a time: fewer than every peer's backlog; socketify's is 512, not to be
chosen. Beyond it the system drops connects, which come again a second later."""

_RETAINED: Final = 1024
_DEFAULT_RING_BYTES: Final = 8 << 20
"""So many events fit into Ringcast's ring, however large they are."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is sent to whom; each question has its own."""

    connections: int
    messages: int = 1
    payload: int = 128
    burst: int = 1
    rate: float = 0.0
    seconds: float = 2.0
    """No event of a flood is sent after so long, or the slow ones would take minutes."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a side has sent: since when, and the last counter."""

    began_ns: int
    last: int


@dataclass(frozen=True, slots=True)
class Used:
    """The processor time that a server had used, and the moment at which it had."""

    cpu_s: float
    at_ns: int

    def since(self, earlier: Used) -> tuple[float, float]:
        """Return the processor time used since an earlier moment, and its share of the time since then."""
        used_s = self.cpu_s - earlier.cpu_s
        return used_s, used_s / ((self.at_ns - earlier.at_ns) / 1e9)


class Side(Protocol):
    """One server under comparison."""

    pid: int
    event: str
    """The name of its events."""

    def place(self) -> dict[str, Any]:
        """Return what the load has to know to connect."""

    def ready(self) -> None:
        """Wait until all connections get events."""

    def send(self, count: int, seconds: float) -> Sent:
        """Send events, so many and so long at most, as it was started to send them."""

    def used(self) -> Used:
        """Return the processor time used until now."""

    def collect(self) -> None:
        """Let go of garbage."""


class _Ringcast:
    def __init__(self, server: Server, options: Options) -> None:
        self._server = server
        self._options = options
        self.pid = server.pid
        self.event = "pace" if options.rate else "tick"

    def place(self) -> dict[str, Any]:
        connect = {"actor": _ACTOR, "key": [_KEY], "subscriptions": [self.event]}
        return {"port": self._server.port, "connect": connect}

    def ready(self) -> None:
        """Nothing: a client is told that it is connected when it gets events."""

    def send(self, count: int, seconds: float) -> Sent:
        options, began_ns = self._options, time.monotonic_ns()
        if options.rate:
            self._server.pace(_ACTOR, _KEY, options.rate, count)
        else:
            began_ns = self._server.call(_ACTOR, _KEY, "flood", count, min(options.burst, count))
        return Sent(began_ns, self._server.status(_ACTOR, _KEY)["sent"][self.event])

    def used(self) -> Used:
        return _used(self._server.status(_ACTOR, _KEY))

    def collect(self) -> None:
        self._server.call(_ACTOR, _KEY, "collect")


class _Other:
    event = "tick"

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.pid = peer.pid

    def place(self) -> dict[str, Any]:
        plain = self._peer.plain
        return {"port": self._peer.port, "connect": {"subscriptions": [self.event]}, "plain": plain}

    def ready(self) -> None:
        self._peer.connected()

    def send(self, count: int, seconds: float) -> Sent:
        sent = self._peer.go(count, seconds)
        return Sent(sent["began_ns"], sent["last"])

    def used(self) -> Used:
        return _used(self._peer.used())

    def collect(self) -> None:
        self._peer.collect()


def _used(told: dict[str, Any]) -> Used:
    return Used(told["cpu_s"], told["at_ns"])


@contextlib.contextmanager
def side_of(name: str, options: Options, cores: Cores, lean: bool = False) -> Iterator[Side]:
    """Start a server for so many connections. `lean`: in the configuration that takes the least memory."""
    require_descriptors(options.connections)
    if name == RINGCAST:
        ring_bytes = max(_DEFAULT_RING_BYTES, options.payload * _RETAINED)
        arguments = ("--payload", str(options.payload), "--ring-bytes", str(ring_bytes))
        with Server(cores.server, *arguments) as server:
            yield _Ringcast(server, options)
        return
    chosen: dict[str, Any] = {
        "connections": options.connections,
        "payload": options.payload,
        "burst": options.burst,
        "rate": options.rate,
        **({"lean": True} if lean else {}),
    }
    with Peer(name, cores.server, **chosen) as peer:
        yield _Other(peer)


def opened(load: Load, side: Side, group: str, count: int, latency_every: int = 1) -> dict[str, Any]:
    """Open connections; return how that went."""
    more = {"whole": True, "next": [FIRST], "latency_every": latency_every}
    limits = {"max_opening": _MAX_OPENING, "timeout_s": _OPEN_TIMEOUT_S}
    return load.do("open", group, count=count, **side.place(), **more, **limits)


def received(load: Load, side: Side, group: str, sent: Sent) -> dict[str, Any]:
    """Wait until everybody has everything, once and in order; return what was counted."""
    return complete(load.receive(group, side.event, sent.last)["figures"])
