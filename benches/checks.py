"""What the answers say about themselves: events that went wrong, and how busy the load was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

__all__ = ["BUSY", "busy_note", "disorder", "marked", "share", "shown"]

_DISORDER: Final = {"gaps": "gaps", "duplicates": "duplicates", "disorder": "events out of order"}
"""By the name of a figure: what it counts."""

BUSY: Final = 0.9
"""Of its core: from here on a rate may be the load's and not the server's."""
_MARK: Final = "\\*"


def disorder(questions: Mapping[str, Iterable[Mapping[str, Any]]]) -> Iterator[str]:
    """Give what is said of gaps, duplicates and disorder in all runs of the reports, by question."""
    runs, wrong, without = 0, [], []
    for name, reports in questions.items():
        whole = True
        sums = dict.fromkeys(_DISORDER, 0)
        for report in reports:
            counted = [run for run in _runs(report) if _has_figures(run)]
            whole &= len(counted) > 0 and len(counted) == len(_runs(report))
            runs += len(counted)
            for figure in sums:
                sums[figure] += max(sum(run[figure] for run in counted), report.get(figure) or 0)
        wrong += [f"{name} has {count} {_DISORDER[figure]}" for figure, count in sums.items() if count]
        without += [] if whole else [name]
    if wrong:
        yield f"**BEWARE, THESE FIGURES DO NOT COUNT: {'; '.join(wrong)}.**"
    elif runs:
        yield (
            "There is no gap, no duplicate and no event out of order in any of the "
            f"{runs:,} runs that count them."
        )
    if without:
        yield f"Not all runs count them in {', '.join(without)}."


def _runs(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the runs of all variants, but for those that failed."""
    return [run for of in report.get("runs", {}).values() for run in of if "failed" not in run]


def _has_figures(run: Mapping[str, Any]) -> bool:
    return all(run.get(figure) is not None for figure in _DISORDER)


def share(of: Mapping[str, Any], options: Mapping[str, Any]) -> float | None:
    """Return the load's share of its core in what was measured; None where it cannot be told."""
    for name in ("receiver_cpu_share", "load_cpu_share"):
        if of.get(name) is not None:
            found: float = of[name]
            return found
    if of.get("receiver_cpu_s") is None or (seconds := _seconds(of, options)) is None:
        return None
    used_s: float = of["receiver_cpu_s"]
    return used_s / seconds


def _seconds(of: Mapping[str, Any], options: Mapping[str, Any]) -> float | None:
    """Return how long it took: as is said, or as follows from how many there were and how many a second."""
    if of.get("seconds"):
        said: float = of["seconds"]
        return said
    for rate, count in (
        ("actions_per_s", of.get("round_trip_ms", {}).get("count")),
        ("connects_per_s", options.get("connections")),
        ("deliveries_per_s", of.get("latency_ms", {}).get("count")),
    ):
        if of.get(rate) and count:
            seconds: float = count / of[rate]
            return seconds
    return None


def shown(share: float | None) -> str:
    """Return a share as a cell of a table."""
    return "" if share is None else marked(f"{share:.2f}", share)


def marked(figure: str, share: float | None) -> str:
    """Return a figure with a mark if the load was so busy that it may be the load's."""
    return f"{figure}{_MARK}" if figure and share is not None and share > BUSY else figure


def busy_note(lines: Iterable[str]) -> Iterator[str]:
    """Give the lines, and at the end what the mark says, if one of them has it."""
    found = False
    for line in lines:
        found |= _MARK in line
        yield line
    if found:
        yield f"\n{_MARK} The load used more than {BUSY:g} of its core: the rate may be its own."
