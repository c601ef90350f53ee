"""Waking an actor that sleeps or goes to sleep: whoever comes waits, is answered, and is told of a gap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from linked import TIMEOUT_S, LinkedSocket, call, resume_from, running
from sleepers import Chronicle, Diary, Page, Reluctant, asleep, stays_awake, stored

from ringcast import Actor, Context, MemoryStore, action
from ringcast.clock import SystemClock
from ringcast.router import Router
from ringcast.store import StoredActor
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Call, Connect, Event, Gap, Reply

# --- while it goes to sleep ---------------------------------------------------------------------------------


async def test_a_call_that_comes_while_it_goes_to_sleep_waits_and_wakes_it(
    clock: ManualClock, reluctant: type[Reluctant]
) -> None:
    async with running(reluctant, clock=clock) as router:
        await call(router, "reluctant", "k", "write", "before")
        await clock.advance(30)
        await reluctant.leaving.wait()
        late = asyncio.ensure_future(call(router, "reluctant", "k", "read"))
        await stays_awake(router)
        assert not late.done()
        reluctant.may_go.set()
        assert await late == ["start", "before", "stop", "start"]


async def test_a_connect_that_comes_while_it_goes_to_sleep_waits_and_wakes_it(
    clock: ManualClock, reluctant: type[Reluctant]
) -> None:
    async with running(reluctant, clock=clock) as router, LinkedSocket(router) as client:
        await call(router, "reluctant", "k", "write", "before")
        await clock.advance(30)
        await reluctant.leaving.wait()
        connecting = asyncio.ensure_future(client.connect("reluctant", "k"))
        await stays_awake(router)
        assert not connecting.done()
        reluctant.may_go.set()
        assert (await connecting).gap is None
        client.send(Call(1, "read", []))
        assert await client.receive(Reply) == (1, ["start", "before", "stop", "start"])


async def test_a_create_of_one_that_sleeps_or_goes_to_sleep_finds_that_it_exists(
    clock: ManualClock, reluctant: type[Reluctant]
) -> None:
    create = Connect("reluctant", ("k",), lookup="create")
    async with running(reluctant, clock=clock) as router:
        actor_id, _ = await router.resolve(create)
        await clock.advance(30)
        await reluctant.leaving.wait()
        late = asyncio.ensure_future(router.resolve(create))
        reluctant.may_go.set()
        outcome = (await asyncio.gather(late, return_exceptions=True))[0]
        assert getattr(outcome, "code", None) == "actor_already_exists"
        await asleep(router)
        assert (await router.resolve(Connect("reluctant", lookup="id", actor_id=actor_id)))[0] == actor_id


# --- at any moment ------------------------------------------------------------------------------------------


async def test_calls_at_any_moment_of_falling_asleep_and_waking_all_count() -> None:
    @dataclass
    class Count:
        value: int = 0

    class Counter(Actor[Count], sleep_after_s=1e-9):
        """Sleeps whenever it can."""

        stops = 0

        async def on_start(self) -> None:
            await asyncio.sleep(0)

        async def on_stop(self) -> None:
            Counter.stops += 1
            await asyncio.sleep(0)

        @action
        def add(self, c: Context[Count]) -> int:
            c.state.value += 1
            return c.state.value

        @action
        async def add_later(self, c: Context[Count]) -> int:
            await asyncio.sleep(0)
            c.state.value += 1
            return c.state.value

    random = Random(5)
    answers: list[int] = []

    async def calls(router: Router) -> None:
        for _ in range(100):
            answers.append(await call(router, "counter", "k", random.choice(("add", "add_later"))))
            for _ in range(random.randrange(8)):
                await asyncio.sleep(0)

    async with running(Counter) as router, asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(calls(router) for _ in range(5)))
        assert sorted(answers) == list(range(1, 501))
        assert Counter.stops > 10


async def test_one_that_has_just_started_for_somebody_is_not_put_to_sleep_before_he_has_it() -> None:
    class Hasty(SystemClock):
        """On which everything is due at once."""

        def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> asyncio.Handle:
            return asyncio.get_running_loop().call_soon(callback, *args)

    class Brief(Diary, sleep_after_s=1e-9):
        """Sleeps whenever it can."""

        @action
        async def write_later(self, c: Context[Page], line: str) -> None:
            for _ in range(10):
                await asyncio.sleep(0)
            c.state.lines.append(line)

    store = MemoryStore()
    async with running(Brief, store=store, clock=Hasty()) as router:
        await call(router, "brief", "k", "write_later", "a line")
        await asleep(router)
        assert await stored(store, Brief) == b'{"lines":["start","a line","stop"]}'


async def test_connects_at_any_moment_of_falling_asleep_are_all_answered() -> None:
    class Porch(Actor[Page], sleep_after_s=1e-9):
        """Sleeps whenever it can."""

        stops = 0

        async def on_before_connect(self) -> None:
            await asyncio.sleep(0)

        async def on_stop(self) -> None:
            Porch.stops += 1
            await asyncio.sleep(0)

        @action
        def write(self, c: Context[Page]) -> int:
            c.state.lines.append(c.conn.id)
            return len(c.state.lines)

    random = Random(7)
    answers: list[int] = []

    async def connects(router: Router) -> None:
        for _ in range(30):
            async with LinkedSocket(router) as client:
                await client.connect("porch", "k")
                client.send(Call(1, "write", []))
                answers.append((await client.receive(Reply)).value)
                client.lose(1000)
            for _ in range(random.randrange(12)):
                await asyncio.sleep(0)

    async with running(Porch) as router, asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(connects(router) for _ in range(3)))
        assert sorted(answers) == list(range(1, 91))
        assert Porch.stops > 10


# --- while it sleeps ----------------------------------------------------------------------------------------


async def test_a_client_that_comes_back_after_a_sleep_is_told_of_the_gap(clock: ManualClock) -> None:
    async with running(Diary, clock=clock, sleep_after_s=10, session_window_s=5) as router:
        async with LinkedSocket(router) as client:
            before = await client.connect("diary", "k")
        await clock.advance(5)
        async with LinkedSocket(router) as client:
            # Its session has ended, and the actor is awake.
            again = await client.connect("diary", "k", resume=resume_from(before))
            assert again.gap is not None and again.gap.reason == "session_expired"
        await clock.advance(5)
        await clock.advance(10)
        await asleep(router)
        async with LinkedSocket(router) as client:
            last = await client.connect("diary", "k", resume=resume_from(again))
            assert last.gap is not None and last.gap.reason == "epoch_changed"
            assert last.epoch != again.epoch


async def test_an_actor_that_is_known_by_its_id_alone_wakes_too(clock: ManualClock) -> None:
    async with running(Diary, clock=clock) as router:
        actor_id, _ = await router.resolve(Connect("diary", ("k",)))
        await clock.advance(30)
        await asleep(router)
        assert (await router.resolve(Connect("diary", lookup="id", actor_id=actor_id)))[0] == actor_id


async def test_one_that_could_not_be_read_back_is_tried_again(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Forgetful(MemoryStore):
        failing = False

        async def find(self, name: str, key: tuple[str, ...]) -> StoredActor | None:
            if self.failing:
                raise OSError("the disk is away")
            return await super().find(name, key)

    store = Forgetful()
    async with running(Diary, store=store, clock=clock) as router:
        await call(router, "diary", "k", "write", "a line")
        await clock.advance(30)
        await asleep(router)
        store.failing = True
        outcome = (await asyncio.gather(call(router, "diary", "k", "read"), return_exceptions=True))[0]
        assert getattr(outcome, "code", None) == "internal_error"
        store.failing = False
        assert await call(router, "diary", "k", "read") == ["start", "a line", "stop", "start"]


async def test_the_stream_of_a_durable_actor_goes_on_after_a_sleep(clock: ManualClock) -> None:
    async with running(Chronicle, clock=clock, session_window_s=5) as router:
        async with LinkedSocket(router) as client:
            before = await client.connect("chronicle", "k", events=("told",))
            client.send(Call(1, "tell", ["a line"]))
            assert (await client.receive(Event)).args == ["a line"]
        # Its client may come back for as long, and then it is left alone.
        await clock.advance(5 + 30)
        await asleep(router)
        async with LinkedSocket(router) as client:
            seen = resume_from(before, 1)
            after = await client.connect("chronicle", "k", resume=seen, events=("told",))
            # It is the session that is over, and not the stream.
            assert (after.gap, after.offset) == (Gap("session_expired"), 1)
            client.send(Call(1, "tell", ["another"]))
            assert (await client.receive(Event)).offset == 2
