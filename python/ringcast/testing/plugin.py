"""The pytest plugin: fixtures for a server under test and its client. pytest finds it by its entry point.

It works with pytest-asyncio, in either mode, and with anyio's plugin: who runs a test sets its server up as
well. What the fixtures give is `server.py`'s. This module and `plugin_asyncio.py` alone need pytest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
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


def pytest_configure(config: pytest.Config) -> None:
    """Add the fixture that is pytest-asyncio's to set up, if that is there.

    Not before: pytest wants to be the first to import a plugin.
    """
    try:
        from ..testing import plugin_asyncio  # noqa: PLC0415
    except ImportError:
        return
    config.pluginmanager.register(plugin_asyncio, "ringcast-asyncio")


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
    if "anyio_backend" in request.fixturenames:
        name = "_ringcast_server_on_anyio"
    elif request.config.pluginmanager.has_plugin("ringcast-asyncio"):
        name = "_ringcast_server_on_asyncio"
    else:
        pytest.fail("ringcast_server needs pytest-asyncio, or a test that anyio's plugin runs", pytrace=False)
    server: LocalServer = request.getfixturevalue(name)
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
    async with make_server(ringcast_registry, ringcast_store, ringcast_config, ringcast_clock) as server:
        yield server


def make_server(served: Any, store: Store, config: ServerConfig | None, clock: ManualClock) -> LocalServer:
    """Return a server made from what the fixtures give."""
    actors = (served,) if isinstance(served, Registry | type) else tuple(served)
    return LocalServer(*actors, store=store, config=config, clock=clock)
