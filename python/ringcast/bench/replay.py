"""How fast a crowd that was lost gets back what it missed, and what the others notice of it.

Clients listen to an actor and are lost. The actor goes on and sends events; then all of them come back at
once, and get what they have missed. Meanwhile others stay connected and keep getting another event steadily.
The rate is all missed events by the time from the first connect to the last of them, connects included.

\b
Example:
  ringcast bench replay --connections 5000 --messages 1000
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Final

from .actors import EVENT_BYTES, FIRST, RING
from .cores import Cores
from .failures import Failed
from .figures import p50_p99, table
from .question import Question, option
from .rig import Load, Server, complete, disorder, waited

__all__ = ["QUESTION"]

_ACTOR: Final = "feed"
_KEY: Final = "replay"
_VARIANT: Final = "replay"

_RETURN_S: Final = 90.0
"""As long as the crowd may take to come back: so long the ring holds what the others get as well."""

_MOST_RING_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Options:
    connections: int = option(5000, "How many come back.", 1)
    messages: int = option(1000, "How many events each of them has missed.", 1)
    payload: int = option(128, "How many bytes the arguments of an event take.", 32)
    others: int = option(100, "How many stay connected.", 1)
    rate: float = option(50.0, "How many events a second those get.", 1)
    quiet_s: float = option(2.0, "How long they are watched before, for comparison, in seconds.", 0.1)

    def __post_init__(self) -> None:
        if self.ring_bytes > _MOST_RING_BYTES:
            raise Failed(
                f"the ring would need {self.ring_bytes:,} bytes to hold what is missed, more than "
                f"{_MOST_RING_BYTES:,}: choose fewer --messages, a smaller --payload or a lower --rate"
            )

    @property
    def ring_events(self) -> int:
        """As many as are missed, and as the others get until everybody is back."""
        return max(RING.max_events, self._events)

    @property
    def ring_bytes(self) -> int:
        """Of so many events, whose arguments may be there in two encodings; but for that, the default."""
        return max(RING.max_bytes, self._events * (2 * self.payload + EVENT_BYTES))

    @property
    def _events(self) -> int:
        return self.messages + math.ceil(self.rate * (self.quiet_s + _RETURN_S))


def _run(options: Options, cores: Cores, variant: str) -> dict[str, Any]:
    # The others are another process: their latency is not to be that of a thread that reads for the crowd.
    ring = ("--ring-bytes", str(options.ring_bytes), "--ring-events", str(options.ring_events))
    arguments = ("--payload", str(options.payload), *ring)
    with Server(cores.server, *arguments) as server, Load(cores.load) as crowd, Load(cores.load) as others:
        opened = _lose(options, server, crowd, others)
        others.do("measure", "others")
        time.sleep(options.quiet_s)
        before = complete(others.figures("others"))
        others.do("measure", "others")
        used_s = server.status(_ACTOR, _KEY)["cpu_s"]
        back = crowd.come_back("crowd")
        used_s = server.status(_ACTOR, _KEY)["cpu_s"] - used_s
        meanwhile = complete(others.figures("others"))
        server.call(_ACTOR, _KEY, "pace", 0)
        others.receive("others", "pace", server.status(_ACTOR, _KEY)["sent"]["pace"])
        stayed = complete(others.figures("others"))
        _require_all(crowd, options)
        return _result(options, opened, back, used_s) | {
            **disorder([back["figures"], before, stayed]),
            "others_latency_ms": {"before": before["latency_ms"], "meanwhile": meanwhile["latency_ms"]},
        }


def _lose(options: Options, server: Server, crowd: Load, others: Load) -> dict[str, Any]:
    """Connect everybody, lose the crowd, and have the actor go on; return how the connecting went."""
    connect = {"actor": _ACTOR, "key": [_KEY]}
    crowds = {**connect, "subscriptions": ["tick"]}
    opened = crowd.open("crowd", options.connections, server, crowds, next=[FIRST])
    both = {**connect, "subscriptions": ["tick", "pace"]}
    others.open("others", options.others, server, both, whole=True, next=[FIRST, FIRST])
    crowd.do("drop", "crowd")
    waited(lambda: server.status(_ACTOR, _KEY)["connected"] == options.others, "the server notices the loss")
    server.call(_ACTOR, _KEY, "flood", options.messages, 1)
    others.receive("others", "tick", FIRST - 1 + options.messages)
    server.call(_ACTOR, _KEY, "pace", options.rate)
    return opened


def _require_all(crowd: Load, options: Options) -> None:
    crowd.receive("crowd", "tick", FIRST - 1 + options.messages)
    figures = complete(crowd.figures("crowd"))
    wanted = options.connections * options.messages
    got = (figures["resumed"], figures["announced"], figures["replayed"], figures["events"])
    if got != (options.connections, wanted, wanted, wanted) or figures["renewed"]:
        resumed, announced, replayed, events = got
        raise Failed(
            f"not everybody got back what it missed: {resumed} of {options.connections} sessions taken up "
            f"again and {figures['renewed']} begun anew; of {wanted} events {announced} were announced, "
            f"{replayed} replayed and {events} read"
        )


def _result(options: Options, opened: dict[str, Any], back: dict[str, Any], used_s: float) -> dict[str, Any]:
    seconds, figures = back["progress"]["seconds"], back["figures"]
    return {
        "seconds": seconds,
        "events": figures["replayed"],
        "events_per_s": figures["replayed"] / seconds,
        "deliveries_per_s": figures["replayed"] / seconds,
        "server_cpu_s": used_s,
        "receiver_cpu_s": figures["cpu_s"],
        "clients_per_s": options.connections / seconds,
        "first_connects_per_s": options.connections / opened["progress"]["seconds"],
        "caught_up_ms": back["progress"]["reached_ms"],
        "load_cpu_share": figures["cpu_share"],
        "server_cpu_share": used_s / seconds,
    }


def _compare(options: Options, medians: dict[str, dict[str, Any]]) -> dict[str, Any]:
    latency = medians[_VARIANT]["others_latency_ms"]
    before, meanwhile = latency["before"], latency["meanwhile"]
    if before is None or meanwhile is None:  # it was over before the others got an event
        return {"others_p99_to_before": None}
    return {"others_p99_to_before": meanwhile["p99"] / before["p99"]}


def _table(medians: dict[str, dict[str, Any]], compared: dict[str, Any]) -> str:
    middle = medians[_VARIANT]
    latency = middle["others_latency_ms"]
    rows = [
        ("events/s, connects included", f"{middle['events_per_s']:,.0f}"),
        ("clients/s that have caught up", f"{middle['clients_per_s']:,.0f}"),
        ("clients/s on the first connect", f"{middle['first_connects_per_s']:,.0f}"),
        ("server's share of its core", f"{middle['server_cpu_share']:.2f}"),
        ("load's share of its core", f"{middle['load_cpu_share']:.2f}"),
        ("latency of the others before, ms, p50 / p99", p50_p99(latency["before"])),
        ("latency of the others meanwhile", p50_p99(latency["meanwhile"])),
    ]
    return table(("", "median"), rows)


QUESTION: Final = Question(
    "replay",
    "many clients come back at once, each having missed events",
    Options,
    (_VARIANT,),
    _run,
    _compare,
    _table,
)
