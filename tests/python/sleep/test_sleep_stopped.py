"""The end of an actor that goes to sleep: a server that stops meanwhile, and what `on_stop` may do."""

from __future__ import annotations

import asyncio

import pytest
from linked import TIMEOUT_S, LinkedSocket, call, running
from sleepers import Diary, Page, Reluctant, Unreliable, asleep, stays_awake, stored

from ringcast import Actor, Context, MemoryStore, action
from ringcast.errors import CloseCode
from ringcast.testing import ManualClock


async def test_a_server_that_stops_meanwhile_waits_for_it(
    clock: ManualClock, reluctant: type[Reluctant]
) -> None:
    store = MemoryStore()
    async with running(reluctant, store=store, clock=clock) as router:
        await call(router, "reluctant", "k", "write", "before")
        await clock.advance(30)
        await reluctant.leaving.wait()
        stopping = asyncio.ensure_future(router.stop())
        await stays_awake(router)
        reluctant.may_go.set()
        await stopping
        assert await stored(store, reluctant) == b'{"lines":["start","before","stop"]}'


async def test_a_server_stops_though_one_could_not_go_to_sleep(
    clock: ManualClock, reluctant: type[Reluctant]
) -> None:
    store = Unreliable()
    async with running(reluctant, store=store, clock=clock) as router:
        await call(router, "reluctant", "k", "write", "before")
        await clock.advance(30)
        await reluctant.leaving.wait()
        stopping = asyncio.ensure_future(router.stop())
        store.failing = True
        reluctant.may_go.set()
        async with asyncio.timeout(TIMEOUT_S):
            await stopping
        assert router.actors == 0


async def test_on_stop_may_end_it_for_good(clock: ManualClock) -> None:
    class Visited(Diary):
        """Is there for as long as somebody uses it."""

        def on_stop(self) -> None:
            self.destroy()

    store = MemoryStore()
    async with running(Visited, store=store, clock=clock) as router:
        await call(router, "visited", "k", "write", "a line")
        await clock.advance(30)
        await asleep(router)
        assert await store.find("Visited", ("k",)) is None
        assert await call(router, "visited", "k", "read") == ["start"]


@pytest.mark.parametrize("durable", [False, True], ids=["ordinary", "durable"])
async def test_on_stop_may_end_it_for_good_at_a_shutdown_too(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    monkeypatch.setattr(Actor, "durable", durable)
    left: list[str] = []

    class Passing(Diary):
        """Is there for as long as the server is."""

        def on_disconnect(self, c: Context[Page]) -> None:
            left.append(c.conn.id)

        def on_stop(self) -> None:
            self.destroy()

    store = MemoryStore()
    async with running(Passing, store=store, clock=clock) as router, LinkedSocket(router) as client:
        connected = await client.connect("passing", "k")
        await router.stop()
        await client.closed_with(CloseCode.ACTOR_DESTROYED)
        assert left == [connected.connection]
        assert not store._by_id


async def test_what_on_stop_begins_in_the_background_ends_with_it(clock: ManualClock) -> None:
    class Late(Actor):
        """Begins something when it stops."""

        ended = False

        async def on_stop(self) -> None:
            begun = asyncio.Event()
            self.spawn(self.work(begun))
            await begun.wait()

        async def work(self, begun: asyncio.Event) -> None:
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                Late.ended = True

        @action
        def use(self, c: Context) -> None: ...

    async with running(Late, clock=clock) as router:
        await call(router, "late", "k", "use")
        await clock.advance(30)
        await asleep(router)
        assert Late.ended
