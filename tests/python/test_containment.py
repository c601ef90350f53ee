"""Whatever user code raises ends that piece of user code, and nothing else: `sys.exit()` included."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from linked import LinkedSocket, call, eventually, running

from ringcast import Actor, Context, action
from ringcast.errors import CloseCode, InternalError
from ringcast.protocol import Connect, Error


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
