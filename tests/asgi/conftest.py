"""Fixtures: each of the servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hosting import SERVERS, Hosted, complaints, start


@pytest.fixture(scope="module", params=SERVERS)
def hosted(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    running = start(request.param)
    yield running
    ended = running.stop()
    assert not complaints(ended), ended
