"""A repeated call that is refused while its first try runs, or has run: it is not said to have not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig, UserError, action
from ringcast.client import ClientConfig
from ringcast.errors import OutcomeUnknown, RingcastError, TooManyCalls, TryAgainLater, Unauthorized
from ringcast.server.serve import serving

from .refusing import IMPATIENT, Proxy, desk, longer_than, refused

TIMEOUT_S = 20
WITHOUT_END = replace(IMPATIENT, max_call_attempts=1_000_000)
FULL: list[tuple[dict[str, Any], type[RingcastError]]] = [
    ({"max_calls": 1}, TryAgainLater),
    ({"max_calls_per_address": 1, "uncounted_networks": ()}, TooManyCalls),
]


@dataclass
class Bank:
    """What its one teller goes by, and what becomes of it."""

    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_pay: asyncio.Event = field(default_factory=asyncio.Event)
    lets_in: bool = True
    paid: int = 0


@asynccontextmanager
async def bank(config: ClientConfig, **limits: Any) -> AsyncIterator[tuple[Bank, Any, Proxy]]:
    """Give a bank, its teller, and the proxy on the way there."""
    its = Bank()

    class Teller(Actor):
        def on_before_connect(self, c: Context) -> None:
            if not its.lets_in:
                raise Unauthorized("the token has expired")

        @action
        async def pay(self, c: Context) -> int:
            its.has_begun.set()
            await its.may_pay.wait()
            its.paid += 1
            return its.paid

        @action
        async def bounce(self, c: Context) -> None:
            await self.pay(c)
            raise UserError("no cover", code="no_cover")

    registry = Registry(Teller, store=MemoryStore(), config=ServerConfig(**limits))
    async with asyncio.timeout(TIMEOUT_S), serving(registry) as url:
        proxy = Proxy(url)
        async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
            far = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with Client(far, config=config) as client:
                yield its, await client.teller.get_or_create("k"), proxy
            proxy.cut()


async def lost(its: Bank, call: Any, proxy: Proxy) -> asyncio.Future[Any]:
    """Make a call, and lose the network while it runs."""
    calling = asyncio.ensure_future(call)
    await its.has_begun.wait()
    proxy.cut()
    return calling


@pytest.mark.parametrize(("limits", "kind"), FULL, ids=["in all", "of an address"])
async def test_for_want_of_a_place(limits: dict[str, Any], kind: type[RingcastError]) -> None:
    """Which the first try has."""
    async with bank(IMPATIENT, **limits) as (its, teller, proxy):
        error = await refused(await lost(its, teller.pay(), proxy))
        assert isinstance(error, OutcomeUnknown) and "once or not at all" in error.message
        assert isinstance(error.__cause__, kind)
        its.may_pay.set()


@pytest.mark.parametrize(("limits", "_kind"), FULL, ids=["in all", "of an address"])
async def test_it_is_answered_once_there_is_a_place(limits: dict[str, Any], _kind: Any) -> None:
    async with bank(WITHOUT_END, **limits) as (its, teller, proxy):
        first_is_refused = asyncio.Event()
        waits = 0

        async def sleep(_delay_s: float) -> None:
            nonlocal waits
            waits += 1
            if waits == 2:
                first_is_refused.set()
            await asyncio.sleep(0)

        teller._endpoint._config = replace(WITHOUT_END, sleep=sleep)
        paying = await lost(its, teller.pay(), proxy)
        await first_is_refused.wait()
        its.may_pay.set()
        assert (await paying, its.paid) == (1, 1)


async def test_it_waits_as_long_as_the_server_says() -> None:
    waited: list[float] = []

    async def sleep(delay_s: float) -> None:
        waited.append(delay_s)

    config = replace(IMPATIENT, reconnect_max_s=30.0, sleep=sleep)
    async with bank(config, max_calls=1) as (its, teller, proxy):
        assert isinstance(await refused(await lost(its, teller.pay(), proxy)), OutcomeUnknown)
        first, second = waited
        assert first < 1.0 and second == 1.0
        its.may_pay.set()


async def test_by_the_actors_hook() -> None:
    async with bank(IMPATIENT) as (its, teller, proxy):
        paying = asyncio.ensure_future(teller.pay())
        await its.has_begun.wait()
        its.lets_in = False
        proxy.cut()
        error = await refused(paying)
        assert isinstance(error, OutcomeUnknown) and "the token has expired" in error.message
        assert isinstance(error.__cause__, Unauthorized)
        its.may_pay.set()


async def test_what_the_action_ends_with_is_told() -> None:
    async with bank(IMPATIENT) as (its, teller, proxy):
        paying = await lost(its, teller.bounce(), proxy)
        its.may_pay.set()
        error = await refused(paying)
        assert (type(error), error.code, its.paid) == (UserError, "no_cover", 1)


@pytest.mark.parametrize("status", ["404 Not Found", "429 X", "502 Bad Gateway", "503 Service Unavailable"])
async def test_what_may_pass_of_a_proxy_is_a_lost_network(status: str) -> None:
    async with desk() as (handle, proxy):
        async with handle.connect() as connection:
            calling = asyncio.ensure_future(handle.note_and_wait("a"))
            while await connection.noted() == 0:
                pass
        proxy.refuse = lambda line, _body: status if "note_and_wait" in line and not proxy.refused else None
        proxy.cut()
        await handle.sign()
        assert await calling == 1
        assert (len(proxy.refused), await handle.noted()) == (1, 1)


async def test_it_gives_up_after_as_many_tries() -> None:
    async with desk() as (handle, proxy):
        async with handle.connect() as connection:
            calling = asyncio.ensure_future(handle.note_and_wait("a"))
            while await connection.noted() == 0:
                pass
        proxy.refuse = lambda line, _body: "502 Bad Gateway" if "note_and_wait" in line else None
        proxy.cut()
        error = await refused(calling)
        assert isinstance(error, OutcomeUnknown) and "502" in error.message
        assert len(proxy.refused) == 2
        await handle.sign()


LOST = pytest.mark.parametrize("status", ["502 Bad Gateway", "504 Gateway Timeout"])


async def lost_behind(handle: Any, proxy: Proxy, status: str) -> asyncio.Future[Any]:
    """Make a call, and lose the server behind the proxy, which says so, while it runs."""
    proxy.without_server = status
    before = await handle.noted()
    calling = asyncio.ensure_future(handle.note_and_wait("a"))
    while await handle.noted() == before:
        pass
    proxy.lose_server()
    return calling


@LOST
async def test_a_server_that_is_lost_behind_a_proxy_is_a_lost_network(status: str) -> None:
    async with desk() as (handle, proxy):
        calling = await lost_behind(handle, proxy, status)
        await handle.sign()
        assert (await calling, await handle.noted()) == (1, 1)


@LOST
async def test_what_a_proxy_has_lost_is_not_said_to_have_not_run(status: str) -> None:
    async with desk() as (handle, proxy):
        calling = await lost_behind(handle, proxy, status)
        proxy.refuse = lambda line, _body: status if "note_and_wait" in line else None
        error = await refused(calling)
        assert isinstance(error, OutcomeUnknown) and status[:3] in error.message
        assert len(proxy.refused) == 2
        await handle.sign()


@LOST
async def test_so_it_is_with_what_is_never_repeated(status: str) -> None:
    async with desk(replace(IMPATIENT, max_call_attempts=1)) as (handle, proxy):
        error = await refused(await lost_behind(handle, proxy, status))
        assert isinstance(error, OutcomeUnknown) and status[:3] in error.message
        assert "no answer came from" in error.message and "the call ran once or not at all" in error.message
        await handle.sign()
        proxy.refuse = longer_than(0, status)
        error = await refused(handle.resolve())
        assert isinstance(error, OutcomeUnknown) and "nothing was called" in error.message
        assert len(proxy.refused) == 1


async def test_a_repeat_shows_the_cookies_of_the_first_try() -> None:
    """Although a proxy has set another one since: who shows that is another caller to the server."""
    async with desk() as (handle, proxy):
        async with handle.connect() as connection:
            calling = asyncio.ensure_future(handle.note_and_wait("a"))
            while await connection.noted() == 0:
                pass
        proxy.headers = ("Set-Cookie: balancer=2; Path=/",)
        proxy.refuse = lambda line, _body: "503 X" if "note_and_wait" in line and not proxy.refused else None
        proxy.cut()
        await handle.sign()
        assert (await calling, len(proxy.refused), await handle.noted()) == (1, 1, 1)


async def test_it_may_be_refused_more_often_than_a_delay_can_double() -> None:
    often = 1_030

    async def sleep(delay_s: float) -> None:
        assert 0.0 <= delay_s <= IMPATIENT.reconnect_max_s

    async with desk(replace(WITHOUT_END, sleep=sleep)) as (handle, proxy):
        async with handle.connect() as connection:
            calling = asyncio.ensure_future(handle.note_and_wait("a"))
            while await connection.noted() == 0:
                pass
        proxy.refuse = lambda line, _body: (
            "503 X" if "note_and_wait" in line and len(proxy.refused) < often else None
        )
        proxy.cut()
        await handle.sign()
        assert (await calling, len(proxy.refused)) == (1, often)
