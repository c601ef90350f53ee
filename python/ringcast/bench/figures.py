"""Figures of several runs brought together: medians, tables, and the machine that they come from."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

__all__ = ["BUSY", "machine", "median", "microseconds", "p50_p99", "table"]

BUSY: Final = 1.5
"""A load average above which figures say little."""


def median(values: Sequence[Any]) -> Any:
    """Return the median of numbers; of objects, the object of their medians; of anything else the first.

    What some runs do not have (None) is of the others.
    """
    values = [value for value in values if value is not None]
    if not values:
        return None
    if isinstance(values[0], dict):
        # By every name that occurs: one run may have seen a close code that another has not.
        names = dict.fromkeys(name for value in values for name in value)
        return {name: median([value[name] for value in values if name in value]) for name in names}
    if all(isinstance(value, int | float) for value in values):
        return statistics.median(values)
    return values[0]


def machine() -> dict[str, Any]:
    """Return what the figures are made on, and with."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "ringcast": version("ringcast"),
        "load_average": os.getloadavg()[0],
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def microseconds(percentiles: dict[str, Any] | None) -> dict[str, float | None]:
    """Return p50 and p99 of what the load tells in milliseconds; None where there were no values."""
    return {
        f"{name}_us": percentiles[name] * 1000 if percentiles and percentiles[name] is not None else None
        for name in ("p50", "p99")
    }


def p50_p99(percentiles: dict[str, Any] | None) -> str:
    """Return the two as they stand in a table; nothing where there were no values."""
    if percentiles is None or percentiles["p50"] is None:
        return ""
    return f"{percentiles['p50']:.2f} / {percentiles['p99']:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the rows in columns: the first one to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]))
    return "\n".join(lines)
