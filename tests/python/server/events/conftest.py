"""Fixtures of the tests of server-sent events: a server with rooms, and its address."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from streamed import CONFIG, Room, ShortRoom, SkippingRoom

from ringcast import MemoryStore, Registry
from ringcast.server.serve import serving


@pytest.fixture
def registry() -> Registry:
    return Registry(Room, ShortRoom, SkippingRoom, store=MemoryStore(), config=CONFIG)


@pytest.fixture
async def url(registry: Registry) -> AsyncIterator[str]:
    async with serving(registry) as url:
        yield url
