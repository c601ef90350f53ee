"""What memory a process holds, as the system tells it.

Linux tells exactly, and the peak as well; elsewhere `ps` is asked.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["forget_peak", "resident"]


def resident(pid: int) -> tuple[int, int]:
    """Return the resident bytes of a process now, and at most since `forget_peak` (without Linux: now)."""
    if sys.platform != "linux":
        said = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
        )
        now = int(said.stdout) * 1024
        return now, now
    # smaps_rollup counts the pages; the counters in status may be some pages behind for each thread.
    now = _field(Path(f"/proc/{pid}/smaps_rollup"), "Rss")
    return now, max(now, _field(Path(f"/proc/{pid}/status"), "VmHWM"))


def forget_peak(pid: int) -> None:
    """Count the peak of a process's memory from now on."""
    if sys.platform == "linux":
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _field(path: Path, name: str) -> int:
    line = next(line for line in path.read_text().splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024
