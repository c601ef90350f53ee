"""How often an actor is asked whether somebody may listen: once about a name."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar

import pytest
from linked import LinkedSocket, call, resume_from, running
from vaults import (
    Fixed,
    refused,
    until,
)

from ringcast import Actor, Context, action
from ringcast.wire.protocol import Event
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


class SlowPlan(Plan):
    """Takes its time, and looks at the end."""

    async def can_subscribe(self, c: Context[None, Fixed], event: str) -> bool:
        for _ in range(3):
            await asyncio.sleep(0)
        return super().can_subscribe(c, event)


class DurablePlan(SlowPlan):
    durable = True


PLANS = pytest.mark.parametrize("plan", [Plan, AsyncPlan, SlowPlan, DurablePlan])
ZONES = tuple(topic_of("moved", {"zone": zone}) for zone in range(5))


@PLANS
async def test_with_a_connect_a_name_is_asked_about_once(plan: type[Plan]) -> None:
    plan.asked.clear()
    topics = (ZONES[0], "news", *ZONES[1:], "moved", "nothing")
    async with running(plan) as router:
        async with LinkedSocket(router) as client:
            connected = await client.connect(plan.__name__, "a", events=topics)
            assert [*connected.refused_subscriptions] == ["nothing"], "which the actor never sends"
            assert plan.asked == ["moved", "news"]
        # As with one that comes back with others.
        async with LinkedSocket(router) as client:
            more = (*topics, topic_of("moved", {"zone": 7}), topic_of("moved", {"zone": 8}))
            await client.connect(plan.__name__, "a", resume=resume_from(connected), events=more)
            assert plan.asked == ["moved", "news", "moved"]
            await call(router, plan.__name__, "a", "make", "admin")
            assert await until_news(client, "admin") == ["moved", "news"]


@PLANS
async def test_one_refusal_is_for_all_topics_of_a_name_and_for_no_other(plan: type[Plan]) -> None:
    wrong = topic_of("moved", {"nothing": 3})
    params = {"name": "ann", "role": "guest"}
    async with running(plan) as router, LinkedSocket(router) as client:
        plan.asked.clear()
        connected = await client.connect(plan.__name__, "a", params=params, events=(*ZONES, wrong, "news"))
        codes = {topic: error["code"] for topic, error in connected.refused_subscriptions.items()}
        assert codes == dict.fromkeys((*ZONES, wrong), "subscription_refused"), "and nothing about fields"
        assert plan.asked == ["moved", "news"]
        await call(router, plan.__name__, "a", "make", "guest")
        assert await until_news(client, "guest") == ["news"]


@PLANS
async def test_what_is_wrong_with_one_filter_harms_no_other_of_its_name(plan: type[Plan]) -> None:
    wrong = [topic_of("moved", {"nothing": 3}), topic_of("moved", {"zone": "3"})]
    async with running(plan, max_filters_per_connection=5) as router, LinkedSocket(router) as client:
        plan.asked.clear()
        topics = (wrong[0], ZONES[2], wrong[1], *ZONES[3:], ZONES[1], "moved", "news")
        connected = await client.connect(plan.__name__, "a", events=topics)
        codes = {topic: error["code"] for topic, error in connected.refused_subscriptions.items()}
        assert codes == {**dict.fromkeys(wrong, "invalid_filter"), ZONES[1]: "too_many_filters"}
        assert plan.asked == ["moved", "news"]
        await call(router, plan.__name__, "a", "make", "admin")
        assert await until_news(client, "admin") == ["moved", "news"]


async def until_news(client: LinkedSocket, text: str) -> list[str]:
    """Return the names of events up to this news."""
    names: list[str] = []
    while True:
        event = await client.receive(Event)
        names.append(event.name)
        if event.args == [text]:
            return names
