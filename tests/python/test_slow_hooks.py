"""What a client sends, and how it may go, while hooks of its connection take their time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from linked import TIMEOUT_S, LinkedSocket, call, eventually, running
from room import Log

from ringcast import Actor, Context, action
from ringcast.errors import CloseCode
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connect, Connected, Error, Event, Reply, Subscribe


class Slow(Actor[Log, None]):
    """Its hooks wait until the test lets them go."""

    entered = asyncio.Event()
    release = asyncio.Event()
    where = ""

    async def pause(self, c: Context[Log, None], name: str) -> None:
        c.state.lines.append(name)
        if Slow.where == name:
            Slow.entered.set()
            await Slow.release.wait()

    async def on_before_connect(self, c: Context[Log, None]) -> None:
        await self.pause(c, "on_before_connect")

    async def on_connect(self, c: Context[Log, None]) -> None:
        await self.pause(c, "on_connect")

    async def on_disconnect(self, c: Context[Log, None]) -> None:
        c.state.lines.append("on_disconnect")

    async def can_subscribe(self, c: Context[Log, None], event: str) -> bool:
        await self.pause(c, f"can_subscribe {event}")
        return event != "private"

    @action
    def say(self, c: Context[Log, None], text: str) -> str:
        c.broadcast("said", text)
        return text

    @action
    def lines(self, c: Context[Log, None]) -> list[str]:
        return c.state.lines


@pytest.fixture
def hold() -> Callable[[str], Awaitable[None]]:
    def prepare(where: str) -> Awaitable[None]:
        Slow.entered, Slow.release, Slow.where = asyncio.Event(), asyncio.Event(), where

        async def entered() -> None:
            await asyncio.wait_for(Slow.entered.wait(), TIMEOUT_S)

        return entered()

    return prepare


async def test_messages_that_arrive_while_connecting_wait(hold: Callable[[str], Awaitable[None]]) -> None:
    entered = hold("on_connect")
    async with running(Slow) as router, LinkedSocket(router) as client:
        client.send(
            Connect("slow", ("a",), subscriptions=("said",)), Call(1, "say", ["x"]), Call(2, "say", ["y"])
        )
        await entered
        Slow.release.set()
        await client.receive(Connected)
        assert [(await client.receive(Event)).args, await client.receive(Reply)] == [["x"], (1, "x")]
        assert [(await client.receive(Event)).args, await client.receive(Reply)] == [["y"], (2, "y")]


async def test_too_many_waiting_messages_close_the_socket(hold: Callable[[str], Awaitable[None]]) -> None:
    entered = hold("on_connect")
    async with running(Slow, max_pending_messages=2) as router, LinkedSocket(router) as client:
        client.send(Connect("slow", ("a",)))
        await entered
        client.send(*(Call(id, "say", ["x"]) for id in (1, 2, 3)))
        await client.receive(Error)
        await client.closed_with(CloseCode.INVALID_MESSAGE)
        Slow.release.set()
        await eventually(lambda: not router._gateway.tasks)  # type: ignore[union-attr]
        assert router.connections == 0


async def test_waiting_messages_may_take_so_many_bytes(hold: Callable[[str], Awaitable[None]]) -> None:
    entered = hold("on_connect")
    messages = [Call(id, "say", ["x" * 100]) for id in range(1, 6)]
    size = len(Encoding.JSON.encode(messages[0].to_wire()))
    async with running(Slow, max_pending_bytes=5 * size) as router:
        async with LinkedSocket(router) as client:
            client.send(Connect("slow", ("a",)))
            await entered
            behind = []
            for message in messages:
                client.send(message)
                behind.append(client.link.is_behind)
            # From a quarter of it on, no more is to be read.
            assert behind == [False, True, True, True, True]
            Slow.release.set()
            await client.receive(Connected)
            assert [(await client.receive(Reply)).id for _ in messages] == [1, 2, 3, 4, 5]
            assert not client.link.is_behind and not router.limits_hit["max_pending_messages"]
        entered = hold("on_connect")
        async with LinkedSocket(router) as client:
            client.send(Connect("slow", ("a",)))
            await entered
            client.send(*messages, Call(6, "say", []))
            assert (await client.receive(Error)).error["code"] == "invalid_message"
            await client.closed_with(CloseCode.INVALID_MESSAGE)
            assert router.limits_hit["max_pending_messages"] == 1
            Slow.release.set()


@pytest.mark.parametrize(
    ("where", "seen"),
    [
        ("on_before_connect", ["on_before_connect"]),
        ("can_subscribe said", ["on_before_connect", "can_subscribe said"]),
        ("on_connect", ["on_before_connect", "can_subscribe said", "on_connect", "on_disconnect"]),
    ],
)
async def test_a_socket_lost_while_hooks_run_leaves_nothing(
    hold: Callable[[str], Awaitable[None]], where: str, seen: list[str]
) -> None:
    entered = hold(where)
    async with running(Slow) as router:
        async with LinkedSocket(router) as client:
            client.send(Connect("slow", ("a",), subscriptions=("said",)))
            await entered
        Slow.release.set()
        await eventually(lambda: len(router._directory) == 1)  # once its first caller is let in
        (instance,) = router._directory
        await eventually(lambda: not router._gateway.tasks and not instance.tasks)  # type: ignore[union-attr]
        assert await call(router, "slow", "a", "lines") == seen
        assert router.connections == 0
        assert len(instance.conns) == 0
        assert instance.stream.connections() == 0  # type: ignore[attr-defined]


async def test_a_hook_that_takes_too_long_refuses(hold: Callable[[str], Awaitable[None]]) -> None:
    entered = hold("on_connect")
    async with running(Slow, hook_timeout_s=0.01) as router, LinkedSocket(router) as client:
        client.send(Connect("slow", ("a",)))
        await entered
        error = (await client.receive(Error)).error
        assert error == {"code": "action_timeout", "message": "on_connect took longer than 0.01 s"}
        await client.closed_with(CloseCode.INTERNAL_ERROR)
        assert len(next(iter(router._directory)).conns) == 0


async def test_messages_behind_an_async_can_subscribe_wait(hold: Callable[[str], Awaitable[None]]) -> None:
    entered = hold("can_subscribe said")
    async with running(Slow) as router, LinkedSocket(router) as client:
        await client.connect("slow", "a")
        client.send(
            Subscribe(1, "said"), Call(2, "say", ["x"]), Subscribe(3, "private"), Call(4, "say", ["y"])
        )
        await entered
        Slow.release.set()
        assert await client.receive(Reply) == (1, None)
        assert (await client.receive(Event)).args == ["x"]
        assert await client.receive(Reply) == (2, "x")
        assert (await client.receive(Error)).id == 3
        assert (await client.receive(Event)).args == ["y"]
        assert await client.receive(Reply) == (4, "y")
