"""Actions called: results, errors, timeouts, and state changes that they make."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from linked import LinkedSocket, call, eventually, running

from ringcast import Actor, Context, MemoryStore, UserError, action
from ringcast.errors import (
    MASKED,
    ActionTimeout,
    CloseCode,
    InternalError,
    NotConnected,
    UnknownAction,
)
from ringcast.router import Router
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Call, Connect, Error, Reply


@dataclass
class Seen:
    events: list[str] = field(default_factory=list)


def instance_of(router: Router) -> Any:
    (instance,) = router._directory
    return instance


# --- actions ------------------------------------------------------------------------------------------------


def knows_nothing_of_async(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


class Calls(Actor[Seen]):
    """Actions of every kind."""

    @action
    def sync(self, c: Context[Seen], value: int = 1) -> int:
        return value

    @action
    async def with_await(self, c: Context[Seen], value: int) -> int:
        await asyncio.sleep(0)
        return value

    @action(timeout_s=0.01)
    async def forever(self, c: Context[Seen]) -> None:
        await asyncio.Event().wait()

    @action
    async def own_timeout(self, c: Context[Seen]) -> None:
        raise TimeoutError("a secret")

    @action
    async def default_timeout(self, c: Context[Seen]) -> None:
        await asyncio.Event().wait()

    @action
    def raise_user_error(self, c: Context[Seen]) -> None:
        raise UserError("no", code="nope", metadata=[1])

    @action
    async def raise_later(self, c: Context[Seen]) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("a secret")

    @action
    def needs_connection(self, c: Context[Seen]) -> str:
        assert not c.has_conn
        return c.conn.id

    @action
    async def interleave(self, c: Context[Seen], name: str) -> list[str]:
        c.state.events.append(f"{name} in")
        await asyncio.sleep(0)
        c.state.events.append(f"{name} out")
        return c.state.events

    @action
    @knows_nothing_of_async
    async def behind_a_sync_decorator(self, c: Context[Seen], value: int) -> int:
        await asyncio.sleep(0)
        return value


@pytest.mark.parametrize("name", ["sync", "with_await", "withAwait", "behind_a_sync_decorator"])
async def test_sync_and_async_actions_return_their_result(name: str) -> None:
    async with running(Calls) as router:
        assert await call(router, "calls", "k", name, "5") == 5


@pytest.mark.parametrize(("name", "tasks"), [("sync", 0), ("with_await", 1)])
async def test_a_sync_action_makes_no_task(name: str, tasks: int) -> None:
    made: list[object] = []

    def note(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    async with running(Calls) as router, LinkedSocket(router) as client:
        await client.connect("calls", "k")
        asyncio.get_running_loop().set_task_factory(note)
        client.send(Call(1, name, [5]))
        asyncio.get_running_loop().set_task_factory(None)
        assert len(made) == tasks
        assert await client.receive(Reply) == (1, 5)


async def test_an_actor_answers_to_each_of_its_names() -> None:
    class MoreCalls(Calls):
        pass

    async with running(Calls, MoreCalls) as router:
        for name in ("MoreCalls", "moreCalls", "more_calls"):
            assert await call(router, name, "k", "sync") == 1
        assert router.actors == 1


async def test_an_unknown_action_is_an_error() -> None:
    async with running(Calls) as router:
        with pytest.raises(UnknownAction, match="Calls has no action '_settle'"):
            await call(router, "calls", "k", "_settle")


async def test_async_actions_interleave_at_awaits() -> None:
    async with running(Calls) as router:
        both = (call(router, "calls", "k", "interleave", name) for name in "ab")
        await asyncio.gather(*both)
        seen = (await call(router, "calls", "k", "interleave", "c"))[:4]
        assert seen == ["a in", "b in", "a out", "b out"]


async def test_an_action_has_a_timeout() -> None:
    async with running(Calls, action_timeout_s=0.02) as router:
        with pytest.raises(ActionTimeout, match=r"forever took longer than 0\.01 s"):
            await call(router, "calls", "k", "forever")
        with pytest.raises(ActionTimeout, match=r"default_timeout took longer than 0\.02 s"):
            await call(router, "calls", "k", "default_timeout")
        assert await call(router, "calls", "k", "sync") == 1


async def test_a_timeout_of_the_users_own_is_an_internal_error() -> None:
    async with running(Calls) as router:
        with pytest.raises(InternalError, match=MASKED):
            await call(router, "calls", "k", "own_timeout")


async def test_a_user_error_arrives_as_it_is_and_others_are_masked(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Calls) as router:
        with pytest.raises(UserError) as raised:
            await call(router, "calls", "k", "raise_user_error")
        assert raised.value.to_wire() == {"code": "nope", "message": "no", "metadata": [1]}
        assert not caplog.records
        with pytest.raises(InternalError, match=f"^{MASKED}$"):
            await call(router, "calls", "k", "raise_later")
        assert "a secret" in caplog.text


async def test_a_call_without_a_connection_has_none() -> None:
    async with running(Calls) as router:
        with pytest.raises(NotConnected, match="needs a connection"):
            await call(router, "calls", "k", "needs_connection")


async def test_before_action_response_may_replace_the_result() -> None:
    class Wrapping(Actor):
        def on_before_action_response(self, c: Context, name: str, args: list[Any], result: Any) -> Any:
            return [name, args, result]

        @action
        def sync(self, c: Context, value: int) -> int:
            return value + 1

        @action
        async def later(self, c: Context, value: int) -> int:
            return value + 1

    class WrappingLater(Wrapping):
        async def on_before_action_response(  # type: ignore[override]
            self, c: Context, name: str, args: list[Any], result: Any
        ) -> Any:
            await asyncio.sleep(0)
            return [name, args, result]

    async with running(Wrapping, WrappingLater) as router:
        for actor in ("wrapping", "wrappingLater"):
            assert await call(router, actor, "k", "sync", "1") == ["sync", [1], 2]
            assert await call(router, actor, "k", "later", "1") == ["later", [1], 2]


# --- state --------------------------------------------------------------------------------------------------


@dataclass
class Count:
    value: int = 0


class Watched(Actor[Count]):
    """Counts the changes of its state."""

    def __init__(self) -> None:
        self.changes: list[int] = []

    def on_state_change(self, c: Context[Count]) -> None:
        self.changes.append(c.state.value)
        c.state.value += 100

    @action
    def set(self, c: Context[Count], value: int) -> list[int]:
        c.state.value = value
        return self.changes

    @action
    def replace(self, c: Context[Count], value: int) -> list[int]:
        c.state = Count(value)
        return self.changes

    @action
    def fail(self, c: Context[Count]) -> None:
        c.state.value = -1
        raise UserError("after a change")


class WatchedLater(Watched):
    """The same with an async hook."""

    async def on_state_change(self, c: Context[Count]) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().on_state_change(c)


async def test_a_state_change_is_told_once_and_not_of_the_hooks_own() -> None:
    async with running(Watched) as router:
        assert await call(router, "watched", "k", "set", 1) == [1]
        assert await call(router, "watched", "k", "set", 101) == [1]
        assert await call(router, "watched", "k", "replace", 3) == [1, 3]
        with pytest.raises(UserError):
            await call(router, "watched", "k", "fail")
        assert await call(router, "watched", "k", "set", 50) == [1, 3, -1, 50]


async def test_an_async_state_change_hook_is_told_once() -> None:
    async with running(WatchedLater) as router:
        await call(router, "watchedLater", "k", "set", 1)
        instance = instance_of(router)
        await eventually(lambda: not instance.tasks)
        assert instance.actor.changes == [1]
        assert instance.state.value.value == 101
        await call(router, "watchedLater", "k", "set", 101)
        await eventually(lambda: not instance.tasks)
        assert instance.actor.changes == [1]


async def test_a_state_that_cannot_be_written_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Actor[dict[str, Any]]):
        @action
        def put(self, c: Context[dict[str, Any]], kind: str) -> str:
            c.state["x"] = object() if kind == "bad" else kind
            return kind

    store = MemoryStore()
    clock = ManualClock()
    async with running(Odd, store=store, clock=clock) as router:
        assert await call(router, "odd", "k", "put", "bad") == "bad"
        await clock.advance(1)
        assert "saving the state failed" in caplog.text
        assert await call(router, "odd", "k", "put", "good") == "good"
        await clock.advance(1)
        stored = await store.find("Odd", ("k",))
        assert stored is not None and stored.state == b'{"x":"good"}'


# --- errors that look like something else -------------------------------------------------------------------


class Cancelling(Actor):
    """Raises what asyncio uses to cancel tasks."""

    def on_connect(self, c: Context) -> None:
        raise asyncio.CancelledError

    @action
    def sync(self, c: Context) -> None:
        raise asyncio.CancelledError

    @action
    async def later(self, c: Context) -> None:
        await asyncio.sleep(0)
        raise asyncio.CancelledError


class CancellingItsStart(Actor):
    """Never starts."""

    async def on_start(self) -> None:
        raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("actor", "name"), [("cancelling", "sync"), ("cancelling", "later"), ("cancellingItsStart", "any")]
)
async def test_a_cancellation_that_nobody_asked_for_is_an_error(
    actor: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Cancelling, CancellingItsStart) as router:
        with pytest.raises(InternalError, match=MASKED):
            await call(router, actor, "k", name)
        assert "CancelledError" in caplog.text


async def test_a_hook_that_raises_a_cancellation_refuses(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Cancelling) as router, LinkedSocket(router) as client:
        client.send(Connect("cancelling", ("k",)))
        assert (await client.receive(Error)).error["code"] == "internal_error"
        await client.closed_with(CloseCode.CONNECT_REFUSED)
