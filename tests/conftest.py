"""For all tests: they run in several processes, which have to agree on their names, and on what they say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Final

import hypothesis
import pytest
from _pytest.nodeid import coerce_node_id

DIFFERS: Final = re.compile(r" at 0x|\{[^{}:]*,[^{}:]*\}")
"""In a name: an address, or a set, whose order is another one in each process."""
MOST_LINES: Final = 60
"""Of a failure, where it is first shown."""

# Nothing is timed: a machine may be slow. What was drawn can be drawn again.
hypothesis.settings.register_profile("ringcast", deadline=None, print_blob=True)
hypothesis.settings.load_profile("ringcast")


class ShownAtOnce:
    """Shows what has failed when it fails: with several processes pytest itself does so at the end alone,
    which a run that is broken off does not come to."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.ensure_newline()
            self._terminal.write_line(f"FAILED at {report.when}: {report.nodeid}")
            for line in report.longreprtext.splitlines()[-MOST_LINES:]:
                self._terminal.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    # The processes that xdist starts have no terminal.
    if (terminal := config.pluginmanager.get_plugin("terminalreporter")) is not None:
        config.pluginmanager.register(ShownAtOnce(terminal))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import what has no test to run: of the files of tests, few have one that must be alone."""
    is_file = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    if config.option.markexpr == "alone" and is_file and "mark.alone" not in collection_path.read_text():
        return True
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that differ from one process to the next; `shown` makes better ones of the same values.

    And have no two tests of one id, as schemathesis makes them: xdist runs one of those, and says nothing.
    """
    differing = [item.nodeid for item in items if DIFFERS.search(item.name)]
    if differing:
        raise pytest.UsageError(f"use ids=shown: {differing}")
    times = Counter(item.nodeid for item in items)
    for item in items:
        if times[item.nodeid] > 1:
            assert item.parent is not None  # of a file
            item._id = coerce_node_id(f"{item.parent.nodeid}::{item.name}")
    twice = [each for each, times_ in Counter(item.nodeid for item in items).items() if times_ > 1]
    if twice:
        raise pytest.UsageError(f"several tests of one id: {twice}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what was captured be written as UTF-8: some tests log text that cannot be."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report
