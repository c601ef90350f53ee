"""Rows that are damaged: what is loaded is exactly what was committed, or it is said that it is not."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from stores import BEGUN, STREAM_TABLES, append, call, event, everything, opened, sqlite, stream_of

from ringcast.store import (
    ConnStateChanged,
    JournalCorrupt,
    Replied,
    Scheduled,
    SqliteStore,
    StateChanged,
    StateCorrupt,
    StoredActor,
    StoredStream,
    StreamBegun,
    StreamContinued,
    Subscribed,
    Trimmed,
    Unsubscribed,
)
from ringcast.store.rows import checksum
from ringcast.store.stream import Stream

TABLES = ("stream", *STREAM_TABLES)


@dataclass
class Damaged:
    """An open store, and a second connection to its file by which rows are changed behind its back."""

    store: SqliteStore
    database: sqlite3.Connection
    whole: StoredStream
    """The stream of id-1, which has rows of every kind."""

    @property
    def number(self) -> int:
        """The stream's number in the tables."""
        return int(self.database.execute("select number from stream where actor_id = 'id-1'").fetchone()[0])

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of the stream."""
        column = "number" if table == "stream" else "stream"
        cursor = self.database.execute(f"select * from {table} where {column} = ?", (self.number,))
        names = [name for name, *_ in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def put(self, table: str, row: dict[str, Any]) -> None:
        marks = ", ".join("?" * len(row))
        self.database.execute(f"insert or replace into {table} values ({marks})", list(row.values()))

    def edit(self, statement: str, *values: Any) -> int:
        """Run a statement; return how many rows it changed."""
        return self.database.execute(statement, values).rowcount

    async def is_noticed(self) -> bool:
        """Tell whether loading says that something is wrong. Fails if it gives something wrong instead."""
        try:
            stream = await self.store.load_stream("id-1")
        except JournalCorrupt as error:
            assert "id-1" in str(error)
            return True
        # Without its first row there is no stream any more, which is no wrong one.
        assert stream in (None, self.whole)
        return stream is None


@pytest.fixture
async def damaged(tmp_path: Path) -> AsyncIterator[Damaged]:
    async with opened(sqlite, tmp_path) as store:
        assert isinstance(store, SqliteStore)
        await store.create(StoredActor("id-2", "Room", (), b""))
        for changes in [*BEGUN, *append(1, 2, 3)], *everything("epoch-1"):
            await store.commit("id-2", changes)
        for changes in everything():
            await store.commit("id-1", changes)
        # Opened again: nothing is remembered.
        await store.close()
        await store.open()
        with closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as database:
            database.execute("pragma synchronous = off")
            yield Damaged(store, database, await stream_of(store))


def with_checksum(table: str, row: dict[str, Any], epoch: str = "epoch-1") -> dict[str, Any]:
    """Return a row as somebody would write it who knows how."""
    columns = [row[name] for name in row if name != "crc"]
    if table == "session":
        columns = columns[:-2]
    return {**row, "crc": checksum(*([epoch] if table == "event" else []), *columns)}


# --- one row ------------------------------------------------------------------------------------------------


def flipped(value: Any, random: Random) -> Iterator[tuple[str, Any]]:
    """Give values that differ a little, as SQL with one parameter."""
    if value is None:
        yield from [("?", b"x"), ("?", 0), ("?", "")]
        return
    if isinstance(value, int):
        yield from [("?", value ^ (1 << random.randrange(62))), ("?", value + 1), ("?", f"x{value}")]
    else:
        kind = "cast(? as text)" if isinstance(value, str) else "?"
        as_bytes = value.encode() if isinstance(value, str) else value
        for bit in random.sample(range(8 * len(as_bytes)), min(3, 8 * len(as_bytes))):
            changed = int.from_bytes(as_bytes) ^ (1 << bit)
            yield kind, changed.to_bytes(len(as_bytes))
        yield kind, as_bytes[:-1] if as_bytes else b"x"
        yield kind, as_bytes + b"\0"
    # As a null, where the column takes one.
    yield "nullif(?, 0)", 0


@pytest.mark.parametrize("table", TABLES)
async def test_a_flipped_bit_in_any_column_is_noticed(damaged: Damaged, table: str) -> None:
    damaged.edit(f"create temp table whole as select * from {table}")
    rows, random, damages = damaged.rows(table), Random(table), 0
    for row in rows:
        place = " and ".join(f"{name} is ?" for name in row)
        for column, value in row.items():
            for sql, parameter in flipped(value, random):
                update = f"update or ignore {table} set {column} = {sql} where {place}"
                if damaged.edit(update, parameter, *row.values()) == 1:
                    assert await damaged.is_noticed(), (row, column, parameter)
                    damages += 1
                    damaged.edit(f"delete from {table}")
                    damaged.edit(f"insert into {table} select * from whole")
    assert damages >= 2 * sum(map(len, rows))
    assert await stream_of(damaged.store) == damaged.whole


@pytest.mark.parametrize("table", TABLES)
async def test_a_missing_row_is_noticed(damaged: Damaged, table: str) -> None:
    for row in damaged.rows(table):
        place = " and ".join(f"{name} is ?" for name in row)
        assert damaged.edit(f"delete from {table} where {place}", *row.values()) == 1
        assert await damaged.is_noticed()
        damaged.put(table, row)
    assert await stream_of(damaged.store) == damaged.whole


@pytest.mark.parametrize("table", STREAM_TABLES)
async def test_a_row_of_another_stream_is_noticed(damaged: Damaged, table: str) -> None:
    """Of a stream with the same epoch and the same connections, at that."""
    mine = damaged.number
    (other,) = damaged.database.execute("select number from stream where actor_id = 'id-2'").fetchone()
    damaged.edit(f"delete from {table} where stream = ?", mine)
    damaged.edit(f"update {table} set stream = ? where stream = ?", mine, other)
    assert await damaged.is_noticed()


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("session", [ConnStateChanged("conn-1", b"new"), ConnStateChanged("conn-2", b"new")]),
        ("subscription", [Unsubscribed("conn-1", "news", 6), Unsubscribed("conn-2", "größe", 6)]),
        ("subscription", [Subscribed("conn-1", "more", 6)]),
        ("reply", [Replied("conn-1", 8, b"eight")]),
        ("reply", [Replied("conn-1", 8, b"eight", keep=1)]),
        ("let_go", [Trimmed(1, let_go=(("news", 6),))]),
        ("past_epoch", [StreamContinued("epoch-2")]),
        ("lost", [Trimmed(1, lost=(("conn-1", 6), ("conn-2", None)))]),
    ],
    ids=str,
)
async def test_rows_of_yesterday_are_noticed(damaged: Damaged, table: str, changes: list[Any]) -> None:
    """As after a write that the disk has lost: each row is in order, but the page is an older one."""
    damaged.edit(f"create temp table yesterday as select * from {table}")
    await damaged.store.commit("id-1", changes)
    damaged.whole = await stream_of(damaged.store)
    damaged.edit(f"delete from {table}")
    damaged.edit(f"insert into {table} select * from yesterday")
    assert await damaged.is_noticed()


def test_two_rows_of_yesterday_do_not_make_up_for_each_other() -> None:
    """Checksums are linear: the same change in two rows may add up to nothing, where only they are added."""
    changes, random = {}, Random(0)
    for session in range(2000):
        state = random.randbytes(8)
        before, after = checksum(1, session, state + b"1"), checksum(1, session, state + b"2")
        changes[after - before] = (before, after)
    pairs = [(changes[change], changes[-change]) for change in changes if -change in changes]
    assert pairs
    for (before, after), (other_before, other_after) in pairs:
        today, yesterday = Stream.new("id-1", "e"), Stream.new("id-1", "e")
        today.add(after, other_after)
        yesterday.add(before, other_before)
        assert today.digest != yesterday.digest
        today.remove(after)
        yesterday.remove(before)
        today.remove(other_after)
        yesterday.remove(other_before)
        assert today.digest == yesterday.digest == 0


# --- events that do not follow each other -------------------------------------------------------------------


async def test_an_event_in_the_place_of_another_is_noticed(damaged: Damaged) -> None:
    rows = damaged.rows("event")
    for row, other in pairwise(rows):
        damaged.put("event", {**other, "offset": row["offset"]})
        damaged.put("event", {**row, "offset": other["offset"]})
        assert await damaged.is_noticed()
        damaged.put("event", row)
        damaged.put("event", other)
    assert await stream_of(damaged.store) == damaged.whole


async def test_an_event_of_another_history_is_noticed(damaged: Damaged) -> None:
    """Of a copy of the file that went on for a while, for example, and had another event at this offset."""
    for row in damaged.rows("event"):
        for epoch in {"epoch-0", "epoch-1", "elsewhere"} - {"epoch-0" if row["offset"] == 1 else "epoch-1"}:
            damaged.put("event", with_checksum("event", row, epoch))
            assert await damaged.is_noticed()
        damaged.put("event", row)
    assert await stream_of(damaged.store) == damaged.whole


async def test_an_event_beyond_the_head_is_noticed(damaged: Damaged) -> None:
    damaged.put("event", with_checksum("event", {**damaged.rows("event")[-1], "offset": 7}))
    with pytest.raises(JournalCorrupt, match="event 7, and the head is 6"):
        await damaged.store.load_stream("id-1")


async def test_an_event_before_the_oldest_is_noticed(damaged: Damaged) -> None:
    oldest = damaged.rows("event")[0]
    await damaged.store.commit("id-1", [Trimmed(2)])
    damaged.put("event", oldest)
    with pytest.raises(JournalCorrupt, match="event 1 where 2 should be"):
        await damaged.store.load_stream("id-1")


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("head", 7, "event 7 is missing, and the head is 7"),
        ("head", 5, "event 6, and the head is 5"),
        ("first", 2, "event 1 where 2 should be"),
        ("first", 0, "event 1 where 0 should be"),
        ("epoch", "epoch-2", "'event' has a bad checksum"),
        ("digest", 0, "rows besides events"),
    ],
)
async def test_a_row_of_the_stream_that_fits_by_itself_must_fit_the_others(
    damaged: Damaged, column: str, value: Any, what: str
) -> None:
    [row] = damaged.rows("stream")
    damaged.put("stream", with_checksum("stream", {**row, column: value}))
    with pytest.raises(JournalCorrupt, match=what):
        await damaged.store.load_stream("id-1")


@pytest.mark.parametrize("audience", ["no JSON", "1", '[{"a": []}'])
async def test_what_cannot_be_decoded_is_noticed(damaged: Damaged, audience: str) -> None:
    damaged.put("event", with_checksum("event", {**damaged.rows("event")[1], "only": audience}))
    with pytest.raises(JournalCorrupt, match="cannot be read"):
        await damaged.store.load_stream("id-1")


# --- what comes after ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
async def test_a_damaged_stream_can_begin_anew(damaged: Damaged, table: str) -> None:
    other = await stream_of(damaged.store, "id-2")
    column = "number" if table == "stream" else "stream"
    assert damaged.edit(f"update {table} set crc = crc + 1 where {column} = ?", damaged.number)
    await damaged.store.close()
    await damaged.store.open()
    assert await damaged.is_noticed()
    await damaged.store.commit("id-1", [StreamBegun("epoch-2"), StateChanged(b"{}"), *append(1)])
    assert await stream_of(damaged.store) == StoredStream("epoch-2", 1, (event(1),), ())
    await damaged.store.commit("id-1", append(2))
    await damaged.store.close()
    await damaged.store.open()
    assert (await stream_of(damaged.store)).events == (event(1), event(2))
    assert await stream_of(damaged.store, "id-2") == other


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("stream", append(7)),
        ("session", [ConnStateChanged("conn-1", b"")]),
        ("subscription", [Unsubscribed("conn-1", "news", 6)]),
        ("reply", [Replied("conn-1", 9, b"")]),
    ],
)
async def test_a_commit_does_not_build_on_damaged_rows(
    damaged: Damaged, table: str, changes: list[Any]
) -> None:
    column = "number" if table == "stream" else "stream"
    damaged.edit(f"update {table} set crc = crc + 1 where {column} = ?", damaged.number)
    with pytest.raises(JournalCorrupt, match="bad checksum"):
        await damaged.store.commit("id-1", [StateChanged(b"no"), *changes])
    # What has nothing to do with the stream goes on.
    actor = await damaged.store.load("id-1")
    assert actor is not None and actor.state != b"no"
    await damaged.store.commit("id-1", [StateChanged(b"yes")])


async def test_a_damaged_stream_can_be_deleted(damaged: Damaged) -> None:
    damaged.edit("update stream set crc = 1")
    await damaged.store.delete("id-1")
    assert await damaged.store.load_stream("id-1") is None
    assert await damaged.store.load("id-1") is None


# --- states and schedules -----------------------------------------------------------------------------------


async def test_a_damaged_state_is_noticed_and_nobody_else_harmed(damaged: Damaged) -> None:
    assert damaged.edit("update actor set state = cast(state as text) || ' ' where actor_id = 'id-1'") == 1
    with pytest.raises(StateCorrupt, match="id-1"):
        await damaged.store.load("id-1")
    with pytest.raises(StateCorrupt, match="id-1"):
        await damaged.store.find("Room", ("a", "b"))
    assert await damaged.store.load("id-2") is not None
    await damaged.store.commit("id-1", [StateChanged(b"new")])
    assert await damaged.store.load("id-1") is not None


@pytest.mark.parametrize("column", ["due", "action", "args", "id", "actor_id", "crc"])
async def test_a_damaged_call_is_not_run_and_the_others_are(
    damaged: Damaged, caplog: pytest.LogCaptureFixture, column: str
) -> None:
    await damaged.store.commit("id-1", [Scheduled(call("good")), Scheduled(call("bad"))])
    new = f"{column} + 1" if column in ("due", "crc") else f"cast({column} as text) || 'x'"
    assert damaged.edit(f"update scheduled_call set {column} = {new} where id = 'bad'") == 1
    with caplog.at_level(logging.ERROR, "ringcast.store"):
        assert await damaged.store.schedule() == [call("good")]
    assert "is not run" in caplog.text
