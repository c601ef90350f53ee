"""Files that are broken below the rows: pages and bytes that went wrong, and a log that ends too early."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest
from stores import SESSION, append, event, everything, opened, sqlite, stream_of, together

from ringcast.store import (
    EventAppended,
    JournalCorrupt,
    Replied,
    SessionOpened,
    SqliteStore,
    StateChanged,
    StateCorrupt,
    Store,
    StoredActor,
    StoredStream,
    StreamBegun,
    Subscribed,
)

ResultT = TypeVar("ResultT")

PAGE_BYTES = 4096
HEADER_BYTES = 32
"""Of a file that is written ahead."""
FRAME_BYTES = 24 + PAGE_BYTES


def using(path: Path, ask: Callable[[Store], Awaitable[ResultT]]) -> ResultT:
    """Open a store, ask it something, close it."""

    async def scenario() -> ResultT:
        store = SqliteStore(path, synchronous="normal")
        await store.open()
        try:
            return await ask(store)
        finally:
            await store.close()

    return asyncio.run(scenario())


# --- the file itself ----------------------------------------------------------------------------------------


@dataclass
class Whole:
    """A closed file that nothing is wrong with, and what is in it."""

    content: bytes
    stream: StoredStream
    actor: StoredActor | None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    directory = tmp_path_factory.mktemp("whole")

    async def fill() -> tuple[StoredStream, StoredActor | None]:
        async with opened(sqlite, directory) as store:
            for changes in everything():
                await store.commit("id-1", changes)
            for n in range(7, 60):
                await store.commit(
                    "id-1", [EventAppended(event(n, json=b"<%d>" % n * 80)), Replied("conn-1", n, b"r")]
                )
            await store.create(StoredActor("id-2", "Room", (), b""))
            await store.commit("id-2", [StreamBegun("e"), *append(1, 2)])
            return await stream_of(store), await store.load("id-1")

    stream, actor = asyncio.run(fill())
    return Whole((directory / "test.db").read_bytes(), stream, actor)


def is_noticed(path: Path, whole: Whole, content: bytes) -> bool:
    """Tell whether damage is noticed, here or when the file is opened; what is given must not be wrong."""
    path.write_bytes(content)
    noticed = []

    async def look(store: Store) -> None:
        try:
            # Without its row a stream is not there, which is no wrong one.
            stream = await store.load_stream("id-1")
            assert stream in (None, whole.stream)
            noticed.append(stream is None)
        except JournalCorrupt:
            noticed.append(True)
        try:
            actor = await store.load("id-1")
            assert actor in (None, whole.actor)
            noticed.append(actor is None)
        except (StateCorrupt, sqlite3.DatabaseError):
            noticed.append(True)

    try:
        using(path, look)
    except (sqlite3.DatabaseError, RuntimeError):
        return True
    return any(noticed)


def middle_leaves(content: bytes) -> list[int]:
    """Return where pages begin that have events from the middle of the stream, and no pages below them.

    There is nothing of another stream in them.
    """
    found = []
    for start in range(PAGE_BYTES, len(content), PAGE_BYTES):
        page = content[start : start + PAGE_BYTES]
        # The kind of page; and where its rows begin, since what is before them may be left over.
        kind, rows = page[0], page[int.from_bytes(page[5:7]) :]
        if kind == 0x0A and any(b"<%d>" % n in rows for n in range(25, 36)):
            found.append(start)
    assert found
    return found


@pytest.mark.parametrize("damage", ["zeros", "noise", "another page"])
def test_no_page_that_is_broken_gives_something_wrong(tmp_path: Path, whole: Whole, damage: str) -> None:
    random, noticed = Random(damage), 0
    pages = [whole.content[start : start + PAGE_BYTES] for start in range(0, len(whole.content), PAGE_BYTES)]
    for n in range(len(pages)):
        broken = {
            "zeros": bytes(PAGE_BYTES),
            "noise": random.randbytes(PAGE_BYTES),
            "another page": random.choice(pages),
        }[damage]
        noticed += is_noticed(tmp_path / "test.db", whole, b"".join([*pages[:n], broken, *pages[n + 1 :]]))
    assert noticed > len(pages) / 2


def test_no_bit_that_is_flipped_gives_something_wrong(tmp_path: Path, whole: Whole) -> None:
    random, noticed = Random(1), 0
    for _ in range(100):
        content = bytearray(whole.content)
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        noticed += is_noticed(tmp_path / "test.db", whole, bytes(content))
    # Many a bit means nothing: most pages are not full.
    assert noticed > 20


def test_a_file_that_ends_too_early_gives_nothing_wrong(tmp_path: Path, whole: Whole) -> None:
    for length in range(PAGE_BYTES, len(whole.content), 3 * PAGE_BYTES - 100):
        assert is_noticed(tmp_path / "test.db", whole, whole.content[:length])


def begins_anew(path: Path) -> list[StoredStream]:
    """Begin the stream anew, go on until pages have to be split, and return the streams of both actors."""

    async def begin_anew(store: Store) -> None:
        with pytest.raises(JournalCorrupt):
            await store.load_stream("id-1")
        await store.commit("id-1", [StreamBegun("epoch-2"), SessionOpened(SESSION), *append(1)])
        for n in range(2, 80):
            large = event(n, json=b"<%d>" % n * 80)
            listen = Subscribed("conn-1", f"name-{n}", n)
            await store.commit("id-1", [EventAppended(large), Replied("conn-1", n, b"r" * 100), listen])

    async def look(store: Store) -> list[StoredStream]:
        return [stream for id in ("id-1", "id-2") if (stream := await store.load_stream(id)) is not None]

    using(path, begin_anew)
    anew, *other = using(path, look)
    assert (anew.epoch, [event.offset for event in anew.events]) == ("epoch-2", list(range(1, 80)))
    assert len(anew.sessions[0].replies) == 78 and len(anew.sessions[0].subscriptions) == 78
    return other


def test_a_stream_with_a_broken_page_can_begin_anew(tmp_path: Path, whole: Whole) -> None:
    path = tmp_path / "test.db"
    for start in middle_leaves(whole.content):
        path.write_bytes(whole.content[:start] + bytes(PAGE_BYTES) + whole.content[start + PAGE_BYTES :])
        [other] = begins_anew(path)
        assert [event.offset for event in other.events] == [1, 2]


def test_commits_that_meet_nobody_elses_broken_page_go_on(tmp_path: Path, whole: Whole) -> None:
    path = tmp_path / "test.db"
    start = middle_leaves(whole.content)[0]
    path.write_bytes(whole.content[:start] + bytes(PAGE_BYTES) + whole.content[start + PAGE_BYTES :])

    async def commit(store: Store) -> list[type]:
        assert isinstance(store, SqliteStore)
        answers = await together(
            store,
            store.commit("id-2", append(3)),
            store.load_stream("id-1"),
            store.commit("id-2", append(4)),
            store.commit("id-1", [StateChanged(b"{}")]),
        )
        assert (await stream_of(store, "id-2")).head == 4
        return [type(answer) for answer in answers]

    assert using(path, commit) == [type(None), JournalCorrupt, type(None), type(None)]


@pytest.mark.parametrize("table", ["event", "session", "subscription", "reply", "stream"])
def test_a_table_of_which_nothing_can_be_read_is_made_anew(
    tmp_path: Path, whole: Whole, caplog: pytest.LogCaptureFixture, table: str
) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(whole.content)
    with closing(sqlite3.connect(path)) as database:
        roots = database.execute("select rootpage from sqlite_master where tbl_name = ?", (table,)).fetchall()
    content = bytearray(whole.content)
    for (root,) in roots:
        content[(root - 1) * PAGE_BYTES : root * PAGE_BYTES] = b"\xff" * PAGE_BYTES
    path.write_bytes(content)
    if table == "stream":
        # The other actor has no stream any more; if its rows cannot be read, it has to be said.
        assert begins_anew(path) == []
    else:
        with pytest.raises(JournalCorrupt, match="id-2"):
            begins_anew(path)
    assert f"the table '{table}' had broken pages" in caplog.text


# --- the log that is written ahead --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The file and the log of a process that was killed after a few dozen commits."""
    directory = tmp_path_factory.mktemp("killed")

    async def commit() -> tuple[bytes, bytes]:
        async with opened(sqlite, directory) as store:
            await store.close()
            await store.open()
            for n in range(1, 41):
                text = b"%d" % n
                changes = StateChanged(text), EventAppended(event(n)), Replied("conn-1", n, text)
                await store.commit("id-1", changes)
            return (directory / "test.db").read_bytes(), (directory / "test.db-wal").read_bytes()

    return asyncio.run(commit())


def head_of(path: Path, file: bytes, log: bytes) -> int:
    """Open what was left, and return the head. State, events and replies have to be those of one moment."""
    path.write_bytes(file)
    path.with_name("test.db-wal").write_bytes(log)
    path.with_name("test.db-shm").unlink(missing_ok=True)

    async def look(store: Store) -> int:
        stream, actor = await stream_of(store), await store.load("id-1")
        assert stream.events == tuple(event(n) for n in range(1, stream.head + 1))
        assert actor is not None and actor.state == (b"%d" % stream.head if stream.head else b'{"x":1}')
        [session] = stream.sessions
        assert session.replies == tuple((n, b"%d" % n) for n in range(1, stream.head + 1))
        return stream.head

    return using(path, look)


def test_a_log_that_ends_too_early_leaves_whole_commits(tmp_path: Path, killed: tuple[bytes, bytes]) -> None:
    file, log = killed
    heads = [head_of(tmp_path / "test.db", file, log)]
    assert heads == [40]
    random = Random(2)
    lengths = [random.randrange(len(log)) for _ in range(20)]
    lengths += [HEADER_BYTES + n * FRAME_BYTES for n in range(5)]
    lengths.sort(reverse=True)
    heads += [head_of(tmp_path / "test.db", file, log[:length]) for length in lengths]
    assert heads == sorted(heads, reverse=True)
    assert heads[-1] == 0 and len(set(heads)) > 10


def test_a_log_with_a_flipped_bit_leaves_whole_commits(tmp_path: Path, killed: tuple[bytes, bytes]) -> None:
    file, log = killed
    random, heads = Random(3), []
    for _ in range(25):
        broken = bytearray(log)
        broken[random.randrange(len(log))] ^= 1 << random.randrange(8)
        heads.append(head_of(tmp_path / "test.db", file, bytes(broken)))
    assert len(set(heads)) > 10


def test_what_a_lost_log_had_is_committed_again(tmp_path: Path, killed: tuple[bytes, bytes]) -> None:
    file, log = killed
    path = Path(shutil.copytree(tmp_path, tmp_path / "copy")) / "test.db"
    head = head_of(path, file, log[: len(log) // 2])
    assert 0 < head < 40
    using(path, lambda store: store.commit("id-1", append(head + 1)))
    assert using(path, stream_of).head == head + 1
