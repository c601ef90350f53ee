"""An actor stops while an `on_connect` runs: who gets in after all is seen off before the state is saved."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from linked import LinkedSocket, call, eventually, running

from ringcast import Actor, Context, MemoryStore, action
from ringcast.errors import CloseCode
from ringcast.router import Router
from ringcast.running.status import Status
from ringcast.store import Store
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Connect


@dataclass
class Hall:
    seen: list[str] = field(default_factory=list)


class Door(Actor[Hall, str]):
    """Takes its time at the door, both ways."""

    def __init__(self) -> None:
        self.inward = asyncio.Event()
        self.outward = asyncio.Event()

    def create_conn_state(self, c: Context[Hall, str], params: str) -> str:
        return params

    async def on_connect(self, c: Context[Hall, str]) -> None:
        c.state.seen.append("coming")
        await self.inward.wait()
        c.state.seen.append("came")

    async def on_disconnect(self, c: Context[Hall, str]) -> None:
        c.state.seen.append("leaving")
        await self.outward.wait()
        c.state.seen.append("left")

    def on_stop(self, c: Context[Hall, str]) -> None:
        c.state.seen.append("stopped")

    @action
    def read(self, c: Context[Hall, str]) -> list[str]:
        return c.state.seen


class DurableDoor(Door):
    durable = True


async def seen_after_restart(store: Store, cls: type[Door]) -> list[str]:
    async with running(cls, store=store) as router:
        return list(await call(router, cls.__name__, "a", "read"))


async def arriving(router: Router, socket: LinkedSocket, cls: type[Door]) -> Any:
    """Have a client reach the middle of `on_connect`; return the actor's instance."""
    socket.send(Connect(cls.__name__, ("a",), params="ann"))
    await eventually(lambda: any(instance.in_progress for instance in router._directory))
    (instance,) = router._directory
    await eventually(lambda: instance.actor.state.seen == ["coming"])
    return instance


async def test_whoever_gets_in_while_the_server_stops_is_seen_off_before_the_state_is_saved() -> None:
    store = MemoryStore()
    async with running(Door, store=store) as router, LinkedSocket(router) as client:
        instance = await arriving(router, client, Door)
        stopping = asyncio.ensure_future(router.stop())
        await eventually(lambda: instance.status is Status.STOPPING)
        instance.actor.inward.set()
        await eventually(lambda: "leaving" in instance.actor.state.seen)
        instance.actor.outward.set()
        await stopping
        await client.closed_with(CloseCode.SERVER_RESTART)
    assert await seen_after_restart(store, Door) == ["coming", "came", "leaving", "left", "stopped"]


@pytest.mark.parametrize("how", ["stopped", "destroyed"])
async def test_a_hook_that_takes_longer_is_cancelled_and_what_it_has_changed_stays(how: str) -> None:
    store = MemoryStore()
    async with running(Door, store=store, shutdown_timeout_s=0.01) as router, LinkedSocket(router) as client:
        instance = await arriving(router, client, Door)
        await instance.state.save()
        if how == "destroyed":
            instance.actor.destroy()
            # The server goes on, and the client is told.
            error = await client.next()
            assert error.error["code"] == "actor_destroyed"  # type: ignore[union-attr]
            await client.closed_with(CloseCode.CONNECT_REFUSED)
            await eventually(lambda: router.actors == 0)
    # Nobody is seen off who has not got in.
    assert instance.actor.state.seen == ["coming", "stopped"]
    if how == "stopped":
        assert (await seen_after_restart(store, Door))[0] == "coming"


async def test_a_durable_actor_sees_off_after_the_restart_whom_it_had_half_let_in() -> None:
    store = MemoryStore()
    async with running(DurableDoor, store=store) as router, LinkedSocket(router) as client:
        await arriving(router, client, DurableDoor)
    (stream,) = store._streams.values()
    assert len(stream.sessions) == 1
    clock = ManualClock()
    async with running(DurableDoor, store=store, clock=clock) as router:
        assert await call(router, "DurableDoor", "a", "read") == ["coming", "stopped"]
        (instance,) = router._directory
        instance.actor.outward.set()
        await clock.advance(router.config.session_window_s)
        assert await call(router, "DurableDoor", "a", "read") == ["coming", "stopped", "leaving", "left"]
