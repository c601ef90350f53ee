"""The last save before a sleep: an actor stays awake until it can be saved, or while somebody comes."""

from __future__ import annotations

import asyncio

import pytest
from linked import LinkedSocket, call, eventually, running
from sleepers import Chronicle, Diary, Doorman, Reluctant, Unreliable, asleep, stays_awake, stored

from ringcast.testing import ManualClock
from ringcast.wire.protocol import Connect

# --- a store that fails -------------------------------------------------------------------------------------


async def test_a_state_that_cannot_be_saved_keeps_it_awake_until_it_can_be(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Unreliable()
    async with running(Diary, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "diary", "k", "write", "precious")
        store.failing = True
        for attempt in (1, 2):
            await clock.advance(30)
            await eventually(lambda n=attempt: caplog.text.count("the actor stays awake") == n)
            await stays_awake(router)
        assert "the disk is full" in caplog.text
        # It never stopped.
        (instance,) = router._directory
        assert instance.actor.state.lines == ["start", "precious"]
        store.failing = False
        await clock.advance(30)
        await asleep(router)
        assert await stored(store, Diary) == b'{"lines":["start","precious","stop"]}'


async def test_what_on_stop_has_changed_is_not_lost_either(
    clock: ManualClock, reluctant: type[Reluctant], caplog: pytest.LogCaptureFixture
) -> None:
    store = Unreliable()
    async with running(reluctant, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "reluctant", "k", "write", "precious")
        await clock.advance(30)
        await reluctant.leaving.wait()
        late = asyncio.ensure_future(call(router, "reluctant", "k", "read"))
        store.failing = True
        reluctant.may_go.set()
        # The same instance goes on, started again, and answers what has waited.
        assert await late == ["start", "precious", "stop", "start"]
        assert "the actor stays awake" in caplog.text
        store.failing = False
        await clock.advance(30)
        await asleep(router)
        assert await call(router, "reluctant", "k", "read") == [
            "start", "precious", "stop", "start", "stop", "start"
        ]  # fmt: skip


async def test_a_durable_actor_too_stays_awake_until_it_can_be_saved(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Unreliable()
    async with running(Chronicle, store=store, clock=clock) as router:
        await call(router, "chronicle", "k", "tell", "precious")
        store.failing = True
        (instance,) = router._directory
        instance.actor.state.lines.append("more precious")
        await clock.advance(30)
        await eventually(lambda: "the journal could not be committed" in caplog.text)
        await stays_awake(router)
        assert instance.actor.state.lines == ["start", "precious", "more precious"]
        store.failing = False
        await clock.advance(31)
        await asleep(router)
        assert await stored(store, Chronicle) == b'{"lines":["start","precious","more precious","stop"]}'


async def test_what_on_stop_of_a_durable_actor_has_changed_is_not_lost_either(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Unreliable()

    class Late(Chronicle):
        """Whose store fails in its last moments."""

        def on_stop(self) -> None:
            super().on_stop()
            store.failing = not caplog.text

    async with running(Late, store=store, clock=clock, shutdown_timeout_s=0.05) as router:
        await call(router, "late", "k", "tell", "precious")
        await clock.advance(30)
        await eventually(lambda: "the actor stays awake" in caplog.text)
        late = asyncio.ensure_future(call(router, "late", "k", "read"))
        await eventually(lambda: next(iter(router._directory)).is_running)
        store.failing = False
        await clock.advance(1)
        assert await late == ["start", "precious", "stop", "start"]
        await clock.advance(30)
        await asleep(router)
        assert await stored(store, Late) == b'{"lines":["start","precious","stop","start","stop"]}'


# --- who comes during it ------------------------------------------------------------------------------------


async def test_a_call_during_its_last_save_keeps_it_awake(clock: ManualClock) -> None:
    store = Unreliable()
    async with running(Diary, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "diary", "k", "write", "first")
        store.may_save.clear()
        await clock.advance(30)
        await store.saving.wait()
        await call(router, "diary", "k", "write", "second")
        store.may_save.set()
        await stays_awake(router)
        assert await call(router, "diary", "k", "read") == ["start", "first", "second"]
        await clock.advance(30)
        await asleep(router)


async def test_a_connect_during_its_last_save_keeps_it_awake(clock: ManualClock) -> None:
    Doorman.at_the_door, Doorman.may_pass = asyncio.Event(), asyncio.Event()
    store = Unreliable()
    async with (
        running(Doorman, store=store, clock=clock, save_interval_s=1000) as router,
        LinkedSocket(router) as client,
    ):
        await router.resolve(Connect("doorman", ("k",)))
        (instance,) = router._directory
        instance.state.value.lines.append("to be saved")
        store.may_save.clear()
        await clock.advance(30)
        await store.saving.wait()
        connecting = asyncio.ensure_future(client.connect("doorman", "k"))
        await Doorman.at_the_door.wait()
        store.may_save.set()
        await stays_awake(router)
        Doorman.may_pass.set()
        assert (await connecting).gap is None
        Doorman.may_pass.set()
