"""Thousands of clients come and go: what they had is given back, nothing grows with how many there were."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

import programs

from .churn import BATCH, come_and_go, come_and_go_for_events
from .conftest import HERE, OPTIONS, Siege, besieged
from .drawing import TIMES

CLIENTS = 20_000 * TIMES
FOR_EVENTS = 2000 * TIMES
TO_WARM_UP = 10 * BATCH
FOR_LONGER = 3 * TO_WARM_UP
"""So that it takes longer than a lost session waits: later no more of them wait, nor take more."""


@pytest.fixture
async def churned() -> AsyncIterator[Siege]:
    with programs.serve("target:churned", *OPTIONS, cwd=HERE) as server:
        async with besieged(server.url) as siege:
            yield siege


@pytest.mark.timeout(600)
async def test_twenty_thousand_clients_over_websockets(churned: Siege) -> None:
    address = _address(churned.url)
    await asyncio.to_thread(come_and_go, address, FOR_LONGER)
    before = await churned.until_alone()
    resumed = await asyncio.to_thread(come_and_go, address, CLIENTS)
    assert resumed == len(range(1, CLIENTS, 3))
    await churned.check()
    after = await churned.vitals.until_back(before)
    assert after.limits_hit == before.limits_hit


async def test_thousands_of_clients_over_server_sent_events(churned: Siege) -> None:
    address = _address(churned.url)
    # As many before as afterwards: the more come, the more names are kept until there are many.
    await asyncio.to_thread(come_and_go_for_events, address, FOR_EVENTS)
    before = await churned.until_alone()
    await asyncio.to_thread(come_and_go_for_events, address, FOR_EVENTS, FOR_EVENTS)
    await churned.check()
    after = await churned.vitals.until_back(before)
    # The names by which browsers would come back are forgotten with their sessions, when there are many.
    assert after.named_sessions < 2 * FOR_EVENTS
    assert after.limits_hit == before.limits_hit


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None
    return parts.hostname, parts.port
