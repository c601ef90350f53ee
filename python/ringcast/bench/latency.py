"""How late events are at a fixed rate, beside a bare picows server that sends in a loop.

The latency of an event is counted from the moment at which it was due, so that a server that is too busy to
send it does not look fast. Both servers send every event, however late; one that falls behind by a minute
has no figures.

\b
Example:
  ringcast bench latency --connections 1000 --rate 100
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from .actors import FIRST
from .cores import Cores
from .failures import Failed
from .figures import microseconds, p50_p99, table
from .question import Question, option
from .rig import Bare, Load, Server, complete, disorder, running

__all__ = ["QUESTION", "QUIET_S"]

_ACTOR: Final = "feed"
_KEY: Final = "latency"
_BARE: Final = "picows loop"
_VARIANTS: Final = ("ringcast", _BARE)
QUIET_S: Final = 0.5
"""Without a word from the server once the clients have connected: ten times as long as Linux delays an
acknowledgement. Until one was delayed, the client's side takes the connection for a dialogue and acknowledges
every other event, afterwards each: without this, the server whose clients connect faster has readers with
less to do."""
_WARM_UP_S: Final = 0.5
"""Of the events before those that count."""

_Pace = Callable[[float, int], dict[str, Any]]
"""Has so many events a second sent, and so many of them; returns the last counter and what was used."""


@dataclass(frozen=True, slots=True)
class Options:
    connections: int = option(1000, "How many connections receive.", 1)
    messages: int = option(500, "How many events each of them gets.", 1)
    payload: int = option(128, "How many bytes the arguments of an event take.", 32)
    rate: float = option(100.0, "How many events there are a second.", 0.1)


def _run(options: Options, cores: Cores, variant: str) -> dict[str, Any]:
    if variant == _BARE:
        with Bare(cores.server, options.payload) as bare, Load(cores.load) as load:
            return _measure(options, bare, load, bare.pace)

    with running(cores, "--payload", str(options.payload)) as (server, load):

        def pace(per_s: float, count: int) -> dict[str, Any]:
            status = server.pace(_ACTOR, _KEY, per_s, count)
            return {**status, "last": status["sent"]["pace"]}

        return _measure(options, server, load, pace)


def _measure(options: Options, place: Server | Bare, load: Load, pace: _Pace) -> dict[str, Any]:
    connect = {"actor": _ACTOR, "key": [_KEY], "subscriptions": ["pace"]}
    load.open(_KEY, options.connections, place, connect, whole=True, next=[FIRST])
    time.sleep(QUIET_S)
    began = pace(options.rate, min(options.messages, max(1, int(options.rate * _WARM_UP_S))))
    load.receive(_KEY, "pace", began["last"])
    load.do("measure", _KEY)
    ended = pace(options.rate, options.messages)
    figures = complete(load.receive(_KEY, "pace", ended["last"])["figures"])
    wanted = options.connections * options.messages
    if figures["events"] != wanted:
        raise Failed(f"{figures['events']} events were read, of {wanted}")
    return {
        "events": figures["events"],
        **microseconds(figures["latency_ms"]),
        "latency_ms": figures["latency_ms"],
        "deliveries_per_s": figures["events_per_s"],
        **disorder([figures]),
        "server_cpu_s": ended["cpu_s"] - began["cpu_s"],
        "receiver_cpu_s": figures["cpu_s"],
        "receiver_cpu_share": figures["cpu_share"],
    }


def _compare(options: Options, medians: dict[str, dict[str, Any]]) -> dict[str, Any]:
    own, bare = medians["ringcast"], medians[_BARE]
    return {f"{name}_to_picows": own[f"{name}_us"] / bare[f"{name}_us"] for name in ("p50", "p99")}


def _table(medians: dict[str, dict[str, Any]], compared: dict[str, Any]) -> str:
    rows = [
        (
            variant,
            p50_p99(of["latency_ms"]),
            f"{of['latency_ms']['max']:.2f}",
            f"{of['server_cpu_s']:.3f}",
            f"{of['receiver_cpu_share']:.2f}",
        )
        for variant, of in medians.items()
    ]
    head = ("", "latency, ms, p50 / p99", "longest, ms", "server CPU, s", "receiver, of its core")
    verdict = f"to the picows loop: p50 {compared['p50_to_picows']:.2f}, p99 {compared['p99_to_picows']:.2f}"
    return f"{table(head, rows)}\n{verdict}"


QUESTION: Final = Question(
    "latency", "How late events are at a fixed rate.", Options, _VARIANTS, _run, _compare, _table
)
