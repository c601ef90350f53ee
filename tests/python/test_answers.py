"""What is remembered of calls with a key: for whom, how long, how much, and what a repeat is told."""

from __future__ import annotations

import asyncio

import pytest

from ringcast import ServerConfig
from ringcast.errors import OutcomeUnknown
from ringcast.gateway.answers import Answers, Keyed, KeyReused, Outcome
from ringcast.gateway.limits import new_counters
from ringcast.testing import ManualClock


class Calls:
    """Runs calls, and counts how often."""

    def __init__(self, **limits: float) -> None:
        self.hit = new_counters()
        self.clock = ManualClock()
        self.answers = Answers(ServerConfig(**limits), self.clock, self.hit)  # type: ignore[arg-type]
        self.ran = 0
        self.kept: dict[str, Outcome] = {}
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def call(
        self, key: str, content: bytes = b"", caller: bytes = b"", *, size: int = 1, begun: bool = True,
        since: str | None = None,
    ) -> tuple[int, bool]:  # fmt: skip
        async def run() -> Outcome:
            self.ran += 1
            number = self.ran
            await self.go_on.wait()
            return Outcome(number, size, begun)

        async def recall() -> Outcome | None:
            return self.kept.get(key)

        outcome, known = await self.answers.once(Keyed(("Actor", key), content, caller, since), run, recall)
        return outcome.answer, known


async def test_a_repeat_is_answered_from_the_record() -> None:
    calls = Calls()
    assert await calls.call("a") == (1, False)
    assert await calls.call("b") == (2, False)
    assert await calls.call("a") == (1, True)
    assert (calls.ran, calls.answers.repeats, len(calls.answers)) == (2, 1, 2)


async def test_a_repeat_of_one_that_runs_waits_for_it_and_one_that_gives_up_takes_nothing_back() -> None:
    calls = Calls()
    calls.go_on.clear()
    first = asyncio.create_task(calls.call("a"))
    await asyncio.sleep(0)
    second = asyncio.create_task(calls.call("a"))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    calls.go_on.set()
    assert await second == (1, True)
    assert calls.ran == 1


async def test_what_did_not_begin_is_not_recorded_and_those_who_wait_try_themselves() -> None:
    calls = Calls()
    calls.go_on.clear()
    waiting = [asyncio.create_task(calls.call("a", begun=False)) for _ in range(3)]
    await asyncio.sleep(0)
    calls.go_on.set()
    assert sorted(await asyncio.gather(*waiting)) == [(1, False), (2, False), (3, False)]
    assert len(calls.answers) == 0


async def test_a_key_is_for_one_request_of_one_caller() -> None:
    calls = Calls()
    await calls.call("a", b"content", b"ann")
    for content, caller in ((b"other", b"ann"), (b"content", b"bob")):
        with pytest.raises(KeyReused) as refused:
            await calls.call("a", content, caller)
        assert refused.value.code == "idempotency_key_reused"
    assert calls.ran == 1


async def test_the_oldest_are_forgotten_past_the_number() -> None:
    calls = Calls(max_keyed_answers=2)
    for key in "abc":
        await calls.call(key)
    assert len(calls.answers) == 2
    assert calls.hit["max_keyed_answers"] == 1
    assert await calls.call("c") == (3, True)
    assert await calls.call("a") == (4, False)


async def test_the_oldest_are_forgotten_past_the_bytes_but_not_the_newest() -> None:
    calls = Calls(max_keyed_answers_bytes=10_000)
    await calls.call("a", size=4000)
    await calls.call("b", size=4000)
    await calls.call("c", size=50_000)
    assert len(calls.answers) == 1
    assert calls.hit["max_keyed_answers"] == 2
    assert await calls.call("c") == (3, True)


async def test_they_are_forgotten_after_the_window() -> None:
    calls = Calls(keyed_answer_window_s=60)
    await calls.call("a")
    await calls.clock.advance(40)
    await calls.call("b")
    await calls.clock.advance(21)
    assert len(calls.answers) == 1
    assert await calls.call("b") == (2, True)
    assert await calls.call("a") == (3, False)
    await calls.clock.advance(120)
    assert len(calls.answers) == 0
    assert calls.hit["max_keyed_answers"] == 0


async def test_a_repeat_runs_only_where_nothing_can_have_been_forgotten() -> None:
    calls = Calls(max_keyed_answers=1)
    before = calls.answers.mark
    assert await calls.call("a", since=before) == (1, False)
    assert await calls.call("a", since="unknown") == (1, True)
    for since in ("unknown", "", Calls().answers.mark):
        with pytest.raises(OutcomeUnknown):
            await calls.call("b", since=since)
    await calls.call("c")  # and "a" is forgotten
    with pytest.raises(OutcomeUnknown):
        await calls.call("a", since=before)
    assert calls.ran == 2


async def test_what_is_kept_elsewhere_is_asked_for_once_and_before_anything_runs() -> None:
    calls = Calls()
    calls.kept["a"] = Outcome(7, 1, has_begun=True)
    assert await calls.call("a", since="unknown") == (7, True)
    calls.kept.clear()
    assert await calls.call("a") == (7, True)
    assert calls.ran == 0
