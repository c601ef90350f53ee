"""Ringcast beside its peers, as tables of the page: what `peers/compare.py --json` has answered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import checks
from checks import share

__all__ = ["ahead", "read", "row", "short", "tables"]

_RINGCAST: Final = "ringcast"


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of the table."""

    question: str
    head: str
    figures: tuple[str, ...]
    """What is in a cell; of each it is said which peers are ahead."""

    def value(self, of: dict[str, Any] | None, figure: str) -> float | None:
        """Return one side's figure; None where there is none. A latency that is 0 was not recorded."""
        found: float | None = None if of is None else of.get(figure)
        return found or None

    def cell(self, of: dict[str, Any] | None) -> str:
        if of is not None and "failed" in of:
            return "failed"
        values = [self.value(of, figure) for figure in self.figures]
        shown = [_shown(value, figure) for value, figure in zip(values, self.figures, strict=True) if value]
        busy = share(of or {}, {}) if self.figures[0].endswith("_per_s") else None
        return checks.marked(" / ".join(shown), busy)

    def name(self, figure: str) -> str:
        """Return what the figure is called outside of the table."""
        first = self.head.partition(", ")[0]
        return f"{first}, {figure[:3]}" if len(self.figures) > 1 else self.head


def _shown(value: float, figure: str) -> str:
    if figure == "until_last_us":
        return f"{value / 1000:.1f}"
    return f"{value / 1000:.2f}" if figure.endswith("_us") else f"{value:,.0f}"


_NAMES: Final = {
    _RINGCAST: "Ringcast",
    "socketify": "socketify (uWebSockets)",
    "picows": "picows, a loop over its sockets",
    "ws-frame": "ws, on Node, with a frame made once",
    "ws": "ws, on Node, `send` for each",
    "websockets": "websockets, its `broadcast`",
    "socket.io": "Socket.IO, on Node",
    "python-socketio": "python-socketio",
}
"""What README.md calls each side."""
_LATENCY: Final = ("p50_us", "p99_us")
_COLUMNS: Final = (
    _Column("flood", "flood, deliveries/s", ("deliveries_per_s",)),
    _Column("flood", "flood, ms, p50 / p99", _LATENCY),
    _Column("bursts", "bursts of 30, deliveries/s", ("deliveries_per_s",)),
    _Column("bursts", "bursts of 30, ms, p50 / p99", _LATENCY),
    _Column("one", "one to 9,000, ms", ("until_last_us",)),
    _Column("latency", "100 a second, ms, p50 / p99", _LATENCY),
    _Column("memory", "bytes of 2,000", ("bytes_per_connection",)),
    _Column("memory-many", "bytes of 9,000", ("bytes_per_connection",)),
    _Column("connects", "connects/s", ("connects_per_s",)),
)
"""In their order."""


def row(*cells: str) -> str:
    """Return one row of a table."""
    return f"| {' | '.join(cells)} |"


def read(results: Path) -> dict[str, dict[str, Any]]:
    """Return the reports by question."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(results.glob("peers*.json")):
        for report in json.loads(path.read_text())["questions"]:
            found[report["question"]] = report
    names = dict.fromkeys(column.question for column in _COLUMNS)
    return {name: found[name] for name in names if name in found}


def tables(reports: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Give a row for each side and a column for each figure, how busy the load was, and who is ahead."""
    if not reports:
        return
    columns = [column for column in _COLUMNS if _is_there(column, reports)]
    sides = dict.fromkeys(side for report in reports.values() for side in report["median"])
    yield from ("", "**Beside other servers**", "")
    yield row("", *(column.head for column in columns))
    yield row("---", *["---:"] * len(columns))
    for side in sides:
        yield row(side, *(column.cell(reports[column.question]["median"].get(side)) for column in columns))
    if why := _empty(reports, sides):
        yield from ("", why)
    yield from _busy(reports, sides)
    yield ""
    lines = list(ahead(reports))
    yield (
        "Where a peer is ahead, with the ratio of Ringcast's figure to its:"
        if lines
        else ("No peer is ahead in any of these.")
    )
    if lines:
        yield from ("", *lines)


def short(reports: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Give the few figures that README.md has: rates, the fastest in a flood first, and the latency."""
    names = {"flood": "flood", "bursts": "bursts", "latency": "100 a second: p50, ms"}
    medians = {name: reports.get(name, {"median": {}})["median"] for name in names}
    yield row("", *names.values(), "p99, ms")
    yield row("---", *["---:"] * 4)
    for side in sorted(_NAMES, key=lambda side: -_rate(medians["flood"].get(side))):
        if any(side in of for of in medians.values()):
            rates = (_rounded(_rate(medians[name].get(side))) for name in ("flood", "bursts"))
            late = medians["latency"].get(side) or {}
            times = ("" if not late.get(key) else f"{late[key] / 1000:,.1f}" for key in _LATENCY)
            yield row(_NAMES[side], *rates, *times)


def _rate(of: dict[str, Any] | None) -> float:
    """Return deliveries a second; 0 where they were not measured."""
    return (of or {}).get("deliveries_per_s") or 0.0


def _rounded(rate: float) -> str:
    if not rate:
        return ""
    if rate < 999_500:
        return f"{rate / 1000:,.0f} k"
    return f"{rate / 1e6:.1f} M"


def _is_there(column: _Column, reports: dict[str, dict[str, Any]]) -> bool:
    """Return whether any side has one of its figures."""
    sides = reports.get(column.question, {"median": {}})["median"].values()
    return any(column.value(of, figure) is not None for of in sides for figure in column.figures)


def _empty(reports: dict[str, dict[str, Any]], sides: Iterable[str]) -> str:
    """Say why cells are empty; nothing where none is."""
    failed, not_asked, unrecorded = {}, {}, {}
    for name, report in reports.items():
        medians = report["median"]
        columns = [column for column in _COLUMNS if column.question == name and _is_there(column, reports)]
        failed[name] = [side for side, of in medians.items() if "failed" in of]
        not_asked[name] = [side for side in sides if side not in medians]
        unrecorded[name] = [
            side
            for side, of in medians.items()
            if "failed" not in of and any(not column.cell(of) for column in columns)
        ]
    reasons = {
        "did not answer in": failed,
        "not asked in": not_asked,
        "too few events to have one recorded in": unrecorded,
    }
    told = [
        f"{why} `{name}`: {', '.join(of)}" for why, by in reasons.items() for name, of in by.items() if of
    ]
    return f"Cells without a figure: {'; '.join(told)}." if told else ""


def _busy(reports: dict[str, dict[str, Any]], sides: Iterable[str]) -> Iterator[str]:
    """Give a row for each side with the load's share of its core, in the questions that tell it."""
    shares = {
        name: {side: share(of, report.get("options", {})) for side, of in report["median"].items()}
        for name, report in reports.items()
    }
    shares = {name: of for name, of in shares.items() if any(each is not None for each in of.values())}
    if shares:
        yield from ("", row("load, of its core", *shares), row("---", *["---:"] * len(shares)))
        for side in sides:
            yield row(side, *(checks.shown(of.get(side)) for of in shares.values()))


def ahead(reports: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Give a line for each figure of a question in which peers are better, with their ratios."""
    for column in _COLUMNS:
        medians = reports.get(column.question, {"median": {}})["median"]
        for figure in column.figures:
            own = column.value(medians.get(_RINGCAST), figure)
            theirs = {peer: column.value(of, figure) for peer, of in medians.items() if peer != _RINGCAST}
            ratios = {peer: own / value for peer, value in theirs.items() if own and value}
            better = {
                peer: ratio
                for peer, ratio in ratios.items()
                if (ratio < 1 if figure.endswith("_per_s") else ratio > 1)
            }
            if better:
                told = ", ".join(f"`{peer}` {ratio:.2f}" for peer, ratio in better.items())
                yield f"- {column.name(figure)}: {told}"
