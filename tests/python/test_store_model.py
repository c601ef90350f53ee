"""Both stores hold the same after the same calls, whatever these are: each is the model of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from ringcast.store import (
    Change,
    ConnStateChanged,
    DestroyBegun,
    EventAppended,
    MemoryStore,
    Replied,
    Scheduled,
    ScheduledCall,
    SessionEnded,
    SessionOpened,
    SqliteStore,
    StateChanged,
    Store,
    StoredActor,
    StoredEvent,
    StoredSession,
    StreamBegun,
    StreamContinued,
    Subscribed,
    Trimmed,
    Unscheduled,
    Unsubscribed,
)

ValueT = TypeVar("ValueT")


class Draw:
    """Draws changes at random: few names, sessions and ids, so that they meet; offsets that mostly fit.

    Of Hypothesis' own strategies a long scenario in which much happens is rarely drawn; it draws the seed.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def one(self, *values: ValueT) -> ValueT:
        return self.random.choice(values)

    def actor_id(self) -> str:
        return self.one("a", "a", "b")

    def connection_id(self) -> str:
        return self.one("c1", "c1", "c2", "c3")

    def name(self) -> str:
        return self.one("news", "größe", "")

    def request(self) -> int:
        return self.random.randint(1, 9)

    def blob(self) -> bytes:
        return self.one(b"", b"null", b"\x00\xff" * 9, b"x" * 3000)

    def reply(self) -> bytes:
        # Now and then one of which SQLite keeps few that are wanted no more.
        return self.one(*[self.blob()] * 4, b"r" * 40_000)

    def connection_ids(self) -> tuple[str, ...]:
        return tuple(self.connection_id() for _ in range(self.one(0, 1, 2)))

    def event(self, offset: int) -> StoredEvent:
        encodings = self.one(
            (self.blob(), None), (None, self.blob()), (self.blob(), self.blob()), (None, None)
        )
        only = self.one(None, None, self.connection_ids())
        return StoredEvent(offset, self.name(), *encodings, only=only, exclude=self.connection_ids())

    def session(self, head: int) -> StoredSession:
        token, encoding = self.one("t", "ä\x00", ""), self.one("JSON", "MSGPACK")
        offset = max(head - self.one(0, 0, 1, -1), 0)
        fixed = (self.connection_id(), token, encoding, self.blob(), self.blob(), offset)
        return StoredSession(*fixed, lost=self.one(None, None, 0, head))

    def call(self, actor_id: str) -> ScheduledCall:
        due = self.one(0.0, 1.5, 1e9 + 0.1)
        return ScheduledCall(self.one("s1", "s2", "s3"), actor_id, due, self.name(), self.blob())

    def changes(self, actor_id: str, head: int) -> list[Change]:
        """Return one commit's changes for a stream with this head; about one in ten is refused."""
        changes: list[Change] = []
        for _ in range(self.random.randint(0, 5)):
            changes.append(self.change(actor_id, head))
            if isinstance(changes[-1], EventAppended):
                head += 1
            elif isinstance(changes[-1], StreamBegun):
                head = 0
        if self.random.random() < 0.05:
            changes.insert(self.random.randint(0, len(changes)), self.misfit(head))
        return changes

    def change(self, actor_id: str, head: int) -> Change:
        who, offset = self.connection_id(), max(head - self.one(0, 0, 0, 1, 2, 4), 0)
        kinds: dict[Callable[[], Change], int] = {
            lambda: EventAppended(self.event(head + 1)): 8,
            lambda: Subscribed(who, self.name(), offset): 5,
            lambda: Unsubscribed(who, self.name(), offset): 5,
            lambda: Replied(who, self.request(), self.reply(), self.one(1, 2, 3, 300)): 5,
            lambda: ConnStateChanged(who, self.blob()): 2,
            lambda: self.trim(head): 4,
            lambda: StreamContinued(self.one("e", "f", "g")): 1,
            lambda: SessionOpened(self.session(head)): 2,
            lambda: SessionEnded(who): 1,
            lambda: StateChanged(self.blob()): 1,
            lambda: Scheduled(self.call(actor_id)): 2,
            lambda: Unscheduled(self.one("s1", "s2", "s3")): 1,
            DestroyBegun: 1 if self.random.random() < 0.1 else 0,
            lambda: StreamBegun(self.one("e", "f", "g")): 1 if self.random.random() < 0.2 else 0,
        }
        (make,) = self.random.choices(list(kinds), list(kinds.values()))
        return make()

    def trim(self, head: int) -> Trimmed:
        first = head + self.one(-6, -3, -1, 0, 1, 2)
        let_go = [(self.name(), self.one(0, head, head // 2)) for _ in range(self.one(0, 1, 2))]
        lost = [(self.connection_id(), self.one(None, 0, head)) for _ in range(self.one(0, 1, 2))]
        return Trimmed(first, tuple(let_go), tuple(lost))

    def misfit(self, head: int) -> Change:
        return self.one(*self.misfits(head))

    def misfits(self, head: int) -> list[Change]:
        return [
            EventAppended(self.event(head + 2)),
            EventAppended(self.event(head)),
            Subscribed(self.connection_id(), self.name(), head + 9),
            Unsubscribed(self.connection_id(), self.name(), -1),
            Replied(self.connection_id(), 1, b"", keep=0),
            Trimmed(head, let_go=(("news", head + 1),)),
            SessionOpened(replace(self.session(head), replies=((1, b""),))),
            Scheduled(self.call("somebody else")),
        ]


Call: TypeAlias = Callable[[Store], Coroutine[Any, Any, Any]]


def create(actor_id: str, changes: Sequence[Change] = ()) -> Call:
    return lambda store: store.create(StoredActor(actor_id, "Room", (actor_id,), b""), changes)


def commit(actor_id: str, changes: Sequence[Change]) -> Call:
    return lambda store: store.commit(actor_id, changes)


def begin(actor_id: str) -> Call:
    """Begin a stream, with a session that listens."""
    session = StoredSession("c1", "token", "JSON", b"{}", b"null", 0)
    return commit(actor_id, [StreamBegun("epoch"), SessionOpened(session), Subscribed("c1", "news", 0)])


def load_stream(actor_id: str) -> Call:
    return lambda store: store.load_stream(actor_id)


class Both:
    """A store in memory and one in SQLite, which must say the same and hold the same."""

    def __init__(self, path: Path) -> None:
        self.memory = MemoryStore()
        self.sqlite = SqliteStore(path, synchronous="normal")

    async def ask(self, *calls: Call) -> list[Any]:
        """Make calls that overlap; return what they return, and errors as text."""

        async def ask(store: Store) -> list[Any]:
            answers = await asyncio.gather(*(call(store) for call in calls), return_exceptions=True)
            return [
                f"{type(answer).__name__}: {answer}" if isinstance(answer, Exception) else answer
                for answer in answers
            ]

        expected = await ask(self.memory)
        assert await ask(self.sqlite) == expected
        return expected

    async def take_a_step(self, draw: Draw) -> None:
        """Make some calls without waiting for each one."""
        if draw.random.random() < 0.8:
            await self.commit(draw, draw.random.randint(1, 4))
        elif draw.random.random() < 0.6:
            await self.ask(lambda store: store.close())
            await self.ask(lambda store: store.open())
        else:
            if draw.random.random() < 0.5:
                actor_id = draw.actor_id()
                first = [StreamBegun("born"), *draw.changes(actor_id, 0)]
                await self.ask(lambda store: store.delete(actor_id), create(actor_id, first))
            await self.ask(create("a"), begin("a"), create("b"), begin("b"))

    async def commit(self, draw: Draw, commits: int) -> None:
        """Make commits that overlap, and read in between."""
        calls: list[Call] = []
        heads: dict[str, int] = {}
        for _ in range(commits):
            actor_id = draw.actor_id()
            if actor_id not in heads:
                stream = await self.memory.load_stream(actor_id)
                heads[actor_id] = 0 if stream is None else stream.head
            changes = draw.changes(actor_id, heads[actor_id])
            for change in changes:
                # If this commit is refused, later ones of this actor may be out of turn.
                if isinstance(change, EventAppended):
                    heads[actor_id] = change.event.offset
                elif isinstance(change, StreamBegun):
                    heads[actor_id] = 0
            calls += [commit(actor_id, changes), load_stream(actor_id)]
        await self.ask(*calls, lambda store: store.load("a"))

    async def compare(self) -> None:
        """Compare everything that can be read."""
        await self.ask(
            load_stream("a"),
            load_stream("b"),
            lambda store: store.schedule(),
            lambda store: store.schedule_of("a"),
            lambda store: store.load("a"),
            lambda store: store.find("Room", ("b",)),
        )


@given(seed=st.integers(0, 2**32), steps=st.integers(10, 60))
@settings(max_examples=40, deadline=None)
def test_both_stores_hold_the_same_whatever_is_committed(seed: int, steps: int) -> None:
    async def scenario(path: Path) -> None:
        both, draw = Both(path), Draw(seed)
        await both.sqlite.open()
        try:
            await both.ask(create("a"), begin("a"), create("b"), begin("b"))
            for _ in range(steps):
                await both.take_a_step(draw)
                await both.compare()
        finally:
            await both.sqlite.close()

    with TemporaryDirectory() as directory:
        asyncio.run(scenario(Path(directory) / "test.db"))
