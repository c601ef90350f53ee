"""How often an actor is asked whether somebody may listen: once about a name."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar

import pytest
from linked import LinkedSocket, call, running
from vaults import (
    Fixed,
    refused,
    until,
)

from ringcast import Actor, Context, action
from ringcast.wire.topics import topic_of


@dataclass
class Moved:
    zone: int


class Plan(Actor[None, Fixed]):
    class Events:
        moved: Moved
        news: str

    asked: ClassVar[list[str]] = []

    def can_subscribe(self, c: Context[None, Fixed], event: str) -> bool:
        self.asked.append(event)
        return event != "moved" or c.conn.state.role == "admin"

    @action
    def make(self, c: Context[None, Fixed], role: str) -> None:
        for conn in c.conns:
            conn.state = Fixed("ann", role)
        c.broadcast("moved", Moved(2))
        c.broadcast("news", role)


class AsyncPlan(Plan):
    async def can_subscribe(self, c: Context[None, Fixed], event: str) -> bool:
        await asyncio.sleep(0)
        return super().can_subscribe(c, event)


@pytest.mark.parametrize("plan", [Plan, AsyncPlan])
async def test_a_name_is_asked_about_once_whatever_it_is_filtered_by(plan: type[Plan]) -> None:
    topics = ["moved", *(topic_of("moved", {"zone": zone}) for zone in range(5))]
    async with running(plan) as router, LinkedSocket(router) as client:
        await client.connect(plan.__name__, "a", events=(*topics, "news"))
        plan.asked.clear()
        await call(router, plan.__name__, "a", "make", "guest")
        assert await until(client, "guest") == ["guest"]
        error = {"code": "subscription_refused", "message": "this connection may not listen for 'moved'"}
        assert await refused(client) == dict.fromkeys(topics, error)
        assert plan.asked == ["moved", "news"]
