"""An actor that nobody uses sleeps: when, and what keeps it awake."""

from __future__ import annotations

import asyncio

import pytest
from linked import LinkedSocket, call, eventually, running
from scheduling import WallClock
from sleepers import Diary, Doorman, asleep, stays_awake, stored

from ringcast import Actor, MemoryStore
from ringcast.errors import DefinitionError
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Connect


async def test_an_actor_that_nobody_uses_stops_saved_and_the_next_call_starts_it(clock: ManualClock) -> None:
    store = MemoryStore()
    async with running(Diary, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "diary", "k", "write", "a line")
        await clock.advance(29.9)
        await stays_awake(router)
        await clock.advance(0.1)
        await asleep(router)
        assert await stored(store, Diary) == b'{"lines":["start","a line","stop"]}'
        assert await call(router, "diary", "k", "read") == ["start", "a line", "stop", "start"]


async def test_every_call_puts_it_off(clock: ManualClock) -> None:
    async with running(Diary, clock=clock, sleep_after_s=10) as router:
        for _ in range(5):
            await call(router, "diary", "k", "read")
            await clock.advance(9)
            await stays_awake(router)
        await clock.advance(1)
        await asleep(router)


async def test_a_connection_keeps_it_awake_until_its_session_has_ended(clock: ManualClock) -> None:
    async with running(Diary, clock=clock, sleep_after_s=10, session_window_s=25) as router:
        async with LinkedSocket(router) as client:
            await client.connect("diary", "k")
            await clock.advance(1000)
            await stays_awake(router)
        # The client is away: its session waits for it, and the actor with it.
        await clock.advance(24)
        await stays_awake(router)
        await clock.advance(1)
        assert router.connections == 0
        await clock.advance(9)
        await stays_awake(router)
        await clock.advance(1)
        await asleep(router)


async def test_a_running_action_keeps_it_awake(clock: ManualClock) -> None:
    async with running(Diary, clock=clock, sleep_after_s=10) as router:
        waiting = asyncio.ensure_future(call(router, "diary", "k", "wait"))
        await eventually(lambda: router.actors)
        await clock.advance(1000)
        await stays_awake(router)
        (instance,) = router._directory
        instance.actor.release.set()
        await waiting
        await eventually(lambda: not instance.tasks)
        await clock.advance(9)
        await stays_awake(router)
        await clock.advance(1)
        await asleep(router)


async def test_a_background_task_keeps_it_awake(clock: ManualClock) -> None:
    async with running(Diary, clock=clock, sleep_after_s=10) as router:
        await call(router, "diary", "k", "work_behind")
        await clock.advance(1000)
        await stays_awake(router)
        await call(router, "diary", "k", "let_go")
        (instance,) = router._directory
        await eventually(lambda: not instance.tasks.background)
        await clock.advance(10)
        await asleep(router)


async def test_hooks_of_those_who_come_and_go_keep_it_awake(clock: ManualClock) -> None:
    Doorman.at_the_door, Doorman.may_pass = asyncio.Event(), asyncio.Event()
    async with running(Doorman, clock=clock, sleep_after_s=10) as router, LinkedSocket(router) as client:
        await call(router, "doorman", "k", "look")
        connecting = asyncio.ensure_future(client.connect("doorman", "k"))
        await Doorman.at_the_door.wait()
        await clock.advance(1000)
        await stays_awake(router)
        Doorman.may_pass.set()
        await connecting
        client.lose(1000)
        await Doorman.at_the_door.wait()
        await clock.advance(1000)
        await stays_awake(router)
        Doorman.may_pass.set()
        (instance,) = router._directory
        await eventually(lambda: not instance.tasks)
        await clock.advance(10)
        await asleep(router)


async def test_a_client_that_is_lost_while_it_connects_does_not_keep_it_awake(clock: ManualClock) -> None:
    Doorman.at_the_door, Doorman.may_pass = asyncio.Event(), asyncio.Event()
    async with running(Doorman, clock=clock, sleep_after_s=10) as router:
        await call(router, "doorman", "k", "look")
        async with LinkedSocket(router) as client:
            client.send(Connect("doorman", ("k",)))
            await Doorman.at_the_door.wait()
        Doorman.may_pass.set()
        (instance,) = router._directory
        await eventually(lambda: not instance._arriving)
        await clock.advance(10)
        await asleep(router)


async def test_a_server_may_let_nobody_sleep(clock: ManualClock) -> None:
    async with running(Diary, clock=clock, sleep_after_s=None) as router:
        await call(router, "diary", "k", "read")
        await clock.advance(1e9)
        await stays_awake(router)


async def test_a_class_may_say_otherwise(clock: ManualClock) -> None:
    class Restless(Diary, sleep_after_s=None):
        """Never sleeps."""

    class Sleepy(Diary, sleep_after_s=1):
        """Sleeps soon."""

    class Sleepier(Sleepy):
        """As its base class."""

    async with running(Restless, Sleepy, Sleepier, clock=clock, sleep_after_s=10) as router:
        for name in ("restless", "sleepy", "sleepier"):
            await call(router, name, "k", "read")
        await clock.advance(1)
        await eventually(lambda: router.actors == 1)
        await clock.advance(1000)
        await stays_awake(router)


@pytest.mark.parametrize("wrong", [0, -1, float("nan")])
def test_a_class_that_would_sleep_at_once_is_refused(wrong: float) -> None:
    with pytest.raises(DefinitionError, match=r"Hasty: sleep_after_s is above 0, or None for never"):

        class Hasty(Actor, sleep_after_s=wrong):
            """Sleeps before it has lived."""


async def test_a_time_of_day_that_is_set_back_does_not_keep_it_awake() -> None:
    clock = WallClock()
    async with running(Diary, clock=clock, sleep_after_s=10) as router:
        await call(router, "diary", "k", "read")
        clock.set(0)
        await clock.advance(10)
        await stays_awake(router)
        await clock.advance(10)
        await asleep(router)
