"""The pytest plugin: fixtures for a server under test and its client. pytest finds it by its entry point.

The only module that needs pytest. Coroutine fixtures belong to pytest-asyncio, in either mode, or to anyio's
plugin for tests that run on that one; what they give is `server.py`'s.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest

from ..actor import Actor
from ..client import Client
from ..config import ServerConfig
from ..registry import Registry
from ..store import MemoryStore, Store
from .clock import ManualClock
from .server import LocalServer

__all__ = [
    "ringcast_client",
    "ringcast_clock",
    "ringcast_config",
    "ringcast_registry",
    "ringcast_server",
    "ringcast_store",
]

_asyncio_fixture: Callable[..., Any]
try:
    from pytest_asyncio import fixture as _asyncio_fixture
except ImportError:  # then anyio's plugin runs the tests, and this one is for nobody
    _asyncio_fixture = pytest.fixture


@pytest.fixture
def ringcast_registry() -> Registry | type[Actor[Any, Any]] | Iterable[type[Actor[Any, Any]]]:
    """What is served: your registry, an actor class, or several. Define this fixture in your tests."""
    pytest.fail(
        "ringcast_server serves what the fixture `ringcast_registry` returns: define it, for example in "
        "conftest.py, and return your registry or a list of actor classes",
        pytrace=False,
    )


@pytest.fixture
def ringcast_clock() -> ManualClock:
    """Give the server's time, which stands still until `await ringcast_clock.advance(seconds)`."""
    return ManualClock()


@pytest.fixture
def ringcast_store() -> Store:
    """Give the store that the server keeps state in: a new one in memory. Redefine it to use another."""
    return MemoryStore()


@pytest.fixture
def ringcast_config() -> ServerConfig | None:
    """Give the server's limits; None for those of the registry. Redefine it to use others."""
    return None


@pytest.fixture
def ringcast_server(request: pytest.FixtureRequest) -> LocalServer:
    """Serve `ringcast_registry` in the test's event loop until the test is over; see `LocalServer`."""
    on_anyio = "anyio_backend" in request.fixturenames
    server: LocalServer = request.getfixturevalue(
        "_ringcast_server_on_anyio" if on_anyio else "_ringcast_server_on_asyncio"
    )
    return server


@pytest.fixture
def ringcast_client(ringcast_server: LocalServer) -> Client:
    """Give a network client of `ringcast_server`."""
    return ringcast_server.client()


@pytest.fixture
async def _ringcast_server_on_anyio(
    ringcast_registry: Any,
    ringcast_store: Store,
    ringcast_config: ServerConfig | None,
    ringcast_clock: ManualClock,
) -> AsyncIterator[LocalServer]:
    async with _server(ringcast_registry, ringcast_store, ringcast_config, ringcast_clock) as server:
        yield server


@_asyncio_fixture
async def _ringcast_server_on_asyncio(
    ringcast_registry: Any,
    ringcast_store: Store,
    ringcast_config: ServerConfig | None,
    ringcast_clock: ManualClock,
) -> AsyncIterator[LocalServer]:
    async with _server(ringcast_registry, ringcast_store, ringcast_config, ringcast_clock) as server:
        yield server


def _server(served: Any, store: Store, config: ServerConfig | None, clock: ManualClock) -> LocalServer:
    actors = (served,) if isinstance(served, Registry | type) else tuple(served)
    return LocalServer(*actors, store=store, config=config, clock=clock)
