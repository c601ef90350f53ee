"""A state that is changed by a reference from earlier, and not by an access: it is kept as any other."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from linked import LinkedSocket, call, running

from ringcast import Actor, Context, MemoryStore, action
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Call, Reply


@dataclass
class Bag:
    owned: int = 0
    tags: set[str] = field(default_factory=set)
    notes: dict[str, list[str]] = field(default_factory=lambda: {"all": []})

    def show(self) -> list[Any]:
        return [self.owned, sorted(self.tags), self.notes["all"]]


FULL = [1, ["new"], ["bought"]]


class Shop(Actor[Bag, Bag]):
    """Changes what it has a reference to."""

    durable = True
    of_connection = True

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.done = asyncio.Event()
        self.bag: Bag | None = None
        self.inner: tuple[set[str], list[str]] | None = None

    def bag_of(self, c: Context[Bag, Bag]) -> Bag:
        return c.conn.state if self.of_connection else c.state

    @action
    async def buy(self, c: Context[Bag, Bag]) -> str:
        bag = self.bag_of(c)
        tags, notes = bag.tags, bag.notes["all"]
        await c.save_state()
        bag.owned += 1
        await c.save_state()
        tags.add("new")
        await c.save_state()
        notes.append("bought")
        return "bought"

    @action
    async def buy_nested(self, c: Context[Bag, Bag]) -> str:
        self.bag_of(c).owned += 1
        tags, notes = self.bag_of(c).tags, self.bag_of(c).notes["all"]
        await c.save_state()
        tags.add("new")
        notes.append("bought")
        return "bought"

    @action
    def buy_later(self, c: Context[Bag, Bag]) -> None:
        c.spawn(self._buy(self.bag_of(c)))

    async def _buy(self, bag: Bag) -> None:
        tags, notes = bag.tags, bag.notes["all"]
        await self.gate.wait()
        bag.owned += 1
        tags.add("new")
        notes.append("bought")
        del bag
        self.done.set()

    @action
    def keep_bag(self, c: Context[Bag, Bag]) -> None:
        self.bag = self.bag_of(c)

    @action
    def keep_inner(self, c: Context[Bag, Bag]) -> None:
        bag = self.bag_of(c)
        bag.owned += 1
        self.inner = bag.tags, bag.notes["all"]

    @action
    def change_kept(self, c: Context[Bag, Bag]) -> str:
        if self.bag is not None:
            self.bag.owned += 1
            self.bag.tags.add("new")
            self.bag.notes["all"].append("bought")
        if self.inner is not None:
            self.inner[0].add("new")
            self.inner[1].append("bought")
        return "bought"

    @action
    def ping(self, c: Context[Bag, Bag]) -> None:
        pass

    @action
    def read_all(self, c: Context[Bag, Bag]) -> int:
        return sum(conn.state.owned for conn in c.conns)

    @action
    def bags(self, c: Context[Bag, Bag]) -> list[list[Any]]:
        return [c.state.show(), *(conn.state.show() for conn in c.conns)]


class OwnShop(Shop):
    """The same with the actor's own state."""

    of_connection = False


class OrdinaryShop(OwnShop):
    durable = False


class Stateless(Actor[None, Bag]):
    """Has nothing but what its connections have."""

    durable = True

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.done = asyncio.Event()

    @action
    def buy_later(self, c: Context[None, Bag]) -> None:
        c.spawn(self._buy(c.conn.state))

    async def _buy(self, bag: Bag) -> None:
        await self.gate.wait()
        bag.owned += 1
        self.done.set()

    @action
    def buy_from_outside(self, c: Context[None, Bag]) -> None:
        loop, connection = asyncio.get_running_loop(), c.conn

        def buy() -> None:
            connection.state.owned += 1
            self.done.set()

        # After the commit of this action.
        c.spawn(self._then(lambda: loop.call_soon(buy)))

    async def _then(self, callback: Callable[[], object]) -> None:
        await self.gate.wait()
        callback()

    @action
    def bags(self, c: Context[None, Bag]) -> list[int]:
        return [conn.state.owned for conn in c.conns]


async def called(client: LinkedSocket, *names: str) -> list[Any]:
    """Call actions one after the other; return their answers."""
    answers = []
    for number, name in enumerate(names, start=1):
        client.send(Call(number, name, []))
        reply = await client.receive(Reply)
        assert reply.id == number
        answers.append(reply.value)
    return answers


async def bags_in(store: MemoryStore, shop: type[Actor[Any, Any]], name: str) -> Any:
    """Return what a server finds that is started after a crash."""
    async with running(shop, store=store) as router:
        return await call(router, name, "a", "bags")


SHOPS = pytest.mark.parametrize(("shop", "name"), [(Shop, "shop"), (OwnShop, "own_shop")])


@SHOPS
@pytest.mark.parametrize(
    "names",
    [("buy",), ("buy_nested",), ("keep_bag", "ping", "change_kept"), ("keep_inner", "ping", "change_kept")],
    ids=lambda names: names[0],
)
async def test_an_answered_call_is_kept_whatever_it_changed_it_by(
    shop: type[Shop], name: str, names: tuple[str, ...]
) -> None:
    store = MemoryStore()
    async with running(shop, store=store) as router, LinkedSocket(router) as client:
        await client.connect(name, "a")
        assert (await called(client, *names))[-1] == "bought"
        crashed = copy.deepcopy(store)
    assert FULL in await bags_in(crashed, shop, name)


@SHOPS
async def test_what_a_background_task_changed_is_kept_with_the_next_answer(
    shop: type[Shop], name: str
) -> None:
    store = MemoryStore()
    async with running(shop, store=store) as router, LinkedSocket(router) as client:
        await client.connect(name, "a")
        await called(client, "buy_later", "ping")
        (instance,) = router._directory
        instance.actor.gate.set()
        await instance.actor.done.wait()
        assert await call(router, name, "a", "ping") is None
        crashed = copy.deepcopy(store)
    assert FULL in await bags_in(crashed, shop, name)


@pytest.mark.parametrize(
    ("shop", "name"), [(Shop, "shop"), (OwnShop, "own_shop"), (OrdinaryShop, "ordinary_shop")]
)
async def test_what_a_background_task_changed_is_kept_an_interval_later(shop: type[Shop], name: str) -> None:
    store, clock = MemoryStore(), ManualClock()
    async with running(shop, store=store, clock=clock) as router, LinkedSocket(router) as client:
        await client.connect(name, "a")
        await called(client, "buy_later", "ping")
        await clock.advance(10)
        (instance,) = router._directory
        instance.actor.gate.set()
        await instance.actor.done.wait()
        await clock.advance(1)
        crashed = copy.deepcopy(store)
    assert FULL in await bags_in(crashed, shop, name)


@pytest.mark.parametrize("name", ["buy_later", "buy_from_outside"])
async def test_an_actor_without_a_state_looks_at_those_of_its_connections(name: str) -> None:
    store, clock = MemoryStore(), ManualClock()
    async with running(Stateless, store=store, clock=clock) as router, LinkedSocket(router) as client:
        await client.connect("stateless", "a")
        await called(client, name)
        await clock.advance(10)
        (instance,) = router._directory
        instance.actor.gate.set()
        await instance.actor.done.wait()
        await clock.advance(2)
        crashed = copy.deepcopy(store)
    assert await bags_in(crashed, Stateless, "stateless") == [1]


async def test_states_that_were_only_read_are_not_looked_at_again() -> None:
    async with running(Shop) as router, LinkedSocket(router) as ann, LinkedSocket(router) as bob:
        connected = [await client.connect("shop", "a") for client in (ann, bob)]
        (instance,) = router._directory
        touched = instance._keeping.stream.touched
        assert await call(router, "shop", "a", "read_all") == 0
        assert touched.take() == set()
        await called(bob, "keep_inner", "read_all")
        for _ in range(2):
            assert [connection.id for connection in touched.take()] == [connected[1].connection]
        instance.actor.inner = None
        touched.take()
        assert touched.take() == set()
