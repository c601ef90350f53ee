"""For all tests: they run in several processes, which have to agree on their names, and on what they say."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Final

import pytest

DIFFERS: Final = re.compile(r" at 0x|\{[^{}:]*,[^{}:]*\}")
"""In a name: an address, or a set, whose order is another one in each process."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that differ from one process to the next; `shown` makes better ones of the same values."""
    differing = [item.nodeid for item in items if DIFFERS.search(item.name)]
    if differing:
        raise pytest.UsageError(f"use ids=shown: {differing}")


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
