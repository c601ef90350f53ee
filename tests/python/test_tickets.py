"""Tickets are good once, for some seconds, and are not too many."""

from __future__ import annotations

import asyncio
import re

import pytest

from ringcast.errors import TryAgainLater, Unauthorized
from ringcast.tickets import Tickets


class Time:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_ticket_is_good_once() -> None:
    tickets: Tickets[str] = Tickets(now_s=Time())
    ann, bob = tickets.give("ann"), tickets.give("bob")
    assert ann != bob
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", ann)
    assert tickets.take(bob) == "bob"
    assert tickets.take(ann) == "ann"
    for ticket in (ann, "", "made up", None, 1, ["x"]):
        with pytest.raises(Unauthorized):
            tickets.take(ticket)
    assert len(tickets) == 0


def test_a_ticket_gets_old() -> None:
    time = Time()
    tickets: Tickets[str] = Tickets(10.0, now_s=time)
    old = tickets.give("ann")
    time.now_s += 9.9
    new = tickets.give("ann")
    time.now_s += 0.1
    with pytest.raises(Unauthorized):
        tickets.take(old)
    assert tickets.take(new) == "ann"


def test_tickets_that_nobody_uses_do_not_pile_up() -> None:
    time = Time()
    tickets: Tickets[int] = Tickets(10.0, most=3, now_s=time)
    given = [tickets.give(number) for number in range(3)]
    time.now_s += 4
    with pytest.raises(TryAgainLater) as refused:
        tickets.give(3)
    assert refused.value.metadata == {"retry_after_ms": 6000}
    assert [tickets.take(ticket) for ticket in given[:1]] == [0]
    tickets.give(4)
    time.now_s += 6
    tickets.give(5)
    assert len(tickets) == 2


async def test_the_time_is_that_of_the_loop() -> None:
    tickets: Tickets[str] = Tickets(1e-9)
    ticket = tickets.give("ann")
    await asyncio.sleep(0.001)
    with pytest.raises(Unauthorized):
        tickets.take(ticket)
