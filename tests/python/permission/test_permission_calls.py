"""Permission to call: what `can_call` is asked, in what order, and how a refusal is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from linked import TIMEOUT_S, LinkedSocket, call, eventually, resume_from, running

from ringcast import Actor, Context, UserError, action
from ringcast.clock import SystemClock
from ringcast.errors import ActorDestroyed, CallRefused, InternalError, RingcastError
from ringcast.wire.protocol import Call, Connect, Error, Event, Reply, Subscribe


@dataclass
class Guest:
    role: str = "guest"


@dataclass
class Done:
    lines: list[str] = field(default_factory=list)


class Desk(Actor[Done, Guest]):
    """Lets admins do everything, and others what is not forbidden."""

    asked: ClassVar[list[str]] = []

    def allows(self, c: Context[Done, Guest], name: str) -> bool:
        self.asked.append(name)
        if name == "raise_error":
            raise UserError("ask the owner", code="not_yours", metadata={"owner": "ann"})
        if name == "break_down":
            raise RuntimeError("a secret")
        return not name.startswith("ban_") or (c.has_conn and c.conn.state.role == "admin")

    @action
    def say(self, c: Context[Done, Guest], text: str) -> int:
        c.state.lines.append(text)
        c.broadcast("said", text)
        return len(c.state.lines)

    @action
    def ban_user(self, c: Context[Done, Guest], name: str) -> str:
        c.state.lines.append(f"ban {name}")
        return name

    @action
    async def ban_slowly(self, c: Context[Done, Guest]) -> str:
        await asyncio.sleep(0)
        return self.ban_user(c, "slowly")

    @action
    def raise_error(self, c: Context[Done, Guest]) -> None:
        c.state.lines.append("never")

    @action
    def break_down(self, c: Context[Done, Guest]) -> None:
        c.state.lines.append("never")

    @action
    async def lines(self, c: Context[Done, Guest]) -> list[str]:
        return c.state.lines

    @action
    def ban_later(self, c: Context[Done, Guest]) -> None:
        c.state.lines.append("scheduled")

    @action
    async def schedule_it(self, c: Context[Done, Guest]) -> None:
        c.schedule.after(0, self.ban_later)


class SyncDesk(Desk):
    def can_call(self, c: Context[Done, Guest], action: str) -> bool:
        return self.allows(c, action)


class AsyncDesk(Desk):
    async def can_call(self, c: Context[Done, Guest], action: str) -> bool:
        await asyncio.sleep(0)
        return self.allows(c, action)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hide from `inspect` that a function is async, as many decorators do."""

    def wrapper(self: Any, c: Any, name: str) -> Any:
        return function(self, c, name)

    return wrapper


class DecoratedDesk(Desk):
    @decorated
    async def can_call(self, c: Context[Done, Guest], action: str) -> bool:
        await asyncio.sleep(0)
        return self.allows(c, action)


class DurableDesk(AsyncDesk):
    durable = True


class DurableSyncDesk(SyncDesk):
    durable = True


ALL = [SyncDesk, AsyncDesk, DecoratedDesk, DurableDesk, DurableSyncDesk]


@pytest.fixture(autouse=True)
def asked() -> list[str]:
    Desk.asked.clear()
    return Desk.asked


@pytest.fixture(params=ALL, ids=[cls.__name__ for cls in ALL])
def desk(request: pytest.FixtureRequest) -> type[Desk]:
    found: type[Desk] = request.param
    return found


async def test_a_call_that_is_not_allowed_is_answered_with_its_code_and_does_not_run(
    desk: type[Desk],
) -> None:
    async with running(desk) as router, LinkedSocket(router) as client:
        await client.connect(desk.__name__, "a")
        client.send(Call(1, "ban_user", ["bob"]))
        error = await client.receive(Error)
        assert error == (1, {"code": "call_refused", "message": "ban_user may not be called here"})
        client.send(Call(2, "lines", []))
        assert await client.receive(Reply) == (2, [])


async def test_the_hook_gets_the_python_name_whichever_was_called(desk: type[Desk], asked: list[str]) -> None:
    async with running(desk) as router, LinkedSocket(router) as client:
        await client.connect(desk.__name__, "a")
        client.send(Call(1, "banUser", ["bob"]))
        assert (await client.receive(Error)).error["code"] == "call_refused"
        assert asked == ["ban_user"]


async def test_the_hook_sees_who_calls(desk: type[Desk]) -> None:
    async with running(desk) as router, LinkedSocket(router) as client:
        await client.connect(desk.__name__, "a", params={"role": "admin"})
        client.send(Call(1, "ban_user", ["bob"]), Call(2, "ban_slowly", []))
        assert await client.receive(Reply) == (1, "bob")
        assert await client.receive(Reply) == (2, "slowly")


async def test_a_call_without_a_connection_is_asked_about_as_well(desk: type[Desk], asked: list[str]) -> None:
    async with running(desk) as router:
        name = desk.__name__
        assert await call(router, name, "a", "say", "hello") == 1
        for forbidden in (["ban_user", "bob"], ["ban_slowly"]):
            with pytest.raises(CallRefused):
                await call(router, name, "a", *forbidden)
        assert await call(router, name, "a", "lines") == ["hello"]
        assert asked == ["say", "ban_user", "ban_slowly", "lines"]


async def test_what_the_hook_raises_is_the_answer(desk: type[Desk], caplog: pytest.LogCaptureFixture) -> None:
    async with running(desk) as router, LinkedSocket(router) as client:
        await client.connect(desk.__name__, "a")
        client.send(Call(1, "raise_error", []), Call(2, "break_down", []), Call(3, "lines", []))
        assert (await client.receive(Error)).error == {
            "code": "not_yours",
            "message": "ask the owner",
            "metadata": {"owner": "ann"},
        }
        assert (await client.receive(Error)).error == {"code": "internal_error", "message": "internal error"}
        assert await client.receive(Reply) == (3, [])
        [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert record.getMessage() == "a: can_call raised RuntimeError"
        with pytest.raises(InternalError):
            await call(router, desk.__name__, "a", "break_down")


async def test_it_is_asked_before_the_arguments_are_looked_at(desk: type[Desk]) -> None:
    async with running(desk) as router:
        with pytest.raises(CallRefused):
            await call(router, desk.__name__, "a", "ban_user", 1, 2, 3)


async def test_it_is_not_asked_about_what_does_not_exist(desk: type[Desk], asked: list[str]) -> None:
    async with running(desk) as router:
        with pytest.raises(RingcastError) as raised:
            await call(router, desk.__name__, "a", "ban_everybody")
        assert raised.value.code == "unknown_action"
        assert asked == []


async def test_it_is_not_asked_about_what_the_schedule_runs(desk: type[Desk], asked: list[str]) -> None:
    async with running(desk, clock=SystemClock()) as router, LinkedSocket(router) as client:
        await client.connect(desk.__name__, "a")
        client.send(Call(1, "schedule_it", []))
        assert await client.receive(Reply) == (1, None)
        [instance] = router._directory
        await eventually(lambda: instance.actor.state.lines == ["scheduled"])
        assert asked == ["schedule_it"]


async def test_a_refused_call_that_is_sent_again_gets_the_same_answer(
    desk: type[Desk], asked: list[str]
) -> None:
    async with running(desk) as router:
        async with LinkedSocket(router) as client:
            connected = await client.connect(desk.__name__, "a")
            client.send(Call(1, "ban_user", ["bob"]))
            first = await client.receive(Error)
        async with LinkedSocket(router) as client:
            await client.connect(desk.__name__, "a", resume=resume_from(connected))
            client.send(Call(1, "ban_user", ["bob"]))
            assert await client.receive(Error) == first
        assert asked == ["ban_user"]


async def test_events_of_an_allowed_call_come_before_its_reply(desk: type[Desk]) -> None:
    async with running(desk) as router, LinkedSocket(router) as client:
        await client.connect(desk.__name__, "a", events=("said",))
        client.send(Call(1, "say", ["x"]), Call(2, "say", ["y"]))
        for id, text in ((1, "x"), (2, "y")):
            assert (await client.receive(Event)).args == [text]
            assert await client.receive(Reply) == (id, id)


class Gated(Desk):
    """Takes its time to decide about the first call."""

    gate: ClassVar[asyncio.Event]
    entered: ClassVar[asyncio.Event]

    async def can_call(self, c: Context[Done, Guest], action: str) -> bool:
        self.asked.append(action)
        if len(self.asked) == 1:
            self.entered.set()
            await self.gate.wait()
        return True


class DurableGated(Gated):
    durable = True


@pytest.fixture(params=[Gated, DurableGated], ids=["ordinary", "durable"])
async def gated(request: pytest.FixtureRequest) -> type[Gated]:
    Gated.gate, Gated.entered = asyncio.Event(), asyncio.Event()
    found: type[Gated] = request.param
    return found


async def test_calls_do_not_overtake_one_that_is_being_decided(gated: type[Gated]) -> None:
    async with running(gated) as router, LinkedSocket(router) as client:
        await client.connect(gated.__name__, "a")
        client.send(Call(1, "say", ["x"]), Call(2, "lines", []), Call(3, "say", ["y"]))
        await asyncio.wait_for(gated.entered.wait(), TIMEOUT_S)
        gated.gate.set()
        assert await client.receive(Reply) == (1, 1)
        assert await client.receive(Reply) == (2, ["x"])
        assert await client.receive(Reply) == (3, 2)


async def test_a_subscription_behind_such_a_call_waits_as_well() -> None:
    Gated.gate, Gated.entered = asyncio.Event(), asyncio.Event()
    async with running(Gated) as router, LinkedSocket(router) as client:
        await client.connect("gated", "a")
        client.send(Call(1, "say", ["x"]), Subscribe(2, "said"), Call(3, "say", ["y"]))
        await asyncio.wait_for(Gated.entered.wait(), TIMEOUT_S)
        Gated.gate.set()
        assert await client.receive(Reply) == (1, 1)
        assert await client.receive(Reply) == (2, None)
        assert (await client.receive(Event)).args == ["y"]
        assert await client.receive(Reply) == (3, 2)


async def test_others_are_not_held_up_by_it() -> None:
    Gated.gate, Gated.entered = asyncio.Event(), asyncio.Event()
    async with running(Gated) as router, LinkedSocket(router) as slow, LinkedSocket(router) as fast:
        await slow.connect("gated", "a")
        await fast.connect("gated", "a")
        slow.send(Call(1, "say", ["slow"]))
        await asyncio.wait_for(Gated.entered.wait(), TIMEOUT_S)
        fast.send(Call(1, "say", ["fast"]))
        assert await fast.receive(Reply) == (1, 1)
        Gated.gate.set()
        assert await slow.receive(Reply) == (1, 2)


async def test_one_that_takes_too_long_is_an_error() -> None:
    Gated.gate, Gated.entered = asyncio.Event(), asyncio.Event()
    async with running(Gated, hook_timeout_s=0.01) as router, LinkedSocket(router) as client:
        await client.connect("gated", "a")
        client.send(Call(1, "say", ["x"]), Call(2, "lines", []))
        assert (await client.receive(Error)).error["code"] == "action_timeout"
        assert await client.receive(Reply) == (2, [])


async def test_a_call_that_is_being_decided_does_not_run_when_the_actor_stops() -> None:
    Gated.gate, Gated.entered = asyncio.Event(), asyncio.Event()
    async with running(Gated, shutdown_timeout_s=0.2) as router:
        asking = asyncio.create_task(call(router, "gated", "a", "say", "x"))
        await asyncio.wait_for(Gated.entered.wait(), TIMEOUT_S)
        [instance] = router._directory
    with pytest.raises(ActorDestroyed):
        await asyncio.wait_for(asking, TIMEOUT_S)
    assert instance.actor.state.lines == []


class NoHook(Desk):
    pass


async def test_an_actor_without_the_hook_makes_no_task_for_it() -> None:
    async with running(NoHook, SyncDesk) as router:
        for name in ("no_hook", "sync_desk"):
            answers: list[Any] = []
            actor = await router._instance_for_call(Connect(name, ("a",)))
            actor.call(None, Call(1, "say", ["x"]), lambda *answer, to=answers: to.append(answer))
            assert answers == [(1, 1, None)], "answered before `call` returned"
