"""A durable actor that adds up and tells of it, and what its clients hear, for tests of durable actors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from linked import LinkedSocket, running

from ringcast import Actor, Context, MemoryStore, action
from ringcast.router import Router
from ringcast.store import Change, Store
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Connected, Event

ENCODINGS = pytest.mark.parametrize("encoding", list(Encoding), ids=["json", "msgpack"])


@dataclass
class Sum:
    total: int = 0
    left: int = 0


@dataclass
class Member:
    name: str = "nobody"


class Ledger(Actor[Sum, Member], max_ring_events=64):
    """Adds up, and tells of each addition."""

    durable = True

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    def snapshot(self, c: Context[Sum, Member]) -> int | None:
        return c.state.total if c.conn.state.name == "snap" else None

    def on_disconnect(self, c: Context[Sum, Member]) -> None:
        c.state.left += 1

    @action
    def add(self, c: Context[Sum, Member], by: int = 1) -> int:
        c.state.total += by
        c.broadcast("added", c.state.total)
        return c.state.total

    @action
    async def add_slowly(self, c: Context[Sum, Member], by: int = 1) -> int:
        c.state.total += by
        await self.gate.wait()
        c.broadcast("added", c.state.total)
        return c.state.total

    @action
    async def add_saved(self, c: Context[Sum, Member]) -> None:
        c.state.total += 1
        await c.save_state()
        await self.gate.wait()

    @action
    def open_the_gate(self, c: Context[Sum, Member]) -> None:
        self.gate.set()

    @action
    def tell(self, c: Context[Sum, Member], name: str, text: str) -> None:
        found = c.conns.find(name=name)
        assert found is not None
        found.send("told", text)

    @action
    def tell_others(self, c: Context[Sum, Member], text: str) -> None:
        c.broadcast("said", text, exclude=c.conn)

    @action
    def rename(self, c: Context[Sum, Member], name: str) -> None:
        c.conn.state.name = name

    @action
    def names(self, c: Context[Sum, Member]) -> list[str]:
        return [conn.state.name for conn in c.conns]

    @action
    def say_goodbye(self, c: Context[Sum, Member]) -> None:
        c.conn.send("told", "goodbye")
        c.conn.disconnect("done")

    @action
    def sums(self, c: Context[Sum, Member]) -> list[int]:
        return [c.state.total, c.state.left]

    @action
    def shout(self, c: Context[Sum, Member], size: int) -> None:
        c.broadcast("added", "x" * size)

    @action
    def end(self, c: Context[Sum, Member]) -> None:
        c.destroy()

    @action
    def spoil(self, c: Context[Sum, Member], whose: str) -> None:
        if whose == "actor":
            c.state.total = object()  # type: ignore[assignment]
        else:
            c.conn.state.name = object()  # type: ignore[assignment]

    @action
    def repair(self, c: Context[Sum, Member]) -> None:
        c.state.total = 0

    @action(timeout_s=0.05)
    async def call_itself(self, c: Context[Sum, Member]) -> int:
        total: int = await c.client().get_or_create(Ledger, list(c.key)).add(1)
        return total


class GatedStore(MemoryStore):
    """Commits when the test lets it, and fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures = 0
        self.commits: list[Sequence[Change]] = []

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise OSError("the disk is full")
        await super().commit(actor_id, changes)
        self.commits.append(changes)


@contextlib.asynccontextmanager
async def ledger(store: Store, **limits: Any) -> AsyncIterator[Router]:
    async with running(Ledger, store=store, **limits) as router:
        yield router


async def join(
    socket: LinkedSocket, name: str = "ann", *, events: tuple[str, ...] = ("added",), resume: Any = None
) -> Connected:
    return await socket.connect("ledger", "a", params={"name": name}, events=events, resume=resume)


async def values(socket: LinkedSocket, count: int) -> list[Any]:
    return [(await socket.receive(Event)).args[0] for _ in range(count)]


async def heard(socket: LinkedSocket, count: int) -> list[Any]:
    """Return what comes next: the argument of an event, or a reply."""
    messages = [await socket.next() for _ in range(count)]
    return [message.args[0] if isinstance(message, Event) else message for message in messages]
