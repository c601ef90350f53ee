"""A process that is killed while it commits: what it was told is kept, and nothing is there by halves."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from random import Random

from committing_process import AT_ONCE, KEPT, REPLIES, changes
from stores import ANN, stream_of

from ringcast.store import EventAppended, Scheduled, SqliteStore

HERE = Path(__file__).parent
KILLS = 12


def commit_until_killed(path: Path, commits: int) -> int:
    """Run the process, kill it after it has reported some commits, and return the last that it reported."""
    command = [sys.executable, str(HERE / "committing_process.py"), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            reported = [process.stdout.readline() for _ in range(commits)]
        finally:
            # SIGKILL: other commits are under way, somewhere between the event loop and the disk.
            process.kill()
        said = [*reported, *process.stdout]
        assert process.stderr.read() == ""
    # A line that was being written may be cut.
    numbers = [int(line) for line in said if line.endswith("\n")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return numbers[-1]


async def head_of(path: Path) -> int:
    """Return the newest commit. All of it has to be there, and all that it builds on."""
    store = SqliteStore(path)
    await store.open()
    try:
        stream, actor, schedule = await stream_of(store), await store.load("id-1"), await store.schedule()
    finally:
        await store.close()
    head = stream.head
    expected = [changes(number) for number in range(max(head - KEPT + 1, 1), head + 1)]
    events = [change.event for commit in expected for change in commit if isinstance(change, EventAppended)]
    assert list(stream.events) == events
    assert actor is not None and actor.state == (b"%d" % head if head else ANN.state)
    assert schedule == [change.call for change in changes(head) if isinstance(change, Scheduled)]
    [session] = stream.sessions
    assert session.replies == tuple((n, b"%d" % n) for n in range(max(head - REPLIES + 1, 1), head + 1))
    return head


def test_what_was_reported_as_committed_outlives_the_process(tmp_path: Path) -> None:
    path, random, newest = tmp_path / "test.db", Random(), 0
    for _ in range(KILLS):
        reported = commit_until_killed(path, random.randint(1, 120))
        assert reported > newest
        newest = asyncio.run(head_of(path))
        # Those that were under way may be there besides; none can that was not asked for.
        assert reported <= newest <= reported + AT_ONCE
