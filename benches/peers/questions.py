"""What is asked of Ringcast and its peers: how fast, how late, how much memory, how many connects.

How they are started and received is `sides.py`'s; which questions are asked, `compare.py`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from sides import RINGCAST, Options, Side, Used, opened, received, side_of

from ringcast.bench.cores import Cores
from ringcast.bench.failures import Disturbed, Failed
from ringcast.bench.figures import median, microseconds, p50_p99, table
from ringcast.bench.latency import QUIET_S
from ringcast.bench.question import Question
from ringcast.bench.resident import resident
from ringcast.bench.rig import Load, disorder

__all__ = ["connects", "flood", "latency", "memory"]

Figures = dict[str, Any]
Measure = Callable[[Options, Side, Load], Figures]

_ALL: Final = "all"
_FEW: Final = "few"
_WARM_UP: Final = 200
_ROUNDS_OF_ONE: Final = 15
_LATENCY_EVERY: Final = 101
"""Of a flood the latency of every hundredth, or recording it would be much of what the load does."""

_SETTLED_BYTES: Final = 65_536
_LOOK_EVERY_S: Final = 0.2
_SETTLE_TIMEOUT_S: Final = 15.0


def flood(options: Options, side: Side, load: Load) -> Figures:
    """As many events as it can send, so many in each turn of its event loop."""
    single = options.messages == 1
    opened(load, side, _ALL, options.connections, 1 if single else _LATENCY_EVERY)
    side.ready()
    received(load, side, _ALL, side.send(_WARM_UP, options.seconds))
    rounds = [_round(options, side, load) for _ in range(_ROUNDS_OF_ONE if single else 1)]
    middle: Figures = median(rounds)
    return middle


def _round(options: Options, side: Side, load: Load) -> Figures:
    before = side.used()
    load.do("measure", _ALL)
    sent = side.send(options.messages, options.seconds)
    figures = received(load, side, _ALL, sent)
    seconds = (figures["last_ns"] - sent.began_ns) / 1e9
    return {
        "deliveries_per_s": figures["events"] / seconds,
        "until_last_us": seconds * 1e6,
        "events": figures["events"],
        **microseconds(figures["latency_ms"]),
        **disorder([figures]),
        **_used(before, side.used(), figures),
    }


def latency(options: Options, side: Side, load: Load) -> Figures:
    """How late events are at a fixed rate, from when each is due."""
    opened(load, side, _ALL, options.connections)
    side.ready()
    time.sleep(QUIET_S)
    received(load, side, _ALL, side.send(max(1, int(options.rate / 2)), 0))
    before = side.used()
    load.do("measure", _ALL)
    figures = received(load, side, _ALL, side.send(options.messages, 0))
    wanted = options.connections * options.messages
    if figures["events"] != wanted:
        raise Failed(f"{figures['events']:,} events were read, of {wanted:,}")
    return {
        "events": figures["events"],
        **microseconds(figures["latency_ms"]),
        **disorder([figures]),
        **_used(before, side.used(), figures),
    }


def _used(before: Used, after: Used, figures: Figures) -> Figures:
    server_cpu_s, server_cpu_share = after.since(before)
    return {
        "server_cpu_s": server_cpu_s,
        "receiver_cpu_s": figures["cpu_s"],
        "server_cpu_share": server_cpu_share,
        "receiver_cpu_share": figures["cpu_share"],
    }


def memory(options: Options, side: Side, load: Load) -> Figures:
    """What the resident memory of the server grows by for each connection that hears nothing."""
    # The first connections pay for what all of them share.
    few = min(50, options.connections // 2)
    opened(load, side, _FEW, few)
    before = _settled(side)
    opened(load, side, _ALL, options.connections - few)
    side.ready()
    after = _settled(side)
    if load.figures(_ALL)["closed"]:
        raise Failed("connections were closed while they were idle")
    grown = after - before
    return {"bytes_per_connection": grown / (options.connections - few), "before_bytes": before}


def _settled(side: Side) -> int:
    deadline, seen = time.monotonic() + _SETTLE_TIMEOUT_S, [0, 0]
    while True:
        side.collect()
        seen.append(resident(side.pid)[0])
        if max(seen[-3:]) - min(seen[-3:]) <= _SETTLED_BYTES:
            return seen[-1]
        if time.monotonic() > deadline:
            raise Failed(f"the server's memory did not settle within {_SETTLE_TIMEOUT_S:g} s")
        time.sleep(_LOOK_EVERY_S)


def connects(options: Options, side: Side, load: Load) -> Figures:
    """How many are let in a second: socket, upgrade, and what greeting there is."""
    few = min(_WARM_UP, options.connections // 2)
    opened(load, side, _FEW, few)
    before = side.used()
    done = opened(load, side, _ALL, options.connections - few)
    side.ready()
    seconds = done["progress"]["seconds"]
    rate = (options.connections - few) / seconds
    return {"connects_per_s": rate, **_used(before, side.used(), done["figures"])}


def question_of(
    name: str, about: str, measure: Measure, variants: Sequence[str], figure: str, lean: bool = False
) -> Question:
    """Return a question whose answers are compared by `figure`: the larger a `_per_s`, the better."""

    def run(options: Options, cores: Cores, variant: str) -> Figures:
        try:
            with side_of(variant, options, cores, lean) as side, Load(cores.load) as load:
                return measure(options, side, load)
        except Disturbed:
            raise
        except Failed as failure:
            if variant == RINGCAST:
                raise
            # That a peer cannot do something is a result, not the end of the comparison.
            return {"failed": str(failure)}

    def compare(options: Options, medians: dict[str, Figures]) -> Figures:
        return compared(medians, figure)

    return Question(
        name, about, Options, (RINGCAST, *variants), run, compare, lambda of, by: _table(figure, of, by)
    )


def compared(medians: dict[str, Figures], figure: str) -> Figures:
    """Return Ringcast's figure as a multiple of every peer's, and of the best one's."""
    own = medians[RINGCAST][figure]
    counted = {
        name: of[figure]
        for name, of in medians.items()
        if name != RINGCAST and "failed" not in of and of[figure] and own is not None
    }
    found: Figures = {"figure": figure, "to": {name: own / value for name, value in counted.items()}}
    if counted:
        pick = max if figure.endswith("_per_s") else min
        found["best"] = pick(counted, key=lambda name: counted[name])
        found["to_best"] = found["to"][found["best"]]
    return found


def _table(figure: str, medians: dict[str, Figures], found: Figures) -> str:
    rows = [_row(name, of, figure, found["to"].get(name)) for name, of in medians.items()]
    head = ("", figure, "ringcast / it", "latency, ms, p50 / p99", "server, of its core", "receiver")
    lines = [table(head, rows)]
    lines += [f"{name}: {of['failed']}" for name, of in medians.items() if "failed" in of]
    if "best" in found:
        lines.append(f"ringcast to the best peer, {found['best']}: {found['to_best']:.3g}")
    return "\n".join(lines)


def _row(name: str, of: Figures, figure: str, ratio: float | None) -> tuple[str, ...]:
    if "failed" in of:
        return (name, "failed", "", "", "", "")
    late = {key: of[f"{key}_us"] / 1000 if of.get(f"{key}_us") else None for key in ("p50", "p99")}
    shares = (of.get(f"{side}_cpu_share") for side in ("server", "receiver"))
    return (
        name,
        "" if of[figure] is None else f"{of[figure]:,.0f}",
        "" if ratio is None else f"{ratio:.3g}",
        p50_p99(late),
        *("" if share is None else f"{share:.2f}" for share in shares),
    )
