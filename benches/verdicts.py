"""Whether each target is met: what was wanted, and how what was measured is held against it.

What is asked of peers (`peers/`) is among the reports of a target as `PEERS`, or as `RIVETKIT`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from kept import PEERS, RIVETKIT, Reports
from targets import CURVE_LABELS

__all__ = ["VERDICTS", "Found", "Verdict"]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found."""

    told: str
    margins: Mapping[str, float]
    """By what was wanted: how many times better it is than that; below 1 it is missed."""

    @property
    def met(self) -> bool:
        return all(margin >= 1 for margin in self.margins.values())


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row."""

    target: str
    what: str
    wanted: str
    _judge: Callable[[Reports], Found]

    def judge(self, reports: Reports) -> Found | None:
        """Return what was found; None if something was not measured."""
        try:
            return self._judge(reports)
        except KeyError:
            return None


def _flood(reports: Reports) -> Found:
    p99_ms, peers = reports["flood"]["p99_us"] / 1000, reports[PEERS]["compared"]
    found = f"{peers['to_best']:.0f} times {peers['best']}'s; p99 {p99_ms:.1f} ms"
    return Found(found, {"rate to the best peer's": peers["to_best"] / 40, "p99": 100 / p99_ms})


def _bursts(reports: Reports) -> Found:
    ratio = reports["bursts"]["compared"]["rate_to_limit"]
    socketify = reports[PEERS]["compared"]["to"]["socketify"]
    return Found(
        f"{socketify:.1f} times socketify's; {ratio:.2f}",
        {"rate to socketify's": socketify / 3, "rate to the limit's": ratio / 0.85},
    )


def _one(reports: Reports) -> Found:
    ratio = reports["one"]["compared"]["until_last_to_limit"]
    return Found(f"{ratio:.2f}", {"time": 1.2 / ratio})


def _calls(reports: Reports) -> Found:
    benchmarks = {each["name"]: each for each in reports["calls"]["benchmarks"]}

    def us(seconds: Callable[[dict[str, Any]], float]) -> tuple[float, float, float]:
        names = ("test_encode[json]", "test_broadcast[attached-10]", "test_broadcast[attached-9000]")
        encode, few, many = (
            seconds(benchmarks[name]) / benchmarks[name]["extra_info"]["events"] * 1e6 for name in names
        )
        return encode, few, many

    encode, few, many = us(lambda each: each["stats"]["median"])
    found = (
        f"{few - encode:.1f} and {many - encode:.1f} µs above encoding, at 10 and 9,000 ({many / few:.2f})"
    )
    with suppress(KeyError):  # answers that have processor time alone
        wall, wall_few, wall_many = us(lambda each: each["extra_info"]["wall_s"])
        found += f"; by the clock on the wall {wall_few - wall:.1f} and {wall_many - wall:.1f} µs"
    above = max(few, many) - encode
    # What is no more than encoding has nothing to be compared with.
    return Found(found, {"above encoding": 3 / max(above, 0.01), "9,000 to 10": 1.5 * few / many})


def _filter(reports: Reports) -> Found:
    filtered, few = (reports[label]["median"]["ringcast"]["seconds"] for label in ("filtered", "few"))
    return Found(f"{filtered / few:.2f}", {"time": 1.5 * few / filtered})


def _memory(reports: Reports) -> Found:
    sizes = {label: reports[label]["bytes_per_connection"] / 1000 for label in ("2000", "9000")}
    return Found(f"{sizes['2000']:.1f} and {sizes['9000']:.1f} KB", {"bytes": 10 / max(sizes.values())})


def _sleepers(reports: Reports) -> Found:
    compared = reports["sleepers"]["compared"]
    ratio = min(each["rate_to_sleepers_absent"] for each in compared.values())
    growth = max(each["memory_growth_to_ring"] for each in compared.values())
    return Found(
        f"{ratio:.2f}; growth {growth:.2f} of the ring",
        {"rate": ratio / 0.95, "growth": 1 / max(growth, 0.01)},
    )


def _replay(reports: Reports) -> Found:
    rate = reports["replay"]["deliveries_per_s"]
    return Found(f"{rate / 1e6:.2f} M/s", {"rate": rate / 1_500_000})


def _actions(reports: Reports) -> Found:
    compared = reports[RIVETKIT]["compared"]
    ratios, apart = compared["rate_to_rivetkit"], compared["rate_to_rivetkit_apart"]
    found = " and ".join(f"{ratio:.1f} times with {at_a_time}" for at_a_time, ratio in ratios.items())
    found += " on their way at a time; with its client on a core of its own "
    found += " and ".join(f"{ratio:.1f}" for ratio in apart.values())
    return Found(found, {f"{at_a_time} at a time": ratio / 4 for at_a_time, ratio in ratios.items()})


def _latency(reports: Reports) -> Found:
    p50, p99 = (reports["latency"]["compared"][name] for name in ("p50_to_picows", "p99_to_picows"))
    return Found(f"p50 {p50:.2f}, p99 {p99:.2f}", {"p50": 1 / p50, "p99": 1 / p99})


def _curves(reports: Reports) -> Found:
    """From any size to any larger one: by how much the cost has grown at most, to the limit's growth."""
    if missing := CURVE_LABELS - reports.keys():
        raise KeyError(*missing)
    by_name: dict[str, dict[int, float]] = {}
    for label, report in reports.items():
        name, _, size = label.rpartition(": ")
        compared = report["compared"]
        cost = compared["server_ns_per_delivery"] / compared["limit_ns_per_delivery"]
        by_name.setdefault(name, {})[int(size)] = cost
    growths = {name: max(_growths(costs)) for name, costs in by_name.items()}
    found = "; ".join(
        f"{name} {growth:.2f} ({small:,} to {large:,})" for name, (growth, small, large) in growths.items()
    )
    costs = [cost for points in by_name.values() for cost in points.values()]
    found += f"; a delivery costs {min(costs):.2f} to {max(costs):.2f} of the limit's"
    return Found(found, {name: 1 / growth for name, (growth, _, _) in growths.items()})


def _growths(costs: Mapping[int, float]) -> Iterator[tuple[float, int, int]]:
    """Give the growth from each size to each larger one, and between which two it is."""
    for small, large in combinations(sorted(costs), 2):
        yield costs[large] / costs[small], small, large


def _connect(reports: Reports) -> Found:
    ratio = reports["connect"]["compared"]["rate_to_picows"]
    return Found(f"{ratio:.2f}", {"rate": ratio / 0.5})


VERDICTS: Final = (
    Verdict(
        "P1",
        "flood, 1,000 connections: rate to the best peer's, latency",
        "at least 40 times, p99 at most 100 ms",
        _flood,
    ),
    Verdict(
        "P2",
        "bursts of 30: to socketify's rate, to the limit's",
        "at least 3 times, at least 0.85",
        _bursts,
    ),
    Verdict("P3", "one broadcast to 9,000, to the limit's time", "at most 1.2", _one),
    Verdict(
        "P4",
        "`broadcast()`, processor time of the calling thread",
        "at most 3 µs above encoding, within 1.5 times",
        _calls,
    ),
    Verdict(
        "P5",
        "a filter that 90 of 9,000 match, to an actor with just those",
        "at most 1.5 times the time",
        _filter,
    ),
    Verdict("P6", "an idle connection, at 2,000 and at 9,000", "at most 10 KB", _memory),
    Verdict(
        "P7",
        "a tenth stops reading: the rate of the others",
        "at least 0.95, growth at most the ring",
        _sleepers,
    ),
    Verdict("P8", "5,000 come back, 1,000 events each", "at least 1.5 M/s", _replay),
    Verdict("P9", "actions over one connection, to RivetKit in one process", "at least 4 times", _actions),
    Verdict("P10", "latency at 100 events/s, to a picows loop", "p50 and p99 at most 1", _latency),
    Verdict(
        "P11",
        "largest growth of the cost of a delivery from any size to a larger one, to the limit's",
        "at most 1",
        _curves,
    ),
    Verdict("P12", "connects a second, to a bare picows server", "at least 0.5", _connect),
)
