"""The process that `test_store_crash.py` kills: run as a script with the path of its store.

It commits events, states and replies with a counter, some at a time, until it is killed, and writes the
number of each commit to its standard output once that has returned.
"""

from __future__ import annotations

import asyncio
import os
import sys

from stores import ANN, BEGUN

from ringcast.store import (
    Change,
    EventAppended,
    Replied,
    Scheduled,
    ScheduledCall,
    SqliteStore,
    StateChanged,
    StoredEvent,
    Trimmed,
)

AT_ONCE = 8
KEPT = 50
REPLIES = 5


def changes(number: int) -> list[Change]:
    """Return what the commit with this number consists of."""
    text = b"%d" % number
    return [
        StateChanged(text),
        # Of different lengths, so that some take pages of their own.
        EventAppended(StoredEvent(number, "count", text * (number % 7) ** 4, None)),
        Trimmed(number - KEPT + 1),
        Replied("conn-1", number, text, keep=REPLIES),
        Scheduled(ScheduledCall("next", "id-1", float(number), "count", text)),
    ]


async def main(path: str) -> None:
    store = SqliteStore(path)
    await store.open()
    if await store.load("id-1") is None:
        await store.create(ANN)
        await store.commit("id-1", BEGUN)
    stream = await store.load_stream("id-1")
    assert stream is not None
    number = stream.head

    async def commit(number: int) -> None:
        await store.commit("id-1", changes(number))
        os.write(sys.stdout.fileno(), b"%d\n" % number)

    running: set[asyncio.Task[None]] = set()
    while True:
        while len(running) < AT_ONCE:
            number += 1
            running.add(asyncio.create_task(commit(number)))
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
