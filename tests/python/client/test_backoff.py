"""The delays between attempts to connect."""

from __future__ import annotations

import random

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
    source = random.Random(1).random
    delays = []
    for _ in range(1000):
        backoff = Backoff(0.5, 1.0, 10.0, source)
        backoff.next_delay_s()
        delays.append(backoff.next_delay_s())
    assert 0.0 <= min(delays) < 0.05
    assert 0.95 < max(delays) < 1.0


def test_no_delay_exceeds_the_cap_and_the_series_has_no_end() -> None:
    backoff = Backoff(60.0, 1.0, 10.0, lambda: 1.0)
    assert {backoff.next_delay_s() for _ in range(5000)} <= {1.0, 2.0, 4.0, 8.0, 10.0}
    assert backoff.bound_s == 10.0
