"""One demo server for the tests of the client commands; each uses actors of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import programs


@pytest.fixture(scope="package")
def url() -> Iterator[str]:
    with programs.demo("--speed", "200") as server:
        yield server.url
