"""Fixtures of the tests of sleep: the time, and an actor that takes its time to go."""

from __future__ import annotations

import asyncio

import pytest
from sleepers import Reluctant

from ringcast.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def reluctant() -> type[Reluctant]:
    Reluctant.leaving, Reluctant.may_go = asyncio.Event(), asyncio.Event()
    return Reluctant
