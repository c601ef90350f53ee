"""What durable events cost: a durable actor's broadcast beside a plain one.

Callers call an action that broadcasts, each one call after the other; the reply of a durable actor comes
after its commit. The store is asked as well: how long its commits took, and how much went into each.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ringcast.bench.actors import FIRST
from ringcast.bench.cores import Cores
from ringcast.bench.figures import p50_p99, table
from ringcast.bench.question import Question, option
from ringcast.bench.rig import Load, Server, complete, disorder, faultless, running
from ringcast.bench.stores import STORES

__all__ = ["QUESTION"]

_VARIANTS: Final = ("plain", *STORES)
"""An actor that is not durable; a durable one with each store. "memory" is the cost of the code alone."""

_WARM_UP_S: Final = 0.2
_SYNCS: Final = 200
_SYNC_BYTES: Final = 4096
_TIMEOUT_S: Final = 60

_CONNECTIONS: Final = (0, 100)
_EVENTS_PER_ACTION: Final = (1, 100)
_CALLERS: Final = (1, 64)


@dataclass(frozen=True, slots=True)
class Options:
    seconds: float = option(1.0, "How long each case takes, in seconds.")
    directory: str = option("", "Where the SQLite file is made; '' is the system's place for such files.")


@dataclass(frozen=True, slots=True)
class Case:
    connections: int
    events: int
    callers: int

    @property
    def key(self) -> str:
        return f"{self.connections}-{self.events}-{self.callers}"


def _run(options: Options, cores: Cores, variant: str) -> dict[str, Any]:
    """Run every case once, each with an actor of its own; return the figures by case."""
    cases = itertools.starmap(Case, itertools.product(_CONNECTIONS, _EVENTS_PER_ACTION, _CALLERS))
    actor, store = ("feed", "memory") if variant == "plain" else ("durableFeed", variant)
    with tempfile.TemporaryDirectory(dir=options.directory or None, prefix="ringcast-bench-") as directory:
        path = Path(directory, "journal.db")
        with running(cores, "--store", store, "--path", str(path)) as (server, load):
            results = {case.key: _measure(server, load, actor, case, options) for case in cases}
        faults = {
            name: sum(of[name] for of in results.values()) for name in ("gaps", "duplicates", "disorder")
        }
        return {"cases": results, "disk": _disk(path.parent), **faults}


def _measure(server: Server, load: Load, actor: str, case: Case, options: Options) -> dict[str, Any]:
    connect = {"actor": actor, "key": [case.key]}
    audience, callers = f"audience {case.key}", f"callers {case.key}"
    load.open(
        audience, case.connections, server, {**connect, "subscriptions": ["tick"]}, whole=True, next=[FIRST]
    )
    load.open(callers, case.callers, server, {**connect, "subscriptions": []})
    call: dict[str, Any] = {"action": "say", "args": [case.events], "total": 10**9, "timeout_s": _TIMEOUT_S}
    load.do("call", callers, **call, seconds=_WARM_UP_S)
    earlier = server.status(actor, case.key)
    load.receive(audience, "tick", earlier["sent"]["tick"])
    load.do("measure", audience)
    called = load.do("call", callers, **call, seconds=options.seconds)
    status = server.status(actor, case.key)
    heard = complete(load.receive(audience, "tick", status["sent"]["tick"])["figures"])
    faultless(called["figures"])
    load.do("close", callers, timeout_s=_TIMEOUT_S)
    load.do("close", audience, timeout_s=_TIMEOUT_S)
    seconds, calls = called["progress"]["seconds"], called["figures"]["call_ms"]
    commits = status["commits"]
    return {
        "events_per_s": (status["sent"]["tick"] - earlier["sent"]["tick"]) / seconds,
        "actions_per_s": calls["count"] / seconds,
        "reply_ms": {"p50": calls["p50"], "p99": calls["p99"]},
        "delivery_ms": heard["latency_ms"] and {name: heard["latency_ms"][name] for name in ("p50", "p99")},
        "commit_ms": {"p50": commits["p50_ms"], "p99": commits["p99_ms"]},
        "commits_per_s": commits["count"] / seconds,
        "changes_per_commit": commits["changes"] / max(1, commits["count"]),
        "server_cpu_share": (status["cpu_s"] - earlier["cpu_s"]) / seconds,
        "load_cpu_share": called["figures"]["cpu_share"],
        **disorder([heard]),
    }


def _disk(directory: Path) -> dict[str, Any]:
    """Return what the disk takes for the least that a commit may need: an append and an fdatasync."""
    times_ns = []
    with Path(directory, "probe").open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            began_ns = time.perf_counter_ns()
            file.write(bytes(_SYNC_BYTES))
            os.fdatasync(file.fileno())
            times_ns.append(time.perf_counter_ns() - began_ns)
    times_ns.sort()
    return {
        "file_system": _file_system(directory.resolve()),
        "append_and_sync_ms": {"p50": times_ns[_SYNCS // 2] / 1e6, "p99": times_ns[_SYNCS * 99 // 100] / 1e6},
    }


def _file_system(path: Path) -> str:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return max((len(place), kind) for _, place, kind, *_ in mounts if path.is_relative_to(place))[1]


def _compare(options: Options, medians: dict[str, dict[str, Any]]) -> dict[str, Any]:
    plain = medians["plain"]["cases"]
    return {
        variant: {
            case: {"rate_to_plain": figures["events_per_s"] / plain[case]["events_per_s"]}
            for case, figures in of["cases"].items()
        }
        for variant, of in medians.items()
    }


def _table(medians: dict[str, dict[str, Any]], compared: dict[str, Any]) -> str:
    rows = [
        (
            variant,
            *case.split("-"),
            f"{of['events_per_s']:,.0f}",
            f"{compared[variant][case]['rate_to_plain']:.3f}",
            *(p50_p99(of[name]) for name in ("reply_ms", "delivery_ms", "commit_ms")),
            f"{of['changes_per_commit']:.1f}",
            f"{of['server_cpu_share']:.2f}",
        )
        for variant, figures in medians.items()
        for case, of in figures["cases"].items()
    ]
    disk = medians["full"]["disk"]
    head = ("store", "connections", "events/action", "callers", "events/s", "to plain", "reply, ms")
    more = ("delivery, ms", "commit, ms", "changes", "server")
    about = f"{disk['file_system']}, append and fdatasync, ms: {p50_p99(disk['append_and_sync_ms'])}"
    return f"{table((*head, *more), rows)}\n{about} (p50 / p99, as above)"


QUESTION: Final = Question("journal", "events are kept on disk", Options, _VARIANTS, _run, _compare, _table)
