"""Stores for the tests of them, and something to keep in them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ringcast.store import (
    Change,
    ConnStateChanged,
    EventAppended,
    EventReaddressed,
    MemoryStore,
    Replied,
    ScheduledCall,
    SessionOpened,
    SqliteStore,
    StateChanged,
    Store,
    StoredActor,
    StoredEvent,
    StoredSession,
    StoredStream,
    StreamBegun,
    StreamContinued,
    Subscribed,
    Trimmed,
    Unsubscribed,
)
from ringcast.store.journal import Journal

__all__ = [
    "ANN",
    "BEGUN",
    "SESSION",
    "STREAM_TABLES",
    "append",
    "call",
    "event",
    "everything",
    "held_up",
    "memory",
    "on_thread",
    "opened",
    "sqlite",
    "stream_of",
    "together",
]

STREAM_TABLES = ("past_epoch", "event", "session", "subscription", "reply", "let_go", "lost")
ANN = StoredActor("id-1", "Room", ("a", "b"), b'{"x":1}')
SESSION = StoredSession("conn-1", "token", "JSON", b'{"p":1}', b'{"s":1}', 0)
BEGUN: list[Change] = [StreamBegun("epoch-1"), SessionOpened(SESSION)]


def sqlite(directory: Path) -> Store:
    return SqliteStore(directory / "test.db")


def memory(directory: Path) -> Store:
    return MemoryStore()


@asynccontextmanager
async def opened(make: Callable[[Path], Store], directory: Path) -> AsyncIterator[Store]:
    """Open a store with an actor in it that has a stream and a session."""
    store = make(directory)
    await store.open()
    try:
        await store.create(ANN)
        await store.commit("id-1", BEGUN)
        yield store
    finally:
        await store.close()


def event(offset: int, name: str = "news", **fields: Any) -> StoredEvent:
    return StoredEvent(offset, name, **{"json": b"[%d]" % offset, "msgpack": None, **fields})


def append(*offsets: int) -> list[Change]:
    return [EventAppended(event(offset)) for offset in offsets]


def call(id: str, due: float = 1.0, actor_id: str = "id-1") -> ScheduledCall:
    return ScheduledCall(id, actor_id, due, "tick", b"[1]")


async def on_thread(store: SqliteStore, statement: str) -> list[Any]:
    """Return the rows of a statement run on the store's own connection."""
    assert store._thread is not None
    return await store._thread.read(lambda journal: journal.database.execute(statement).fetchall())


@asynccontextmanager
async def held_up(store: SqliteStore) -> AsyncIterator[None]:
    """Keep the store's thread busy: what is asked for in the block waits for its end."""
    assert store._thread is not None
    begun, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold(journal: Journal) -> None:
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(10)

    holding = asyncio.ensure_future(store._thread.read(hold))
    await begun.wait()
    try:
        yield
    finally:
        may_end.set()
        await holding


async def together(store: SqliteStore, *calls: Awaitable[Any]) -> list[Any]:
    """Make calls so that all of them wait when the thread gets to them."""
    async with held_up(store):
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def stream_of(store: Store, actor_id: str = "id-1") -> StoredStream:
    stream = await store.load_stream(actor_id)
    assert stream is not None
    return stream


def everything(epoch: str = "epoch-1") -> Sequence[Sequence[Change]]:
    """Return commits that leave rows of every kind, and every column with something in it."""
    second = StoredSession("conn-2", "täken", "MSGPACK", b"{}", b"null", 1)
    return [
        [StreamBegun("epoch-0"), SessionOpened(SESSION), Subscribed("conn-1", "news", 0)],
        [*append(1), StateChanged(b'{"x":2}'), Replied("conn-1", 1, b"one")],
        [StreamContinued(epoch)],
        [SessionOpened(second), Subscribed("conn-2", "größe", 1), ConnStateChanged("conn-2", b"2")],
        [EventAppended(event(2, "größe", json=None, msgpack=b"\x91\x02", only=("conn-1", "conn-2")))],
        [EventAppended(event(3, msgpack=b"\x91\x03", exclude=("conn-2",))), Replied("conn-1", 3, b"three")],
        [Unsubscribed("conn-1", "news", 3), *append(4, 5), Subscribed("conn-1", "news", 5)],
        [Replied("conn-2", 2, b"two"), *append(6)],
        [EventReaddressed(2, "conn-3")],
        [Trimmed(1, let_go=(("news", 4), ("größe", 2)), lost=(("conn-1", 3), ("conn-2", 0)))],
    ]
