"""What the others notice when some clients stop reading, and what those cost the server.

1,000 clients listen to a flood, and every tenth of them stops reading. The rate of the others is compared
with two runs without sleepers: one in which all 1,000 read, one in which the sleepers are not there at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ringcast.bench.actors import FIRST
from ringcast.bench.cores import Cores
from ringcast.bench.failures import Failed
from ringcast.bench.figures import microseconds, table
from ringcast.bench.question import Question, option
from ringcast.bench.rig import Load, complete, disorder, faultless, running

__all__ = ["QUESTION"]

_VARIANTS: Final = ("reading", "absent", "disconnect", "skip")
"""All read; the sleepers are not there; they sleep, under each policy for slow readers."""

_POLICIES: Final = ("disconnect", "skip")
_RATES: Final = ("rate_to_all_reading", "rate_to_sleepers_absent")
_ACTORS: Final = {"skip": "skippingFeed"}
_KEY: Final = "sleepers"


@dataclass(frozen=True, slots=True)
class Options:
    clients: int = option(1000, "How many are connected.", 1)
    every: int = option(10, "One of so many sleeps.", 2)
    # More than a sleeping socket's buffers and the ring take together, about 35,000 of them.
    events: int = option(60_000, "How many events the flood has.", 1)
    per_turn: int = option(1, "How many of them are sent in one turn of the event loop.", 1)


def _run(options: Options, cores: Cores, variant: str) -> dict[str, Any]:
    actor = _ACTORS.get(variant, "feed")
    sleepers = len(range(0, options.clients, options.every))
    with running(cores) as (server, load):
        connect = {"actor": actor, "key": [_KEY], "subscriptions": ["tick"]}
        count = options.clients - (sleepers if variant == "absent" else 0)
        # The latency of every hundredth, or recording it would be much of what the load does.
        load.open("others", count, server, connect, whole=True, next=[FIRST], latency_every=101)
        if variant != "absent":
            load.do("split", "others", every=options.every, into="sleepers")
        if variant in _POLICIES:
            load.do("sleep", "sleepers")
        load.do("measure", "others")
        server.forget_peak()
        before, _ = server.memory_bytes()
        used_s = server.status(actor, _KEY)["cpu_s"]
        server.call(actor, _KEY, "flood", options.events, options.per_turn)
        last = FIRST - 1 + options.events
        others = complete(load.receive("others", "tick", last)["figures"])
        status = server.status(actor, _KEY)
        _, peak = server.memory_bytes()
        result = {
            "others_events_per_s": others["events_per_s"],
            "deliveries_per_s": others["events_per_s"],
            **microseconds(others["latency_ms"]),
            **disorder([others]),
            "server_cpu_s": status["cpu_s"] - used_s,
            "receiver_cpu_s": others["cpu_s"],
            "others_latency_ms": others["latency_ms"],
            "load_cpu_share": others["cpu_share"],
            "server_cpu_share": (status["cpu_s"] - used_s) / others["seconds"],
            "memory_growth_bytes": peak - before,
            "ring_bytes": status["ring_bytes"],
            "retained_bytes": status["retained_bytes"],
        }
        if variant in _POLICIES:
            result["sleepers"] = _wake(load, sleepers, options.events)
        return result


def _wake(load: Load, sleepers: int, events: int) -> dict[str, Any]:
    """Have the sleepers read again, and those come back that were closed: nothing may be lost unannounced."""
    last = FIRST - 1 + events
    load.do("wake", "sleepers")
    load.receive("sleepers", "tick", last, or_closed=True)
    awake = faultless(load.figures("sleepers"))
    lost, seen, gaps = awake["lost"], awake["events"], awake["gaps"]
    if awake["closed"]:
        load.come_back("sleepers")
        back = faultless(load.receive("sleepers", "tick", last)["figures"])
        lost, seen, gaps = lost + back["lost"], seen + back["events"], gaps + back["gaps"]
    if lost + seen != sleepers * events:
        raise Failed(f"sleepers: {seen} events seen and {lost} told to be lost, of {sleepers * events}")
    return {"closed": awake["closed"], "gaps": gaps, "lost": lost, "seen": seen}


def _compare(options: Options, medians: dict[str, dict[str, Any]]) -> dict[str, Any]:
    rate = {variant: of["others_events_per_s"] for variant, of in medians.items()}
    return {
        policy: {
            "rate_to_all_reading": rate[policy] / rate["reading"],
            "rate_to_sleepers_absent": rate[policy] / rate["absent"],
            "memory_growth_to_ring": medians[policy]["memory_growth_bytes"] / medians[policy]["ring_bytes"],
        }
        for policy in _POLICIES
    }


def _table(medians: dict[str, dict[str, Any]], compared: dict[str, Any]) -> str:
    rows = [
        (
            variant,
            f"{of['others_events_per_s'] / 1e6:.2f} M",
            *(f"{compared[variant][rate]:.3f}" if variant in compared else "" for rate in _RATES),
            f"{of['memory_growth_bytes'] / of['ring_bytes']:.2f}",
            f"{of['server_cpu_share']:.2f}",
            f"{of['load_cpu_share']:.2f}",
        )
        for variant, of in medians.items()
    ]
    head = ("the sleepers", "events/s, others", "to reading", "to absent", "growth/ring", "server", "load")
    return table(head, rows)


QUESTION: Final = Question(
    "sleepers", "some clients stop reading", Options, _VARIANTS, _run, _compare, _table
)
