"""The one fixture that pytest-asyncio sets up; `plugin.py` chooses it for that plugin's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from ..config import ServerConfig
from ..store import Store
from .clock import ManualClock
from .plugin import make_server
from .server import LocalServer

__all__: list[str] = []


@pytest_asyncio.fixture
async def _ringcast_server_on_asyncio(
    ringcast_registry: Any,
    ringcast_store: Store,
    ringcast_config: ServerConfig | None,
    ringcast_clock: ManualClock,
) -> AsyncIterator[LocalServer]:
    async with make_server(ringcast_registry, ringcast_store, ringcast_config, ringcast_clock) as server:
        yield server
