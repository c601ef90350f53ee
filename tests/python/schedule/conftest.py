"""Fixtures of the tests of schedules: the time, a planner, and a store that outlives its server."""

from __future__ import annotations

from pathlib import Path

import pytest
from scheduling import Open, StoreMaker, memory, reset_planner, sqlite

from ringcast import Actor
from ringcast.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(autouse=True)
def planner() -> None:
    reset_planner()


@pytest.fixture(params=[memory, sqlite], ids=["memory", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Give the store, opened anew for each server."""
    make: StoreMaker = request.param
    return make(tmp_path)


@pytest.fixture(params=[False, True], ids=["ordinary", "durable"])
def durable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Make every actor of the tests an ordinary one, and a durable one."""
    monkeypatch.setattr(Actor, "durable", request.param)
    return bool(request.param)
