"""Permission to listen over lost networks and restarts: what one was entitled to, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from linked import LinkedSocket, running
from vaults import (
    REFUSED,
    SECRET,
    Count,
    DurableAsync,
    DurableSync,
    Fixed,
    FixedAsync,
    FixedVault,
    Guest,
    SyncVault,
    Vault,
    come_back,
    do,
    forbidden,
    refused,
    settled,
    until,
)

from ringcast import Context, MemoryStore
from ringcast.store import Store
from ringcast.wire.protocol import (
    Connected,
    Gap,
)

MISSED = Gap("permission_withdrawn")

# --- without a network --------------------------------------------------------------------------------------


async def test_who_is_away_gets_what_it_was_entitled_to_at_each_moment(vault: type[Vault]) -> None:
    async with running(vault) as router:
        async with LinkedSocket(router) as client:
            params = {"name": "ann"}
            connected = await client.connect(vault.__name__, "a", params=params, events=("secret", "news"))
        await do(router, vault, "tell", "one")
        await do(router, vault, "make_and_tell", "ann", "guest", "no")
        await do(router, vault, "tell_named", "no")
        await do(router, vault, "tell_all", "end")
        again, client = await come_back(router, vault, connected)
        async with client:
            assert again.session == connected.session
            assert again.replayed == 3 and again.gap is None
            assert again.refused_subscriptions == {"secret": REFUSED}
            assert await until(client, "end") == ["one", "before", "end"]
            await do(router, vault, "tell", "no")
            await do(router, vault, "tell_all", "more")
            assert await until(client, "more") == ["more"]


async def test_who_has_it_back_when_it_returns_listens_from_then_on(vault: type[Vault]) -> None:
    async with running(vault) as router:
        async with LinkedSocket(router) as client:
            params = {"name": "ann"}
            connected = await client.connect(vault.__name__, "a", params=params, events=("secret", "news"))
        await do(router, vault, "make_and_tell", "ann", "guest", "no")
        await settled(router)
        await do(router, vault, "make_and_tell", "ann", "admin", "no")
        again, client = await come_back(router, vault, connected)
        async with client:
            assert again.session == connected.session and again.gap == MISSED
            assert (again.replayed, again.refused_subscriptions) == (1, {})
            await do(router, vault, "tell", "yes")
            assert await until(client, "yes") == ["before", "yes"]


async def test_it_is_told_of_what_it_missed_until_its_position_shows_that_it_was(vault: type[Vault]) -> None:
    async with running(vault) as router:
        async with LinkedSocket(router) as client:
            params = {"name": "ann"}
            connected = await client.connect(vault.__name__, "a", params=params, events=("secret", "news"))
        await do(router, vault, "make_and_tell", "ann", "guest", "no")
        await settled(router)
        await do(router, vault, "make", "ann", "admin")
        for _ in range(2):
            # The first of these answers may not have arrived.
            again, client = await come_back(router, vault, connected)
            async with client:
                assert again.session == connected.session and again.gap == MISSED
                await do(router, vault, "tell_all", "end")
                await until(client, "end")
        seen = replace(connected, offset=again.offset + 4)
        again, client = await come_back(router, vault, seen)
        async with client:
            assert again.session == connected.session and again.gap is None


async def test_who_has_it_back_and_was_told_misses_nothing_more(vault: type[Vault]) -> None:
    async with running(vault) as router:
        async with LinkedSocket(router) as client:
            params = {"name": "ann"}
            connected = await client.connect(vault.__name__, "a", params=params, events=("secret", "news"))
            await do(router, vault, "make_and_tell", "ann", "guest", "no")
            await until(client, "before")
            assert await refused(client) == {"secret": REFUSED}
        await do(router, vault, "make", "ann", "admin")
        again, client = await come_back(router, vault, connected, unconfirmed=SECRET)
        async with client:
            assert (again.session, again.gap) == (connected.session, None)


async def test_what_is_withdrawn_as_the_network_is_lost_and_given_back_is_missed(vault: type[Vault]) -> None:
    async with running(vault) as router, LinkedSocket(router) as client:
        params = {"name": "ann"}
        connected = await client.connect(vault.__name__, "a", params=params, events=("secret", "news"))
        # The server believes that it has told the client.
        await do(router, vault, "make_and_tell", "ann", "guest", "no")
        await settled(router)
        await do(router, vault, "make", "ann", "admin")
        again, second = await come_back(router, vault, connected)
        async with second:
            assert again.session == connected.session and again.gap == MISSED


async def test_what_it_was_told_just_before_the_network_was_lost_it_is_told_again(
    vault: type[Vault],
) -> None:
    async with running(vault) as router, LinkedSocket(router) as client:
        connected = await client.connect(
            vault.__name__, "a", params={"name": "ann"}, events=("secret", "news")
        )
        await do(router, vault, "make_and_tell", "ann", "guest")
        await do(router, vault, "tell", "no")
        again, second = await come_back(router, vault, connected)
        async with second:
            assert again.session == connected.session
            assert again.refused_subscriptions == {"secret": REFUSED}


class Board(SyncVault):
    def snapshot(self, c: Context[Count, Guest]) -> str:
        return "all that there is to know"


async def test_a_snapshot_makes_good_what_it_missed() -> None:
    async with running(Board) as router:
        async with LinkedSocket(router) as client:
            connected = await client.connect("board", "a", params={"name": "ann"}, events=("secret", "news"))
        await do(router, Board, "make_and_tell", "ann", "guest", "no")
        await do(router, Board, "make_and_tell", "ann", "admin", "no")
        again, client = await come_back(router, Board, connected)
        async with client:
            assert again.session == connected.session
            assert (again.gap, again.snapshot) == (MISSED, "all that there is to know")
            await do(router, Board, "tell", "yes")
            assert await until(client, "yes") == ["yes"], "what the snapshot stands for does not follow"


# --- durable ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vault", [DurableSync, DurableAsync])
async def test_a_restart_gives_the_same_answer(vault: type[Vault], store: Store) -> None:
    async with running(vault, store=store) as router, LinkedSocket(router) as client:
        connected = await client.connect(
            vault.__name__, "a", params={"name": "ann"}, events=("secret", "news")
        )
        await do(router, vault, "tell", "one")
        await do(router, vault, "make_and_tell", "ann", "guest", "no")
        await do(router, vault, "tell_named", "no")
        await do(router, vault, "tell_all", "two")
        assert await until(client, "two") == ["one", "before", "two"]
        assert await refused(client) == {"secret": REFUSED}
    async with running(vault, store=store) as router:
        await do(router, vault, "tell", "no")
        await do(router, vault, "tell_all", "end")
        again, client = await come_back(router, vault, connected, unconfirmed=("secret",))
        async with client:
            assert again.session == connected.session and again.gap is None
            assert again.refused_subscriptions == {"secret": REFUSED}
            assert await until(client, "end") == ["one", "before", "two", "end"]


@pytest.mark.parametrize("vault", [DurableSync, DurableAsync, FixedVault, FixedAsync])
async def test_who_is_demoted_before_a_restart_gets_nothing_after_it(vault: type[Vault]) -> None:
    store = MemoryStore()
    async with running(vault, store=store) as router, LinkedSocket(router) as client:
        connected = await client.connect(
            vault.__name__, "a", params={"name": "ann"}, events=("secret", "news")
        )
        await do(router, vault, "tell", "one")
        assert await until(client, "one") == ["one"]
        await do(router, vault, "make", "ann", "guest")
    await expect_refusal(vault, store, connected)


@pytest.mark.parametrize("vault", [FixedVault, FixedAsync])
async def test_a_stricter_hook_after_a_restart_counts(vault: type[Vault]) -> None:
    store = MemoryStore()
    async with running(vault, store=store) as router, LinkedSocket(router) as client:
        connected = await client.connect(
            vault.__name__, "a", params={"name": "ann"}, events=("secret", "news")
        )
        await do(router, vault, "tell", "one")
        assert await until(client, "one") == ["one"]
    forbidden.add("secret")
    try:
        await expect_refusal(vault, store, connected)
    finally:
        forbidden.clear()


async def expect_refusal(vault: type[Vault], store: Store, connected: Connected) -> None:
    """After a restart: nothing secret that is sent from then on, the client being away or back."""
    async with running(vault, store=store) as router:
        await do(router, vault, "tell", "no")
        again, client = await come_back(router, vault, connected)
        async with client:
            assert again.session == connected.session and again.gap is None
            assert again.refused_subscriptions == {"secret": REFUSED}
            await do(router, vault, "tell", "no")
            await do(router, vault, "tell_all", "end")
            assert await until(client, "end") == ["one", "end"]


class Ruled(FixedVault):
    """Tells that it starts before it knows who may hear of it."""

    async def on_start(self, c: Context[None, Fixed]) -> None:
        c.broadcast("news", "starting")
        c.broadcast("secret", "starting")
        for _ in range(20):  # turns of the loop, in which the hook could be asked
            await asyncio.sleep(0)
        self.rules = {"news"}

    def can_subscribe(self, c: Context[None, Fixed], event: str) -> bool:
        return event in self.rules or not forbidden


class RuledAsync(Ruled):
    async def can_subscribe(self, c: Context[None, Fixed], event: str) -> bool:
        await asyncio.sleep(0)
        return super().can_subscribe(c, event)


@pytest.mark.parametrize("vault", [Ruled, RuledAsync])
async def test_the_hook_is_asked_about_what_on_start_sends_once_that_has_ended(vault: type[Vault]) -> None:
    store = MemoryStore()
    async with running(vault, store=store) as router, LinkedSocket(router) as client:
        connected = await client.connect(
            vault.__name__, "a", params={"name": "ann"}, events=("secret", "news")
        )
    forbidden.add("secret")
    try:
        async with running(vault, store=store) as router:
            await do(router, vault, "tell", "no")
            again, client = await come_back(router, vault, connected)
            async with client:
                assert again.session == connected.session and again.gap is None
                assert again.refused_subscriptions == {"secret": REFUSED}
                await do(router, vault, "tell_all", "end")
                assert await until(client, "end") == ["starting", "end"]
    finally:
        forbidden.clear()
