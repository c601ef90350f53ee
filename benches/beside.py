"""Ringcast beside its peers, as tables of the page: what `peers/compare.py --json` has answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

__all__ = ["ahead", "read", "row", "tables"]

_RINGCAST: Final = "ringcast"
_COLUMNS: Final = {
    "flood": ("flood, deliveries/s", "deliveries_per_s"),
    "bursts": ("bursts of 30, deliveries/s", "deliveries_per_s"),
    "one": ("one to 9,000, ms", "until_last_us"),
    "latency": ("100 a second, ms, p50 / p99", "p99_us"),
    "memory": ("bytes of 2,000", "bytes_per_connection"),
    "memory-many": ("bytes of 9,000", "bytes_per_connection"),
    "connects": ("connects/s", "connects_per_s"),
}
"""By question, in their order: the head of its column, and the figure in it."""


def row(*cells: str) -> str:
    """Return one row of a table."""
    return f"| {' | '.join(cells)} |"


def read(results: Path) -> dict[str, dict[str, Any]]:
    """Return the reports by question."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(results.glob("peers*.json")):
        for report in json.loads(path.read_text())["questions"]:
            found[report["question"]] = report
    return {name: found[name] for name in _COLUMNS if name in found}


def tables(reports: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Give a row for each side and a column for each question."""
    if not reports:
        return
    yield from ("", "**Beside other servers**", "")
    yield row("", *(_COLUMNS[name][0] for name in reports))
    yield row("---", *["---:"] * len(reports))
    sides = dict.fromkeys(side for report in reports.values() for side in report["median"])
    for side in sides:
        yield row(side, *(_cell(name, report["median"].get(side)) for name, report in reports.items()))
    yield ""
    lines = list(ahead(reports))
    yield "Where a peer is ahead:" if lines else "No peer is ahead in any of these."
    if lines:
        yield from ("", *lines)


def ahead(reports: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Give a line for each figure of a question in which a peer is better, with the ratio."""
    for name, report in reports.items():
        head, figure = _COLUMNS[name]
        for key in ("p50_us", figure) if name == "latency" else (figure,):
            own = report["median"][_RINGCAST][key]
            for peer in report["compared"]["to"]:
                ratio = own / report["median"][peer][key]
                if ratio < 1 if key.endswith("_per_s") else ratio > 1:
                    what = f"{head.partition(', ')[0]}, {key[:3]}" if name == "latency" else head
                    yield f"- {what}: `{peer}`, Ringcast has {ratio:.2f} times its figure"


def _cell(name: str, of: dict[str, Any] | None) -> str:
    if of is None:
        return ""
    if "failed" in of:
        return "failed"
    if name == "latency":
        return f"{of['p50_us'] / 1000:.2f} / {of['p99_us'] / 1000:.2f}"
    value = of[_COLUMNS[name][1]]
    return f"{value / 1000:.1f}" if name == "one" else f"{value:,.0f}"
