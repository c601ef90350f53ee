"""Turns: one at a time, in the order of arrival, whatever becomes of those who wait."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from linked import eventually

from ringcast.running.turns import Turns


class Log:
    """Turns, and what happened in them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.turns = Turns(partial(self.lines.append, "free"))
        self.gate = asyncio.Event()

    def at_once(self, name: str) -> None:
        def work() -> None:
            assert self.turns.busy
            self.lines.append(name)

        self.turns.run(work)

    def slowly(self, name: str) -> None:
        async def work() -> None:
            self.lines.append(f"{name} begins")
            await self.gate.wait()
            self.lines.append(f"{name} ends")

        self.turns.run(lambda: asyncio.get_running_loop().create_task(work()))

    async def around(self, name: str) -> None:
        async with self.turns:
            self.lines.append(name)
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """Let everything go on that can."""
        await eventually(lambda: not self.turns.busy)


async def test_a_turn_that_nobody_has_is_taken_at_once() -> None:
    log = Log()
    log.at_once("a")
    log.at_once("b")
    assert log.lines == ["a", "free", "b", "free"]


async def test_turns_are_taken_in_the_order_of_arrival() -> None:
    log = Log()
    log.slowly("a")
    log.at_once("b")
    around = asyncio.create_task(log.around("c"))
    await asyncio.sleep(0)
    log.slowly("d")
    log.at_once("e")
    assert log.lines == ["a begins"]
    log.gate.set()
    await around
    await log.settle()
    assert log.lines == [
        "a begins", "a ends", "free", "b", "free", "c", "free", "d begins", "d ends", "free", "e", "free"
    ]  # fmt: skip


async def test_what_is_asked_for_inside_a_turn_comes_after_it() -> None:
    log = Log()

    def work() -> None:
        log.lines.append("a begins")
        log.at_once("b")
        log.slowly("c")
        log.lines.append("a ends")

    log.turns.run(work)
    log.gate.set()
    await log.settle()
    assert log.lines == ["a begins", "a ends", "free", "b", "free", "c begins", "c ends", "free"]


async def test_who_gives_up_waiting_holds_nobody_up() -> None:
    log = Log()
    log.slowly("a")
    waiting = asyncio.create_task(log.around("b"))
    await asyncio.sleep(0)
    log.at_once("c")
    waiting.cancel()
    log.gate.set()
    await log.settle()
    assert log.lines == ["a begins", "a ends", "free", "free", "c", "free"]


async def test_who_is_cancelled_as_the_turn_comes_gives_it_back() -> None:
    log = Log()
    await log.turns.__aenter__()
    waiting = asyncio.create_task(log.around("a"))
    await asyncio.sleep(0)
    log.at_once("b")
    await log.turns.__aexit__(None, None, None)  # the turn is given to `waiting`, which has not run yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert log.lines == ["free", "free", "b", "free"]
    assert not log.turns.busy


async def test_a_turn_that_raises_is_over() -> None:
    log = Log()

    def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        log.turns.run(fail)
    with pytest.raises(LookupError):
        async with log.turns:
            fail()
    log.at_once("a")
    assert log.lines == ["free", "free", "a", "free"]


async def test_a_turn_lasts_until_what_it_was_extended_by_is_done() -> None:
    log = Log()
    gate = asyncio.Event()

    async def follow(name: str) -> None:
        await gate.wait()
        log.lines.append(name)

    def work() -> None:
        log.lines.append("a")
        log.turns.extend(asyncio.get_running_loop().create_task(follow("a follows")))
        log.turns.extend(asyncio.get_running_loop().create_task(follow("and once more")))

    log.turns.run(work)
    log.at_once("b")
    await asyncio.sleep(0)
    assert log.lines == ["a"] and log.turns.busy
    gate.set()
    await log.settle()
    assert [line for line in log.lines if "follow" not in line and "more" not in line] == [
        "a", "free", "b", "free"
    ]  # fmt: skip
    assert set(log.lines[1:3]) == {"a follows", "and once more"}


async def test_what_extends_no_turn_is_one() -> None:
    log = Log()
    gate = asyncio.Event()
    log.turns.extend(asyncio.get_running_loop().create_task(gate.wait()))
    log.at_once("a")
    assert log.lines == []
    gate.set()
    await log.settle()
    assert log.lines == ["free", "a", "free"]
