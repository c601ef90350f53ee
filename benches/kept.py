"""The answers in benches/results: kept, read again, and of which commits they are.

There is a file for each target, and one or more for the peers, of which `beside.py` knows what is in them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import beside

__all__ = ["PEERS", "RIVETKIT", "Reports", "commits", "keep", "read"]

Reports = dict[str, dict[str, Any]]
"""The reports of one target by label."""

_OF_PEERS: Final = {"P1": "flood", "P2": "bursts"}
"""Targets that are about peers too, and the question to those."""
PEERS: Final = "peers"
"""What the answer to that is called among the reports of the target."""
RIVETKIT: Final = "rivetkit"
"""The script that asks RivetKit, and what its answer is called among the reports of P9."""


def keep(file: Path, commit: str | None, found: dict[str, Any]) -> None:
    """Write it in one line: nobody reads these files, and their changes would hide all others."""
    file.write_text(json.dumps({"commit": commit, **found}, separators=(",", ":")) + "\n")


def read(results: Path) -> dict[str, Reports]:
    """Return the reports by target. Those that failed are left out."""
    found: dict[str, Reports] = {}
    for name, content in _contents(results).items():
        if "benchmarks" in content:  # pytest-benchmark's own form
            found[name] = {"calls": content}
        elif "target" in content:
            reports = {label: each for label, each in content["reports"].items() if "failed" not in each}
            found[content["target"]] = reports
    for target, question in _OF_PEERS.items():
        if (report := beside.read(results).get(question)) is not None:
            found.setdefault(target, {})[PEERS] = report
    for report in found.get(RIVETKIT, {}).values():
        found.setdefault("P9", {})[RIVETKIT] = report
    return found


def commits(results: Path) -> dict[str | None, list[str]]:
    """Return the names of the files by the commit that was asked; None for those that do not say it."""
    found: dict[str | None, list[str]] = {}
    for name, content in _contents(results).items():
        found.setdefault(content.get("commit"), []).append(name)
    return found


def _contents(results: Path) -> dict[str, dict[str, Any]]:
    """Return what is in each file, P2 before P10."""
    files = {path.stem: path for path in results.glob("*.json")}
    return {name: json.loads(files[name].read_text()) for name in sorted(files, key=_in_order)}


def _in_order(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
