"""Ask everything that docs/performance.md reports, and keep the answers: a file for each target.

They are in benches/results. Bounded in time: what is not begun after --budget seconds is left out, and said
to be. What fails is kept as that, and the status at the end is 1. --quick asks the same in small, to see
that it works; its figures say nothing. `report.py` makes the page.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import sleepers
from kept import RIVETKIT, keep

from ringcast.bench import actions, connect, fanout, latency, memory, replay
from ringcast.bench.checkout import commit
from ringcast.bench.cores import Cores
from ringcast.bench.failures import Failed
from ringcast.bench.question import Question, ask
from ringcast.bench.rig import require_release

HERE: Final = Path(__file__).resolve().parent
RESULTS: Final = HERE / "results"

_Rates = dict[int, int]
"""Deliveries a second that a flood has come to, by size: they decide how many events a point has."""

CONNECTIONS: Final[dict[int, _Rates]] = {
    1: {10: 1_670_000, 100: 13_600_000, 1000: 18_900_000, 9000: 14_100_000},
    30: {10: 3_290_000, 100: 18_300_000, 1000: 19_500_000, 9000: 15_300_000},
}
"""By broadcasts in a turn."""
PAYLOADS: Final[_Rates] = {32: 43_000_000, 128: 20_300_000, 1024: 2_870_000, 8192: 521_000, 65_536: 62_400}
ACTORS: Final[_Rates] = {1: 18_800_000, 10: 15_400_000, 100: 2_580_000, 1000: 141_000}
MATCHING: Final[dict[str, _Rates]] = {
    "kept": {1: 228_000, 9: 2_000_000, 90: 13_600_000, 900: 18_900_000, 9000: 5_160_000},
    "anew": {1: 62_000, 9: 550_000, 90: 3_870_000, 900: 5_800_000, 9000: 3_090_000},
}
"""By whether a state changes before each event; of as many connections as the last size says."""
FILTERED_CONNECTIONS: Final[dict[str, _Rates]] = {
    "kept": {90: 14_700_000, 900: 14_400_000, 9000: 12_600_000},
    "anew": {90: 4_260_000, 900: 4_190_000, 9000: 3_640_000},
}
"""The same; of which as many match as the first size says."""

SCRIPTS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "tls": ("flood", "tls.py", ("--connections=20", "--events=500")),
    "foreign": ("flood", "foreign.py", ("--connections=20", "--events=500")),
    RIVETKIT: ("calls", "peers/round_trips.py", ("--messages=500",)),
}
"""What is asked by a script: what its answer is called, the script, and how that is asked in small."""

ROUNDS: Final = "RINGCAST_BENCH_ROUNDS"
"""By this variable `test_broadcast.py` is told how many rounds there are at most."""

MACHINE: Final = ("python_version", "system", "release", "machine")
"""What of a machine belongs to the figures of pytest-benchmark."""

_QUICK_CONNECTIONS: Final = 200
_CURVE_S: Final = 1.25
"""How long a flood of a curve is at these rates: a second also where it has become faster since."""


@dataclass(frozen=True, slots=True)
class Point:
    """One question with its options: a line of a target's file."""

    target: str
    label: str
    question: Question
    options: Any


def points() -> Iterator[Point]:
    """Give everything that is asked, the targets first."""
    flood = fanout.Options(connections=1000, messages=20_000)
    yield Point("P1", "flood", fanout.QUESTION, flood)
    yield Point("P2", "bursts", fanout.QUESTION, replace(flood, messages=30_000, burst=30))
    yield Point("P3", "one", fanout.QUESTION, fanout.Options(connections=9000, messages=1))
    # One at a time, but many: after a pause, whether the first sends find the load's core awake makes more
    # difference than anything asked here. As many sockets on both sides: what a send costs depends on that.
    few = fanout.Options(connections=90, messages=2000, drain=True)
    yield Point("P5", "few", fanout.QUESTION, replace(few, elsewhere=8910))
    yield Point("P5", "filtered", fanout.QUESTION, replace(few, others=8910, filter=True))
    for connections in (2000, 9000):
        yield Point("P6", f"{connections}", memory.QUESTION, memory.Options(connections=connections))
    yield Point("P7", "sleepers", sleepers.QUESTION, sleepers.Options())
    yield Point("P8", "replay", replay.QUESTION, replay.Options())
    yield Point("P9", "actions", actions.QUESTION, actions.Options())
    yield Point("P10", "latency", latency.QUESTION, latency.Options())
    yield Point("P12", "connect", connect.QUESTION, connect.Options())
    yield from _curves()
    yield from _filter_curves()


def _filter_curves() -> Iterator[Point]:
    """What a broadcast with a filter costs: by how many match, and by how many there are of whom 90 match."""
    for how, changes in (("kept", False), ("anew", True)):
        for matching, rate in MATCHING[how].items():
            of = max(MATCHING[how])
            yield _filter_curve(f"matching, {how}: {matching}", matching, of, changes, rate)
        for connections, rate in FILTERED_CONNECTIONS[how].items():
            matching = min(FILTERED_CONNECTIONS[how])
            yield _filter_curve(f"connections, {how}: {connections}", matching, connections, changes, rate)


def _filter_curve(label: str, matching: int, connections: int, changes: bool, rate: int) -> Point:
    options = fanout.Options(
        connections=matching,
        others=connections - matching,
        filter=True,
        changes=changes,
        burst=30,
        messages=_long_enough(matching, rate),
    )
    return Point("P5-curves", label, fanout.QUESTION, options)


def _curves() -> Iterator[Point]:
    for burst, rates in CONNECTIONS.items():
        for connections, rate in rates.items():
            name = f"connections, bursts of {burst}"
            yield _curve(name, connections, rate, connections=connections, burst=burst)
    for payload, rate in PAYLOADS.items():
        yield _curve("payload", payload, rate, payload=payload)
    for count, rate in ACTORS.items():
        yield _curve("actors", count, rate, actors=count)


def _curve(name: str, size: int, rate: int, **given: Any) -> Point:
    options = fanout.Options(**given)
    messages = _long_enough(options.connections, rate)
    return Point("P11", f"{name}: {size}", fanout.QUESTION, replace(options, messages=messages))


def _long_enough(connections: int, rate: int) -> int:
    """Return how many events each connection gets in a flood that is long enough, at so many deliveries/s."""
    return math.ceil(rate * _CURVE_S / connections)


CURVE_LABELS: Final = frozenset(point.label for point in _curves())
"""What the target P11 asks: without one of these it is not measured."""


def quickly(whole: Iterable[Point]) -> Iterator[Point]:
    """Give the same in small, and of a curve its ends: to see that it works."""
    by_name: dict[tuple[str, str], list[Point]] = {}
    for point in whole:
        by_name.setdefault((point.target, point.label.rpartition(": ")[0]), []).append(point)
    for of in by_name.values():
        yield from map(small, of[:: max(1, len(of) - 1)])


def small(point: Point) -> Point:
    """Return one question in small."""
    names = {name: getattr(point.options, name) for name in point.options.__dataclass_fields__}
    most = {
        "connections": _QUICK_CONNECTIONS,
        "clients": 300,
        "others": _QUICK_CONNECTIONS,
        "elsewhere": _QUICK_CONNECTIONS,
        "messages": 300,
        "events": 6000,
    }
    less = {name: min(names[name], bound) for name, bound in most.items() if name in names}
    return replace(point, options=replace(point.options, **less))


def asked(point: Point, runs: int, cores: Cores) -> dict[str, Any]:
    """Return the report of one point, or why there is none."""
    click.echo(f"{point.target} {point.label}", err=True)
    try:
        return ask(
            point.question,
            point.options,
            runs,
            cores,
            lambda line, done, of: click.echo(f"  {line}", err=True),
        )
    except Failed as failure:
        click.echo(f"  failed: {failure}", err=True)
        return {"failed": str(failure)}


def calls(results: Path, quick: bool, of_commit: str | None) -> None:
    """Ask P4: what a broadcast costs the calling thread, by pytest-benchmark."""
    file = results / "P4.json"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(HERE / "test_broadcast.py"),
    ]
    command.append(f"--benchmark-json={file}")
    rounds = {ROUNDS: "3"} if quick else {}
    subprocess.run(command, check=True, stdout=sys.stderr, cwd=HERE.parent, env=os.environ | rounds)
    found = json.loads(file.read_text())
    for benchmark in found["benchmarks"]:
        del benchmark["stats"]["data"]  # every single round
    machine = {name: found["machine_info"][name] for name in MACHINE}
    own = {name: found[name] for name in ("benchmarks", "datetime", "version")}
    keep(file, of_commit, own | {"machine_info": machine})


def scripted(name: str, runs: int, quick: bool) -> dict[str, Any]:
    """Return what a script says, or why it says nothing."""
    click.echo(name, err=True)
    _, script, small_sizes = SCRIPTS[name]
    sizes = small_sizes if quick else ()
    command = [sys.executable, str(HERE / script), "--json", f"--runs={runs}", *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        click.echo(f"  failed: {why}", err=True)
        return {"failed": why}
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Ask everything once and in small, and of a curve its ends.")
@click.option(
    "--runs", type=click.IntRange(min=1), default=5, show_default=True, help="How often each is asked."
)
@click.option(
    "--budget", type=float, default=3600.0, show_default=True, help="Seconds; the rest is left out."
)
@click.option(
    "--only",
    multiple=True,
    metavar="TARGET",
    help="Ask this target only, such as P2 or tls; may be repeated.",
)
@click.option(
    "--results", type=click.Path(path_type=Path), default=RESULTS, help="Where the answers are kept."
)
def main(quick: bool, runs: int, budget: float, only: Sequence[str], results: Path) -> None:
    try:
        require_release()
        cores = Cores.choose(None, None)
    except Failed as failure:
        raise click.ClickException(str(failure)) from failure
    results.mkdir(parents=True, exist_ok=True)
    of_commit = commit()
    deadline, runs = time.monotonic() + budget, 1 if quick else runs
    if not only or "P4" in only:
        calls(results, quick, of_commit)
    reports: dict[str, dict[str, Any]] = {}
    failed: list[str] = []

    def note(target: str, label: str, answer: Callable[[], dict[str, Any]]) -> None:
        of = reports.setdefault(target, {})
        if time.monotonic() > deadline:
            of[label] = {"failed": f"left out: {budget:g} s were over"}
        else:
            of[label] = answer()
            failed.extend([f"{target} {label}"] if "failed" in of[label] else [])
        keep(results / f"{target}.json", of_commit, {"target": target, "reports": of})

    for name, (label, *_) in SCRIPTS.items():
        if not only or name in only:
            note(name, label, partial(scripted, name, runs, quick))
    for point in quickly(points()) if quick else points():
        if not only or point.target in only:
            note(point.target, point.label, partial(asked, point, runs, cores))
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
