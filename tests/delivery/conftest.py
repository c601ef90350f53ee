"""Says at the end of a run of pytest how long the short proofs of delivery took, beside what they may take.

It is told and not tested: a slow machine is not a bug.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
MOST_S: Final = 180
"""On two quiet cores."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    place = HERE.relative_to(terminalreporter.config.rootpath).as_posix()
    told = [
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.nodeid.startswith(f"{place}/")
    ]
    if not told:
        return
    tests = len({report.nodeid for report in told})
    seconds = sum(report.duration for report in told)
    terminalreporter.write_line(
        f"{place}: {tests} tests took {seconds:.0f} s, of {MOST_S} s that they have on two quiet cores"
    )
