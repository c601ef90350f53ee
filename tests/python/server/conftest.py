"""Fixtures of the server's tests: the event loops that it must run on, and a server in a process of its
own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from loops import Run
from server_process import Server

from certificates import Certificates


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on an event loop of its own; once for each kind of loop."""

    def on_new_loop(work: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(work, 30))

    return on_new_loop


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate that nobody but these tests trusts."""
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A running server with a store of its own."""
    started = Server(tmp_path / "store.db")
    yield started
    started.end()
