"""The delays between attempts to connect."""

from __future__ import annotations

from random import Random

from ringcast.client.backoff import Backoff


def test_bounds_grow_exponentially_up_to_the_cap() -> None:
    backoff = Backoff(0.5, 1.0, 10.0, lambda: 1.0)
    assert [backoff.next_delay_s() for _ in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_reset_starts_again_with_the_short_delay() -> None:
    backoff = Backoff(0.5, 1.0, 10.0, lambda: 1.0)
    for _ in range(5):
        backoff.next_delay_s()
    backoff.reset()
    assert [backoff.next_delay_s(), backoff.next_delay_s()] == [0.5, 1.0]


def test_full_jitter_draws_from_zero_up_to_the_bound() -> None:
    source = Random(1).random
    delays = []
    for _ in range(1000):
        backoff = Backoff(0.5, 1.0, 10.0, source)
        backoff.next_delay_s()
        delays.append(backoff.next_delay_s())
    assert 0.0 <= min(delays) < 0.05
    assert 0.95 < max(delays) < 1.0


def test_no_bound_is_below_what_the_server_asks_for() -> None:
    backoff = Backoff(0.5, 1.0, 10.0, lambda: 1.0)
    backoff.spread_s = 3.0
    assert [backoff.next_delay_s() for _ in range(5)] == [3.0, 3.0, 3.0, 4.0, 8.0]
    backoff.reset()
    assert backoff.next_delay_s() == 3.0
    backoff.spread_s = 125.0
    assert backoff.bound_s == 125.0  # the client's own longest bound is no limit to it
    backoff.spread_s = 1e9
    assert backoff.bound_s == 3600.0


def test_clients_that_lose_a_server_together_spread_over_what_it_has_asked_for() -> None:
    source = Random(1).random
    firsts = []
    for _ in range(1000):
        backoff = Backoff(0.5, 1.0, 30.0, source)
        backoff.spread_s = 10.0
        firsts.append(backoff.next_delay_s())
    in_each_second = [sum(int(delay_s) == second for delay_s in firsts) for second in range(10)]
    assert sum(in_each_second) == 1000
    assert min(in_each_second) > 60 and max(in_each_second) < 140


def test_a_client_that_is_told_to_wait_does_and_its_series_stays_where_it_is() -> None:
    backoff = Backoff(0.5, 1.0, 10.0, lambda: 0.5)
    backoff.next_delay_s()
    assert [backoff.told_delay_s(40.0) for _ in range(3)] == [40.25] * 3
    assert backoff.next_delay_s() == 0.5


def test_no_delay_exceeds_the_cap_and_the_series_has_no_end() -> None:
    backoff = Backoff(60.0, 1.0, 10.0, lambda: 1.0)
    assert {backoff.next_delay_s() for _ in range(5000)} <= {1.0, 2.0, 4.0, 8.0, 10.0}
    assert backoff.bound_s == 10.0
