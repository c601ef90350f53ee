"""Whatever user code raises ends that piece of user code, and nothing else: also what is no `Exception`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from linked import LinkedSocket, call, eventually, running

from ringcast import Actor, Client, Context, MemoryStore, Registry, action
from ringcast.errors import CloseCode, InternalError
from ringcast.server.serve import serving
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connect, Error, Reply, Subscribe


class Quitter(Actor):
    """Ends the process wherever it can."""

    @action
    def quits(self, c: Context) -> None:
        sys.exit(3)

    @action
    async def quits_later(self, c: Context) -> None:
        await asyncio.sleep(0)
        sys.exit(3)

    @action
    def quits_in_background(self, c: Context) -> None:
        async def work() -> None:
            sys.exit(3)

        self.spawn(work(), name="quitter")

    @action
    def lives(self, c: Context) -> str:
        return "yes"


class Panic(BaseException):
    """What an extension module written in Rust raises: no `Exception`, so that nobody catches it."""


class Panicking(Actor):
    """Raises it wherever it can."""

    def __init__(self) -> None:
        self.where = ""

    def panic_in(self, where: str) -> None:
        if self.where == where:
            self.where = ""
            raise Panic(where)

    def on_before_connect(self, c: Context) -> None:
        self.panic_in("on_before_connect")

    def on_connect(self, c: Context) -> None:
        self.panic_in("on_connect")

    def on_disconnect(self, c: Context) -> None:
        self.panic_in("on_disconnect")

    def can_subscribe(self, c: Context, event: str) -> bool:
        self.panic_in("can_subscribe")
        return True

    def snapshot(self, c: Context) -> None:
        self.panic_in("snapshot")

    async def on_stop(self, c: Context) -> None:
        self.panic_in("on_stop")

    @action
    def later(self, c: Context, where: str) -> None:
        self.where = where

    @action
    def panics(self, c: Context) -> None:
        raise Panic

    @action
    async def panics_later(self, c: Context) -> None:
        await asyncio.sleep(0)
        raise Panic

    @action
    async def closes_itself(self, c: Context) -> None:
        await asyncio.sleep(0)
        raise GeneratorExit

    @action
    def returns_what_panics(self, c: Context) -> Any:
        return Unwritable()

    @action
    def panics_in_background(self, c: Context) -> None:
        async def work() -> None:
            raise Panic

        self.spawn(work(), name="panicking")


class Unwritable(dict[str, int]):
    def items(self) -> Any:
        raise Panic


class AsyncPanicking(Panicking):
    async def on_disconnect(self, c: Context) -> None:
        self.panic_in("on_disconnect")

    async def can_subscribe(self, c: Context, event: str) -> bool:
        self.panic_in("can_subscribe")
        return True


class PanickingStart(Actor):
    def on_start(self, c: Context) -> None:
        raise Panic


class Unwelcoming(Quitter):
    def on_before_connect(self, c: Context) -> None:
        sys.exit(3)


class NeverStarts(Actor):
    def on_start(self, c: Context) -> None:
        sys.exit(3)


class NeverMade(Actor):
    def __init__(self) -> None:
        if hasattr(self, "_instance"):
            sys.exit(3)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    yield lambda: [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("name", ["quits", "quits_later"])
async def test_an_action_that_exits_is_an_internal_error(name: str, logged: Any) -> None:
    async with running(Quitter) as router:
        with pytest.raises(InternalError, match=r"^internal error$"):
            await call(router, "quitter", "k", name)
        assert await call(router, "quitter", "k", "lives") == "yes"
    assert logged()


async def test_a_background_task_that_exits_is_logged(logged: Any) -> None:
    async with running(Quitter) as router:
        await call(router, "quitter", "k", "quits_in_background")
        await eventually(lambda: bool(logged()))
        assert await call(router, "quitter", "k", "lives") == "yes"


@pytest.mark.parametrize("actor", [NeverStarts, NeverMade])
async def test_a_start_that_exits_is_an_internal_error(actor: type[Actor], logged: Any) -> None:
    async with running(actor, Quitter) as router:
        with pytest.raises(InternalError, match=r"^internal error$"):
            await call(router, actor.__name__, "k", "anything")
        assert await call(router, "quitter", "k", "lives") == "yes"
    assert logged()


async def test_a_hook_that_exits_refuses_the_connection(logged: Any) -> None:
    async with running(Unwelcoming) as router, LinkedSocket(router) as client:
        client.send(Connect("unwelcoming", ("k",)))
        assert (await client.receive(Error)).error["code"] == "internal_error"
        await client.closed_with(CloseCode.CONNECT_REFUSED)
        assert await call(router, "unwelcoming", "k", "lives") == "yes"
    assert logged()


@pytest.mark.parametrize("name", ["panics", "panics_later", "closes_itself"])
async def test_an_action_that_panics_is_an_internal_error(name: str, logged: Any) -> None:
    async with running(Panicking) as router, LinkedSocket(router) as client:
        with pytest.raises(InternalError, match=r"^internal error$"):
            await call(router, "panicking", "k", name)
        await client.connect("panicking", "k")
        client.send(Call(1, name, []))
        assert (await client.receive(Error)).error["code"] == "internal_error"
    assert logged()


@pytest.mark.parametrize("actor", [Panicking, AsyncPanicking])
@pytest.mark.parametrize("where", ["on_before_connect", "on_connect", "snapshot"])
async def test_a_hook_that_panics_refuses_the_connection(actor: type[Actor], where: str, logged: Any) -> None:
    async with running(actor) as router, LinkedSocket(router) as client:
        await call(router, actor.__name__, "k", "later", where)
        client.send(Connect(actor.__name__, ("k",)))
        assert (await client.receive(Error)).error["code"] == "internal_error"
        await client.closed_with(CloseCode.CONNECT_REFUSED)
    assert logged()


@pytest.mark.parametrize("actor", [Panicking, AsyncPanicking])
async def test_can_subscribe_that_panics_refuses_the_subscription(actor: type[Actor], logged: Any) -> None:
    async with running(actor) as router, LinkedSocket(router) as client:
        await client.connect(actor.__name__, "k")
        await call(router, actor.__name__, "k", "later", "can_subscribe")
        client.send(Subscribe(1, "e"), Subscribe(2, "e"))
        assert (await client.receive(Error)).error["code"] == "internal_error"
        assert (await client.receive(Reply)).id == 2
    assert logged()


@pytest.mark.parametrize("actor", [Panicking, AsyncPanicking])
@pytest.mark.parametrize("where", ["on_disconnect", "on_stop"])
async def test_an_end_that_panics_is_logged_and_the_end_goes_on(
    actor: type[Actor], where: str, logged: Any
) -> None:
    store = MemoryStore()
    async with running(actor, store=store) as router:
        async with LinkedSocket(router) as client:
            await client.connect(actor.__name__, "k")
            await call(router, actor.__name__, "k", "later", where)
            client.lose(CloseCode.NORMAL)
        await eventually(lambda: router.connections == 0)
    assert logged()
    assert await store.find(actor.__name__, ("k",)) is not None


async def test_a_background_task_that_panics_is_logged(logged: Any) -> None:
    async with running(Panicking) as router:
        await call(router, "panicking", "k", "panics_in_background")
        await eventually(lambda: bool(logged()))


async def test_a_start_that_panics_is_an_internal_error(logged: Any) -> None:
    async with running(PanickingStart) as router:
        with pytest.raises(InternalError, match=r"^internal error$"):
            await call(router, "panickingStart", "k", "anything")
    assert logged()


@pytest.mark.parametrize("encoding", Encoding)
async def test_a_result_that_panics_when_it_is_written_is_an_internal_error(
    encoding: Encoding, logged: Any
) -> None:
    async with running(Panicking) as router, LinkedSocket(router, encoding) as client:
        await client.connect("panicking", "k")
        client.send(Call(1, "returns_what_panics", []))
        answer = await client.next()
        # orjson reads a dict without asking it.
        assert isinstance(answer, Error) or encoding is Encoding.JSON
    assert logged() or encoding is Encoding.JSON


async def test_over_http_an_action_that_panics_is_an_internal_error(logged: Any) -> None:
    async with serving(Registry(Panicking, store=MemoryStore())) as url, Client(url) as client:
        with pytest.raises(InternalError, match=r"^internal error$"):
            await client.panicking.get_or_create("k").panics_later()
    assert logged()


async def test_ctrl_c_is_no_fault_of_user_code() -> None:
    class Interrupted(Actor):
        @action
        def interrupts(self, c: Context) -> None:
            raise KeyboardInterrupt

    async with running(Interrupted) as router:
        with pytest.raises(KeyboardInterrupt):
            await call(router, "interrupted", "k", "interrupts")
