"""A newcomer whose `on_connect` takes longer than the ring remembers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from linked import LinkedSocket, eventually, running

from ringcast import Actor, Context
from ringcast.wire.protocol import Connect, Connected, Event, Gap


@pytest.mark.parametrize("policy", ["disconnect", "skip"])
async def test_it_is_told_what_it_missed_and_is_no_slow_reader(policy: Any) -> None:
    class Hall(Actor, max_ring_events=4, slow_reader=policy):
        def __init__(self) -> None:
            self.gate = asyncio.Event()
            self.waiting = False

        async def on_connect(self, c: Context) -> None:
            self.waiting = True
            await self.gate.wait()

    async with running(Hall) as router, LinkedSocket(router) as newcomer:
        newcomer.send(Connect("hall", ("a",), subscriptions=("said",)))
        await eventually(lambda: len(router._directory) == 1 and next(iter(router._directory)).actor.waiting)
        hall = next(iter(router._directory)).actor
        for n in range(1, 11):
            hall.broadcast("said", n)
        hall.gate.set()
        answer = await newcomer.receive(Connected)
        assert (answer.gap, answer.offset) == (Gap("ring_overflow", 1, 6), 6)
        assert [(await newcomer.receive(Event)).args for _ in range(4)] == [[7], [8], [9], [10]]
