"""Permission to listen from a hook that takes its time: what is sent meanwhile waits for its answer."""

from __future__ import annotations

import asyncio

import pytest
from linked import TIMEOUT_S, LinkedSocket, eventually, resume_from, running
from vaults import (
    REFUSED,
    SECRET,
    Count,
    DurablePondering,
    Guest,
    Pondering,
    Vault,
    ann_and_bob,
    come_back,
    decide,
    do,
    ponder,
    refused,
    settled,
    told,
    until,
)

from ringcast import Context
from ringcast.store import Store
from ringcast.wire.protocol import (
    Call,
    Connect,
    Connected,
    Heartbeat,
    Reply,
    Subscribe,
    Unsubscribe,
)


async def test_with_a_yes_everything_arrives_once_and_in_order(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering, ("secret", "news")) as (router, ann, bob):
        await do(router, pondering, "tell", "before")
        async with ponder():
            await do(router, pondering, "note", "ann", "a")
            await do(router, pondering, "tell", "one")
            await do(router, pondering, "tell_all", "news")
            await do(router, pondering, "tell_named", "named")
            await do(router, pondering, "whisper", "ann", "whispered")
            await do(router, pondering, "tell", "two", "three")
            assert await until(bob, "three") == ["before", "one", "news", "two", "three"]
            assert await until(ann, "before") == ["before"]
        await do(router, pondering, "tell", "end")
        assert await until(ann, "end") == ["one", "news", "named", "whispered", "two", "three", "end"]
        assert told == []


async def test_with_a_no_only_what_needs_no_permission_arrives(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering, ("secret", "news")) as (router, ann, _):
        async with ponder():
            await do(router, pondering, "make_and_tell", "ann", "guest", "no")
            await do(router, pondering, "tell_all", "news")
            await do(router, pondering, "tell_named", "named")
            await do(router, pondering, "whisper", "ann", "whispered")
            await do(router, pondering, "tell", "one", "two")
            assert await until(ann, "before") == ["before"]
        await do(router, pondering, "tell_all", "end")
        assert await until(ann, "end") == ["news", "whispered", "end"]
        assert await refused(ann) == {"secret": REFUSED}


async def test_a_reply_waits_with_the_events_before_it(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering) as (_, ann, bob):
        async with ponder(1):
            ann.send(Call(1, "note", ["ann", "a"]), Call(2, "tell", ["one"]), Call(3, "look", []))
            assert await until(bob, "one") == ["one"]
            assert await ann.receive(Reply) == (1, None)
        assert await until(ann, "one") == ["one"]
        assert await ann.receive(Reply) == (2, None)
        assert await ann.receive(Reply) == (3, ["admin", "admin"])


async def test_a_state_that_is_what_it_was_is_nothing_to_ask_about(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering, ("secret", "news")) as (router, ann, _):
        Pondering.ponders = True
        # Another object, but the same in it.
        await do(router, pondering, "replace_state", "ann", "admin")
        assert await until(ann, "as admin") == ["as admin"]
        await do(router, pondering, "make", "ann", "owner")
        await do(router, pondering, "make", "ann", "admin")
        await do(router, pondering, "tell", "one")
        assert await until(ann, "one") == ["one"]
        assert Pondering.gates == []


async def test_each_answer_is_good_up_to_the_next_change(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering, ("secret", "news")) as (router, ann, _):
        Pondering.ponders = True
        await do(router, pondering, "note", "ann", "a")
        await do(router, pondering, "tell", "one")
        await do(router, pondering, "tell_named", "two")
        await eventually(lambda: len(Pondering.gates) == 2)
        # In doubt again, before the first answer.
        await do(router, pondering, "note", "ann", "b")
        await do(router, pondering, "tell", "three")
        await do(router, pondering, "tell_named", "four")
        await decide(2)
        assert await until(ann, "two") == ["one", "two"]
        await do(router, pondering, "make", "ann", "guest")
        await decide(2)
        assert await refused(ann) == {"secret": REFUSED}
        Pondering.ponders = False
        await do(router, pondering, "tell", "no")
        await do(router, pondering, "tell_all", "end")
        assert await until(ann, "end") == ["end"]


async def test_requests_about_names_wait_for_it(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering, ("secret", "news")) as (router, ann, _):
        async with ponder(2):
            await do(router, pondering, "note", "ann", "a")
            await do(router, pondering, "tell", "one")
            ann.send(Unsubscribe(1, "secret"))
            await do(router, pondering, "tell", "two")
        assert await until(ann, "one") == ["one"]
        assert await until(ann, "two") == ["two"]
        assert await ann.receive(Reply) == (1, None)
        await do(router, pondering, "tell", "no")
        await do(router, pondering, "tell_all", "end")
        assert await until(ann, "end") == ["end"]


class Hasty(Pondering):
    """Has made up its mind before it takes its time."""

    async def can_subscribe(self, c: Context[Count, Guest], event: str) -> bool:
        allowed = self.allows(c, event)
        await super().can_subscribe(c, event)
        return allowed


class DurableHasty(Hasty):
    durable = True


@pytest.mark.parametrize("hasty", [Hasty, DurableHasty])
async def test_a_yes_about_what_was_so_no_longer_is_asked_about_again(hasty: type[Vault]) -> None:
    Pondering.gates.clear()
    async with ann_and_bob(hasty, ("news",)) as (router, ann, _):
        Pondering.ponders = True
        ann.send(Subscribe(1, "secret"))
        await eventually(lambda: len(Pondering.gates) == 1)
        await do(router, hasty, "make", "ann", "guest")
        # Sent to nobody: but those who listen for something are asked about.
        await do(router, hasty, "tell", "nobody listens")
        Pondering.ponders = False
        await decide(1)
        await settled(router)
        assert await ann.receive(Reply) == (1, None)
        await do(router, hasty, "tell", "no")
        await do(router, hasty, "tell_all", "end")
        assert await until(ann, "end") == ["end"]
        assert await refused(ann) == {"secret": REFUSED}


class Deliberate(Pondering):
    """Takes its time, looks, and takes its time."""

    async def can_subscribe(self, c: Context[Count, Guest], event: str) -> bool:
        await super().can_subscribe(c, event)
        allowed = self.allows(c, event)
        await super().can_subscribe(c, event)
        return allowed


class Delegating(Deliberate):
    """Has somebody else do so."""

    async def can_subscribe(self, c: Context[Count, Guest], event: str) -> bool:
        return await asyncio.create_task(super().can_subscribe(c, event))


@pytest.mark.parametrize("kind", [Deliberate, Delegating])
@pytest.mark.parametrize("how", ["accessed", "kept"])
@pytest.mark.parametrize("when", ["first", "again"])
async def test_a_state_that_was_another_only_while_the_hook_looked_is_asked_about_again(
    kind: type[Pondering], how: str, when: str
) -> None:
    async with running(kind) as router, LinkedSocket(router) as ann:
        events, role = (("secret", "news"), "admin") if when == "again" else (("news",), "guest")
        await ann.connect(kind.__name__, "a", params={"name": "ann", "role": role}, events=events)
        await do(router, kind, "keep", "ann")
        change = ["make", "ann"] if how == "accessed" else ["make_kept_only"]
        await do(router, kind, *change, "guest")
        count = len(events)
        async with ponder(count):
            if when == "again":
                await do(router, kind, "tell_all", "asks")
            else:
                ann.send(Subscribe(1, "secret"))
            await eventually(lambda: len(Pondering.gates) == count)
            await do(router, kind, *change, "admin")
            await decide(count)
            await eventually(lambda: len(Pondering.gates) == count)
            await do(router, kind, *change, "guest")
        if when == "first":
            assert await ann.receive(Reply) == (1, None)
        else:
            assert await until(ann, "asks") == ["asks"]
        await do(router, kind, "tell", "no")
        await do(router, kind, "tell_all", "end")
        assert await until(ann, "end") == ["end"]
        assert await refused(ann) == {"secret": REFUSED}


async def test_a_read_is_no_reason_to_ask_an_async_hook(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering, ("secret", "news")) as (router, ann, _):
        await do(router, pondering, "keep", "ann")
        async with ponder(2):
            await do(router, pondering, "note", "ann", "a")
            await do(router, pondering, "tell", "one")
            await eventually(lambda: len(Pondering.gates) == 2)
            await do(router, pondering, "look")
            await do(router, pondering, "tell", "two")
        assert await until(ann, "two") == ["one", "two"]
        await settled(router)
        Pondering.ponders = True
        await do(router, pondering, "look")
        await do(router, pondering, "tell", "three")
        assert await until(ann, "three") == ["three"]
        assert Pondering.gates == []


async def test_who_comes_back_meanwhile_waits_for_it(pondering: type[Vault]) -> None:
    async with running(pondering) as router:
        async with LinkedSocket(router) as client:
            connected = await client.connect(
                pondering.__name__, "a", params={"name": "ann"}, events=("secret", "news")
            )
        client = LinkedSocket(router)
        async with ponder(2):
            await do(router, pondering, "note", "ann", "a")
            await do(router, pondering, "tell", "one", "two")
            resume = resume_from(connected)
            client.send(Connect(pondering.__name__, ("a",), subscriptions=("secret", "news"), resume=resume))
            await eventually(lambda: len(Pondering.gates) == 2)
        async with client:
            again = await client.receive(Connected)
            assert again.replayed == 2 and again.session == connected.session
            assert await until(client, "two") == ["one", "two"]


async def test_who_is_disconnected_meanwhile_is_not_held_up(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering) as (router, ann, _):
        Pondering.ponders = True
        await do(router, pondering, "note", "ann", "a")
        await do(router, pondering, "tell", "one")
        await eventually(lambda: len(Pondering.gates) == 1)
        await do(router, pondering, "kick", "ann")
        closed = await ann.closed()
        assert (closed.code, closed.reason) == (4003, "out")
        Pondering.ponders = False
        await decide(1)
        await do(router, pondering, "tell", "nobody minds")


async def test_an_actor_that_stops_meanwhile_does_not_wait_for_ever(pondering: type[Vault]) -> None:
    async with running(pondering, shutdown_timeout_s=0.5) as router, LinkedSocket(router) as ann:
        await ann.connect(pondering.__name__, "a", params={"name": "ann"}, events=SECRET)
        Pondering.ponders = True
        await do(router, pondering, "note", "ann", "a")
        await do(router, pondering, "tell", "one")
        await eventually(lambda: len(Pondering.gates) == 1)
        await asyncio.wait_for(router.stop(), TIMEOUT_S)
        assert (await ann.closed()).code == 4500


async def test_a_hook_that_takes_too_long_withdraws(pondering: type[Vault]) -> None:
    async with (
        running(pondering, hook_timeout_s=0.01) as router,
        LinkedSocket(router) as ann,
    ):
        await ann.connect(pondering.__name__, "a", params={"name": "ann"}, events=SECRET)
        Pondering.ponders = True
        await do(router, pondering, "note", "ann", "a")
        await do(router, pondering, "tell", "one")
        refused = (await ann.receive(Heartbeat)).refused_subscriptions
        assert refused is not None and refused["secret"]["code"] == "action_timeout"


@pytest.mark.parametrize("store", ["memory", "sqlite"], indirect=True)
async def test_what_was_let_through_late_is_so_after_a_restart(store: Store) -> None:
    vault = DurablePondering
    async with running(vault, store=store) as router:
        async with LinkedSocket(router) as client:
            connected = await client.connect(
                vault.__name__, "a", params={"name": "ann"}, events=("secret", "news")
            )
        async with ponder(2):
            await do(router, vault, "note", "ann", "a")
            await do(router, vault, "tell", "one")
            await do(router, vault, "tell_named", "two")
            await do(router, vault, "tell_all", "three")
        await settled(router)
    async with running(vault, store=store) as router:
        again, client = await come_back(router, vault, connected)
        async with client:
            assert again.session == connected.session
            assert again.replayed == 3 and again.gap is None
            assert await until(client, "three") == ["one", "two", "three"]
