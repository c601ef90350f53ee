"""The timer that looks after all sockets."""

from __future__ import annotations

import asyncio
import time

import pytest

from ringcast.server.deadlines import Deadlines


class Watched:
    """A socket that notes when it is looked at, and closes when aborted."""

    def __init__(self, deadlines: Deadlines) -> None:
        self.deadlines = deadlines
        self.looks = 0
        self.looked = asyncio.Event()
        self.aborted = False
        deadlines.add(self)

    def check(self, now: float) -> None:
        self.looks += 1
        self.looked.set()

    def abort(self) -> None:
        self.aborted = True
        asyncio.get_running_loop().call_soon(self.deadlines.remove, self)


async def test_every_socket_is_looked_at_until_it_is_removed() -> None:
    deadlines = Deadlines(0.05)
    first, second = Watched(deadlines), Watched(deadlines)
    await asyncio.wait_for(first.looked.wait(), 5)
    await asyncio.wait_for(second.looked.wait(), 5)
    deadlines.remove(first)
    looks = first.looks
    second.looked.clear()
    await asyncio.wait_for(second.looked.wait(), 5)
    assert first.looks == looks
    assert len(deadlines) == 1
    deadlines.remove(second)


async def test_socket_may_leave_while_it_is_looked_at() -> None:
    deadlines = Deadlines(0.05)

    class Leaving(Watched):
        def check(self, now: float) -> None:
            super().check(now)
            self.deadlines.remove(self)

    leaving = [Leaving(deadlines) for _ in range(3)]
    for one in leaving:
        await asyncio.wait_for(one.looked.wait(), 5)
    assert [one.looks for one in leaving] == [1, 1, 1]
    await deadlines.wait_all_closed(5)


async def test_many_sockets_are_looked_at_in_turn() -> None:
    deadlines = Deadlines(0.05)
    sockets = [Watched(deadlines) for _ in range(1000)]
    for one in sockets:
        await asyncio.wait_for(one.looked.wait(), 5)
    looks = [one.looks for one in sockets]
    assert max(looks) - min(looks) <= 1
    for one in sockets:
        deadlines.remove(one)


async def test_no_timer_runs_without_sockets() -> None:
    deadlines = Deadlines(0.05)
    only = Watched(deadlines)
    deadlines.remove(only)
    deadlines.remove(only)
    again = Watched(deadlines)
    await asyncio.wait_for(again.looked.wait(), 5)
    assert only.looks == 0
    deadlines.remove(again)


async def test_waiting_for_all_to_close() -> None:
    deadlines = Deadlines(5)
    await deadlines.wait_all_closed(5)
    sockets = [Watched(deadlines) for _ in range(2)]
    loop = asyncio.get_running_loop()
    loop.call_later(0.01, deadlines.remove, sockets[0])
    loop.call_later(0.02, deadlines.remove, sockets[1])
    await asyncio.wait_for(deadlines.wait_all_closed(5), 5)
    assert not any(one.aborted for one in sockets)


async def test_those_that_do_not_close_are_aborted() -> None:
    deadlines = Deadlines(5)
    sockets = [Watched(deadlines) for _ in range(2)]
    await asyncio.wait_for(deadlines.wait_all_closed(0.05), 5)
    assert all(one.aborted for one in sockets)
    assert len(deadlines) == 0


async def test_everybody_is_looked_at_once_in_each_round() -> None:
    looks_by_round: list[int] = []
    sockets: list[Watched] = []

    def begin() -> None:
        looks_by_round.append(sum(one.looks for one in sockets))

    deadlines = Deadlines(0.05, begin)
    sockets += [Watched(deadlines) for _ in range(600)]
    for one in sockets:
        while one.looks < 3:
            one.looked.clear()
            await asyncio.wait_for(one.looked.wait(), 5)
    assert looks_by_round[:3] == [0, 600, 1200]
    for one in sockets:
        deadlines.remove(one)


async def test_rounds_that_a_loop_has_missed_are_not_made_up_for() -> None:
    rounds: list[float] = []
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(0.05, lambda: rounds.append(loop.time()))
    only = Watched(deadlines)
    await asyncio.wait_for(only.looked.wait(), 5)
    time.sleep(0.2)  # noqa: ASYNC251 - the loop is held up: twenty rounds long
    while len(rounds) < 4:
        only.looked.clear()
        await asyncio.wait_for(only.looked.wait(), 5)
    # One that is late, and the next ones in their time: what came meanwhile can be read between.
    assert rounds[3] - rounds[1] >= deadlines.interval_s
    deadlines.remove(only)


@pytest.mark.parametrize(("timeout_s", "at_most"), [(0.5, 0.1), (5.0, 1.0), (60.0, 1.0)])
async def test_overrun_is_bounded(timeout_s: float, at_most: float) -> None:
    assert Deadlines(timeout_s).interval_s <= at_most
