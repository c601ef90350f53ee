"""Scheduled calls over servers that are killed: what was acknowledged runs, nothing runs twice or by half."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import killed_server
from killed_server import WORKERS, Work
from linked import TIMEOUT_S

from ringcast import Registry

KILLS = 12
PER_RUN = 1_000_000
"""Each run numbers what it schedules from a multiple of this on."""


def run_and_kill(store: Path, run: int, random: Random) -> set[int]:
    """Run a server until it is killed; return the numbers that it has acknowledged."""
    command = [sys.executable, killed_server.__file__, str(store), str(run * PER_RUN)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            # After some of its lines, so that it has worked, and then at any moment.
            lines = [process.stdout.readline() for _ in range(random.randrange(2, 60))]
            time.sleep(random.random() / 20)
        finally:
            process.kill()
        lines += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    assert lines[0] == "ready\n"
    # The last line may be cut off.
    return {int(line) for line in lines[1:] if line.endswith("\n")}


async def finished(registry: Registry) -> list[Work]:
    """Run everything that is left, and return the state of each worker."""
    async with registry, asyncio.timeout(TIMEOUT_S):
        workers = [registry.client.get_or_create(cls, [key]) for cls, key in WORKERS]
        while len(registry.router.timetable):
            for worker in workers:
                await worker.stop_ticking()
            await asyncio.sleep(0.01)
        return [Work(**await worker.read()) for worker in workers]


def test_what_is_acknowledged_runs_once_however_often_the_server_is_killed(tmp_path: Path) -> None:
    random = Random(11)
    store = tmp_path / "test.db"
    acknowledged = set().union(*(run_and_kill(store, run, random) for run in range(KILLS)))
    works = asyncio.run(finished(killed_server.registry(store)))
    ran = Counter(number for work in works for number in (*work.notes, *work.ended))
    assert acknowledged
    assert acknowledged - set(ran) == set()
    assert [number for number, times in ran.items() if times > 1] == []
    # What was scheduled and not acknowledged, the last call of each run, may have been lost.
    assert len(set(ran) - acknowledged) <= KILLS
    for work in works:
        assert work.begun == work.ended
        assert work.unfinished == 0
        # Each has scheduled the next one, and none was left out.
        assert work.ticks == list(range(len(work.ticks)))
        assert work.slow_ticks == list(range(len(work.slow_ticks)))
        assert len(work.ticks) > KILLS and len(work.slow_ticks) > KILLS
