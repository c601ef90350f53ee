"""Sessions from before a restart that nobody comes back to: they end, and their actor is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from linked import LinkedSocket, call, eventually, resume_from, running

from ringcast import Actor, Context, SqliteStore, action
from ringcast.router import Router
from ringcast.store import Store
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Connected, Gap

WINDOW_S = 30.0


class Presence(Actor):
    durable = True
    gone: ClassVar[list[str]] = []

    def on_disconnect(self, c: Context) -> None:
        self.gone.append(c.conn.id)

    @action
    def present(self, c: Context) -> list[str]:
        return [conn.id for conn in c.conns]


class Broken(Actor):
    """Cannot start again."""

    durable = True
    starts = 0

    def on_start(self, c: Context) -> None:
        type(self).starts += 1
        if self.starts > 1:
            raise RuntimeError("it does not start")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return SqliteStore(tmp_path / "test.db")


@pytest.fixture(autouse=True)
def nobody_gone() -> None:
    Presence.gone.clear()
    Broken.starts = 0


@asynccontextmanager
async def started(store: Store) -> AsyncIterator[tuple[Router, ManualClock]]:
    clock = ManualClock()
    async with running(Presence, Broken, store=store, clock=clock, session_window_s=WINDOW_S) as router:
        yield router, clock


async def visited(store: Store, *keys: str, actor: str = "presence") -> list[Connected]:
    """Have a client of each actor lose its network, and stop the server while it may come back."""
    answers = []
    async with started(store) as (router, _):
        for key in keys:
            async with LinkedSocket(router) as socket:
                answers.append(await socket.connect(actor, key))
    return answers


async def test_a_session_that_nobody_comes_back_to_ends_though_nobody_uses_its_actor(store: Store) -> None:
    connected = await visited(store, "a", "b")
    async with started(store) as (router, clock):
        await clock.advance(WINDOW_S - 1)
        assert (router.actors, Presence.gone) == (0, [])
        await clock.advance(1)
        await eventually(lambda: router.actors == 2)
        await clock.advance(WINDOW_S)
        assert sorted(Presence.gone) == sorted(each.connection for each in connected)
        # They are used by nobody, and go to sleep again.
        await clock.advance(router.config.sleep_after_s)
        await eventually(lambda: router.actors == 0)
        assert await store.with_sessions() == []


async def test_whoever_comes_back_within_a_window_after_the_restart_goes_on(store: Store) -> None:
    [connected] = await visited(store, "a")
    async with started(store) as (router, clock):
        await clock.advance(WINDOW_S - 1)
        async with LinkedSocket(router) as socket:
            resume = resume_from(connected)
            answer = await socket.connect("presence", "a", resume=resume)
            assert (answer.session, answer.replayed) == (connected.session, 0)
            await clock.advance(10 * WINDOW_S)
            assert await call(router, "presence", "a", "present") == [connected.connection]
            assert Presence.gone == []


async def test_whoever_comes_back_later_is_told(store: Store) -> None:
    [connected] = await visited(store, "a")
    async with started(store) as (router, clock):
        await clock.advance(WINDOW_S)
        await eventually(lambda: router.actors == 1)
        await clock.advance(WINDOW_S)
        async with LinkedSocket(router) as socket:
            answer = await socket.connect("presence", "a", resume=resume_from(connected))
            assert answer.gap == Gap("session_expired")


async def test_an_actor_that_is_used_earlier_is_started_once(store: Store) -> None:
    await visited(store, "a")
    async with started(store) as (router, clock):
        assert len(await call(router, "presence", "a", "present")) == 1
        await clock.advance(WINDOW_S)
        assert await call(router, "presence", "a", "present") == []
        assert len(Presence.gone) == router.actors == 1


async def test_an_actor_that_cannot_start_is_told_to_the_log_and_holds_up_no_other(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await visited(store, "x", actor="broken")
    await visited(store, "a")
    async with started(store) as (router, clock):
        await clock.advance(WINDOW_S)
        await eventually(
            lambda: router.actors == 1 and "nobody came back to, and cannot start" in caplog.text
        )
        assert Broken.starts == 2
        # It is tried again, less and less often.
        await clock.advance(2 * WINDOW_S - 1)
        assert Broken.starts == 2
        await clock.advance(1)
        await eventually(lambda: Broken.starts == 3)
        Broken.starts = 0
        await clock.advance(4 * WINDOW_S)
        await eventually(lambda: Broken.starts == 1)
        await clock.advance(WINDOW_S)
        for instance in router._directory:
            await instance.settled()
        assert await store.with_sessions() == []


async def test_a_server_that_stops_before_starts_none(store: Store) -> None:
    await visited(store, "a")
    async with started(store) as (router, clock):
        await clock.advance(WINDOW_S - 1)
    await clock.advance(WINDOW_S)
    assert (router.actors, Presence.gone) == (0, [])
