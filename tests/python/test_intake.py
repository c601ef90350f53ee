"""How many connects a second are let in, and what the others are told; time is handed in."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linked import LinkedSocket, resume_from, running
from room import Room

from ringcast.errors import CloseCode
from ringcast.gateway.intake import Intake
from ringcast.wire.protocol import Connect, Connected, Error


def test_a_burst_of_a_second_is_let_in_and_no_more() -> None:
    intake = Intake(100, 30)
    answers = [intake.admit(7.0) for _ in range(150)]
    assert answers[:100] == [None] * 100
    assert None not in answers[100:]


def test_what_was_used_comes_back_with_time() -> None:
    intake = Intake(100, 30)
    for _ in range(100):
        assert intake.admit(7.0) is None
    assert intake.admit(7.0) is not None
    assert [intake.admit(7.055) is None for _ in range(6)] == [True] * 5 + [False]
    # And however long nobody comes, there is no more than a second's worth.
    assert [intake.admit(1000.0) is None for _ in range(101)] == [True] * 100 + [False]


def test_those_refused_are_spread_evenly_over_the_time_that_is_needed() -> None:
    intake = Intake(100, 30)
    waits_ms = [wait for wait in (intake.admit(7.0) for _ in range(500)) if wait is not None]
    assert len(waits_ms) == 400
    assert {later - earlier for earlier, later in pairwise(waits_ms)} <= {12, 13}  # 80 a second
    assert waits_ms[0] == 10
    assert waits_ms[-1] == pytest.approx(5000, abs=20)


def test_places_that_have_passed_are_given_again() -> None:
    intake = Intake(100, 30)
    for _ in range(300):
        intake.admit(7.0)
    for _ in range(100):
        assert intake.admit(60.0) is None
    assert intake.admit(60.0) == 10


def test_nobody_is_sent_away_for_long_however_many_come() -> None:
    intake = Intake(10, 30)
    waits_ms = [intake.admit(7.0) or 0 for _ in range(10_000)]
    assert max(waits_ms) <= 30_000
    # The whole of that time is used, over and over.
    assert waits_ms.count(waits_ms[10]) > 10


def test_no_limit() -> None:
    intake = Intake(0, 30)
    assert {intake.admit(7.0) for _ in range(10_000)} == {None}
    assert intake.spread_s(1_000_000) == 0


def test_less_than_one_a_second() -> None:
    intake = Intake(0.5, 30)
    assert intake.admit(7.0) is None
    assert intake.admit(8.0) == 1000
    assert intake.admit(9.0) is None


@given(
    st.floats(min_value=0.1, max_value=5000),
    st.lists(st.floats(min_value=0, max_value=0.5), min_size=1, max_size=300),
)
def test_in_no_stretch_of_time_is_more_let_in_than_the_rate_and_a_burst(
    rate: float, gaps_s: list[float]
) -> None:
    intake = Intake(rate, 30)
    now_s, let_in = 100.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        if intake.admit(now_s) is None:
            let_in.append(now_s)
    burst = max(1.0, rate)
    for first, begin_s in enumerate(let_in):
        for count, end_s in enumerate(let_in[first:], start=1):
            assert count <= burst + rate * (end_s - begin_s) + 1e-6


@pytest.mark.parametrize(
    ("sessions", "spread_s"),
    [(0, 0), (2000, 0), (2001, 1.3), (9000, 5.6), (20_000, 12.5), (1_000_000, 15)],
)
def test_the_spread_keeps_a_server_full_of_clients_below_its_limit(sessions: int, spread_s: float) -> None:
    assert Intake(2000, 30).spread_s(sessions) == spread_s


def test_without_sessions_that_wait_the_spread_is_as_long_as_it_takes() -> None:
    assert Intake(2000, 0).spread_s(160_000) == 100


@pytest.mark.parametrize("sessions", [300, 2000])
def test_clients_that_spread_themselves_are_all_let_in_at_the_first_try(sessions: int) -> None:
    intake, random = Intake(100, 0), Random(1)
    tries_s = sorted(random.random() * intake.spread_s(sessions) for _ in range(sessions))
    assert [intake.admit(at_s) for at_s in tries_s] == [None] * sessions


def test_clients_that_do_not_are_all_let_in_after_few_tries() -> None:
    """All at once, and then each when it was told to, and up to half a second later."""
    intake, random = Intake(100, 0), Random(1)
    coming = [(random.random() * 0.5, client) for client in range(1000)]
    tries = dict.fromkeys(range(1000), 0)
    while coming:
        coming.sort(reverse=True)
        at_s, client = coming.pop()
        tries[client] += 1
        wait_ms = intake.admit(at_s)
        if wait_ms is not None:
            coming.append((at_s + wait_ms / 1000 + random.random() * 0.5, client))
    assert sum(tries.values()) < 2.5 * len(tries)
    assert max(tries.values()) <= 8


# --- at the door --------------------------------------------------------------------------------------------


async def test_one_too_many_is_told_when_to_come_back_before_anything_is_done_for_it() -> None:
    async with running(Room, max_connects_per_s=1) as router:
        async with LinkedSocket(router) as first:
            await first.connect("room", "a")
        async with LinkedSocket(router) as second:
            # Of another actor, which would be started.
            second.send(Connect("room", ("b",)), Connect("room", ("b",)))
            refused = await second.receive(Error)
            assert refused.id is None
            assert refused.error["code"] == "try_again_later"
            assert 0 < refused.error["metadata"]["retry_after_ms"] <= 1000
            assert await second.closed() == (CloseCode.TRY_AGAIN_LATER, "try_again_later")
        assert (router.actors, router.connections) == (1, 1)


async def test_a_resume_counts_as_well_and_its_session_waits_on() -> None:
    async with running(Room, max_connects_per_s=1, session_window_s=30) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("room", "a")
        resume = resume_from(connected, 2)
        async with LinkedSocket(router) as second:
            second.send(Connect("room", ("a",), resume=resume))
            retry_after_ms = (await second.receive(Error)).error["metadata"]["retry_after_ms"]
        await asyncio.sleep(retry_after_ms / 1000)  # as a client does
        async with LinkedSocket(router) as third:
            third.send(Connect("room", ("a",), resume=resume))
            assert (await third.receive(Connected)).session == connected.session
