"""Sessions that do not go on when their actor starts again: it hears that they have gone, where it can."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import sqlite3
import textwrap
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from linked import LinkedSocket, call, eventually, resume_from, running

from ringcast import Actor, Context, MemoryStore, SqliteStore, UserError, action
from ringcast.router import Router
from ringcast.store import Store
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Connected, Gap

DOCS = Path(__file__).parents[2] / "docs"


@dataclass
class Hall:
    online: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


@dataclass
class Guest:
    name: str


@dataclass
class Seated:
    """A later version of it, which no longer reads what was kept."""

    name: str
    seat: int


@dataclass
class Anonymous:
    """One that can be made of nothing."""

    name: int = 0


GuestT = TypeVar("GuestT", Guest, Seated, Anonymous)


class Visits(Actor[Hall, GuestT]):
    """Knows who is there: what all versions have in common."""

    durable = True

    def on_connect(self, c: Context[Hall, GuestT]) -> None:
        c.state.online[c.conn.id] = c.conn.state.name
        c.broadcast("came", c.conn.state.name)

    def on_disconnect(self, c: Context[Hall, GuestT]) -> None:
        assert c.conn not in c.conns
        c.conn.send("bye")
        c.state.online.pop(c.conn.id, None)
        c.state.left.append(f"{c.conn.state.name} of {c.conn.params}")

    @action
    def read(self, c: Context[Hall, GuestT]) -> tuple[int, list[str], list[str]]:
        """Return how many are there, who is said to be, and who has left."""
        return len(c.conns), sorted(c.state.online.values()), sorted(c.state.left)


class Presence(Visits[Guest]):
    def create_conn_state(self, c: Context[Hall, Guest], params: str) -> Guest:
        return Guest(params)


class WithSeats(Visits[Seated]):
    async def create_conn_state(self, c: Context[Hall, Seated], params: str) -> Seated:
        return Seated(params, 7)


class WithSlowSeats(Visits[Seated]):
    """Does not get to the end."""

    asked: ClassVar[list[str]] = []

    async def create_conn_state(self, c: Context[Hall, Seated], params: str) -> Seated:
        self.asked.append(params)
        await asyncio.Event().wait()
        raise AssertionError


class WithStrictSeats(Visits[Seated]):
    def create_conn_state(self, c: Context[Hall, Seated], params: str) -> Seated:
        raise UserError("nobody is let in")


class WithoutNames(Visits[Anonymous]):
    def create_conn_state(self, c: Context[Hall, Anonymous], params: str) -> Anonymous:
        raise UserError("nobody is let in")


class InBinary(Presence, msgpack_only=True):
    pass


@contextlib.asynccontextmanager
async def started(
    store: Store, cls: type[Actor[Any, Any]] = Presence, **limits: Any
) -> AsyncIterator[Router]:
    """Run a version of the class; all are the same actor."""
    version = type("Presence", (cls,), {"__module__": cls.__module__})
    async with running(version, store=store, **limits) as router:
        yield router


async def joined(socket: LinkedSocket, name: str) -> Connected:
    return await socket.connect("presence", "a", params=name)


async def visited(store: Store) -> Connected:
    """Have ann and bob be there as the server ends; return the answer that ann got."""
    async with started(store) as router, LinkedSocket(router) as ann, LinkedSocket(router) as bob:
        connected = await joined(ann, "ann")
        await joined(bob, "bob")
    return connected


async def read(router: Router) -> list[Any]:
    return list(await call(router, "presence", "a", "read"))


async def test_an_actor_hears_of_sessions_whose_state_its_class_no_longer_reads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    connected = await visited(store)
    async with started(store, WithSeats) as router, LinkedSocket(router) as ann:
        answer = await ann.connect("presence", "a", params="ann", resume=resume_from(connected))
        assert answer.gap == Gap("session_expired")
        assert answer.connection != connected.connection
        # Whoever has come back is there once.
        assert await read(router) == [1, ["ann"], ["ann of ann", "bob of bob"]]
    assert f"the session of connection {connected.connection} is lost" in caplog.text
    async with started(store, WithSeats) as router:
        # Once, over restarts.
        assert (await read(router))[2] == ["ann of ann", "bob of bob"]


async def test_one_that_is_refused_by_now_gets_a_state_made_of_nothing() -> None:
    store = MemoryStore()
    await visited(store)
    async with started(store, WithoutNames) as router:
        assert await read(router) == [0, [], ["0 of ann", "0 of bob"]]


async def test_where_no_state_can_be_made_the_log_says_that_nobody_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    connected = await visited(store)
    async with started(store, WithStrictSeats) as router:
        assert await read(router) == [0, ["ann", "bob"], []]
        await eventually(lambda: not any(stream.sessions for stream in store._streams.values()))
    told = f"on_disconnect does not run for connection {connected.connection}: no state can be made"
    assert told in caplog.text


async def test_one_whose_encoding_is_no_longer_taken_has_its_state() -> None:
    store = MemoryStore()
    await visited(store)
    async with started(store, InBinary) as router:
        assert await read(router) == [0, [], ["ann of ann", "bob of bob"]]
        async with LinkedSocket(router, Encoding.MSGPACK) as carl:
            await joined(carl, "carl")
            assert (await read(router))[:2] == [1, ["carl"]]


async def test_what_the_hook_has_done_is_kept_together_with_the_end_of_the_session() -> None:
    store = MemoryStore()
    await visited(store)
    async with started(store, WithSeats) as router:
        await read(router)
        (instance,) = router._directory
        await instance.settled()
        killed = copy.deepcopy(store)
    assert not any(stream.sessions for stream in killed._streams.values())
    async with started(killed, WithSeats) as router:
        assert await read(router) == [0, [], ["ann of ann", "bob of bob"]]


async def test_who_could_not_be_told_of_before_the_server_stops_is_told_of_after_the_next_start() -> None:
    store = MemoryStore()
    await visited(store)
    WithSlowSeats.asked.clear()
    async with started(store, WithSlowSeats, shutdown_timeout_s=0.01) as router:
        reading = asyncio.ensure_future(read(router))
        await eventually(lambda: WithSlowSeats.asked)
    await asyncio.gather(reading, return_exceptions=True)
    async with started(store, WithSeats) as router:
        assert await read(router) == [0, [], ["ann of ann", "bob of bob"]]


# --- a damaged journal --------------------------------------------------------------------------------------


class Rebuilding(Presence):
    """Makes out anew who is there, as `docs/delivery.md` says."""

    def on_start(self, c: Context[Hall, Guest]) -> None:
        # Nobody, if the journal was damaged; the state is that of before.
        c.state.online = {conn.id: conn.state.name for conn in c.conns}


def damage(path: Path) -> None:
    """Change an event in the file of a store that is closed."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        changed = database.execute("update event set name = 'other' where offset = 1").rowcount
        database.commit()
    assert changed == 1


@pytest.mark.parametrize(
    ("cls", "online"), [(Presence, ["ann", "bob"]), (Rebuilding, [])], ids=["as it was", "rebuilt"]
)
async def test_nobody_is_seen_off_after_damage_and_on_start_can_make_good_for_it(
    tmp_path: Path, cls: type[Presence], online: list[str]
) -> None:
    path = tmp_path / "test.db"
    await visited(SqliteStore(path))
    damage(path)
    async with started(SqliteStore(path), cls) as router:
        assert await read(router) == [0, online, []]


async def test_a_rebuilding_actor_keeps_whose_sessions_go_on() -> None:
    store = MemoryStore()
    await visited(store)
    async with started(store, Rebuilding) as router:
        assert await read(router) == [2, ["ann", "bob"], []]


def test_the_docs_have_this_example() -> None:
    example = textwrap.dedent(inspect.getsource(Rebuilding.on_start))
    assert textwrap.indent(f"```python\n{example}```", "  ") in (DOCS / "delivery.md").read_text()
